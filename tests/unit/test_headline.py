"""The headline: read cold, each says what happened, since when, what would be lost and what to do first."""

# ruff: noqa: E501, ISC004 - a headline stands as it is read, beside what it is of

from datetime import timedelta
from itertools import product

import pytest

from probe.core.event import EventKind
from probe.core.headline import End, Rank, Situation, fleet, headline, worst_first
from probe.core.times import time_text
from tests.unit.core_values import at

MINUTE = 60
NOW = at(57 * MINUTE)
"""12:57:00 UTC."""
UP, STALE = End(verdict="healthy"), End(verdict="stale")


def minute(number: float):
    """Return so many minutes after noon."""
    return at(number * MINUTE)


def known(**more) -> Situation:
    """Return a quiet target, but for what is given."""
    given = {
        "name": "contoso",
        "now": NOW,
        "verdict": "ok",
        "since": minute(-60),
        "at": NOW,
        "served": {"primary": 5, "secondary": 0, "none": 0},
        "primary": UP,
        "secondary": UP,
        "redundancy": "protected",
        "redundancy_since": minute(-60),
        "recovery_point": at(57 * MINUTE - 9),
        "write": "success",
    }
    return Situation(**{**given, **more})


def broken(error: str = "503", verdict: str = "down") -> End:
    return End(verdict=verdict, error=error, since=minute(45))


def event(kind: EventKind, minutes: float, **details) -> dict:
    return {"kind": str(kind), "at": time_text(minute(minutes)), "reason": "", **details}


SECONDARY = {"primary": 0, "secondary": 5, "none": 0}
NOBODY = {"primary": 0, "secondary": 0, "none": 5}
REROUTED = {
    "verdict": "rerouted",
    "since": minute(45),
    "served": SECONDARY,
    "primary": broken(),
    "breaker": "open",
    "write": "failure",
    "write_error": "503",
    "recovery_point": at(44 * MINUTE + 51),
}
DOWN = {**REROUTED, "verdict": "unavailable", "served": NOBODY, "secondary": broken("timeout")}
CANNOT = {
    "redundancy": "unprotected",
    "redundancy_since": minute(46),
    "redundancy_reason": "the secondary cannot be read: timeout after 5 s; the last recovery point is 12:44:51 UTC",
}
LOST = event(
    EventKind.FAILOVER_WITH_LOSS,
    46,
    lost_writes=4,
    lost_from=time_text(at(44 * MINUTE + 50)),
    lost_to=time_text(at(45 * MINUTE + 20)),
)
RISK = "Recovery point 12:44:51, 12 min old: an unplanned failover now may lose every write since."
SERVED = "First: Azure Service Health for the primary's region; tell those who write. Do not fail over: reads are served."
UNSEEN = "Do not fail over: what the secondary holds cannot be seen."
RESTART = "Do not restart the app: what its ticks found since then is in its memory alone."
HEALTH = "First: Azure Service Health for both regions, then the network rules that changed today."
QUIET = "Recovery point 12:56:51, 9 s old."

