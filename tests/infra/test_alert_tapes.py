"""For each tape, exactly what is told: the rules as deployed, on what the real exporter sends.

All tapes stand in one workspace, told apart by a number in their names, so that the query runs once for all.
"""

import functools
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from probe.status import Health
from tests.infra import alerts
from tests.infra.rows import Workspace
from tests.infra.tapes import (
    ABSENT,
    BEHIND,
    BOOTSTRAP,
    BOTH_DOWN,
    CORRUPTED,
    CUT_OFF,
    DELETED,
    FAILED_OVER,
    FORCED,
    MAINTAINED,
    MINUTE,
    MISSING,
    NOW,
    OK,
    PRIMARY_DOWN,
    READ_ONLY,
    REFUSED_US,
    STALLED,
    UNSAVED,
    UNWRITABLE,
    Scene,
    Seen,
    calm,
    rows_of,
    silent,
    told_apart,
)

STORE = ("store", "all")
PRIMARY, SECONDARY = ("store", "primary"), ("store", "secondary")
HERE, THERE = ("store", "francecentral"), ("store", "uksouth")
VANTAGE = ("all", "francecentral")
FLAP = (PRIMARY_DOWN, *[OK] * 9)
OUTAGE = (OK, *[BOTH_DOWN] * 6)
LOST = Scene(lost=120)
HOUR = timedelta(hours=1)
ALL_DOWN = {"reads-failing-store-reads", "endpoint-down-store-primary", "endpoint-down-store-secondary"}
"""The metric alerts of the target: all that the first deployment has."""

