"""The status: what the saved state says of every target, when ticks are fresh, and a tick in the log."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from probe import explain, status
from probe.core.target import Forced, Location, Target
from probe.status import Page
from tests.faults.world import MINUTE, NOON, World, run, target, world

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
    return run(status.document(probe.store, page(*(shards or (probe.targets,))), NOON + after))


def test_the_status_has_the_last_tick_of_each_target_with_its_history():
    probe = run(ticked(world(), ("ok", "ok"), ("503", "ok")))

    found = document(probe, 2 * MINUTE)

    (seen,) = found["targets"]
    assert (found["schema"], found["vantage"], found["fresh"]) == (1, "here", True)
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
    assert "no tick is on record yet" in "\n".join(explain.status(found))


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

    assert run(status.fresh(probe.store, page(probe.targets), now)) is fresh
    assert document(probe, after * SECOND)["fresh"] is fresh


def test_nothing_is_fresh_before_the_first_tick():
    assert run(status.fresh(world().store, page((target(),)), NOON)) is False


def test_one_shard_that_is_silent_makes_the_whole_not_fresh():
    probe = run(ticked(world(), ("ok", "ok")))

    found = document(probe, timedelta(0), probe.targets, (target("other"),))

    assert [each["fresh"] for each in found["shards"]] == [True, False]
    assert not found["fresh"]
    assert [(each["name"], each["shard"]) for each in found["targets"]] == [("contoso", 0), ("other", 1)]


def test_a_store_out_of_reach_is_told_and_counts_as_not_fresh():
    probe = run(ticked(world(), ("ok", "ok")))
    probe.store.down()

    found = document(probe)

    assert (found["fresh"], found["shards"][0]["error"]) == (False, "no load today")
    assert run(status.fresh(probe.store, page(probe.targets), NOON)) is False
    assert "shard 0: no load today" in explain.status(found)


def test_reading_the_status_measures_and_changes_nothing():
    probe = run(ticked(world(), ("ok", "ok")))
    before = (probe.store.records[0], probe.store.saves, len(probe.account.calls))

    document(probe)

    assert (probe.store.records[0], probe.store.saves, len(probe.account.calls)) == before


@pytest.mark.parametrize(
    ("primary", "secondary", "parts"),
    [
        (
            "ok",
            "ok",
            ["12:00:00 contoso ok", "primary healthy", "secondary inconclusive (404)", "reads PPPPP"],
        ),
        (
            "503",
            "404",
            ["unavailable", "primary down (503)", "reads -----", "breaker open"],
        ),
        ("hang", "ok", ["inconclusive", "reads none"]),
    ],
)
def test_a_ticks_line_says_who_served_and_what_is_wrong(primary: str, secondary: str, parts: list[str]):
    probe = run(ticked(world(), (primary, secondary)))

    line, *_ = status.lines(probe.telemetry.reports[0])

    for each in parts:
        assert each in line


def test_a_skipped_tick_has_a_line_too():
    async def main():
        probe = world()
        await probe.tick(NOON)
        return await probe.tick(NOON)

    assert status.lines(run(main())) == [
        "tick skipped: a tick of the same or a later scheduled time has run already; state store ok"
    ]


def test_moves_and_a_failing_store_have_lines_of_their_own():
    async def main():
        probe = world()
        await probe.tick()
        await probe.until(NOON + MINUTE)
        probe.account.behave("503", "ok")
        probe.store.down()
        return await probe.tick()

    _, moved, store = status.lines(run(main()))

    assert moved == "  contoso: closed -> open: 5 primary attempts failed in a row, the last with 503"
    assert store == "tick completed; state store timeout"
