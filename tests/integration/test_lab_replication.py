"""The pair as a geo-redundant account: a secondary that lags, refuses writes and tells the truth about it."""

import asyncio
import itertools
import time
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
import pytest_asyncio
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContentSettings
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from probe.lab.account.azurite import KEY
from probe.lab.account.replicator import Status
from probe.lab.errors import LabError
from tests.timing import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.azurite]


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
async def test_the_secondary_refuses_writes_as_azure_does(blob, http, method):
    async with http.request(method, blob.url("secondary"), data=b"x") as answer:
        body = await answer.text()

    assert (answer.status, answer.headers["x-ms-error-code"]) == (403, "InsufficientAccountPermissions")
    assert "Write operations are not allowed." in body
    assert (await blob.get("secondary")).version == 1


async def test_a_read_only_sas_signed_by_the_sdk_reads_both_locations_and_the_stats(blob, read_sas):
    blob.sas = read_sas

    seen = [await blob.get("primary"), await blob.get("secondary"), await blob.stats()]

    assert [one.status for one in seen] == [200, 200, 200]


async def test_a_sas_with_a_wrong_signature_is_denied_by_either_location_and_by_the_stats(blob, read_sas):
    blob.sas = read_sas.replace("sig=", "sig=A")

    seen = [await blob.get("primary"), await blob.get("secondary"), await blob.stats()]

    assert [one.status for one in seen] == [403, 403, 403]


async def test_the_primary_has_no_stats(pair, http, sas):
    async with http.get(f"{pair.primary_url}/?restype=service&comp=stats&{sas}") as answer:
        assert answer.status == 400


async def test_with_a_lag_the_secondary_walks_through_every_version_in_order(blob, pair):
    lag, spacing, slack = 0.6, 0.15, 0.3
    pair.replicator.lag = lag
    written, shown = {1: None}, {}

    async def write() -> None:
        for version in range(2, 7):
            await blob.put(b"v%d" % version, version=version)
            written[version] = time.monotonic()
            await asyncio.sleep(spacing)

    async def watch() -> None:
        while 6 not in shown:
            shown.setdefault((await blob.get("secondary")).version, time.monotonic())
            await asyncio.sleep(0.01)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(write(), watch())

    assert list(shown) == sorted(shown)
    delays = [shown[version] - written[version] for version in shown if version > 1]
    assert lag - 0.02 <= min(delays) <= lag + slack, delays


async def test_every_write_before_the_last_sync_time_is_readable_on_the_secondary(blob, pair):
    """Written and read at once, with a lag that changes and pauses meanwhile."""
    written: list[tuple[datetime, int]] = []
    lags = itertools.cycle([0.0, 0.4, 1.3, None, 0.1])
    versions = itertools.count(2)
    fair, changes = [], 0

    def enough() -> bool:
        return len(fair) > 50 and changes > 6

    async def write() -> None:
        while not enough():
            version = next(versions)
            await blob.put(b"v%d" % version, version=version)
            written.append((datetime.now(UTC), version))
            await asyncio.sleep(0.03)

    async def change_the_lag() -> None:
        nonlocal changes
        while not enough():
            pair.replicator.lag = next(lags)
            changes += 1
            await asyncio.sleep(0.4)

    async def judge() -> None:
        while not enough():
            synced, shown = last_sync_time(await blob.stats()), (await blob.get("secondary")).version
            promised = [version for at, version in written if at < synced]
            fair.append(shown >= max(promised, default=1))
            await asyncio.sleep(0.01)

    await asyncio.gather(write(), change_the_lag(), judge())

    assert all(fair)


async def test_the_last_sync_time_stands_still_before_a_write_that_is_under_way(pair):
    before = datetime.now(UTC)
    token = pair.replicator.begin()
    await asyncio.sleep(1.1)

    synced = pair.replicator.last_sync_time
    await pair.replicator.end(token, None, None)

    assert synced <= before + timedelta(milliseconds=50)
    assert pair.replicator.last_sync_time > synced


async def test_paused_replication_keeps_what_it_has_and_catches_up_in_order(blob, pair):
    pair.replicator.lag = None
    await blob.put(b"v2", version=2)
    await asyncio.sleep(0.3)
    paused = (await blob.get("secondary")).version, pair.replicator.pending

    pair.replicator.lag = 0
    await pair.replicator.caught_up()

    assert paused == (1, 1)
    assert (await blob.get("secondary")).version == 2


@pytest.mark.parametrize("status", ["bootstrap", "unavailable"])
async def test_the_last_sync_time_is_empty_unless_replication_is_live(blob, pair, status):
    pair.replicator.status = status

    told = ET.fromstring((await blob.stats()).body)  # noqa: S314 (the lab's own words)

    assert told.findtext("GeoReplication/Status") == status
    assert not told.findtext("GeoReplication/LastSyncTime")


