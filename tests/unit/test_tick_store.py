"""A tick and its state: duplicates, a store that fails, two ticks at once, wrong documents and clocks."""

import asyncio
from dataclasses import replace

import pytest

from probe.core.breaker import State
from probe.core.report import Result, exit_code
from probe.lab.world import MINUTE, NOON, World, clock, run, target, world
from probe.tick.store import SAVE_TRIES

LATER = NOON + MINUTE


def breaker(probe: World):
    return probe.store.records[0].targets["contoso"].breaker


@pytest.mark.parametrize("again", [NOON + MINUTE, NOON], ids=["the same time", "an older time"])
def test_a_duplicate_or_stale_tick_is_skipped_and_counted(again):
    async def main():
        probe = world()
        await probe.until(LATER)
        await probe.tick(LATER)
        calls = len(probe.account.calls)
        return probe, await probe.tick(again), calls

    probe, report, calls = run(main())

    assert (report.result, report.targets, report.reason) == (
        Result.SKIPPED,
        [],
        "a tick of the same or a later scheduled time has run already",
    )
    assert len(probe.account.calls) == calls
    assert probe.store.records[0].ticks == 1
    assert probe.telemetry.reports[-1] is report
    assert exit_code(report) == 3


def test_a_duplicate_tick_is_skipped_even_while_the_store_is_down():
    async def main():
        probe = world()
        await probe.tick(NOON)
        probe.store.down()
        return await probe.tick(NOON)

    report = run(main())

    assert report.result is Result.SKIPPED
    assert report.state_store == "timeout"


@pytest.mark.parametrize("failing", [("load",), ("save",), ("load", "save")], ids="+".join)
def test_a_tick_measures_and_tells_though_the_store_fails(failing: tuple[str, ...]):
    async def main():
        probe = world()
        probe.store.trouble = dict.fromkeys(failing, "503")
        return probe, await probe.tick()

    probe, report = run(main())

    assert [each.judgement.target.verdict for each in report.targets] == ["ok"]
    assert (report.result, report.state_store) == (Result.COMPLETED, "503")
    assert failing[0] in {each.operation for each in report.state_problems}
    assert probe.telemetry.reports == [report]
    assert exit_code(report) == 0


def test_a_store_that_comes_back_within_the_tick_takes_its_facts():
    async def main():
        probe = world()
        probe.account.behave("503", "ok")
        probe.store.trouble = {"load": "timeout"}
        ticking = asyncio.create_task(probe.tick())
        await asyncio.sleep(0.1)
        probe.store.trouble = {}
        return probe, await ticking

    probe, report = run(main())

    assert breaker(probe).state is State.OPEN
    assert report.state_store == "timeout"


def test_without_a_store_the_process_goes_on_from_what_it_knows():
    async def main():
        probe = world()
        await probe.tick()
        probe.store.down()
        probe.account.behave("503", "ok")
        reports = []
        for number in range(1, 4):
            await probe.until(NOON + number * MINUTE)
            reports.append(await probe.tick())
        return reports

    reports = run(main())

    assert [len(each.targets[0].transitions) for each in reports] == [1, 0, 0]
    assert [each.targets[0].breaker.secondary_reads for each in reports] == [3, 8, 13]


def test_what_could_not_be_saved_is_saved_with_the_next_tick():
    async def main():
        probe = world()
        await probe.tick()
        probe.store.trouble = {"save": "503"}
        probe.account.behave("503", "ok")
        await probe.until(LATER)
        tripped = await probe.tick()
        probe.store.trouble = {}
        await probe.until(LATER + MINUTE)
        return probe, tripped, await probe.tick()

    probe, tripped, after = run(main())

    assert len(tripped.targets[0].transitions) == 1
    assert after.targets[0].transitions == ()
    assert breaker(probe).totals.primary_failures == 5
    assert (breaker(probe).epoch, probe.store.records[0].ticks) == (1, 3)


def test_what_another_process_saved_meanwhile_is_newer_than_what_could_not_be_saved():
    async def main():
        probe = world()
        other = world(beside=probe)
        await probe.tick()
        probe.store.trouble = {"save": "503"}
        await probe.until(LATER)
        await probe.tick()
        probe.store.trouble = {}
        probe.account.behave("503", "ok")
        await other.until(LATER + MINUTE)
        await other.tick()
        await probe.until(LATER + 2 * MINUTE)
        return await probe.tick()

    report = run(main())

    assert report.targets[0].breaker.state is State.OPEN
    assert report.targets[0].transitions == ()


