"""The app: what it does when the timer fires or a shard's message arrives, and what it tells of each."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from probe import compose, fleet
from probe.compose import App
from probe.core.errors import ConfigurationError, ProbeError
from probe.core.report import Result
from probe.fleet import Message
from probe.lab.world import NOON, World, run, target, world
from probe.ports import TraceParent
from probe.status import Health
from tests.unit.app_values import app_on
from tests.unit.settings_values import WORKING

PARENT = TraceParent(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
SECOND = timedelta(seconds=1)


def fleet_of(names: str, size: int = 2) -> tuple[World, App]:
    probe = world(*map(target, names))
    return probe, app_on(probe, shard_size=size)


def test_the_only_shard_is_run_by_the_timer_itself():
    probe, app = fleet_of("ab")

    messages = run(app.timer(past_due=True, parent=PARENT))

    (report,) = probe.telemetry.reports
    assert messages == []
    assert [each.target.name for each in report.targets] == ["a", "b"]
    assert (report.scheduled_at, report.past_due) == (NOON, True)
    assert probe.telemetry.parents == [PARENT]


def test_of_several_shards_each_becomes_a_message_and_the_timer_runs_none():
    probe, app = fleet_of("abc")

    messages = run(app.timer(past_due=False, parent=None))

    assert [fleet.decode(each) for each in messages] == [
        Message(shard=number, shards=2, scheduled_at=NOON) for number in range(2)
    ]
    assert probe.telemetry.reports == []


def test_a_message_runs_its_shard():
    probe, app = fleet_of("abc")

    async def main() -> None:
        for each in await app.timer(past_due=False, parent=None):
            await app.shard(each, parent=PARENT)

    run(main())

    assert [[each.target.name for each in report.targets] for report in probe.telemetry.reports] == [
        ["a", "b"],
        ["c"],
    ]
    assert {report.scheduled_at for report in probe.telemetry.reports} == {NOON}
    assert set(probe.store.records) == {0, 1}


def test_a_message_delivered_twice_runs_its_shard_once():
    probe, app = fleet_of("abc")

    async def main() -> None:
        text = (await app.timer(past_due=False, parent=None))[0]
        await app.shard(text, parent=None)
        await app.shard(text, parent=None)

    run(main())

    assert [each.result for each in probe.telemetry.reports] == [Result.COMPLETED, Result.SKIPPED]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Message(shard=0, shards=2, scheduled_at=NOON - 61 * SECOND), "it was scheduled 61 s ago"),
        (Message(shard=0, shards=9, scheduled_at=NOON), "it is shard 0 of 9, but there are 2 now"),
    ],
    ids=["late", "of another cut"],
)
def test_a_message_that_is_dropped_is_counted_and_told_and_measures_nothing(message: Message, why: str):
    probe, app = fleet_of("abc")

    run(app.shard(fleet.encode(message), parent=PARENT))

    (report,) = probe.telemetry.reports
    assert (report.result, report.targets, report.shard) == (Result.SKIPPED, (), 0)
    assert why in (report.reason or "")
    assert (probe.telemetry.parents, probe.telemetry.flushes) == ([PARENT], 1)
    assert not any(each.calls for each in probe.accounts.values())


def test_a_message_that_is_not_ours_is_raised_so_that_the_queue_sets_it_aside():
    _, app = fleet_of("abc")

    with pytest.raises(ProbeError):
        run(app.shard(json.dumps({"schema": 2}), parent=None))


@pytest.mark.parametrize(("fires", "scheduled"), [(0.0, 0), (0.7, 0), (59.2, 60), (90.0, 60)])
def test_a_tick_is_scheduled_when_its_schedule_says_whenever_the_timer_fires(fires, scheduled):
    _, app = fleet_of("a")

    async def main():
        await asyncio.sleep(fires)
        return app.scheduled_at()

    assert run(main()) == NOON + scheduled * SECOND


def test_the_apps_status_and_freshness_are_those_of_all_its_shards():
    _, app = fleet_of("abc")

    async def main():
        before = (await app.health()).runs
        messages = await app.timer(past_due=False, parent=None)
        await app.shard(messages[0], parent=None)
        half = (await app.health()).runs
        await app.shard(messages[1], parent=None)
        return before, half, (await app.health()).runs, await app.status()

    before, half, after, status = run(main())

    assert (before, half, after) == (False, False, True)
    assert [each["name"] for each in status["targets"]] == ["a", "b", "c"]


def test_however_often_the_health_is_asked_the_state_is_loaded_once_in_a_while():
    _, app = fleet_of("abc")
    loads = []

    class Counted:
        async def glance(self, shard: int) -> None:
            loads.append(shard)
            await asyncio.sleep(0.1)

    app.world = replace(app.world, store=Counted())

    async def main():
        found = await asyncio.gather(*(app.health() for _ in range(100)))
        soon = [await app.health() for _ in range(100)]
        asked = len(loads)
        await asyncio.sleep(5)
        await app.health()
        return {*found, *soon}, asked, len(loads)

    assert run(main()) == ({Health.STALE}, 2, 4)


async def test_the_real_parts_are_put_together_from_the_settings_alone():
    app = compose.build({**WORKING, "PROBE_STATE": "memory", "PROBE_VANTAGE": "edge"})

    assert (app.world.vantage, app.world.budget) == ("edge", 45 * SECOND)
    assert [len(each) for each in app.shards] == [1]
    await app.aclose()


def test_all_problems_are_told_at_once_telemetrys_among_them():
    held = {**WORKING, "PROBE_READS": "x", "APPLICATIONINSIGHTS_CONNECTION_STRING": "nonsense"}

    with pytest.raises(ConfigurationError) as caught:
        compose.build(held)

    told = sorted(caught.value.problems)
    assert [each.split()[0].rstrip(":") for each in told] == [
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "PROBE_READS",
    ]
    assert "nonsense" not in str(caught.value)


def test_settings_that_could_not_be_used_are_tried_again_by_the_next_call(monkeypatch):
    built = []

    def build(_):
        built.append(1)
        if len(built) == 1:
            raise ConfigurationError(("A: is wrong.",))
        return "an app"

    compose.app.cache_clear()
    monkeypatch.setattr(compose, "build", build)

    with pytest.raises(ConfigurationError):
        compose.app()
    assert (compose.app(), compose.app(), len(built)) == ("an app", "an app", 2)
    compose.app.cache_clear()


@pytest.mark.parametrize(
    ("environment", "name"), [({}, "probe"), ({"WEBSITE_SITE_NAME": "probe-paris"}, "probe-paris")]
)
def test_each_vantages_app_has_a_role_name_of_its_own(environment, name):
    settings = compose.load({"ProbedStorage": "UseDevelopmentStorage=true", "PROBE_STATE": "memory"})

    assert compose._telemetry(settings, environment, debug=False).service_name == name


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"WEBSITE_INSTANCE_ID": "i", "WEBSITE_POD_NAME": "p", "CONTAINER_NAME": "c", "HOSTNAME": "h"}, "i"),
        ({"WEBSITE_INSTANCE_ID": "", "WEBSITE_POD_NAME": "p", "CONTAINER_NAME": "c", "HOSTNAME": "h"}, "p"),
        ({"CONTAINER_NAME": "c", "HOSTNAME": "h"}, "c"),
        ({"HOSTNAME": "h"}, "h"),
    ],
    ids=["app service", "flex consumption", "linux consumption", "elsewhere"],
)
def test_the_instance_is_named_as_the_platform_names_it(environment, name):
    assert compose.instance(environment) == name
