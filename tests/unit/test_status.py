"""The status: what the saved state says of every target, when ticks are fresh, and a tick in the log."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from probe import overview, status
from probe.core.target import Forced, Location, Target
from probe.lab.world import MINUTE, NOON, World, clock, run, target, world
from probe.status import Health, Memory, Page
from tests.unit.test_overview import shown

SECOND = timedelta(seconds=1)


def page(*shards: tuple[Target, ...]) -> Page:
    return Page(shards=shards, vantage="here", interval=MINUTE, budget=45 * SECOND)


async def ticked(probe: World, *scripts: tuple[str, str]) -> World:
    """Run a tick a minute, each with what primary and secondary do in it."""
    for number, (primary, secondary) in enumerate(scripts):
        await probe.until(NOON + number * MINUTE)
        probe.account.behave(primary, secondary)
        await probe.tick()
    return probe


def document(probe: World, after: timedelta = timedelta(0), *shards: tuple[Target, ...]):
    return run(status.document(probe.store, page(*(shards or (probe.targets,))), Memory(), NOON + after))


def test_the_status_has_the_last_tick_of_each_target_with_its_history():
    probe = run(ticked(world(), ("ok", "ok"), ("503", "ok")))

    found = document(probe, 2 * MINUTE)

    (seen,) = found["targets"]
    assert (found["schema"], found["vantage"], found["fresh"]) == (2, "here", True)
    assert (seen["name"], seen["verdict"], seen["breaker"]["state"]) == ("contoso", "rerouted", "open")
    assert seen["endpoints"]["primary"]["error_type"] == "503"
    assert [each["verdict"] for each in seen["history"]] == ["ok", "rerouted"]
    assert seen["history"][1]["served"] == {"primary": 0, "secondary": 5, "none": 0}
    assert seen["totals"]["primary_failures"] == 5
    assert [each["to"] for each in seen["recent_transitions"]] == ["open"]


def test_the_status_is_json():
    probe = run(ticked(world(), ("503", "404")))

    assert json.loads(json.dumps(document(probe)))["targets"][0]["name"] == "contoso"


def test_a_target_that_was_never_probed_is_told_as_such():
    (seen,) = document(world())["targets"]

    assert (seen["verdict"], seen["reason"]) == (None, "no tick is on record yet")


def test_a_target_whose_record_has_no_report_is_told_as_never_probed():
    probe = run(ticked(world(), ("ok", "ok")))
    record = probe.store.records[0]
    known = replace(record.targets["contoso"], last=None)
    probe.store.records[0] = replace(record, targets={"contoso": known})

    found = document(probe)

    assert found["targets"][0]["verdict"] is None
    assert "no tick is on record yet" in shown(overview.status(found)).lower()


def test_forcing_that_has_expired_is_not_shown():
    forced = Forced(location=Location.SECONDARY, until=NOON + MINUTE)
    probe = run(ticked(world(target(forced=forced)), ("ok", "ok")))

    assert document(probe)["targets"][0]["breaker"]["forced"]["location"] == "secondary"
    assert document(probe, 2 * MINUTE)["targets"][0]["breaker"]["forced"] is None


@pytest.mark.parametrize(
    ("after", "fresh"), [(0, True), (164, True), (166, False)], ids=lambda value: f"{value}"
)
def test_ticks_are_fresh_while_no_two_in_a_row_are_missing(after, fresh):
    probe = run(ticked(world(), ("ok", "ok")))
    now = NOON + after * SECOND

    assert run(status.health(probe.store, page(probe.targets), Memory(), now)).runs is fresh
    assert document(probe, after * SECOND)["fresh"] is fresh


def test_nothing_is_fresh_before_the_first_tick():
    assert run(status.health(world().store, page((target(),)), Memory(), NOON)) is Health.STALE


def test_one_shard_that_is_silent_makes_the_whole_not_fresh():
    probe = run(ticked(world(), ("ok", "ok")))

    found = document(probe, timedelta(0), probe.targets, (target("other"),))

    assert [each["fresh"] for each in found["shards"]] == [True, False]
    assert not found["fresh"]
    assert [(each["name"], each["shard"]) for each in found["targets"]] == [("contoso", 0), ("other", 1)]


def healths(probe: World, memory: Memory, at) -> Health:
    return run(status.health(probe.store, page(probe.targets), memory, at))


def test_a_store_out_of_reach_is_told_and_what_is_unknown_counts_as_not_fresh():
    probe = run(ticked(world(), ("ok", "ok")))
    probe.store.down()

    found = document(probe)

    told = (
        "saved state unreadable since 2026-03-01 12:00:00 UTC (the store cannot be reached); "
        "nothing is known in this process"
    )
    assert (found["fresh"], found["shards"][0]["error"], found["shards"][0]["source"]) == (
        False,
        told,
        "none",
    )
    assert healths(probe, Memory(), NOON) is Health.UNKNOWN
    assert f"Shard 0: {told}" in shown(overview.status(found))


async def ten_ticks_without_a_store(probe: World) -> list[Any]:
    """Run a tick, ten with the store down and one with it back; return health and status after each."""
    memory, seen = Memory(ticks=probe.inner.last_known), []
    for number in range(12):
        await probe.until(NOON + number * MINUTE)
        probe.store.trouble = {} if number in (0, 11) else {"load": "503", "save": "503"}
        report = await probe.tick()
        now = clock()
        body = await status.document(probe.store, page(probe.targets), memory, now)
        seen.append((report, await status.health(probe.store, page(probe.targets), memory, now), body))
    return seen


def test_a_store_that_is_down_for_ten_ticks_hides_nothing_and_forgets_nothing():
    probe = world()

    seen = run(ten_ticks_without_a_store(probe))

    words = [str(each) for _, each, _ in seen]
    assert words == ["fresh", *["unsaved"] * 10, "fresh"]
    assert all(each.runs for _, each, _ in seen)
    down = seen[5][2]["shards"][0]
    assert (down["source"], down["ticks"], down["fresh"]) == ("memory", 6, True)
    assert down["error"].startswith(
        "saved state unreadable since 2026-03-01 12:01:00 UTC (the store cannot be reached); "
    )
    assert down["error"].endswith("last known from memory")
    assert seen[5][2]["targets"][0]["verdict"] == "ok"
    assert {each.operation for report, _, _ in seen for each in report.state_problems} == {"load"}
    assert seen[11][2]["shards"][0]["error"] is None
    assert probe.store.records[0].ticks == 12


def test_a_store_that_takes_nothing_is_told_as_that_and_not_as_unreadable():
    async def main():
        probe = world()
        await probe.tick()
        probe.store.trouble = {"save": "507"}
        await probe.until(NOON + MINUTE)
        report = await probe.tick()
        memory = Memory(ticks=probe.inner.last_known)
        body = await status.document(probe.store, page(probe.targets), memory, clock())
        return report, body, await status.health(probe.store, page(probe.targets), memory, clock())

    report, body, word = run(main())

    (shard,) = body["shards"]
    assert [each.operation for each in report.state_problems] == ["save"]
    assert shard["error"].startswith("nothing saved since 2026-03-01 12:01:00 UTC")
    assert (shard["source"], shard["ticks"], word) == ("memory", 2, Health.UNSAVED)


def test_an_instance_that_runs_no_ticks_shows_what_it_read_last():
    async def main():
        probe = world()
        await probe.tick()
        memory = Memory()
        await status.document(probe.store, page(probe.targets), memory, NOON + MINUTE)
        probe.store.down()
        soon = await status.health(probe.store, page(probe.targets), memory, NOON + 2 * MINUTE)
        body = await status.document(probe.store, page(probe.targets), memory, NOON + 9 * MINUTE)
        return soon, body, await status.health(probe.store, page(probe.targets), memory, NOON + 9 * MINUTE)

    soon, body, late = run(main())

    assert (soon, late) == (Health.UNSAVED, Health.UNKNOWN)
    assert body["targets"][0]["verdict"] == "ok"
    assert "unreadable since 2026-03-01 12:02:00 UTC" in body["shards"][0]["error"]


def test_a_tick_that_measured_nothing_is_no_sign_that_the_probe_works():
    async def main():
        probe = world()
        probe.account.behave("bug", "bug")
        with pytest.raises(RuntimeError):
            await probe.tick()
        return await status.health(probe.store, page(probe.targets), Memory(), NOON)

    assert run(main()) is Health.STALE


def test_reading_the_status_measures_and_changes_nothing():
    probe = run(ticked(world(), ("ok", "ok")))
    before = (probe.store.records[0], probe.store.saves, len(probe.account.calls))

    document(probe)

    assert (probe.store.records[0], probe.store.saves, len(probe.account.calls)) == before