def test_two_ticks_at_once_lose_no_count_and_report_each_move_once():
    async def main():
        here = world()
        there = world(beside=here, vantage="there")
        await here.tick()
        here.account.behave("503", "ok")
        await here.until(LATER)
        reports = await asyncio.gather(here.tick(LATER), there.tick(LATER))
        return here, reports

    here, reports = run(main())

    totals = breaker(here).totals
    made = [each for report in reports for read in report.targets[0].reads for each in read.attempts]
    moves = [move for report in reports for move in report.targets[0].transitions]
    assert here.store.records[0].ticks == 3
    assert totals.primary_attempts + totals.secondary_attempts == 5 + len(made)
    assert totals.primary_failures == sum(not each.ok for each in made)
    assert [each.epoch for each in moves] == [1]


def test_a_tick_that_meets_another_at_every_save_tells_that_it_was_not_saved():
    async def main():
        probe = world()

        async def quicker() -> None:
            probe.store.versions[0] = probe.store.versions.get(0, 0) + 1

        probe.store.meanwhile = [quicker] * SAVE_TRIES
        return probe, await probe.tick()

    probe, report = run(main())

    assert report.state_store == "conflict"
    assert [each.operation for each in report.state_problems] == ["save"]
    assert [each.judgement.target.verdict for each in report.targets] == ["ok"]
    assert not probe.store.meanwhile


def test_two_ticks_that_both_fail_to_save_once_are_both_saved_in_the_end():
    async def main():
        probe = world()
        other = world(beside=probe)
        probe.store.meanwhile = [lambda: other.tick(NOON - MINUTE)]
        return probe, await probe.tick(NOON)

    probe, report = run(main())

    assert (probe.store.records[0].ticks, report.state_store) == (2, "ok")
    assert probe.store.records[0].last_scheduled_at == NOON


def test_a_tick_that_is_overtaken_by_a_later_one_does_not_set_the_clock_back():
    """Else the later one's duplicate would run again."""

    async def main():
        probe = world()
        other = world(beside=probe)
        probe.store.meanwhile = [lambda: other.tick(NOON)]
        await probe.tick(NOON - MINUTE)
        return probe, await other.tick(NOON)

    probe, duplicate = run(main())

    assert probe.store.records[0].last_scheduled_at == NOON
    assert duplicate.result is Result.SKIPPED


def test_an_unreadable_document_is_told_and_replaced():
    async def main():
        probe = world()
        probe.store.replaced = "it is not JSON; it was kept as shard-0.bad"
        return probe, await probe.tick()

    probe, report = run(main())

    assert report.state_store == "unreadable"
    assert [(each.operation, each.message) for each in report.state_problems] == [
        ("load", "it is not JSON; it was kept as shard-0.bad")
    ]
    assert probe.store.records[0].ticks == 1


def test_a_time_from_the_future_is_clamped_and_told_and_does_not_stop_the_ticks():
    async def main():
        probe = world()
        await probe.tick()
        record = probe.store.records[0]
        probe.store.records[0] = replace(record, last_scheduled_at=NOON + 60 * MINUTE)
        probe.inner.last_known.clear()  # another instance saved it
        await probe.until(LATER)
        return probe, await probe.tick()

    probe, report = run(main())

    assert report.result is Result.COMPLETED
    assert (report.state_store, report.state_problems[0].operation) == ("future_time", "clamp")
    assert probe.store.records[0].clamped == 1
    assert probe.store.records[0].last_scheduled_at == LATER


def test_a_process_that_ends_in_mid_tick_leaves_the_last_saved_state():
    async def main():
        probe = world(target(retry_delay=MINUTE / 60))
        await probe.tick()
        before = probe.store.records[0]
        probe.account.behave("timeout", "ok")
        await probe.until(LATER)
        dying = asyncio.create_task(probe.tick())
        await asyncio.sleep(8)
        dying.cancel()
        await asyncio.wait([dying])
        closed = probe.account.opened == probe.account.closed
        unchanged = probe.store.records[0] is before
        heir = world(*probe.targets, beside=probe)
        await heir.until(LATER + MINUTE)
        return closed, unchanged, await heir.tick()

    closed, unchanged, report = run(main())

    assert closed
    assert unchanged
    assert report.targets[0].previous == ("ok", "healthy", "inconclusive")


def test_targets_that_are_gone_from_the_settings_keep_their_record():
    """A shard cut anew must not forget what another order of targets will ask for again."""

    async def main():
        both = world(target("a"), target("b"))
        await both.tick()
        one = world(target("a"), beside=both)
        await one.until(LATER)
        await one.tick()
        return both

    assert set(run(main()).store.records[0].targets) == {"a", "b"}


def test_lateness_is_told():
    async def main():
        probe = world()
        await asyncio.sleep(7)
        return await probe.tick(NOON, past_due=True), clock()

    report, _ = run(main())

    assert (report.lateness.total_seconds(), report.past_due) == (7, True)
