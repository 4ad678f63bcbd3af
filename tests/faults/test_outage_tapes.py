"""Tapes of what an outage does to the data: what was lost, how much would be, who writes, and since when.

A row is one tick, a minute after the row above, on an account whose canary was written and replicated before.
The columns:

- ``happens``: what is done to the account before the tick; ``probe/lab/world.py`` says what it means.
- ``reads``, ``redundancy``: the two verdicts. ``since``: the minute from which the reads' verdict holds.
- ``point``: how old the recovery point is, in minutes, ``?`` when it was never known. ``lag``: in minutes,
  ``?`` when unknown. ``told``: the events of the tick. ``exit``: the exit code.
"""

# ruff: noqa: E501 - a row of a tape stands on one line, with its reason

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from probe.core.report import TickReport, exit_code
from probe.core.target import Location, Target
from probe.lab.world import MINUTE, NOON, Account, World, clock, run, target, world

PRIMARY, SECONDARY = Location.PRIMARY, Location.SECONDARY


def behave(primary: str, secondary: str = "ok") -> Callable[[Account], None]:
    return lambda account: account.behave(primary, secondary)


def written_by(writer: str) -> Callable[[Account], None]:
    return lambda account: account.write_as(writer)


def planned_failover(account: Account) -> None:
    """Swap the locations: nothing is lost, and geo-redundancy stays."""
    account.replicate()
    account.blobs = {PRIMARY: account.blobs[SECONDARY], SECONDARY: account.blobs[PRIMARY]}


def deleted(*, container: bool) -> Callable[[Account], None]:
    def delete(account: Account) -> None:
        account.delete()
        account.container = not container

    return delete


def stats(word: str | None) -> Callable[[Account], None]:
    def say(account: Account) -> None:
        account.stats = word

    return say


HAPPENS: dict[str, Callable[[Account], None]] = {
    "quiet": behave("ok"),
    "stuck": behave("ok", "stale"),
    "dark": behave("timeout", "stale"),
    "busy": behave("503", "stale"),
    "lost": behave("lost", "dns"),
    "kept": behave("ok", "dns"),
    "back": behave("ok"),
    "swap": planned_failover,
    "stranger": written_by("laptop"),
    "twin": written_by("here#0badcafe"),
    "no write": behave("read-only", "stale"),
    "blob deleted": deleted(container=False),
    "container deleted": deleted(container=True),
    "403": stats("403"),
    "500": stats("500"),
    "unavailable": stats("unavailable"),
    "bootstrap": stats("bootstrap"),
    "empty": stats(None),
    "live": stats("live"),
}

