"""A tick and its targets: none delays or fails another, what is measured, what is told, and what it costs."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest

from probe import tick
from probe.core.errors import ConfigurationError
from probe.core.reading import Purpose
from probe.core.report import Result
from probe.core.target import Location
from probe.lab.world import MINUTE, NOON, Endpoints, Telemetry, World, run, target, world
from probe.ports import TraceParent
from probe.tick import folding

PRIMARY, SECONDARY = Location.PRIMARY, Location.SECONDARY
PARENT = TraceParent(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def names(number: int) -> list[str]:
    return [f"t{each}" for each in range(number)]


async def with_bug(words: str) -> tuple[World, BaseException | None]:
    """Run a tick of three targets of which the middle one meets a bug."""
    probe = world(*map(target, names(3)))
    probe.accounts["t1"].behave(words, "ok")
    try:
        await probe.tick(parent=PARENT)
    except Exception as error:  # noqa: BLE001 - any bug is the claim
        return probe, error
    return probe, None


@pytest.mark.parametrize("words", ["bug", "bug at open", "ok,ok,bug"])
def test_a_bug_in_one_target_is_raised_after_the_others_were_saved_and_told(words: str):
    probe, error = run(with_bug(words))

    report = probe.telemetry.reports[0]
    assert isinstance(error, RuntimeError)
    assert [each.target.name for each in report.targets] == ["t0", "t2"]
    assert {"t0", "t2"} == set(probe.store.records[0].targets)
    assert (report.result, probe.telemetry.flushes) == (Result.FAILED, 1)
    assert "t1" in (report.reason or "")


def test_a_bug_in_judging_one_target_does_not_fail_the_others(monkeypatch):
    judge = folding.judge

    def stumble(evidence):
        if evidence.policy.reads == 3:
            raise ZeroDivisionError
        return judge(evidence)

    async def main():
        probe = world(target("a"), target("b", reads=3), target("c"))
        monkeypatch.setattr(folding, "judge", stumble)
        with pytest.raises(ZeroDivisionError):
            await probe.tick()
        return probe

    probe = run(main())

    assert [each.target.name for each in probe.telemetry.reports[0].targets] == ["a", "c"]
    assert {"a", "c"} == set(probe.store.records[0].targets)


def test_a_bug_lets_connections_be_closed():
    probe, _ = run(with_bug("bug"))

    assert {name: each.opened - each.closed for name, each in probe.accounts.items()} == dict.fromkeys(
        names(3), 0
    )


def test_a_connection_that_cannot_be_used_is_still_a_matter_of_configuration():
    class Refusing(Endpoints):
        def open(self, target):
            raise ConfigurationError((target.name,))

    async def main():
        probe = world()
        probe.inner.endpoints = Refusing({})
        await probe.tick()

    with pytest.raises(ConfigurationError):
        run(main())


def test_a_target_that_hangs_delays_no_other():
    async def main():
        probe = world(*map(target, names(3)))
        probe.accounts["t1"].behave("hang", "ok")
        return await probe.tick()

    report = run(main())

    ended = {
        each.target.name: max(r.ended_at for r in each.readings) for each in report.targets if each.reads
    }
    assert set(ended) == {"t0", "t2"}
    assert max(ended.values()) < NOON + timedelta(seconds=1)
    assert report.duration == timedelta(seconds=41)
    assert report.reason == "the tick's budget ran out before these were finished: t1"


def test_a_target_that_hangs_makes_no_others_lag_look_longer():
    async def main():
        probe = world(*map(target, names(2)))
        probe.accounts["t0"].behave("ok", "stale")
        await probe.tick()
        await probe.until(NOON + MINUTE)
        probe.accounts["t1"].behave("hang", "ok")
        return await probe.tick()

    report = run(main())

    lag = report.targets[0].replication.lag
    assert report.duration == timedelta(seconds=41)
    assert abs(lag - MINUTE) < timedelta(seconds=1)


def test_a_target_whose_primary_was_never_read_is_inconclusive_and_all_that_was_cut_off_is_named():
    async def main():
        probe = world()
        probe.account.behave("hang", "ok")
        return await probe.tick()

    found = run(main()).targets[0]

    assert found.verdicts == ("inconclusive", "inconclusive", "inconclusive")
    assert found.skipped == ("look primary", "write", *(f"read {each}" for each in range(1, 6)), "stats")


def test_more_targets_than_run_side_by_side_all_get_their_turn(monkeypatch):
    monkeypatch.setattr(tick, "CONCURRENCY", 2)

    async def main():
        probe = world(*map(target, names(7)))
        return await probe.tick()

    report = run(main())

    assert [each.target.name for each in report.targets] == names(7)
    assert report.result is Result.COMPLETED


def test_targets_that_never_got_their_turn_are_told_as_cut_off(monkeypatch):
    monkeypatch.setattr(tick, "CONCURRENCY", 1)

    async def main():
        probe = world(*map(target, names(3)))
        probe.accounts["t0"].behave("hang", "ok")
        return probe, await probe.tick()

    probe, report = run(main())

    assert [bool(each.skipped) for each in report.targets] == [True, True, True]
    assert report.duration == timedelta(seconds=41)
    assert all(each.opened == each.closed for each in probe.accounts.values())


def test_a_target_is_asked_for_no_more_than_it_needs():
    """A look at each location, a write, the reads, and the stats."""

    async def main():
        probe = world()
        await probe.tick()
        return probe.account.calls

    assert Counter(run(main())) == {
        (PRIMARY, Purpose.WRITE): 1,
        (PRIMARY, Purpose.CHECK): 1,
        (PRIMARY, Purpose.READ): 5,
        (SECONDARY, Purpose.CHECK): 1,
        (SECONDARY, Purpose.STATS): 1,
    }


def test_both_locations_are_looked_at_side_by_side_before_anything_is_written():
    async def main():
        probe = world()
        probe.account.behave("slow", "slow")
        return probe, await probe.tick()

    probe, report = run(main())

    made = report.targets[0].readings[:3]
    assert probe.account.calls[:3] == [
        (PRIMARY, Purpose.CHECK),
        (SECONDARY, Purpose.CHECK),
        (PRIMARY, Purpose.WRITE),
    ]
    assert made[0].started_at == made[1].started_at
    assert made[2].started_at >= made[0].ended_at


def test_a_target_without_secondary_is_never_asked_for_one():
    async def main():
        probe = world(target(geo=False))
        return probe, await probe.tick()

    probe, report = run(main())

    assert {location for location, _ in probe.account.calls} == {PRIMARY}
    assert report.targets[0].judgement.secondary is None


def test_a_target_that_is_read_only_is_never_written():
    async def main():
        probe = world(target(write=False))
        return probe, await probe.tick()

    probe, report = run(main())

    assert (PRIMARY, Purpose.WRITE) not in probe.account.calls
    assert (report.targets[0].write, report.targets[0].written_sequence) == (None, None)


def test_half_open_reads_are_trials_of_one_attempt():
    async def main():
        probe = world(target(secondary_reads=1))
        await probe.tick()
        probe.account.behave("503", "ok")
        await probe.until(NOON + MINUTE)
        return await probe.tick()

    reads = run(main()).targets[0].reads

    assert [[(each.location[0], each.purpose) for each in read.attempts] for read in reads[2:4]] == [
        [("p", Purpose.READ), ("s", Purpose.READ)],
        [("p", Purpose.TRIAL), ("s", Purpose.READ)],
    ]


def test_attempts_within_a_read_are_apart_by_a_linear_delay():
    async def main():
        probe = world(target(attempts=4, retry_delay=timedelta(seconds=1), failure_threshold=99))
        await probe.tick()
        probe.account.behave("refused", "ok")
        await probe.until(NOON + MINUTE)
        return await probe.tick()

    tried = run(main()).targets[0].reads[0].attempts[:4]

    pauses = [(later.started_at - earlier.ended_at).total_seconds() for earlier, later in pairwise(tried)]
    assert pauses == pytest.approx([1, 2, 3])


def test_the_sequence_goes_on_and_lag_is_known_after_the_first_tick():
    async def main():
        probe = world()
        reports = []
        for number in range(3):
            await probe.until(NOON + number * MINUTE)
            reports.append(await probe.tick())
        return reports

    reports = run(main())

    assert [each.targets[0].written_sequence for each in reports] == [1, 2, 3]
    assert [each.targets[0].replication.lag for each in reports] == [None, timedelta(0), timedelta(0)]
    assert [len(each.targets[0].replication.delays) for each in reports] == [0, 1, 1]


def test_a_sequence_is_never_used_again_though_the_blob_forgot_it():
    """After an account failover, or when somebody deleted the canary."""

    async def main():
        probe = world()
        await probe.tick()
        await probe.until(NOON + MINUTE)
        await probe.tick()
        probe.account.blobs = dict.fromkeys(Location)
        await probe.until(NOON + 2 * MINUTE)
        return await probe.tick()

    assert run(main()).targets[0].written_sequence == 3


def test_telemetry_gets_the_report_once_with_its_parent_after_the_state_was_saved():
    saves = []

    class Spy(Telemetry):
        def emit(self, report, parent):
            saves.append(probe.store.saves)
            super().emit(report, parent)

    probe = world()
    probe.inner.telemetry = spy = Spy()
    report = run(probe.tick(NOON, parent=PARENT))

    assert saves == [1]
    assert (spy.reports, spy.parents, spy.flushes) == ([report], [PARENT], 1)


def test_verdicts_of_the_tick_before_are_handed_on():
    async def main():
        probe = world()
        first = await probe.tick()
        probe.account.behave("503", "ok")
        await probe.until(NOON + MINUTE)
        second = await probe.tick()
        await probe.until(NOON + 2 * MINUTE)
        return [first, second, await probe.tick()]

    assert [each.targets[0].previous for each in run(main())] == [
        None,
        ("ok", "healthy", "inconclusive"),
        ("rerouted", "down", "healthy"),
    ]
