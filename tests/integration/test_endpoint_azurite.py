"""The measured attempt against a real Azurite pair, and what the lab's faults look like to it."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from probe.adapters.endpoint import Endpoints, TargetSession
from probe.adapters.storage import CanaryWriter, read_body
from probe.core.connection import Authorization, Connection, Sas, SharedKey
from probe.core.reading import Purpose
from probe.core.replication import SyncStatus
from probe.core.target import Location, Policy, Target
from probe.lab.account.azurite import ACCOUNT, KEY

pytestmark = pytest.mark.asyncio(loop_scope="session")
P, S = Location.PRIMARY, Location.SECONDARY
SHORT = Policy(deadline=timedelta(seconds=1.2), connect_timeout=timedelta(seconds=0.6))
WHOLE_KEY = SharedKey(account=ACCOUNT, key=KEY)


def probing_of(
    pair, authorization: Authorization = WHOLE_KEY, *, blob: str = "HelloWorld.png"
) -> TargetSession:
    target = Target(
        name="orders",
        primary=pair.primary_url,
        secondary=pair.secondary_url,
        container=f"canary-{uuid.uuid4().hex[:12]}",
        blob=blob,
        policy=SHORT,
    )
    connection = Connection(
        primary=pair.primary_url, secondary=pair.secondary_url, authorization=authorization
    )
    writer = CanaryWriter(tokens=None, clock=now, writer="here", body=read_body())
    return Endpoints(connections={"orders": connection}, tokens=None, canaries=writer, clock=now).open(target)


def now() -> datetime:
    return datetime.now(UTC)


@pytest_asyncio.fixture(loop_scope="session")
async def written(pair) -> AsyncIterator[TargetSession]:
    """Open a target whose canary was written and replicated."""
    session = probing_of(pair)
    reading, stamp = await session.write(sequence=7, replacing=None, writer="here", create=True)
    assert reading.ok, reading
    assert stamp
    await pair.replicator.caught_up()
    session._ways[P].line.renew()  # what these tests look at begins with a connection, as a tick does
    yield session
    await session.aclose()


@pytest.mark.parametrize("location", [P, S])
async def test_a_written_canary_is_read_and_verified_at_both_locations(written, location):
    reading = await written.attempt(location, Purpose.READ, floor=None)

    assert reading.error_type is None, reading.detail
    assert reading.canary.sequence == 7
    assert reading.request_id


@pytest.mark.parametrize("blob", ["a b/c%d+é#?.png", "plain.txt"])
async def test_a_blob_is_found_by_any_name(pair, blob):
    session = probing_of(pair, blob=blob)
    await session.write(sequence=1, replacing=None, writer="here", create=True)

    reading = await session.attempt(P, Purpose.READ, floor=None)
    await session.aclose()

    assert reading.ok, reading


async def test_the_secondary_tells_its_last_sync_time(written):
    reading, sync = await written.stats()

    assert reading.ok, reading
    assert sync.status is SyncStatus.LIVE
    assert abs(now() - sync.last_sync_time) < timedelta(seconds=60)


async def test_a_missing_blob_and_a_bad_signature_are_told_apart(pair, read_sas):
    missing = probing_of(pair, Sas(token=read_sas))
    denied = probing_of(pair, Sas(token=read_sas.replace("sig=", "sig=AAAA")))

    readings = [await each.attempt(P, Purpose.READ, floor=None) for each in (missing, denied)]
    for each in (missing, denied):
        await each.aclose()

    assert [each.error_type for each in readings] == ["404", "403"]
    assert all(each.service_error for each in readings)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("refuse", "refused"),
        ("black_hole", "timeout"),
        ("connect_drop", "connect_timeout"),
        ("header_drip", "timeout"),
        ("body_drip", "timeout"),
        ("truncate", "truncated"),
        ("reset", "reset"),
        ("garbage", "protocol"),
        ("status", "503"),
        ("corrupt", "digest"),
    ],
)
async def test_a_fault_that_strikes_an_attempt_has_its_error_type(pair, written, fault, error):
    pair.primary.fault(fault)

    reading = await written.attempt(P, Purpose.READ, floor=None)

    assert reading.error_type == error, reading
    assert reading.duration < SHORT.deadline + timedelta(seconds=1)
