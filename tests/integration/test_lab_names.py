"""The pair with names: one stops resolving as it does after an account failover, and nothing else changes."""

import asyncio
import socket

import aiohttp
import pytest
import pytest_asyncio
from azure.storage.blob.aio import BlobServiceClient

from probe.lab.account import names

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.azurite]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def any_named_pair(make_pair):
    """Start one pair with names for all of these tests."""
    return await make_pair(names=True)


@pytest_asyncio.fixture(loop_scope="session")
async def named_pair(any_named_pair):
    """Lend the pair, with its names installed in this process for as long as the test runs."""
    undo = names.install(any_named_pair.names.file)
    yield any_named_pair
    undo()
    any_named_pair.heal()
    any_named_pair.replicator.status = "live"


async def test_a_name_that_stops_resolving_is_a_failed_look_up_and_healing_restores_at_once(
    named_pair, make_blob
):
    blob = await make_blob(named_pair)
    connector = aiohttp.TCPConnector(force_close=True, use_dns_cache=False)
    async with aiohttp.ClientSession(connector=connector) as blob.http:
        named_pair.secondary.fault("dns")

        with pytest.raises(aiohttp.ClientConnectorDNSError):
            await blob.get("secondary")
        assert (await blob.get("primary")).status == 200
        named_pair.heal()
        assert (await blob.get("secondary")).status == 200


async def test_a_connection_that_is_open_lives_on_without_its_name(named_pair, make_blob):
    blob = await make_blob(named_pair)
    await blob.get("secondary")

    named_pair.secondary.fault("dns")

    assert (await blob.get("secondary")).status == 200


async def test_losing_the_secondary_takes_its_name_away(named_pair):
    named_pair.lose_secondary()

    with pytest.raises(socket.gaierror):
        await asyncio.get_running_loop().getaddrinfo(named_pair.secondary.host, named_pair.secondary.port)


async def test_the_sdk_works_by_name(named_pair):
    async with BlobServiceClient.from_connection_string(named_pair.connection_string, retry_total=0) as sdk:
        container = await sdk.create_container("by-name")
        await container.upload_blob("blob", b"body")

        assert [blob.name async for blob in container.list_blobs()] == ["blob"]


async def test_other_names_are_looked_up_as_ever(named_pair):
    ours = await asyncio.get_running_loop().getaddrinfo(named_pair.primary.host, 80, type=socket.SOCK_STREAM)
    other = await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)

    assert ours == other


async def test_without_installing_them_the_names_resolve_nowhere(any_named_pair):
    with pytest.raises(socket.gaierror):
        await asyncio.get_running_loop().getaddrinfo(any_named_pair.primary.host, 80)