# What goes before anything happens, where that matters.
BEFORE = calm(15)
DAY = calm(60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """What was seen; what the query tells of it, and which metric alerts ring.

    ``late`` is how late rows arrive; ``deployed`` how long ago the deployment began; ``expected`` who ought
    to report.
    """

    seen: list
    told: dict = field(default_factory=dict)
    rings: frozenset = frozenset()
    late: timedelta = timedelta(0)
    deployed: timedelta = timedelta(days=3)
    expected: tuple = (HERE,)


def burning(*speeds):
    return {f"slo-burn-{each}": {STORE} for each in speeds}


DOWN = {
    "reads-failing": {STORE},
    "endpoint-down": {PRIMARY, SECONDARY},
    "geo-redundancy-lost": {SECONDARY},
}
BURNS = burning("fast", "middle", "slow")
TAPES = {
    "all is well": Tape(seen=[Seen(segments=DAY)]),
    "no rows at all": Tape(seen=[], told={"probe-silent": {HERE}}),
    "silent for twenty minutes": Tape(
        seen=[Seen(segments=BEFORE + silent(20))], told={"probe-silent": {HERE}}
    ),
    "three ticks missed, as where an instance is cycled": Tape(
        seen=[Seen(segments=DAY + silent(3) + calm(5))]
    ),
    "an instance is cycled right now": Tape(seen=[Seen(segments=DAY + silent(3))]),
    "the deployed target silent, another not": Tape(
        seen=[Seen(segments=DAY, target="other")], told={"probe-silent": {HERE}}
    ),
    "one tick of an outage, burning at 16.7 times": Tape(
        seen=[Seen(segments=[*calm(55), (OK, BOTH_DOWN, *([OK] * 8))])]
    ),
    "both endpoints down for six minutes": Tape(
        seen=[Seen(segments=[*BEFORE, OUTAGE])], told={**DOWN, **BURNS}, rings=frozenset(ALL_DOWN)
    ),
    "both endpoints down in two ticks, four minutes ago at most": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, BOTH_DOWN, BOTH_DOWN)])],
        told={"reads-failing": set(), **burning("middle", "slow")},
        rings=frozenset(ALL_DOWN),
    ),
    "an outage that ended half an hour ago": Tape(
        seen=[Seen(segments=[*BEFORE, OUTAGE, *calm(35)])], told=burning("slow")
    ),
    "the primary down for twenty minutes, reads rerouted": Tape(
        seen=[Seen(segments=[*calm(40), (OK, *[PRIMARY_DOWN] * 20)])],
        told={"endpoint-down": {PRIMARY}, "rerouted": {HERE}},
        rings=frozenset({"endpoint-down-store-primary"}),
    ),
    "the primary down in one tick": Tape(seen=[Seen(segments=[*calm(30), (OK, PRIMARY_DOWN, *[OK] * 9)])]),
    "an hour's outage with bad trials all along": Tape(
        seen=[Seen(segments=[*calm(5), (OK, *[PRIMARY_DOWN] * 60)])],
        told={"endpoint-down": {PRIMARY}, "rerouted": {HERE}},
        rings=frozenset({"endpoint-down-store-primary"}),
    ),
    "flapping: opened from closed four times in an hour": Tape(
        seen=[Seen(segments=[*calm(5), (OK, *FLAP * 4), *calm(10)])], told={"flapping": {HERE}}
    ),
    "opened twice in an hour": Tape(seen=[Seen(segments=[*calm(30), (OK, *FLAP * 2), *calm(10)])]),
    "the secondary behind the RPO": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[BEHIND] * 20)])],
        told={
            "lag-over-rpo": {
                ("store", "probe.replication.lag"),
                ("store", "probe.replication.last_sync.age"),
            }
        },
    ),
    "a part of the account behind, though not the canary": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[BEHIND] * 5)])],
        told={"lag-over-rpo": {("store", "probe.replication.last_sync.age")}},
    ),
    "the last sync time old in one tick": Tape(seen=[Seen(segments=[*BEFORE, (OK, BEHIND, *[OK] * 5)])]),
    "the secondary's name gone": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[ABSENT] * 7)])], told={"geo-redundancy-lost": {SECONDARY}}
    ),
    "the secondary's name gone for two ticks": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, ABSENT, ABSENT, *[OK] * 5)])]
    ),
    "Azure says that replication is unavailable": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[STALLED] * 7)])], told={"geo-redundancy-lost": {SECONDARY}}
    ),
    "a failover that lost writes": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, OK, OK, OK, FAILED_OVER, OK)])],
        told={"writes-lost": {("store", "FailoverWithLoss")}},
    ),
    "the canary deleted, and written again": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, OK, DELETED, OK)])],
        told={"writes-lost": {("store", "CanaryGone")}},
    ),
    "writes fail while reads are fine": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[UNWRITABLE] * 5)])], told={"writes-failing": {PRIMARY}}
    ),
    "writes are refused while reads are fine": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[READ_ONLY] * 5)])], told={"writes-denied": {PRIMARY}}
    ),
    "the state store down for ten minutes": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[UNSAVED] * 10)])], told={"state-unsaved": {VANTAGE}}
    ),
    "the state store down for one tick": Tape(seen=[Seen(segments=[*BEFORE, (OK, UNSAVED, *[OK] * 5)])]),
    "a hundred rows of telemetry lost": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, LOST, OK)])], told={"telemetry-lost": {VANTAGE}}
    ),
    "a tick's rows lost": Tape(seen=[Seen(segments=[*BEFORE, (OK, Scene(lost=17), OK)])]),
    "the canary corrupt in every third tick": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *(CORRUPTED, OK, OK) * 4)])], told={"canary-bad": {PRIMARY}}
    ),
    "the canary missing": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[MISSING] * 4)])],
        told={"canary-bad": {PRIMARY}, "writes-lost": {("store", "CanaryGone")}},
    ),
    "the canary corrupt once": Tape(seen=[Seen(segments=[*BEFORE, (OK, CORRUPTED, *[OK] * 5)])]),
    "denied on both endpoints": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[REFUSED_US] * 6)])], told={"denied": {PRIMARY, SECONDARY}}
    ),
    "denied once": Tape(seen=[Seen(segments=[*BEFORE, (OK, REFUSED_US, *[OK] * 5)])]),
    "the vantage cut off, so nothing is said of the account": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[CUT_OFF] * 7)])],
        told={"probe-blind": {HERE}, "state-unsaved": {VANTAGE}},
    ),
    "cut off for two ticks": Tape(seen=[Seen(segments=[*BEFORE, (OK, CUT_OFF, CUT_OFF, *[OK] * 5)])]),
    "two vantages of which one fails": Tape(
        seen=[Seen(segments=[*BEFORE, OUTAGE]), Seen(segments=calm(22), vantage="uksouth")],
        told={"reads-failing-in-part": {HERE}, **BURNS},
        expected=(HERE, THERE),
        rings=frozenset(ALL_DOWN),
    ),
    "two vantages of which one is cut off": Tape(
        seen=[Seen(segments=calm(22)), Seen(segments=[*BEFORE, (OK, *[CUT_OFF] * 7)], vantage="uksouth")],
        told={"probe-blind": {THERE}, "state-unsaved": {("all", "uksouth")}},
        expected=(HERE, THERE),
    ),
    # What is no trouble, however it looks.
    "the first deployment: nothing has ticked yet": Tape(seen=[], deployed=20 * MINUTE),
    "the first deployment: grants spread, the first copy is made": Tape(
        seen=[Seen(segments=[(REFUSED_US, *[REFUSED_US] * 8, *[BOOTSTRAP] * 4)])], deployed=20 * MINUTE
    ),
    "the first deployment: two hours later it has still not ticked": Tape(
        seen=[], deployed=2 * HOUR, told={"probe-silent": {HERE}}
    ),
    "a deployment while the secondary is behind the RPO": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[BEHIND] * 20)])],
        deployed=10 * MINUTE,
        told={
            "lag-over-rpo": {
                ("store", "probe.replication.lag"),
                ("store", "probe.replication.last_sync.age"),
            },
        },
    ),
    "a vantage is added": Tape(seen=[Seen(segments=DAY)], expected=(HERE, THERE), deployed=10 * MINUTE),
    "a vantage that fell silent before something was deployed": Tape(
        seen=[Seen(segments=DAY + silent(30))], deployed=10 * MINUTE, told={"probe-silent": {HERE}}
    ),
    "a vantage is removed": Tape(
        seen=[Seen(segments=DAY), Seen(segments=calm(30) + silent(20), vantage="uksouth")]
    ),
    "a target is added and another removed": Tape(
        seen=[Seen(segments=calm(30) + silent(20), target="old"), Seen(segments=DAY)],
        expected=(HERE, ("new", "francecentral")),
        deployed=15 * MINUTE,
    ),
    "rows arrive four minutes late": Tape(seen=[Seen(segments=DAY)], late=4 * MINUTE),
    "rows of an outage arrive four minutes late": Tape(
        seen=[Seen(segments=[*BEFORE, (*OUTAGE, *[BOTH_DOWN] * 3)])],
        late=4 * MINUTE,
        told={**DOWN, **BURNS},
    ),
    "reads are forced to the secondary": Tape(seen=[Seen(segments=[*BEFORE, (OK, *[FORCED] * 12)])]),
    "a declared maintenance with all down": Tape(seen=[Seen(segments=[*BEFORE, (OK, *[MAINTAINED] * 12)])]),
    "a declared maintenance that is over": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[MAINTAINED] * 12, *[OK] * 5)])]
    ),
    "an outage that outlasts a declared maintenance": Tape(
        seen=[Seen(segments=[*BEFORE, (OK, *[MAINTAINED] * 3, *[BOTH_DOWN] * 18)])],
        told={
            **DOWN,
            **BURNS,
            "lag-over-rpo": {
                ("store", "probe.replication.lag"),
                ("store", "probe.replication.last_sync.age"),
            },
        },
        rings=frozenset(ALL_DOWN),
    ),
}


