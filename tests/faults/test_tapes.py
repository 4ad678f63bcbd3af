"""Tapes: what the probe does about each fault, tick by tick. Read this first.

A tape is a table. A row is one tick, a minute after the row above it, of a new probe with the default policy
(5 reads; 2 attempts at a location within a read; the breaker trips on 5 failures in a row, stays open for
20 reads from the secondary, and closes after 3 good trials). The columns:

- ``primary``, ``secondary``: what the attempts of this tick meet there, in order, the last one staying;
  ``probe/lab/world.py`` lists the words. ``store``: what the state store does, where a tape has it.
- ``reads``: who served each read, P or S, ``-`` when neither did.
- ``breaker``: its state after the tick. ``primary is``, ``secondary is``, ``target``: the verdicts.
- ``why``: the reason for the row.
"""

# ruff: noqa: E501 - a row of a tape stands on one line, with its reason

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise

import pytest

from probe.core.breaker import State
from probe.core.report import TargetReport, TickReport
from probe.core.target import Forced, Location, Target
from probe.core.verdict import EndpointVerdict, TargetVerdict
from probe.lab.world import MINUTE, NOON, SERVES, World, run, target, world
from probe.settings import worst_tick

LETTERS = {Location.PRIMARY: "P", Location.SECONDARY: "S", None: "-"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """A fault: its name, the target that meets it, and the rows."""

    name: str
    target: Target
    rows: tuple[dict[str, str], ...]
    fresh: bool = False
    """The account never had a canary; else one was written, and replicated, before the first row."""


def tape(name: str, table: str, probed: Target | None = None, *, fresh: bool = False) -> Tape:
    lines = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    head, *body = lines
    assert all(len(each) == len(head) for each in body), f"{name}: a row has not as many cells as the head"
    rows = tuple(dict(zip(head, each, strict=True)) for each in body)
    return Tape(name=name, target=probed or target(), rows=rows, fresh=fresh)


def until(minutes: float) -> timedelta:
    return minutes * MINUTE


TAPES = [
    tape(
        "nothing is wrong",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok     | the look measures the secondary
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok     | and so it goes on
        """,
    ),
    tape(
        "the primary answers 503, then heals",
        """
        primary | secondary | reads | breaker   | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed    | healthy    | healthy      | ok       | before the outage
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | reads 1 and 2 fail twice at P, read 3 once: that trips it, and S serves all three
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | reads go to S at once; the look finds P still down
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | 13 of 20 reads from S
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | 18 of 20
        ok      | ok        | SSPPP | closed    | healthy    | healthy      | rerouted | 20: half-open; three good trials close it
        ok      | ok        | PPPPP | closed    | healthy    | healthy      | ok       | over
        """,
    ),
    tape(
        "the primary refuses connections",
        """
        primary         | secondary | reads | breaker | primary is | secondary is | target   | why
        ok              | ok        | PPPPP | closed  | healthy    | healthy      | ok       | before the outage
        refused         | ok        | SSSSS | open    | down       | healthy      | rerouted | refused is the path's fault: it counts
        reset           | ok        | SSSSS | open    | down       | healthy      | rerouted | whatever way it breaks
        connect_timeout | ok        | SSSSS | open    | down       | healthy      | rerouted | or is slow to
        tls             | ok        | SSSSS | open    | down       | healthy      | rerouted | 18 of 20 reads from S
        ok              | ok        | SSPPP | closed  | healthy    | healthy      | rerouted | two more, then trials
        """,
    ),
    tape(
        "the primary is silent",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok       | before the outage
        timeout | ok        | SSSSS | open    | down       | healthy      | rerouted | the look, the write and five attempts wait 5 s each: the worst tick, and within the budget
        timeout | ok        | SSSSS | open    | down       | healthy      | rerouted | the look and the write wait, no read does
        """,
    ),
    tape(
        "the primary's name does not resolve",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok       | before
        dns     | ok        | SSSSS | open    | down       | healthy      | rerouted | down, not absent: only a secondary may be absent
        """,
    ),
    tape(
        "somebody deleted the primary's canary",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok       | a probe that only reads
        404     | ok        | SSSSS | closed  | missing    | healthy      | rerouted | 404 is told and falls over to S, but is no outage: the breaker stays
        404     | ok        | SSSSS | closed  | missing    | healthy      | rerouted | however long it lasts
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok       | back at once: nothing had been routed away
        """,
        target(write=False),
    ),
    tape(
        "the primary denies us",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok       | before somebody took the grant away
        403     | ok        | SSSSS | closed  | denied     | healthy      | rerouted | our grant, not an outage: told, served by S, never counted
        401     | ok        | SSSSS | closed  | denied     | healthy      | rerouted | the same for a bad token
        """,
    ),
    tape(
        "both locations deny us",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target       | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok           | before
        403     | 403       | ----- | closed  | denied     | denied       | inconclusive | no read is served, but we know no more of the account than that it refuses us
        503     | 403       | ----- | open    | down       | denied       | unavailable  | the primary is down as well: an outage is among the causes
        """,
    ),
    tape(
        "the primary's canary is corrupt",
        """
        primary    | secondary | reads | breaker | primary is | secondary is | target   | why
        ok         | ok        | PPPPP | closed  | healthy    | healthy      | ok       | before
        corrupt    | ok        | SSSSS | closed  | corrupt    | healthy      | rerouted | the digest is wrong: told loudly, served by S, never counted
        corrupt,corrupt,ok | ok | SPPPP | closed  | corrupt    | healthy      | rerouted | one corrupt answer is not outvoted by four good ones
        unreadable | ok        | SSSSS | closed  | corrupt    | healthy      | rerouted | a blob without our stamp: somebody else wrote it
        ok         | ok        | PPPPP | closed  | healthy    | healthy      | ok       | over
        """,
    ),
    tape(
        "the primary's answers are truncated",
        """
        primary   | secondary | reads | breaker | primary is | secondary is | target   | why
        ok        | ok        | PPPPP | closed  | healthy    | healthy      | ok       | before
        truncated | ok        | SSSSS | open    | down       | healthy      | rerouted | a connection that breaks is the path's fault, unlike wrong content
        """,
    ),
    tape(
        "the primary shows an older canary again",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok       | sequence 1
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok       | sequence 2
        old     | ok        | SSSSS | closed  | corrupt    | healthy      | rerouted | 3 was written and 2 is shown: a rollback, which a consistent primary never does
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok       | it shows 4
        """,
    ),
    tape(
        "the secondary shows an older canary again",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok     | sequence 1
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok     | sequence 2
        ok      | old,old   | PPPPP | closed  | healthy    | healthy      | ok     | 3 was written and 2 is shown: behind, as a secondary may be
        """,
    ),
    tape(
        "replication stands still",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok     | it shows what was written
        ok      | stale     | PPPPP | closed  | healthy    | healthy      | ok     | behind, but within the RPO of two minutes and a half
        ok      | stale     | PPPPP | closed  | healthy    | healthy      | ok     | a minute later
        ok      | stale     | PPPPP | closed  | healthy    | stale        | ok     | Azure's last sync time is older than the RPO; the oldest unseen write is not yet
        ok      | stale     | PPPPP | closed  | healthy    | stale        | ok     | now both are
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok     | it caught up
        """,
        target(rpo=2.5 * MINUTE),
    ),
    tape(
        "the first canary has not been replicated yet",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target | why
        ok      | 404       | PPPPP | closed  | healthy    | inconclusive | ok     | younger than the RPO: it may lawfully be missing
        ok      | 404       | PPPPP | closed  | healthy    | inconclusive | ok     | still
        ok      | 404       | PPPPP | closed  | healthy    | missing      | ok     | it should have been there by now
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok     | there it is
        """,
        target(rpo=1.5 * MINUTE),
    ),
    tape(
        "the primary flaps",
        """
        primary                            | secondary | reads | breaker   | primary is | secondary is | target   | why
        ok                                 | ok        | PPPPP | closed    | healthy    | healthy      | ok       | before
        ok,503,ok                          | ok        | PPPPP | closed    | degraded   | healthy      | ok       | the second attempt of read 1 serves it
        ok,503,ok,503,ok,503,ok,503,ok,503,ok | ok     | PPPPP | closed    | degraded   | healthy      | ok       | never five in a row, so what counts is the rate: 6 of the last 20 failed
        ok,503,ok,503,ok,503,ok,503,ok,503 | ok        | PPPPS | open      | down       | healthy      | rerouted | 10 of 20: the rate trips it, in read 5; the youngest attempt at P failed
        503,ok                             | ok        | SSSSS | open      | down       | healthy      | rerouted | the look meets a bad moment
        ok                                 | ok        | SSSSS | open      | healthy    | healthy      | rerouted | a good one: measured, whatever the breaker thinks
        ok                                 | ok        | SSSSS | open      | healthy    | healthy      | rerouted | but it stays away for its 20 reads
        ok                                 | ok        | SSSSP | half-open | healthy    | healthy      | rerouted | one good trial does not close it
        ok,ok,503                          | ok        | PSSSS | open      | down       | healthy      | rerouted | and two do not: the third is bad and opens it
        """,
    ),
    tape(
        "a bad trial doubles the dwell",
        """
        primary | secondary | reads | breaker   | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed    | healthy    | healthy      | ok       | before
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | tripped
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | 8 of 20
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | 13
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | 18
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | after 20 one trial, in read 3: bad, so open for 40; S served it all the same
        ok      | ok        | SSSSS | open      | healthy    | healthy      | rerouted | 8 of 40: a primary that has just come back must wait; a check finds it well
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | 13: it was not; the good checks are counted anew
        ok      | ok        | SSSSS | open      | healthy    | healthy      | rerouted | 18
        ok      | ok        | SSSSS | open      | healthy    | healthy      | rerouted | 23: the first time it would have been over by now
        ok      | ok        | SSSSS | open      | healthy    | healthy      | rerouted | 28
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | 33
        ok      | ok        | SSSSS | open      | healthy    | healthy      | rerouted | 38
        ok      | ok        | SSPPP | closed    | healthy    | healthy      | rerouted | 40, then three good trials
        """,
    ),
    tape(
        "a healed primary does not wait for the doubled dwell",
        """
        primary | secondary | reads | breaker   | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed    | healthy    | healthy      | ok       | before
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | tripped
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | 8 of 20
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | 13
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | 18
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | one bad trial: open for 40, of which this tick has 2
        ok      | ok        | SSSSS | open      | healthy    | healthy      | rerouted | healed: the first good look
        ok      | ok        | SSSSS | open      | healthy    | healthy      | rerouted | 2
        ok      | ok        | SSSSS | open      | healthy    | healthy      | rerouted | 3
        ok      | ok        | SSSSS | open      | healthy    | healthy      | rerouted | 4
        ok      | ok        | PPPPP | closed    | healthy    | healthy      | ok       | 5 good looks in a row, before the 40 reads are over, and three good trials
        """,
    ),
    tape(
        "a healthy primary beside a stale secondary is not avoided",
        """
        primary | secondary | reads | breaker   | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed    | healthy    | healthy      | ok       | before; the RPO is two minutes and a half
        503     | stale     | SSSSS | open      | down       | healthy      | rerouted | the primary breaks, and replication stands still
        503     | stale     | SSSSS | open      | down       | healthy      | rerouted | 8 of 20
        ok      | stale     | SSSSS | open      | healthy    | stale        | rerouted | 13: by the end of this tick the RPO is broken, and a check finds P well
        ok      | stale     | PPPPP | closed    | healthy    | stale        | ok       | so the next read is a trial, and its data is new
        """,
        target(rpo=2.5 * MINUTE),
    ),
    tape(
        "a stale secondary serves while the primary is down",
        """
        primary | secondary | reads | breaker   | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed    | healthy    | healthy      | ok       | before
        503     | stale     | SSSSS | open      | down       | healthy      | rerouted | the primary breaks
        503     | stale     | SSSSS | open      | down       | healthy      | rerouted | nothing is replicated from it, as in every outage
        503     | stale     | SSSSS | open      | down       | stale        | rerouted | so the secondary falls behind the RPO
        503     | stale     | SSSSS | open      | down       | stale        | rerouted | it is the best there is: no read is spent on a primary that no check found well
        """,
        target(rpo=2.5 * MINUTE),
    ),
    tape(
        "a cooldown makes it half-open in time rather than in reads",
        """
        primary | secondary | reads | breaker   | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed    | healthy    | healthy      | ok       | before
        503     | ok        | SSSSS | open      | down       | healthy      | rerouted | tripped
        ok      | ok        | PPPPP | closed    | healthy    | healthy      | ok       | a minute has passed since it opened: trials at once
        """,
        target(cooldown=MINUTE / 2),
    ),
    tape(
        "the secondary is down while it is not needed",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok     | before
        ok      | 503       | PPPPP | closed  | healthy    | down         | ok     | nobody reads there, yet the look finds it
        ok      | timeout   | PPPPP | closed  | healthy    | down         | ok     | the breaker is about the primary
        """,
    ),
    tape(
        "the secondary fails while the breaker is open",
        """
        primary | secondary  | reads | breaker   | primary is | secondary is | target   | why
        ok      | ok         | PPPPP | closed    | healthy    | healthy      | ok       | before
        503     | ok         | SSSSS | open      | down       | healthy      | rerouted | tripped
        ok      | 503        | PPPPP | closed    | healthy    | down         | ok       | last resort: S fails, so P is tried, and serves; the next read is a trial
        503,ok  | 503,ok     | PPPPP | closed    | degraded   | down         | ok       | each a little
        """,
    ),
    tape(
        "both locations are down",
        """
        primary | secondary | reads | breaker   | primary is | secondary is | target      | why
        ok      | ok        | PPPPP | closed    | healthy    | healthy      | ok          | before
        503     | 503       | ----- | open      | down       | down         | unavailable | each read tried both: nobody can serve
        503     | 503       | ----- | open      | down       | down         | unavailable | attempts at S count for the dwell, or it would stay open because S fails too
        ok      | 503       | PPPPP | closed    | healthy    | down         | ok          | P came back: last resort, then trials
        """,
    ),
    tape(
        "both locations are silent",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target      | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok          | before
        timeout | timeout   | --    | closed  | down       | down         | unavailable | the look and the write 5 s each, a read 15 s: P, S, then both at once; the budget of 45 s ends it in the third, and that is told
        timeout | timeout   | --    | open    | down       | down         | unavailable | the fifth failure in a row, counted over both ticks
        """,
    ),
    tape(
        "nothing can be reached, the state store neither",
        """
        primary | secondary | store   | reads | breaker | primary is   | secondary is | target       | why
        ok      | ok        | ok      | PPPPP | closed  | healthy      | healthy      | ok           | before
        refused | refused   | timeout | ----- | closed  | inconclusive | inconclusive | inconclusive | is it us? three roads at once break rarely but for our own; nothing is routed for it
        refused | refused   | ok      | ----- | open    | down         | down         | unavailable  | the store is there: it is not us
        refused | refused   | 403     | ----- | open    | down         | down         | unavailable  | a store that answers, if only to refuse, was reached
        ok      | ok        | timeout | SSSSS | open    | healthy      | healthy      | rerouted     | without the store a tick measures, judges and remembers as ever
        """,
    ),
    tape(
        "the primary is slow",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok       | before
        slow    | ok        | PPPPP | open    | degraded   | healthy      | ok       | served, in 3 s each; but now half of the last ten attempts were slow: the rate trips it
        slow    | ok        | SSSSS | open    | degraded   | healthy      | rerouted | so S serves, and quickly
        """,
    ),
    tape(
        "the operator forces reads to the secondary",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target   | why
        ok      | ok        | SSSSS | closed  | healthy    | healthy      | rerouted | forced for two minutes and a half
        ok      | 503       | PPPPP | closed  | healthy    | down         | ok       | a read is not lost for being forced
        ok      | ok        | SSSSS | closed  | healthy    | healthy      | rerouted | the last tick of it
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok       | expired by itself
        """,
        target(forced=Forced(location=Location.SECONDARY, until=NOON + until(2.5))),
    ),
    tape(
        "the operator forces reads to the primary",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed  | healthy    | healthy      | ok       | forced for a minute and a half
        503     | ok        | SSSSS | open    | down       | healthy      | rerouted | each read tries P, fails, and is served by S; the breaker says what it would have done
        503     | ok        | SSSSS | open    | down       | healthy      | rerouted | expired: from here on it does what it says
        """,
        target(forced=Forced(location=Location.PRIMARY, until=NOON + until(1.5))),
    ),
    tape(
        "there is no secondary",
        """
        primary | secondary | reads | breaker | primary is | secondary is | target      | why
        ok      | ok        | PPPPP | closed  | healthy    |              | ok          | plain ZRS: judged on its primary alone
        503     | ok        | ----- | open    | down       |              | unavailable | nothing to fall over to; the breaker only counts
        503,ok  | ok        | PPPPP | open    | degraded   |              | ok          | and never keeps a read from the only location
        """,
        target(geo=False),
    ),
    tape(
        "the account fails over",
        """
        primary | secondary | reads | breaker   | primary is | secondary is | target   | why
        ok      | ok        | PPPPP | closed    | healthy    | healthy      | ok       | before
        ok      | stale     | PPPPP | closed    | healthy    | healthy      | ok       | a write that the secondary will never see
        timeout | stale     | SSSSS | open      | down       | healthy      | rerouted | the primary's region goes dark
        lost    | dns       | PPPPP | closed    | healthy    | absent       | ok       | P's name leads to the other region, S's name is gone: geo-redundancy was lost; P serves as the last resort, then by trials
        ok      | dns       | PPPPP | closed    | healthy    | absent       | ok       | nothing is routed to a name that is gone
        ok      | dns       | PPPPP | closed    | healthy    | absent       | ok       | it stays lost until somebody sets it up again
        """,
    ),
]


async def play(played: Tape) -> tuple[World, list[TickReport]]:
    """Run a tape's ticks, a minute apart."""
    probe = world(played.target)
    if not played.fresh:
        probe.account.begin()
    reports = []
    for number, row in enumerate(played.rows):
        await probe.until(NOON + number * MINUTE)
        probe.account.behave(row["primary"], row["secondary"])
        store = row.get("store", "ok")
        probe.store.trouble = {} if store == "ok" else {"load": store, "save": store}
        reports.append(await probe.tick())
    return probe, reports


def seen(report: TargetReport) -> dict[str, str]:
    """Return the columns of a row as they really came out."""
    secondary = report.judgement.secondary
    return {
        "reads": "".join(LETTERS[each.served_by] for each in report.reads),
        "breaker": str(report.breaker.state),
        "primary is": str(report.judgement.primary.verdict),
        "secondary is": str(secondary.verdict) if secondary else "",
        "target": str(report.judgement.target.verdict),
    }


COLUMNS = ("reads", "breaker", "primary is", "secondary is", "target")
TABLES = pytest.mark.parametrize("played", TAPES, ids=lambda each: each.name)


def line(number: int, cells: dict[str, str], why: str) -> str:
    return f"{number}: " + " | ".join(cells[each] for each in COLUMNS) + f" | {why}"


@TABLES
def test_each_tick_comes_out_as_the_tape_says(played: Tape):
    expected = [line(number, row, row["why"]) for number, row in enumerate(played.rows)]

    _, reports = run(play(played))

    assert [
        line(number, seen(each.targets[0]), row["why"])
        for number, (each, row) in enumerate(zip(reports, played.rows, strict=True))
    ] == expected


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        pytest.param(("primary is", "secondary is"), EndpointVerdict, id="endpoint"),
        pytest.param(("target",), TargetVerdict, id="target"),
    ],
)
def test_every_verdict_comes_out_on_some_tape(columns: tuple[str, ...], words: type[StrEnum]):
    come_out = {row[column] for each in TAPES for row in each.rows for column in columns}

    assert come_out - {""} == set(words)


def serves(words: str) -> bool:
    return all(each.strip() in SERVES for each in words.split(","))


@TABLES
def test_no_read_is_lost_while_either_location_can_serve(played: Tape):
    _, reports = run(play(played))

    for row, report in zip(played.rows, reports, strict=True):
        if serves(row["primary"]) or (played.target.secondary and serves(row["secondary"])):
            assert "-" not in seen(report.targets[0])["reads"], row["why"]


@TABLES
def test_every_move_of_the_breaker_is_reported_once(played: Tape):
    probe, reports = run(play(played))
    moves = [move for report in reports for move in report.targets[0].transitions]
    states = [State.CLOSED, *(move.to_state for move in moves)]

    assert [(move.from_state, move.to_state) for move in moves] == list(pairwise(states))
    assert [move.epoch for move in moves] == list(range(1, len(moves) + 1))
    assert states[-1] == probe.inner.last_known[0].record.targets[played.target.name].breaker.state


@TABLES
def test_every_tick_measures_both_locations_whatever_the_breaker_thinks(played: Tape):
    _, reports = run(play(played))

    for row, report in zip(played.rows, reports, strict=True):
        assert all(report.targets[0].at(each) for each in played.target.locations), row["why"]


@TABLES
def test_every_tick_is_told_once_and_leaves_no_connection(played: Tape):
    probe, reports = run(play(played))

    assert probe.telemetry.reports == reports
    assert probe.telemetry.flushes == len(reports)
    assert probe.account.opened == probe.account.closed == len(reports)


@TABLES
def test_no_tick_takes_longer_than_its_budget(played: Tape):
    probe, reports = run(play(played))

    assert max(each.duration for each in reports) <= probe.inner.budget


def test_the_worst_tick_of_a_silent_primary_fits_its_budget_uncut():
    """The look, the write and five attempts wait five seconds each; the ancestor lost a read here."""
    silent = next(each for each in TAPES if each.name == "the primary is silent")

    _, reports = run(play(silent))

    assert not reports[1].targets[0].skipped
    assert reports[1].duration.total_seconds() == pytest.approx(7 * 5, abs=1)
    assert worst_tick(silent.target).total_seconds() == 7 * 5, "and so `check` foresees it"


def test_what_the_budget_cuts_off_is_named():
    silent = next(each for each in TAPES if each.name == "both locations are silent")

    _, reports = run(play(silent))

    assert reports[1].result == "cut_short"
    assert reports[1].targets[0].skipped == (
        "read 3",
        "read 4",
        "read 5",
        "stats",
    )


def test_the_verdict_gives_a_reason_that_names_what_was_met():
    broken = next(each for each in TAPES if each.name == "the primary answers 503, then heals")

    _, reports = run(play(broken))

    assert reports[1].targets[0].judgement.target.reason == (
        "5 of 5 reads were served by the secondary; primary: 503 ServerBusy (Server is busy) after 12 ms"
    )
