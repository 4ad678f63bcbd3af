"""A tick and its state: duplicates, a store that fails, two ticks at once, wrong documents and clocks."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from probe.core.breaker import State
from probe.core.report import Result, exit_code
from probe.core.target import Location
from probe.lab.world import MINUTE, NOON, World, clock, run, target, world
from probe.tick.store import PATIENCE

LATER = NOON + MINUTE


class Sent:
    """A store behind something that has its own way with a save."""

    def __init__(self, inner, save) -> None:
        self.load, self.save = inner.load, save


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
        reports = await asyncio.gather(here.tick(LATER), there.tick(LATER + MINUTE / 60))
        return here, reports

    here, reports = run(main())

    totals = breaker(here).totals
    made = [each for report in reports for read in report.targets[0].reads for each in read.attempts]
    moves = [move for report in reports for move in report.targets[0].transitions]
    assert here.store.records[0].ticks == 3
    assert totals.primary_attempts + totals.secondary_attempts == 5 + len(made)
    assert totals.primary_failures == sum(not each.ok for each in made)
    assert [each.epoch for each in moves] == [1]


def test_of_three_instances_at_one_instant_one_is_the_tick_and_the_others_tell_nothing():
    async def main():
        probe = world()
        others = [world(beside=probe) for _ in range(2)]
        await probe.tick()
        await probe.until(LATER)
        return probe, await asyncio.gather(*(each.tick(LATER) for each in (probe, *others)))

    probe, reports = run(main())

    assert sorted(each.result for each in reports) == [Result.COMPLETED, Result.SKIPPED, Result.SKIPPED]
    assert sorted(len(each.targets) for each in reports) == [0, 0, 1]
    assert probe.store.records[0].ticks == 2
    assert breaker(probe).totals.primary_attempts == 10


def test_a_save_that_something_in_between_sends_twice_is_one_tick():
    """The second of them meets the first: a conflict with nobody but ourselves."""

    async def main():
        probe = world()
        await probe.tick()
        save = probe.store.save

        async def twice(shard, record, tag):
            await save(shard, record, tag)
            probe.inner.store.save = save
            return await save(shard, record, tag)

        probe.inner.store = Sent(probe.store, twice)
        await probe.until(LATER)
        return probe, await probe.tick()

    probe, report = run(main())

    assert (report.result, report.state_store, len(report.targets)) == (Result.COMPLETED, "ok", 1)
    assert probe.store.records[0].ticks == 2
    assert breaker(probe).totals.primary_attempts == 10


@pytest.mark.parametrize(
    ("back", "minute", "result"),
    [
        pytest.param(6, 2, Result.SKIPPED, id="6 s: the same minute again"),
        pytest.param(66, 1, Result.SKIPPED, id="a minute: the one before again"),
        pytest.param(3600, -58, Result.COMPLETED, id="an hour: no reason to say nothing for an hour"),
    ],
)
def test_a_clock_that_is_set_back_runs_no_minute_twice_and_stops_nothing(
    back: int, minute: int, result: Result
):
    async def main():
        probe = world()
        for number in range(3):
            await probe.until(NOON + number * MINUTE)
            await probe.tick()
        probe.inner.clock = lambda: clock() - back * MINUTE / 60
        return await probe.tick(NOON + minute * MINUTE)

    assert run(main()).result is result


def test_a_tick_that_meets_another_at_every_save_tells_that_it_was_not_saved():
    async def main():
        probe = world()

        async def quicker() -> None:
            probe.store.versions[0] = probe.store.versions.get(0, 0) + 1

        probe.store.meanwhile = [quicker] * 1000
        return await probe.tick()

    report = run(main())

    assert report.state_store == "conflict"
    assert [each.operation for each in report.state_problems] == ["save"]
    assert [each.judgement.target.verdict for each in report.targets] == ["ok"]
    assert PATIENCE <= report.duration < PATIENCE * 1.1


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


def test_two_ticks_at_once_that_meet_a_loss_tell_it_once_and_call_nobody_corrupt():
    """The one whose write comes second saw an older canary, and is refused: as before a cache that lies."""

    async def main():
        here = world()
        there = world(beside=here)
        here.account.behave("ok", "stale")
        for minute in range(3):
            await here.until(NOON + minute * MINUTE)
            await here.tick()
            here.account.behave("ok", "stale" if minute else "ok")
        here.account.behave("lost", "ok")
        return await asyncio.gather(here.tick(), there.tick(clock() + MINUTE))

    reports = run(main())

    told = [each.kind for report in reports for each in report.targets[0].events]
    assert told == ["failover_with_loss"]
    assert [each.targets[0].judgement.primary.verdict for each in reports] == ["healthy", "healthy"]
    assert exit_code(reports[1]) == 0


class Killed(BaseException):
    """The process ends here."""


def test_a_tick_that_is_killed_between_its_write_and_its_save_is_no_second_writer():
    async def main():
        probe = world()
        for minute in range(2):
            await probe.until(NOON + minute * MINUTE)
            await probe.tick()

        async def kill(*_: object):
            raise Killed

        dying = world(beside=probe)
        dying.inner.store = Sent(probe.store, kill)
        with pytest.raises(Killed):
            await dying.tick(clock() + MINUTE / 2)
        written = probe.account.blobs[Location.PRIMARY].sequence
        heirs = [world(beside=probe) for _ in range(3)]
        return written, [await heir.tick(clock() + (1 + each) * MINUTE) for each, heir in enumerate(heirs)]

    written, reports = run(main())

    assert [report.targets[0].written_sequence for report in reports] == [
        written + 1,
        written + 2,
        written + 3,
    ]
    assert [each.kind for report in reports for each in report.targets[0].events] == []


def test_a_probe_of_the_same_name_with_a_state_of_its_own_is_told_once_and_both_go_on_writing():
    async def main():
        here = world()
        there = world(accounts=here.accounts)
        there.store.tokens = itertools.count(99)
        reports = []
        for _ in range(4):
            for each in (here, there):
                await each.until(clock() + MINUTE / 3)
                reports.append(await each.tick())
        return reports

    reports = run(main())

    told = [(event.kind, event.details["writer"]) for each in reports for event in each.targets[0].events]
    assert sorted(told) == [("second_writer", "here#00000001"), ("second_writer", "here#00000063")]
    assert all(each.targets[0].written_sequence for each in reports)
    assert {each.targets[0].judgement.primary.verdict for each in reports} == {"healthy"}
    assert all(exit_code(each) == 0 for each in reports)