def arrived(tape):
    """Return the rows of a tape that have arrived by now."""
    return [
        (table, cells)
        for table, cells in rows_of(tape.seen)
        if cells["TimeGenerated"] <= (NOW - tape.late).replace(tzinfo=None)
    ]


@functools.cache
def rows_told():
    """Return the rows that the deployed query tells of all tapes, names with the tapes' numbers in them."""
    found = []
    for deployed in {each.deployed for each in TAPES.values()}:
        many = {n: each for n, each in enumerate(TAPES.values()) if each.deployed == deployed}
        here = NOW.replace(tzinfo=None)
        rows = [
            row
            for n, tape in many.items()
            for row in told_apart(tape.seen, n)
            if row[1]["TimeGenerated"] <= here - tape.late
        ]
        pairs = [(f"{t}@{n}", f"{v}@{n}") for n, tape in many.items() for t, v in tape.expected]
        rule = alerts.rules("default")["conditions"].expecting(pairs).deployed(NOW - deployed)
        found += rule.told(Workspace(rows))
    return found


@functools.cache
def told():
    """Return what the deployed query tells of every tape, by its number."""
    found = {}
    for each in rows_told():
        target, _, number = each["Target"].partition("@")
        side, _, of_vantage = each["Side"].partition("@")
        number = int(number or of_vantage)
        found.setdefault(number, {}).setdefault(each["Condition"], set()).add((target, side))
    return found


@pytest.mark.parametrize("name", TAPES)
def test_of_a_tape_this_is_told_and_nothing_else(name):
    number = list(TAPES).index(name)

    assert told().get(number, {}) == {key: what for key, what in TAPES[name].told.items() if what}


@pytest.mark.parametrize("name", TAPES)
def test_on_a_tape_these_metric_alerts_ring_and_no_others(name):
    assert alerts.ringing("default", arrived(TAPES[name])) == TAPES[name].rings


def test_a_metric_alert_sees_that_its_condition_is_over_in_data_and_not_in_their_absence():
    rows = rows_of([Seen(segments=calm(5))])

    # The secondary has no criterion with data: that would cost a series more, and no read is lost by it.
    assert alerts.over("default", rows) == ALL_DOWN - {"endpoint-down-store-secondary"}


def test_no_dimension_is_ever_empty():
    assert [each for each in rows_told() if not all(each[name] for name in alerts.DIMENSIONS)] == []