TAPES = {
    "an unplanned failover that loses writes": """
        happens | reads    | redundancy  | since | point | lag | told               | exit | why
        quiet   | ok       | protected   | 0     | 0     | ?   |                    | 0    | all is well
        stuck   | ok       | protected   | 0     | 1     | 0   |                    | 0    | from here on nothing arrives at the secondary
        stuck   | ok       | protected   | 0     | 2     | 1   |                    | 0    | the write of a minute ago is not there: a lag below the RPO is seen
        dark    | rerouted | behind      | 3     | 4     | 2   |                    | 0    | the primary's region goes dark; how much would be lost goes on growing
        lost    | ok       | unprotected | 4     | 4     | ?   | failover_with_loss incident_closed | 0 | two acknowledged writes are gone, and the look sees it
        kept    | ok       | unprotected | 4     | 5     | 1   |                    | 0    | told once; ok does not cover the lost secondary
    """,
    "an unplanned failover that loses nothing": """
        happens | reads    | redundancy  | since | point | lag | told            | exit | why
        quiet   | ok       | protected   | 0     | 0     | ?   |                 | 0    | all is well
        busy    | rerouted | protected   | 1     | 1     | ?   |                 | 0    | the primary fails
        kept    | ok       | unprotected | 2     | 2     | ?   | incident_closed | 0    | it leads to the other region, which had everything: no loss is told
        kept    | ok       | unprotected | 2     | 3     | 1   |                 | 0    | ok does not cover the lost secondary
    """,
    "a planned failover, and back": """
        happens | reads | redundancy | since | point | lag | told | exit | why
        quiet   | ok    | protected  | 0     | 0     | ?   |      | 0    | before
        swap    | ok    | protected  | 0     | 0     | 0   |      | 0    | the names lead to the other regions: nobody notices, and nothing is claimed
        quiet   | ok    | protected  | 0     | 0     | 0   |      | 0    | so it stays
        swap    | ok    | protected  | 0     | 0     | 0   |      | 0    | and back
    """,
    "somebody else writes the blob": """
        happens  | reads | redundancy | since | point | lag | told          | exit | why
        quiet    | ok    | protected  | 0     | 0     | ?   |               | 0    | before
        stranger | ok    | protected  | 0     | 0     | ?   | second_writer | 0    | told by its name; not overwritten, and nobody is corrupt
        stranger | ok    | protected  | 0     | 0     | ?   |               | 0    | once, not each tick
    """,
    "somebody writes in our own name": """
        happens | reads | redundancy | since | point | lag | told          | exit | why
        quiet   | ok    | protected  | 0     | 0     | ?   |               | 0    | before
        twin    | ok    | protected  | 0     | 0     | 0   | second_writer | 0    | with a state of its own: two shells, or two apps of one vantage
        quiet   | ok    | protected  | 0     | 0     | 0   |               | 0    | the blob is written again, above what was there
        twin    | ok    | protected  | 0     | 0     | 0   |               | 0    | told once; the sequence goes on above it
        quiet   | ok    | protected  | 0     | 0     | 0   |               | 0    | and nobody is corrupt
    """,
    "the blob is deleted": """
        happens      | reads | redundancy | since | point | lag | told        | exit | why
        quiet        | ok    | protected  | 0     | 0     | ?   |             | 0    | before
        blob deleted | ok    | unprotected | 0    | 0     | 1   | canary_gone | 0    | told, and written again; for a moment neither location had it
        quiet        | ok    | protected  | 0     | 0     | 0   |             | 0    | over
    """,
    "the container is deleted": """
        happens           | reads | redundancy | since | point | lag | told        | exit | why
        quiet             | ok    | protected  | 0     | 0     | ?   |             | 0    | before
        container deleted | ok    | unprotected | 0    | 0     | 1   | canary_gone | 0    | told, and made again with its blob
        quiet             | ok    | protected  | 0     | 0     | 0   |             | 0    | over
    """,
    "the stats are refused": """
        happens | reads | redundancy | since | point | lag | told | exit | why
        403     | ok    | unknown    | 0     | ?     | ?   |      | 0    | never known: null, not 0
        live    | ok    | protected  | 0     | 0     | 0   |      | 0    | Reader was granted
        403     | ok    | unknown    | 0     | 1     | 0   |      | 0    | taken away again: what was known grows old
    """,
    "the stats fail": """
        happens | reads | redundancy | since | point | lag | told | exit | why
        live    | ok    | protected  | 0     | 0     | ?   |      | 0    | before
        500     | ok    | protected  | 0     | 1     | 0   |      | 0    | what was known still holds
        500     | ok    | protected  | 0     | 2     | 0   |      | 0    | and grows old
        500     | ok    | behind     | 0     | 3     | 0   |      | 0    | until nobody can say that it is younger than the RPO of two minutes and a half
    """,
    "Azure says that replication does not run": """
        happens     | reads | redundancy  | since | point | lag | told | exit | why
        live        | ok    | protected   | 0     | 0     | ?   |      | 0    | before
        unavailable | ok    | unprotected | 0     | 1     | 0   |      | 0    | its word is enough, though our canary arrives
        bootstrap   | ok    | unprotected | 0     | 2     | 0   |      | 0    | being set up is not set up
        empty       | ok    | behind      | 0     | 3     | 0   |      | 0    | live, and yet no time
        live        | ok    | protected   | 0     | 0     | 0   |      | 0    | over
    """,
    "no write is taken for ten ticks": """
        happens  | reads | redundancy | since | point | lag | told | exit | why
        quiet    | ok    | protected  | 0     | 0     | ?   |      | 0    | before
        no write | ok    | protected  | 0     | 1     | ?   |      | 0    | the lag says nothing: there is nothing new to be replicated
        no write | ok    | protected  | 0     | 2     | ?   |      | 0    | how much would be lost is not 0, and grows
        no write | ok    | behind     | 0     | 3     | ?   |      | 0    | beyond the RPO
        no write | ok    | behind     | 0     | 4     | ?   |      | 0    |
        no write | ok    | behind     | 0     | 5     | ?   |      | 0    |
        no write | ok    | behind     | 0     | 6     | ?   |      | 0    |
        no write | ok    | behind     | 0     | 7     | ?   |      | 0    |
        no write | ok    | behind     | 0     | 8     | ?   |      | 0    |
        no write | ok    | behind     | 0     | 9     | ?   |      | 0    |
        no write | ok    | behind     | 0     | 10    | ?   |      | 0    |
        quiet    | ok    | protected  | 0     | 0     | 0   |      | 0    | over
    """,
}
COLUMNS = ("reads", "redundancy", "since", "point", "lag", "told", "exit")