async def test_an_impossible_lag_or_status_is_refused_with_what_is_possible(pair):
    with pytest.raises(LabError, match="from 0"):
        pair.replicator.lag = -1
    with pytest.raises(LabError, match="live, bootstrap, unavailable"):
        pair.replicator.status = "well"


async def test_everything_that_makes_a_blob_is_replicated(pair, sdk):
    container = sdk.get_container_client("kept")
    await container.create_container()
    whole = container.get_blob_client("whole")
    await whole.upload_blob(
        b"a body", metadata={"a": "1"}, content_settings=ContentSettings("text/x", "gzip")
    )
    await whole.set_blob_metadata({"a": "2"})
    blocks = container.get_blob_client("in blocks")
    await blocks.upload_blob(b"0123456789" * 30, length=300)
    copied = container.get_blob_client("copied")
    await copied.start_copy_from_url(whole.url)
    gone = container.get_blob_client("gone")
    await gone.upload_blob(b"soon gone")
    await gone.delete_blob()

    await pair.replicator.caught_up()

    shown = [await on_secondary(pair, "kept", name) for name in ("whole", "in blocks", "copied")]
    assert [(p.metadata, p.content_settings.content_type, body) for p, body in shown] == [
        ({"a": "2"}, "text/x", b"a body"),
        ({}, "application/octet-stream", b"0123456789" * 30),
        ({"a": "2"}, "text/x", b"a body"),
    ]
    with pytest.raises(ResourceNotFoundError):
        await on_secondary(pair, "kept", "gone")


async def test_a_deleted_container_is_gone_from_the_secondary_too(pair, sdk):
    container = sdk.get_container_client("dropped")
    await container.create_container()
    await container.upload_blob("blob", b"body")
    await pair.replicator.caught_up()

    await container.delete_container()
    await pair.replicator.caught_up()

    with pytest.raises(ResourceNotFoundError):
        await on_secondary(pair, "dropped", "blob")


async def test_a_write_that_was_refused_is_not_replicated(blob, pair, http):
    before = pair.replicator.replicated

    async with http.put(blob.url() + "x", data=b"", headers={"x-ms-blob-type": "BlockBlob"}) as answer:
        status = answer.status

    assert status == 403
    assert (pair.replicator.pending, pair.replicator.replicated) == (0, before)


async def test_a_lost_secondary_refuses_and_says_unavailable_when_it_is_back(blob, pair):
    pair.lose_secondary()

    with pytest.raises(OSError, match="Cannot connect"):
        await blob.get("secondary")
    pair.heal()

    assert b"<Status>unavailable</Status><LastSyncTime></LastSyncTime>" in (await blob.stats()).body


async def test_after_an_unplanned_failover_the_primary_serves_what_the_secondary_had(make_pair, make_blob):
    pair = await make_pair()
    blob = await make_blob(pair)
    pair.replicator.lag = 60
    await blob.put(b"not replicated", version=2)

    lost = pair.fail_over()

    assert lost == 1
    assert (await blob.get("primary")).version == 1
    assert pair.replicator.status is Status.UNAVAILABLE
    with pytest.raises(OSError, match="Cannot connect"):
        await blob.get("secondary")


async def test_the_hosts_storage_is_apart_and_can_fail_alone(pair):
    pair.primary.fault("refuse")
    async with BlobServiceClient.from_connection_string(pair.host_connection_string, retry_total=0) as host:
        await host.create_container("state")
        pair.host.fault("status", code=503)

        with pytest.raises(Exception, match="ServerBusy"):
            await host.get_container_client("state").get_container_properties()


@pytest_asyncio.fixture(loop_scope="session")
async def sdk(pair):
    """Point the SDK at the pair; it writes blobs of more than 100 bytes in blocks."""
    async with BlobServiceClient.from_connection_string(
        pair.connection_string, retry_total=0, max_single_put_size=100, max_block_size=100
    ) as client:
        yield client


async def on_secondary(pair, container, blob):
    """Return a blob's properties and body, read from the secondary."""
    async with BlobClient(
        pair.secondary_url.removesuffix("-secondary"), container, blob, credential=KEY, retry_total=0
    ) as client:
        download = await client.download_blob(decompress=False)
        return download.properties, await download.readall()


def last_sync_time(stats) -> datetime:
    told = ET.fromstring(stats.body).findtext("GeoReplication/LastSyncTime")  # noqa: S314 (the lab's own words)
    return parsedate_to_datetime(told)
