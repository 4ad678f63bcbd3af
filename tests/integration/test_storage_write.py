"""The canary as it is written to a real Azurite, what the lab's faults make of it, and its clean-up."""

import asyncio
import base64
import json
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from azure.core.credentials import AccessToken

from probe.adapters import blobs, transport
from probe.adapters.authorization import TokenError
from probe.adapters.endpoint import Endpoints
from probe.adapters.exchange import tls_context
from probe.adapters.storage import CanaryWriter, Cleanup, read_body
from probe.core import canary
from probe.core.connection import Connection, Entra, Sas, SharedKey
from probe.core.errors import ConfigurationError
from probe.core.reading import Purpose
from probe.core.target import Location, Policy, Target
from probe.lab.account.azurite import ACCOUNT, KEY
from tests.timing import PATIENCE, soonest

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.azurite]
BODY = read_body()
DEADLINE = timedelta(seconds=1.5)
"""Short enough to wait for, long enough for a machine that has much else to do."""


class Writer:
    """One process that writes canaries, and takes away what it made."""

    def __init__(self, name: str, tokens) -> None:
        self.tls = tls_context
        self._tokens, self._name = tokens, name
        self._canaries = CanaryWriter(tokens=tokens, clock=now, writer=name, body=BODY)
        self.clean_up = self._canaries.clean_up
        self.created = self._canaries.created

    async def write(
        self, target: Target, connection: Connection, sequence: int, replacing: str | None, *, create=False
    ):
        session = Endpoints(
            connections={target.name: connection},
            tokens=self._tokens,
            canaries=self._canaries,
            clock=now,
            tls=self.tls,
        ).open(target)
        try:
            return await session.write(
                sequence=sequence, replacing=replacing, writer=self._name, create=create
            )
        finally:
            await session.aclose()


def now() -> datetime:
    return datetime.now(UTC)


class Scene:
    """One target in a container of its own, with its writer."""

    def __init__(self, pair, authorization=None, *, tokens=None) -> None:
        self.pair = pair
        self.connection = Connection(
            primary=pair.primary_url,
            secondary=None,
            authorization=authorization or SharedKey(account=ACCOUNT, key=KEY),
        )
        self.target = Target(
            name="orders",
            primary=pair.primary_url,
            secondary=None,
            container=f"canary-{uuid.uuid4().hex[:12]}",
            policy=Policy(deadline=DEADLINE, connect_timeout=DEADLINE / 2),
        )
        self.writer = self.another_writer("here", tokens=tokens)

    def another_writer(self, name: str, *, tokens=None) -> "Writer":
        return Writer(name, tokens)

    async def write(self, sequence: int = 1, replacing: str | None = None, *, create=False):
        return await self.writer.write(self.target, self.connection, sequence, replacing, create=create)

    async def etag(self) -> str:
        async with self.opened() as service:
            blob = service.get_blob_client(self.target.container, self.target.blob)
            return (await blob.get_blob_properties()).etag

    async def clean_up(self) -> Cleanup:
        return await self.writer.clean_up(self.target, self.connection)

    def opened(self):
        by_key = replace(self.connection, authorization=SharedKey(account=ACCOUNT, key=KEY))
        return blobs.opened(by_key, None, bound=timedelta(seconds=5))

    async def put(self, name: str, **options) -> None:
        async with self.opened() as service:
            blob = service.get_blob_client(self.target.container, name)
            await blobs.put(blob, b"other", content_type="text/plain", **options)

    async def create_container(self) -> None:
        async with self.opened() as service:
            await blobs.create_container(service, self.target.container)

    async def names(self) -> list[str] | None:
        """Return the names of the blobs in the container, ``None`` when it is gone."""
        async with self.opened() as service:
            container = service.get_container_client(self.target.container)
            if not await container.exists():
                return None
            return [name async for name in container.list_blob_names()]

    async def read(self):
        """Return the blob's body, metadata and content type."""
        async with self.opened() as service:
            found = await service.get_blob_client(self.target.container, self.target.blob).download_blob()
            settings = found.properties.content_settings
            return await found.readall(), found.properties.metadata, settings.content_type


@pytest_asyncio.fixture(loop_scope="session")
async def scene(pair) -> Scene:
    return Scene(pair)