def rows(table: str) -> list[dict[str, str]]:
    head, *body = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return [dict(zip(head, each, strict=True)) for each in body]


async def play(tape: list[dict[str, str]], probed: Target) -> tuple[World, list[TickReport]]:
    probe = world(probed)
    probe.account.begin()
    reports = []
    for number, row in enumerate(tape):
        await probe.until(NOON + number * MINUTE)
        HAPPENS[row["happens"]](probe.account)
        reports.append(await probe.tick())
    return probe, reports


def minutes(value: timedelta | None) -> str:
    return "?" if value is None else str(round(value / MINUTE))


def seen(report: TickReport) -> dict[str, str]:
    """Return the columns of a row as they really came out."""
    (found,) = report.targets
    since = found.judgement.target.since
    return {
        "reads": str(found.judgement.target.verdict),
        "redundancy": str(found.judgement.redundancy.verdict),
        "since": minutes(since - NOON),
        "point": minutes(found.replication.recovery_point_age),
        "lag": minutes(found.replication.lag),
        "told": " ".join(each.kind for each in found.events),
        "exit": str(exit_code(report)),
    }


def line(number: int, cells: dict[str, str], why: str) -> str:
    return f"{number}: " + " | ".join(cells[each] for each in COLUMNS) + f" | {why}"


@pytest.mark.parametrize("name", TAPES)
def test_each_tick_comes_out_as_the_tape_says(name: str):
    tape = rows(TAPES[name])

    _, reports = run(play(tape, target(rpo=2.5 * MINUTE)))

    assert [
        line(number, seen(each), row["why"])
        for number, (each, row) in enumerate(zip(reports, tape, strict=True))
    ] == [line(number, row, row["why"]) for number, row in enumerate(tape)]


def played(name: str) -> tuple[World, list[TickReport]]:
    return run(play(rows(TAPES[name]), target(rpo=2.5 * MINUTE)))


def test_a_loss_is_told_with_how_much_from_when_to_when():
    _, reports = played("an unplanned failover that loses writes")

    (told, closed) = reports[4].targets[0].events
    assert told.details["lost_writes"] == 2
    assert told.details["lost_from"].startswith("2026-03-01T12:01:00")
    assert told.details["lost_to"].startswith("2026-03-01T12:02:00")
    assert "the account failed over" in told.reason
    assert closed.details["reads_lost"] == 0
    assert closed.details["served_secondary"] == 5
    assert closed.details["loss_bound_seconds"] >= 180
    assert closed.details["began_at"].startswith("2026-03-01T12:03:00")


def test_a_lost_sequence_is_never_used_again():
    _, reports = played("an unplanned failover that loses writes")

    assert [each.targets[0].written_sequence for each in reports] == [1, 2, 3, None, 5, 6]


def test_the_other_writers_blob_is_left_as_it_is_and_the_way_out_is_said():
    probe, reports = played("somebody else writes the blob")

    (found,) = reports[2].targets
    assert probe.account.blobs[PRIMARY].writer == "laptop"
    assert found.judgement.primary.verdict == "degraded"
    assert "was written by 'laptop'; give this probe a blob of its own with PROBE_BLOB" in (
        found.judgement.primary.reason
    )


def test_a_watchs_canary_is_nobodys_and_is_gone_on_from():
    async def main():
        probe = world()
        written_by("watch-host-1")(probe.account)
        return await probe.tick()

    (found,) = run(main()).targets

    assert (found.written_sequence, found.events) == (2, ())