TABLE = {
    "quiet": ({}, f"Reads from the primary since 11:00 UTC, 1 h 57 min. {QUIET}"),
    "quiet, without a secondary": (
        {"secondary": None, "redundancy": None, "recovery_point": None},
        "Reads from the primary since 11:00 UTC, 1 h 57 min.",
    ),
    "since another day": (
        {"since": minute(-60 * 50)},
        f"Reads from the primary since 2026-02-27 10:00 UTC, 2 d 2 h. {QUIET}",
    ),
    "slow": (
        {"primary": End(verdict="degraded", reason="slow: 3 s, more than 2 s")},
        f"Reads from the primary since 11:00 UTC, 1 h 57 min, which is slow. {QUIET}",
    ),
    "the primary is down": (
        REROUTED,
        "Reads from the SECONDARY since 12:45 UTC, 12 min: primary answers 503. "
        f"The primary takes no writes. {RISK} {SERVED}",
    ),
    "reads fail, writes do not": (
        {**REROUTED, "write": "success", "primary": broken("timeout")},
        "Reads from the SECONDARY since 12:45 UTC, 12 min: primary does not answer in time. "
        f"It still takes writes. {RISK} {SERVED}",
    ),
    "the primary is down, and the secondary stale": (
        {**REROUTED, "secondary": STALE, "redundancy": "behind", "redundancy_since": minute(55)},
        "Reads from the SECONDARY since 12:45 UTC, 12 min: primary answers 503. The primary takes no writes. "
        "BEHIND the RPO since 12:55 UTC, 2 min: recovery point 12:44:51, 12 min old: a failover now may lose "
        f"every write since. {SERVED}",
    ),
    "the primary is down, and Azure says replication is unavailable": (
        {
            **REROUTED,
            "redundancy": "unprotected",
            "redundancy_since": minute(45),
            "redundancy_reason": "Azure says that geo-replication is unavailable; the last recovery point is 1 UTC",
        },
        "Reads from the SECONDARY since 12:45 UTC, 12 min: primary answers 503. The primary takes no writes. "
        "UNPROTECTED since 12:45 UTC, 12 min: Azure says that geo-replication is unavailable; recovery point "
        "12:44:51, 12 min old. First: Azure Service Health for the primary's region; tell those who write. "
        "Do not fail over: the second copy cannot be relied on.",
    ),
    "the primary was down for longer than reads were rerouted": (
        {**REROUTED, "incident": (minute(40), 6)},
        "Reads from the SECONDARY since 12:45 UTC, 12 min: primary answers 503. The incident began 12:40 UTC, "
        f"17 min ago, 6 of the probe's reads lost so far. The primary takes no writes. {RISK} {SERVED}",
    ),
    "the primary is back, the breaker still open": (
        {**REROUTED, "primary": UP, "write": "success", "until_trial": 7, "recovery_point": at(57 * MINUTE - 9)},
        "Reads from the SECONDARY since 12:45 UTC, 12 min; the primary answers again, and is tried after 7 more "
        f"reads. {QUIET} Do not fail over: the primary is back.",
    ),
    "the primary is back, and tried": (
        {**REROUTED, "primary": UP, "write": "success", "breaker": "half-open", "recovery_point": None},
        "Reads from the SECONDARY since 12:45 UTC, 12 min; the primary answers again, and reads are trying it. "
        "Do not fail over: the primary is back.",
    ),
    "the primary refuses us": (
        {**REROUTED, "primary": broken("403", "denied"), "write_error": "403"},
        "Reads from the SECONDARY since 12:45 UTC, 12 min: primary refuses the probe (403). The primary takes no "
        "writes. Recovery point 12:44:51, 12 min old. First: python -m probe doctor, which names the right that is "
        "missing. Do not fail over: this is no outage.",
    ),
    "somebody forces reads to the secondary": (
        {"verdict": "rerouted", "since": minute(45), "served": SECONDARY, "forced": ("secondary", minute(120))},
        "Reads from the SECONDARY since 12:45 UTC, 12 min: forced to the secondary until 14:00 UTC; primary "
        f"answers. {QUIET}",
    ),
    "both are down": (
        {**DOWN, **CANNOT},
        "NO READ SERVED since 12:45 UTC, 12 min: primary answers 503, secondary does not answer in time. The "
        "primary takes no writes. UNPROTECTED since 12:46 UTC, 11 min: the secondary does not answer in time; "
        f"recovery point 12:44:51, 12 min old. {HEALTH} {UNSEEN}",
    ),
    "both refuse connections, in some of the reads": (
        {
            **DOWN,
            **CANNOT,
            "primary": broken("refused"),
            "secondary": broken("refused"),
            "served": {"primary": 2, "secondary": 0, "none": 3},
            "write": "not_tried",
            "write_reason": "not tried: the look before it failed (refused), and no version is remembered",
        },
        "3 of 5 reads SERVED BY NOBODY since 12:45 UTC, 12 min: primary refuses connections, secondary too. No "
        "write could be tried. UNPROTECTED since 12:46 UTC, 11 min: the secondary refuses connections; "
        f"recovery point 12:44:51, 12 min old. {HEALTH} {UNSEEN}",
    ),
    "the only location is down": (
        {**DOWN, "secondary": None, "redundancy": None, "recovery_point": None},
        "NO READ SERVED since 12:45 UTC, 12 min: primary answers 503, and there is no secondary. The primary takes "
        f"no writes. {HEALTH}",
    ),
    "our own network is gone": (
        {
            "verdict": "inconclusive",
            "since": minute(45),
            "served": NOBODY,
            "reason": "nothing of Azure Storage was heard from any endpoint",
            "primary": End(verdict="inconclusive", error="dns"),
            "secondary": End(verdict="inconclusive", error="dns"),
            "redundancy": "unknown",
            "redundancy_since": minute(45),
            "redundancy_reason": "nothing of Azure Storage was heard from any endpoint",
            "recovery_point": at(44 * MINUTE + 51),
            "write": "failure",
            "write_error": "dns",
        },
        "CANNOT TELL who is up since 12:45 UTC, 12 min: nothing of Azure Storage was heard from any endpoint. "
        "No write arrived either. "
        "Recovery point 12:44:51, 12 min old. First: the probe's own network; ask another vantage. "
        "Do not take this for an outage of the account.",
    ),
    "both refuse us": (
        {
            "verdict": "inconclusive",
            "since": minute(45),
            "served": NOBODY,
            "reason": "every attempt was refused for a cause of ours, not an outage: 403 after 10 ms",
            "primary": broken("403", "denied"),
            "secondary": broken("403", "denied"),
            "redundancy": "unknown",
            "redundancy_reason": "the secondary refuses us: 403 after 10 ms",
            "write": "failure",
            "write_error": "403",
        },
        "CANNOT TELL who is up since 12:45 UTC, 12 min: every attempt was refused for a cause of ours, not an "
        "outage: 403 after 10 ms. No write arrived either. Redundancy unknown since 11:00 UTC, 1 h 57 min: the secondary refuses us: 403 "
        "after 10 ms; recovery point 12:56:51, 9 s old. First: python -m probe doctor, which names the right that "
        "is missing. Do not fail over: this is no outage.",
    ),
    "it failed over, and lost writes": (
        {"events": [LOST]},
        "FAILED OVER WITH LOSS, seen at 12:46 UTC: 4 acknowledged canary writes, made 12:44:50 to 12:45:20, are "
        f"gone. Reads from the primary since 11:00 UTC, 1 h 57 min. {QUIET} First: compare your own data of that "
        "time, then turn geo-redundancy on again: an unplanned failover leaves LRS. Do not wait for the lost writes: "
        "nothing brings them back.",
    ),
    "it failed over, and lost one write": (
        {"events": [{**LOST, "lost_writes": 1}]},
        "FAILED OVER WITH LOSS, seen at 12:46 UTC: 1 acknowledged canary write, made 12:44:50 to 12:45:20, is "
        f"gone. Reads from the primary since 11:00 UTC, 1 h 57 min. {QUIET} First: compare your own data of that "
        "time, then turn geo-redundancy on again: an unplanned failover leaves LRS. Do not wait for the lost writes: "
        "nothing brings them back.",
    ),
    "writes are refused": (
        {
            "primary": End(verdict="degraded", reason="it serves, but", since=minute(47)),
            "write": "failure",
            "write_error": "403",
            "redundancy": "behind",
            "redundancy_since": minute(55),
            "recovery_point": minute(37),
        },
        "Reads from the primary since 11:00 UTC, 1 h 57 min. WRITES FAIL since 12:47 UTC, 10 min: primary refuses "
        "the probe (403). BEHIND the RPO since 12:55 UTC, 2 min: recovery point 12:37:00, 20 min old: a failover "
        "now may lose every write since. First: see whether the recovery point moves again. Do not fail "
        "over while it can wait.",
    ),
    "another tick of ours was faster": (
        {"write": "failure", "write_error": "412"},
        f"Reads from the primary since 11:00 UTC, 1 h 57 min. {QUIET}",
    ),
    "somebody else writes": (
        {
            "write": "not_tried",
            "write_reason": "not tried: the blob that is there was written by 'laptop'; give this probe …",
            "events": [event(EventKind.SECOND_WRITER, 46, writer="laptop")],
        },
        "Reads from the primary since 11:00 UTC, 1 h 57 min. SOMEBODY ELSE writes this canary, 'laptop', seen at "
        f"12:46 UTC; nothing is written, so the lag tells nothing. {QUIET} First: give each probe a blob of its own "
        "with PROBE_BLOB. Do not trust the lag until then.",
    ),
    "what somebody else wrote was deleted": (
        {
            "events": [
                event(EventKind.SECOND_WRITER, 46, writer="laptop"),
                {**event(EventKind.CANARY_GONE, 50), "reason": "the canary's blob is gone"},
            ]
        },
        "Reads from the primary since 11:00 UTC, 1 h 57 min. The canary's blob is gone; it was written anew. SOMEBODY "
        "ELSE wrote this canary, 'laptop', seen at 12:46 UTC; the probe writes it again. "
        f"{QUIET} First: see the activity log for who deleted it; if nobody did, compare your own data.",
    ),
    "the canary was deleted": (
        {
            "events": [
                {
                    **event(EventKind.CANARY_GONE, 50),
                    "reason": "the canary's blob is gone from the primary: it was deleted, or a failover lost it "
                    "before it was replicated",
                }
            ]
        },
        "Reads from the primary since 11:00 UTC, 1 h 57 min. The canary's blob is gone from the primary: it was "
        "deleted, or a failover lost it before it was replicated; it was written anew. "
        f"{QUIET} First: see the activity log for who deleted it; if nobody did, compare your own data.",
    ),
    "the canary is corrupt": (
        {
            **REROUTED,
            "primary": broken("digest", "corrupt"),
            "write": "success",
            "recovery_point": at(57 * MINUTE - 9),
        },
        "Reads from the SECONDARY since 12:45 UTC, 12 min: primary returns other bytes than were written. "
        f"{QUIET} First: find out who else writes this blob. Do not write over it: as it is, it shows what happened.",
    ),
    "stats are refused": (
        {
            "redundancy": "unknown",
            "redundancy_reason": "the stats were refused (403 after 10 ms): they need X, which Reader gives",
            "recovery_point": None,
            "refused": True,
        },
        "Reads from the primary since 11:00 UTC, 1 h 57 min. Redundancy unknown since 11:00 UTC, 1 h 57 min: the "
        "stats were refused (403 after 10 ms): they need X, which Reader gives; no recovery point is known. First: "
        "give the probe's identity the role Reader on the account. Do not fail over: nobody can say how much would "
        "be lost.",
    ),
    "the second copy is being made": (
        {
            "redundancy": "unprotected",
            "redundancy_since": minute(50),
            "redundancy_reason": "Azure says that geo-replication is bootstrap; no recovery point is known",
            "recovery_point": None,
            "status": "bootstrap",
        },
        "Reads from the primary since 11:00 UTC, 1 h 57 min. UNPROTECTED since 12:50 UTC, 7 min: Azure says that "
        "geo-replication is bootstrap; no recovery point is known. First: wait. Do not fail over: the second copy "
        "is still being made.",
    ),
    "the secondary is gone": (
        {
            "secondary": broken("dns", "absent"),
            "redundancy": "unprotected",
            "redundancy_since": minute(45),
            "redundancy_reason": "its name does not resolve while the primary answers: the account lost its "
            "geo-redundancy, or it failed over",
        },
        "Reads from the primary since 11:00 UTC, 1 h 57 min. UNPROTECTED since 12:45 UTC, 12 min: the secondary's "
        "name does not resolve while the primary answers: the account lost its geo-redundancy, or it failed over; "
        "recovery point 12:56:51, 9 s old. First: see the account's activity log; if it failed over, turn "
        "geo-redundancy on again. Do not fail over: there is no second copy.",
    ),
    "the state store is down": (
        {"unsaved": minute(50)},
        f"Reads from the primary since 11:00 UTC, 1 h 57 min. {QUIET} Saved state UNREADABLE since 12:50 UTC, 7 "
        f"min; last known from memory. First: mend the state store; ticks go on without it. {RESTART}",
    ),
    "the primary is down, and the state store too": (
        {**REROUTED, "unsaved": minute(50)},
        "Reads from the SECONDARY since 12:45 UTC, 12 min: primary answers 503. The primary takes no writes. "
        f"{RISK} Saved state UNREADABLE since 12:50 UTC, 7 min; last known from memory. "
        f"{SERVED} {RESTART}",
    ),
    "no tick runs": (
        {"fresh": False, "at": minute(30), "since": minute(-60)},
        "NO TICK for 27 min; this is what the last one saw. Reads from the primary since 11:00 UTC, 1 h 57 min. "
        f"{QUIET} First: find out why no tick runs. Do not act on verdicts that are this old.",
    ),
    "no tick ever ran": (
        {"verdict": None, "at": None, "reason": "no tick is on record yet", "redundancy": None},
        "No tick is on record yet. First: python -m probe doctor, if the app was not deployed in the last minutes. "
        "Do not take this for good news: nothing was measured.",
    ),
    "an incident is over": (
        {
            "since": minute(50),
            "events": [
                event(
                    EventKind.INCIDENT_CLOSED,
                    50,
                    began_at=time_text(minute(45)),
                    ended_at=time_text(minute(50)),
                    reads_lost=0,
                )
            ],
        },
        f"Reads from the primary since 12:50 UTC, 7 min. {QUIET} An incident of 12:45 UTC is over, it lasted 5 min: "
        "no reads lost.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "said"), TABLE.values(), ids=TABLE)
def test_a_headline_says_what_happened_since_when_and_what_to_do(given: dict, said: str):
    assert headline(known(**given)) == said


READS = {
    "ok": {},
    "rerouted": REROUTED,
    "unavailable": DOWN,
    "inconclusive": {
        "verdict": "inconclusive",
        "since": minute(45),
        "served": NOBODY,
        "reason": "we are blind",
    },
}
REDUNDANCY = {
    each: {"redundancy": each, "redundancy_since": minute(46), "redundancy_reason": f"because {each}"}
    for each in ("protected", "behind", "unprotected", "unknown")
}
WRITES = {"taken": {"write": "success"}, "refused": {"write": "failure", "write_error": "500"}}
BESIDE = {
    "nothing": {},
    "loss": {"events": [LOST]},
    "second writer": {"events": [event(EventKind.SECOND_WRITER, 46, writer="laptop")]},
    "forced": {"forced": ("secondary", minute(120))},
    "unsaved": {"unsaved": minute(50)},
    "silent": {"fresh": False},
}
SAYS = {
    "ok": "Reads from the primary",
    "rerouted": "Reads from the SECONDARY",
    "unavailable": "NO READ SERVED",
    "inconclusive": "CANNOT TELL",
    "protected": "ecovery point",
    "behind": "BEHIND the RPO since 12:46 UTC",
    "unprotected": "UNPROTECTED since 12:46 UTC, 11 min: because unprotected",
    "unknown": "Redundancy unknown since 12:46 UTC, 11 min: because unknown",
    "loss": "FAILED OVER WITH LOSS",
    "second writer": "this canary, 'laptop', seen at 12:46 UTC",
    "unsaved": "Do not restart the app",
    "silent": "NO TICK",
}


QUIET_ONES = {("ok", "protected", "taken", "nothing"), ("ok", "protected", "taken", "forced")}
"""All the others need somebody."""


@pytest.mark.parametrize("names", list(product(READS, REDUNDANCY, WRITES, BESIDE)), ids=" ".join)
def test_no_combination_hides_one_of_its_facts(names: tuple[str, str, str, str]):
    reads, redundancy, writes, beside = names
    given = known(**{**READS[reads], **REDUNDANCY[redundancy], **WRITES[writes], **BESIDE[beside]})

    said = headline(given)

    for fact in (reads, redundancy, beside):
        assert SAYS.get(fact, "") in said
    assert said.endswith(".")
    assert said.count("First: ") <= 1
    assert (given.rank is Rank.QUIET) is (names in QUIET_ONES)
    if redundancy in ("unprotected", "behind") and given.rank in (
        Rank.UNPROTECTED,
        Rank.BEHIND,
        Rank.REROUTED,
    ):
        assert "Do not fail over" in said


def test_lost_writes_are_told_for_a_day_and_other_events_for_an_hour():
    later = NOW + timedelta(hours=2)
    stranger = event(EventKind.SECOND_WRITER, 46, writer="laptop")

    assert "FAILED OVER" in headline(known(events=[LOST, stranger], now=later))
    assert "SOMEBODY" not in headline(known(events=[LOST, stranger], now=later))
    assert "FAILED OVER" not in headline(known(events=[LOST], now=NOW + timedelta(days=1)))


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([], "No target was measured."),
        ([{}], "All is well."),
        ([{}, {}], "All is well with 2 of 2 targets."),
        ([DOWN], "t0 needs you: unavailable."),
        ([{}, REROUTED, {}], "1 of 3 targets needs you: t1 (rerouted)."),
        (
            [{}, REROUTED, DOWN, {"unsaved": NOW}, {"events": [LOST]}, {"fresh": False}],
            "5 of 6 targets need you: t2 (unavailable), t4 (failed over with loss), t5 (no tick) and 2 more.",
        ),
    ],
    ids=["none", "one", "two", "one down", "one of three", "many"],
)
def test_a_fleet_is_told_in_one_line(targets: list[dict], said: str):
    assert fleet([known(**{**given, "name": f"t{number}"}) for number, given in enumerate(targets)]) == said


def test_targets_come_worst_first_and_else_by_name():
    quiet, other = known(name="a"), known(name="b")
    down, moved = known(name="c", **DOWN), known(name="d", **REROUTED)

    assert [each.name for each in worst_first([other, moved, quiet, down])] == ["c", "d", "a", "b"]
