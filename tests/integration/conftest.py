"""The lab that the integration tests share: one pair, started once, healed and caught up before each test.

Its event loop is the session's, and a test that uses it says so:

    pytestmark = pytest.mark.asyncio(loop_scope="session")

Such a test never blocks that loop, since the lab lives on it: it runs programs with
`asyncio.create_subprocess_exec`.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
import pytest_asyncio
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from probe.lab.account.azurite import ACCOUNT, KEY
from probe.lab.account.pair import Pair
from probe.lab.account.replicator import Status


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def make_pair() -> AsyncIterator[Callable[..., Awaitable[Pair]]]:
    """Start further pairs, with the arguments of `Pair`; they end with the session."""
    async with AsyncExitStack() as stack:

        async def make(**options: object) -> Pair:
            return await stack.enter_async_context(Pair(**options))

        yield make


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lab_pair(make_pair) -> Pair:
    """Share one pair among the tests, as it happens to be."""
    return await make_pair(host=True)


@pytest_asyncio.fixture(loop_scope="session")
async def pair(lab_pair: Pair) -> AsyncIterator[Pair]:
    """Lend the shared pair: no faults, no lag, nothing left to replicate."""
    _restore(lab_pair)
    await lab_pair.replicator.caught_up()
    yield lab_pair
    _restore(lab_pair)


def _restore(pair: Pair) -> None:
    pair.heal()
    if pair.replicator.status is not Status.LIVE:
        pair.replicator.status = Status.LIVE
    if pair.replicator.lag != 0:
        pair.replicator.lag = 0


@pytest_asyncio.fixture(loop_scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Make a plain client that keeps its connections."""
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield session


@pytest.fixture(scope="session")
def sas() -> str:
    """Sign a SAS with every right, as the SDK does."""
    return account_sas(
        AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True, add=True)
    )


@pytest.fixture(scope="session")
def read_sas() -> str:
    """Sign a SAS that may read blobs and the service's stats, and nothing else."""
    return account_sas(AccountSasPermissions(read=True), ResourceTypes(service=True, object=True))


def account_sas(
    permission: AccountSasPermissions,
    resource_types: ResourceTypes = ResourceTypes(service=True, container=True, object=True),  # noqa: B008 (a value)
) -> str:
    expiry = datetime.now(UTC) + timedelta(hours=1)
    return generate_account_sas(ACCOUNT, KEY, resource_types, permission, expiry)


@pytest.fixture
def make_blob(http: aiohttp.ClientSession, sas: str) -> Callable[[Pair], Awaitable["Blob"]]:
    """Put blobs, each in a container of its own, with one version on both locations."""

    async def make(pair: Pair) -> Blob:
        made = Blob(pair=pair, http=http, sas=sas, path=f"test-{uuid.uuid4().hex[:12]}/HelloWorld.png")
        await made.create_container()
        await made.put(b"version 1 of the body", version=1)
        await pair.replicator.caught_up()
        return made

    return make


@pytest_asyncio.fixture(loop_scope="session")
async def blob(pair: Pair, make_blob: Callable[[Pair], Awaitable["Blob"]]) -> "Blob":
    """Put the blob of one test on the shared pair."""
    return await make_blob(pair)


class Blob:
    """One blob, seen by a client of the pair."""

    def __init__(self, *, pair: Pair, http: aiohttp.ClientSession, sas: str, path: str) -> None:
        self.pair, self.http, self.sas, self.path = pair, http, sas, path

    def url(self, location: str = "primary") -> str:
        root = self.pair.primary_url if location == "primary" else self.pair.secondary_url
        return f"{root}/{self.path}?{self.sas}"

    async def create_container(self) -> None:
        container = self.path.partition("/")[0]
        url = f"{self.pair.primary_url}/{container}?restype=container&{self.sas}"
        async with self.http.put(url) as answer:
            assert answer.status == 201

    async def put(self, body: bytes, *, version: int) -> None:
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "x-ms-meta-version": str(version),
            "x-ms-version": "2021-10-04",
        }
        async with self.http.put(self.url(), data=body, headers=headers) as answer:
            assert answer.status == 201

    async def get(self, location: str = "primary", **options: object) -> "Seen":
        async with self.http.get(self.url(location), **options) as answer:
            return Seen(answer, await answer.read())

    async def stats(self) -> "Seen":
        url = f"{self.pair.secondary_url}/?restype=service&comp=stats&{self.sas}"
        async with self.http.get(url) as answer:
            return Seen(answer, await answer.read())


class Seen:
    """An answer that has been read: status, headers, body, and which version of the blob it was."""

    def __init__(self, answer: aiohttp.ClientResponse, body: bytes) -> None:
        self.status, self.headers, self.body = answer.status, answer.headers, body

    @property
    def version(self) -> int | None:
        told = self.headers.get("x-ms-meta-version")
        return int(told) if told else None