def test_refused_stats_name_the_missing_right():
    _, reports = played("the stats are refused")

    told = reports[0].targets[0].judgement.redundancy.reason
    assert "Microsoft.Storage/storageAccounts/blobServices/read" in told
    assert "Reader on the account" in told


def test_a_rollback_that_a_stale_answer_pretends_is_corrupt_and_no_loss():
    """Something in between shows an older canary; the primary itself refuses that one's ETag."""

    async def main():
        probe = world()
        for number, words in enumerate(["ok", "ok", "old"]):
            await probe.until(NOON + number * MINUTE)
            probe.account.behave(words, "ok")
            report = await probe.tick()
        return report

    (found,) = run(main()).targets

    assert found.judgement.primary.verdict == "corrupt"
    assert "its ETag is refused, so the primary has newer than it showed" in found.judgement.primary.reason
    assert found.events == ()


def test_a_write_whose_answer_was_lost_is_no_strangers():
    """It timed out and arrived all the same; the next look shows a sequence that nobody acknowledged."""

    async def main():
        probe = world()
        await probe.tick()
        probe.account.behave("timeout", "ok")
        await probe.until(NOON + MINUTE)
        await probe.tick()
        written_by("here")(probe.account)
        probe.account.behave("ok", "ok")
        reports = []
        for number in (2, 3):
            await probe.until(NOON + number * MINUTE)
            reports.append(await probe.tick())
        return reports

    told = [event.kind for report in run(main()) for event in report.targets[0].events]
    assert "second_writer" not in told


def test_a_write_is_tried_on_the_remembered_version_when_the_look_fails():
    async def main():
        probe = world()
        await probe.tick()
        probe.account.behave("503,ok", "ok")
        await probe.until(NOON + MINUTE)
        return await probe.tick()

    (found,) = run(main()).targets

    assert found.written_sequence == 2


def test_with_nothing_remembered_and_no_look_nothing_is_written_and_that_is_said():
    async def main():
        probe = world()
        probe.account.behave("503,ok", "ok")
        return await probe.tick()

    (found,) = run(main()).targets

    assert found.write is None
    assert found.unwritten == "not tried: the look before it failed (503), and no version is remembered"


@pytest.mark.parametrize(("after", "lag"), [(1, 1), (5, 5)])
def test_a_second_look_shows_a_lag_shorter_than_the_time_between_ticks(after: int, lag: int):
    async def main():
        probe = world(target(lag_look=timedelta(seconds=after)))
        probe.account.begin()
        await probe.tick()
        probe.account.behave("ok", "stale")
        await probe.until(NOON + MINUTE)
        return await probe.tick()

    known = run(main()).targets[0].replication

    assert lag <= known.lag.total_seconds() < lag + 0.5


def test_a_second_look_that_finds_the_write_narrows_its_delay():
    async def main():
        probe = world(target(lag_look=timedelta(seconds=2)))
        probe.account.begin()
        return await probe.tick()

    known = run(main()).targets[0].replication

    assert known.lag == timedelta(0)
    assert [each.delay < timedelta(seconds=2.5) for each in known.delays] == [True]


def test_two_of_our_ticks_at_once_are_no_strangers_and_lose_nothing():
    async def main():
        import asyncio  # noqa: PLC0415

        here = world()
        there = world(beside=here)
        here.account.begin()
        told = []
        for number in range(4):
            await here.until(NOON + number * MINUTE)
            reports = await asyncio.gather(here.tick(clock()), there.tick(clock() - timedelta(seconds=1)))
            told += [event.kind for each in reports for found in each.targets for event in found.events]
        return told, [found.verdicts for each in reports for found in each.targets]

    told, verdicts = run(main())

    assert told == []
    assert all(each[:2] == ("ok", "healthy") for each in verdicts)


def test_a_canary_is_not_ours_to_replace_without_its_stamp():
    async def main():
        probe = world()
        await probe.tick()
        # Somebody's own blob in the place of ours: another ETag, no stamp.
        probe.account.blobs[PRIMARY] = replace(probe.account.blobs[PRIMARY], sequence=99)
        probe.account.behave("unreadable", "ok")
        await probe.until(NOON + MINUTE)
        return await probe.tick()

    (found,) = run(main()).targets

    assert found.write is None
    assert "carries no stamp of ours" in found.unwritten