async def test_a_reader_finds_the_stamp_and_the_body_that_were_written(scene):
    reading, stamp = await scene.write(7, create=True)

    body, metadata, content_type = await scene.read()
    found, error = canary.verify(body=body, metadata=metadata, content_md5=None, floor=None, stamped=True)
    assert reading.ok
    assert (found, error) == (stamp, None)
    assert (stamp.sequence, stamp.writer, content_type) == (7, "here", "image/png")


async def test_a_good_write_is_told_with_its_time_phases_and_both_request_ids(scene):
    await scene.create_container()

    reading, _ = await scene.write()

    assert (reading.purpose, reading.location) == (Purpose.WRITE, Location.PRIMARY)
    assert (reading.error_type, reading.status_code) == (None, 201)
    assert reading.phases.connect
    assert reading.phases.ttfb
    assert reading.phases.connect + reading.phases.ttfb <= reading.duration
    assert uuid.UUID(reading.request_id)
    assert uuid.UUID(reading.client_request_id)


async def test_the_stamps_time_is_from_before_the_put_so_that_lag_is_never_told_too_small(scene):
    await scene.create_container()
    scene.pair.primary.fault("latency", seconds=0.2)

    reading, stamp = await scene.write()

    assert reading.ended_at - stamp.written_at >= timedelta(seconds=0.2)


async def test_a_write_is_one_request(scene):
    await scene.create_container()
    before = scene.pair.primary.counts.copy()

    await scene.write()

    assert scene.pair.primary.counts - before == {"writes": 1}


async def test_a_container_that_is_missing_is_created_and_remembered_as_ours(scene):
    reading, stamp = await scene.write(create=True)

    assert reading.ok
    assert stamp.sequence == 1
    assert scene.writer.created(scene.target)
    assert await scene.names() == ["HelloWorld.png"]


async def test_a_container_that_was_there_is_not_ours(scene):
    await scene.create_container()

    await scene.write()

    assert not scene.writer.created(scene.target)


async def test_of_two_writers_that_meet_a_missing_container_one_writes_and_the_other_is_told_so(scene):
    other = scene.another_writer("there")

    results = await asyncio.gather(
        scene.write(create=True), other.write(scene.target, scene.connection, 1, None, create=True)
    )

    assert sorted(reading.error_type or "" for reading, _ in results) == ["", "409"]


async def test_a_write_takes_the_place_of_the_version_that_was_looked_at(scene):
    await scene.write(1, create=True)

    reading, stamp = await scene.write(2, await scene.etag())

    assert stamp.sequence == 2
    assert reading.etag == await scene.etag()


async def test_a_write_onto_a_version_that_somebody_replaced_is_not_made(scene):
    await scene.write(1, create=True)
    looked_at = await scene.etag()
    await scene.another_writer("there").write(scene.target, scene.connection, 2, looked_at)

    reading, stamp = await scene.write(3, looked_at)

    _, metadata, _ = await scene.read()
    assert (reading.error_type, reading.service_error, stamp) == ("412", "ConditionNotMet", None)
    assert canary.decode(metadata).writer == "there"


async def test_a_write_onto_nothing_leaves_what_somebody_put_there_meanwhile(scene):
    await scene.create_container()
    await scene.put(scene.target.blob)

    reading, stamp = await scene.write(1)

    assert (reading.error_type, reading.service_error, stamp) == ("409", "BlobAlreadyExists", None)
    assert (await scene.read())[0] == b"other"


async def test_a_write_that_finds_its_container_gone_is_told_and_is_one_request(scene):
    before = scene.pair.primary.counts.copy()

    reading, stamp = await scene.write(2, '"0x8DC000000000000"')

    assert (reading.error_type, reading.service_error, stamp) == ("404", "ContainerNotFound", None)
    assert scene.pair.primary.counts - before == {"writes": 1}
    assert await scene.names() is None


async def test_a_container_is_created_before_the_write_not_after_it(scene):
    before = scene.pair.primary.counts.copy()

    reading, _ = await scene.write(create=True)

    assert reading.ok
    assert scene.pair.primary.counts - before == {"writes": 2}


