"""The real probe on the lab: failovers with and without loss, a second writer, a canary that is deleted."""

from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from probe import compose
from probe.adapters import blobs
from probe.core.report import exit_code
from probe.core.target import Location
from probe.lab.account.pair import Pair
from tests.integration.probe_runs import Ticking, command, environment

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.azurite]


@pytest_asyncio.fixture(loop_scope="session")
async def account():
    """Start a pair of its own: a failover cannot be undone."""
    async with Pair() as pair:
        yield pair


@asynccontextmanager
async def ticking_on(pair):
    app = compose.build(environment(pair, "memory"))
    yield Ticking(app)
    await app.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def ticking(pair):
    async with ticking_on(pair) as found:
        yield found


async def test_a_failover_that_lost_writes_is_told_with_how_many_and_nobody_is_called_corrupt(account):
    async with ticking_on(account) as ticking:
        await ticking.tick()
        await account.replicator.caught_up()
        account.replicator.lag = None
        await ticking.tick()
        await ticking.tick()

        lost = account.fail_over()
        report = await ticking.tick()
        after = await ticking.tick()

    (found,) = report.targets
    (told,) = (each for each in found.events if each.kind == "failover_with_loss")
    written = [each.targets[0].written_sequence for each in ticking.reports]
    assert (lost, told.details["lost_writes"]) == (2, 2)
    assert found.judgement.primary.verdict == "healthy"
    assert found.judgement.redundancy.verdict == "unprotected"
    assert written == [1, 2, 3, 4, 5]
    assert after.targets[0].events == ()
    assert exit_code(report) == 0


async def test_a_failover_that_lost_nothing_tells_no_loss(account):
    async with ticking_on(account) as ticking:
        await ticking.tick()
        await account.replicator.caught_up()

        lost = account.fail_over()
        report = await ticking.tick()

    (found,) = report.targets
    assert (lost, found.events) == (0, ())
    assert found.judgement.target.verdict == "ok"
    assert found.judgement.redundancy.verdict == "unprotected"


async def test_a_laptops_once_beside_a_deployed_probe_overwrites_nothing_and_both_say_so(pair, ticking):
    await ticking.tick()
    await pair.replicator.caught_up()
    settings = ticking.app.settings
    container = settings.targets[0].container

    laptop = await command(
        environment(pair, "memory", PROBE_CONTAINER=container, PROBE_VANTAGE="laptop"), "once", "--json"
    )
    after = await ticking.tick()

    assert laptop.code == 0
    assert laptop.target["write"]["outcome"] == "not_tried"
    assert "PROBE_BLOB" in laptop.target["write"]["reason"]
    assert [each["kind"] for each in laptop.target["events"]] == ["second_writer"]
    assert after.targets[0].written_sequence == 2
    assert after.targets[0].events == ()


@pytest.mark.parametrize("what", ["blob", "container"])
async def test_a_canary_that_was_deleted_is_told_and_written_again(ticking, what: str):
    await ticking.tick()
    settings = ticking.app.settings
    (target,) = settings.targets
    connection = settings.connections[target.name]
    async with blobs.opened(connection, None, bound=target.policy.deadline * 5) as service:
        if what == "blob":
            await service.get_blob_client(target.container, target.blob).delete_blob()
        else:
            await service.delete_container(target.container)

    report = await ticking.tick()

    (found,) = report.targets
    assert [each.kind for each in found.events] == ["canary_gone"]
    assert what in found.events[0].reason
    assert found.written_sequence == 2
    assert found.judgement.target.verdict == "ok"


async def test_a_tick_makes_nine_requests(pair, ticking):
    await ticking.tick()
    await pair.replicator.caught_up()
    before = pair.primary.counts + pair.secondary.counts

    report = await ticking.tick()

    made = pair.primary.counts + pair.secondary.counts - before
    assert made["writes"] == 1
    assert len(report.targets[0].readings) == 9
    assert {each.location for each in report.targets[0].readings[:2]} == set(Location)