def test_what_comes_and_goes_in_an_episode_stands_in_no_dimension():
    burns = {}
    for each in rows_told():
        if each["Condition"].startswith("slo-burn"):
            burns.setdefault(each["Condition"], set()).add(each["Situation"])
    flapping = {each["Situation"] for each in rows_told() if each["Condition"] == "flapping"}

    assert burns == {
        "slo-burn-fast": {"over the last hour"},
        "slo-burn-middle": {"over the last six hours"},
        "slo-burn-slow": {"over the last two days"},
    }
    assert flapping
    assert not any("serve" in each for each in flapping)


def test_every_condition_is_told_on_some_tape_and_not_on_another():
    asked = {name for name, each in alerts.CONDITIONS.items() if "query" in each["by"]} - {"cap-reached"}
    seen = [set(each) for each in told().values()]

    assert asked == set().union(*seen)
    assert all(any(name not in each for each in seen) for name in asked)


def capped(minutes):
    """Return what the workspace itself writes when its daily cap is reached, as its reference has it."""
    at = (NOW - minutes * MINUTE).replace(tzinfo=None)
    what = "Data collection stopped: OverQuota"
    return "_LogOperation", {"TimeGenerated": at, "Category": "Ingestion", "Level": "Warning", "Detail": what}


# How a watcher dies: until when rows arrived, what the workspace says, and whether /api/health is 200 then.
DEATHS = {
    "the timer has gone silent": (silent(12), [], Health.STALE, {"probe-silent"}),
    "the app is stopped": (silent(12), [], None, {"probe-silent"}),
    "the workspace refuses rows": (silent(12), [], Health.FRESH, {"probe-silent"}),
    "the cap is reached": (silent(12), [capped(11)], Health.FRESH, {"probe-silent", "cap-reached"}),
    "the identity has lost its grants": (silent(12), [], Health.FRESH, {"probe-silent"}),
    "the cap was reached a minute ago": ([], [capped(1)], Health.FRESH, {"cap-reached"}),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_watcher_that_dies_is_told_by_the_query_and_where_no_tick_runs_by_the_heartbeat_too(death):
    gap, said, health, expected = DEATHS[death]
    workspace = Workspace([*rows_of([Seen(segments=calm(30) + gap)]), *said])
    answers_200 = health is not None and health.runs

    found = alerts.rules("default")["conditions"].firing(workspace)

    assert found.keys() == expected
    # The workflow's run fails without a 200, and its metric alert tells that.
    assert answers_200 is (death not in {"the timer has gone silent", "the app is stopped"})


def test_each_page_names_what_where_since_when_who_serves_what_is_lost_and_what_to_do():
    tape = [Seen(segments=[*BEFORE, (OK, *[PRIMARY_DOWN] * 8)])]

    pages = {
        each["Condition"]: each
        for each in alerts.rules("default")["conditions"].told(Workspace(rows_of(tape)))
    }

    page = pages["rerouted"]
    assert (page["Target"], page["Side"], page["Severity"]) == ("store", "francecentral", "2")
    assert page["Situation"] == "since 2026-01-05 11:52 UTC; the secondary serves the reads"
    assert page["First"].endswith("runbook.md#rerouted")
    assert page["LossSeconds"] == pytest.approx(20.4, abs=1)


def test_silence_names_each_missing_pair_and_a_slower_schedule_waits_longer():
    tape = [
        Seen(segments=calm(15), target=target, vantage=vantage)
        for target in ("orders", "media-eu", "archive")
        for vantage in ("uksouth", "swedencentral", "ukwest")
        if (target, vantage) not in {("archive", "ukwest"), ("orders", "uksouth")}
    ]
    workspace = Workspace(rows_of(tape, 5 * MINUTE))

    found = alerts.rules("fleet")["conditions-1"].firing(workspace)

    assert found == {"probe-silent": {("archive", "ukwest"), ("orders", "uksouth")}}


@pytest.mark.parametrize(
    ("hours", "situation"), [(2, "since 2026-01-05 10:00 UTC"), (7, "for more than five hours")]
)
def test_a_vantage_that_never_reported_is_silent_since_its_deployment(hours, situation):
    rule = alerts.rules("default")["conditions"].deployed(NOW - hours * HOUR)

    (page,) = rule.told(Workspace([]))

    assert (page["Condition"], page["Situation"]) == ("probe-silent", situation)


def test_midnight_is_a_minute_like_any_other():
    shift = timedelta(hours=12, minutes=2)
    rows = [
        (table, {**cells, "TimeGenerated": cells["TimeGenerated"] + shift})
        for table, cells in rows_of([Seen(segments=DAY)])
    ]

    assert alerts.rules("default")["conditions"].firing(Workspace(rows), NOW + shift) == {}