@pytest.mark.parametrize(
    ("fault", "options", "error_type"),
    [
        pytest.param("refuse", {}, "refused", id="refused"),
        pytest.param("connect_drop", {}, "connect_timeout", id="no answer to the SYN"),
        pytest.param("black_hole", {}, "timeout", id="black hole"),
        pytest.param("header_drip", {"interval": 0.2}, "timeout", id="a byte at a time"),
        pytest.param("reset", {}, "reset", id="reset"),
        pytest.param("garbage", {}, "protocol", id="garbage"),
        pytest.param("status", {"code": 503}, "503", id="503"),
        pytest.param("status", {"code": 500}, "500", id="500"),
        pytest.param("status", {"code": 429}, "429", id="throttled"),
        pytest.param("status", {"code": 403}, "403", id="403"),
        pytest.param("status", {"code": 307}, "protocol", id="a redirect"),
        pytest.param("status", {"code": 409, "error": "ContainerBeingDeleted"}, "409", id="being deleted"),
        pytest.param("status", {"code": 404, "error": "ResourceNotFound"}, "404", id="no such account"),
    ],
)
async def test_a_write_that_fails_is_told_within_the_deadline_and_never_repeated(
    scene, fault, options, error_type
):
    await scene.create_container()
    scene.pair.primary.fault(fault, **options)

    async def failing() -> None:
        writes = scene.pair.primary.counts["writes"]
        reading, stamp = await scene.write()
        assert (reading.error_type, stamp) == (error_type, None)
        assert reading.status_code == options.get("code")
        assert scene.pair.primary.counts["writes"] <= writes + 1
        assert reading.detail.startswith("127.0.0.1:")

    limit = DEADLINE.total_seconds() + 0.3
    assert await soonest(failing, within=limit) < limit


async def test_a_container_that_cannot_be_created_is_told_as_that(scene):
    scene.pair.primary.fault("status", code=409, error="ContainerBeingDeleted", path="restype=container")

    reading, stamp = await scene.write(create=True)

    assert (reading.error_type, reading.service_error, stamp) == ("409", "ContainerBeingDeleted", None)
    assert reading.detail.startswith("the container is missing and cannot be created: ")


async def test_a_sas_that_is_refused_is_not_told(pair, read_sas):
    scene = Scene(pair, Sas(token=read_sas))
    await scene.create_container()

    reading, _ = await scene.write()

    assert reading.error_type == "403"
    assert "sig" not in repr(reading)


@pytest.mark.parametrize("fault", ["refuse", "reset", "garbage", "black_hole"])
async def test_a_sas_is_not_told_by_a_failure_on_the_way(pair, sas, fault):
    scene = Scene(pair, Sas(token=sas))
    pair.primary.fault(fault)

    reading, _ = await scene.write(create=True)

    assert not reading.ok
    assert "sig" not in repr(reading)


async def test_a_sas_is_enough_to_write(pair, sas):
    reading, _ = await Scene(pair, Sas(token=sas)).write(create=True)

    assert reading.ok


async def test_a_key_that_cannot_be_one_is_our_configuration_and_not_told(pair):
    scene = Scene(pair, SharedKey(account=ACCOUNT, key="not base64!"))

    with pytest.raises(ConfigurationError) as raised:
        await scene.write(create=True)

    assert "base64!" not in str(raised.value)


async def test_no_connection_outlives_a_write(scene):
    await scene.write(create=True)

    async with asyncio.timeout(PATIENCE):
        while scene.pair.primary.connections:
            await asyncio.sleep(0.01)


class Tokens:
    """Tokens as Azurite takes them, or none: fetched when first asked for, in so many seconds, and kept."""

    def __init__(self, error: TokenError | None = None, seconds: float = 0) -> None:
        self._error = error
        self._seconds = seconds
        self._kept: str | None = None

    async def get(self, _: Entra) -> str:
        if self._error:
            raise self._error
        if self._kept is None:
            await asyncio.sleep(self._seconds)
            self._kept = _token()
        return self._kept

    def credential(self, _: Entra) -> "Tokens":
        return self

    async def get_token(self, *_: str, **__: object) -> AccessToken:
        return AccessToken(await self.get(Entra()), int(time.time()) + 3600)


def _token() -> str:
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
    }
    parts = [{"alg": "none", "typ": "JWT"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in parts]
    return f"{encoded[0]}.{encoded[1]}.c2ln"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def https_pair(make_pair):
    return await make_pair(https=True)


async def test_an_identity_writes_over_https(https_pair, monkeypatch):
    monkeypatch.setattr(transport, "tls_context", https_pair.certificates.client)
    scene = Scene(https_pair, Entra(), tokens=Tokens())
    scene.writer.tls = https_pair.certificates.client

    reading, stamp = await scene.write(create=True)

    assert (reading.error_type, reading.detail) == (None, None)
    assert stamp is not None
    assert reading.phases.tls


async def test_a_certificate_that_is_not_trusted_is_told_as_tls(https_pair):
    reading, _ = await Scene(https_pair, Entra(), tokens=Tokens()).write(create=True)

    assert reading.error_type == "tls"


async def test_without_a_token_nothing_is_asked_and_the_fault_is_ours(https_pair):
    before = https_pair.primary.accepted
    scene = Scene(https_pair, Entra(), tokens=Tokens(TokenError("sign in")))

    reading, stamp = await scene.write()

    assert (reading.error_type, reading.status_code, stamp) == ("401", None, None)
    assert reading.detail.endswith("no token: sign in")
    assert https_pair.primary.accepted == before


async def test_a_slow_identity_is_not_told_as_a_slow_endpoint(https_pair, monkeypatch):
    monkeypatch.setattr(transport, "tls_context", https_pair.certificates.client)
    scene = Scene(https_pair, Entra(), tokens=Tokens(seconds=DEADLINE.total_seconds() + 0.1))
    scene.writer.tls = https_pair.certificates.client
    await scene.create_container()

    reading, _ = await scene.write()

    assert reading.ok
    assert reading.duration < DEADLINE


async def test_a_clean_up_takes_the_blob_and_the_container_that_this_run_made(scene):
    await scene.write(create=True)

    assert await scene.clean_up() == Cleanup(blob=True, container=True)
    assert await scene.names() is None


async def test_a_clean_up_leaves_a_blob_that_was_there_before(scene):
    await scene.another_writer("a deployed probe").write(scene.target, scene.connection, 1, None, create=True)
    await scene.write(2, await scene.etag())

    assert await scene.clean_up() == Cleanup(kept="the blob was there before")
    assert await scene.names() == ["HelloWorld.png"]


async def test_a_clean_up_leaves_a_container_that_was_there(scene):
    await scene.create_container()
    await scene.write()

    assert await scene.clean_up() == Cleanup(blob=True)
    assert await scene.names() == []


async def test_a_clean_up_leaves_a_container_that_holds_more(scene):
    await scene.write(create=True)
    await scene.put("invoice.pdf")

    found = await scene.clean_up()

    assert found == Cleanup(blob=True, kept="the container holds more than the canary: invoice.pdf")
    assert await scene.names() == ["invoice.pdf"]


async def test_a_clean_up_leaves_a_blob_that_somebody_else_wrote_since(scene):
    await scene.write(create=True)
    await scene.another_writer("there").write(scene.target, scene.connection, 2, await scene.etag())

    found = await scene.clean_up()

    assert found == Cleanup(kept="the blob was written by somebody else since")
    assert await scene.names() == ["HelloWorld.png"]


async def test_a_clean_up_after_no_write_touches_nothing(scene):
    await scene.another_writer("there").write(scene.target, scene.connection, 1, None, create=True)

    assert await scene.clean_up() == Cleanup()
    assert await scene.names() == ["HelloWorld.png"]


async def test_a_clean_up_after_a_write_that_was_cut_off_takes_what_it_left(scene):
    await scene.write(create=True)
    scene.pair.primary.fault("latency", seconds=0.5)
    writing = asyncio.create_task(scene.write(2))
    await asyncio.sleep(0.05)
    writing.cancel()
    scene.pair.heal()

    assert await scene.clean_up() == Cleanup(blob=True, container=True)


async def test_a_clean_up_that_fails_says_why(scene):
    await scene.write(create=True)
    scene.pair.primary.fault("refuse")

    found = await scene.clean_up()

    assert found.kept.endswith("no connection (Connection refused)")
    assert (found.blob, found.container) == (False, False)
