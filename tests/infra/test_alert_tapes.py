"""For each tape, exactly the alerts that fire: the rules as deployed, on what the real exporter sends."""

from datetime import timedelta

import pytest

from tests.infra.alerts import rules
from tests.infra.rows import Workspace
from tests.infra.tapes import (
    ABSENT,
    BEHIND,
    BOTH_DOWN,
    CORRUPTED,
    CUT_OFF,
    DELETED,
    FAILED_OVER,
    MINUTE,
    MISSING,
    NOW,
    OK,
    PRIMARY_DOWN,
    REFUSED_US,
    STALLED,
    UNSAVED,
    Seen,
    calm,
    rows_of,
    silent,
)

STORE = ("store",)
PRIMARY, SECONDARY = ("store", "primary"), ("store", "secondary")
HERE = ("store", "francecentral")
THERE = ("store", "uksouth")
FLAP = (PRIMARY_DOWN, *[OK] * 9)
OUTAGE = (OK, *[BOTH_DOWN] * 6)
BURNS = {"slo-burn-fast": {STORE}, "slo-burn-slow": {STORE}}


def unsaved(vantage):
    """Return what fires where the state store is out of a vantage's reach."""
    return {"state-unsaved": {(vantage, "load")}}


# Every rule sees its whole window of calm before anything happens, where that matters.
BEFORE = calm(15)
HOUR = calm(60)

# name: (the tape, what fires)
TAPES = {
    "all is well": ([Seen(segments=HOUR)], {}),
    "no rows at all": ([], {"probe-silent": {HERE}}),
    "silent for twenty minutes": ([Seen(segments=BEFORE + silent(20))], {"probe-silent": {HERE}}),
    "three ticks missed": ([Seen(segments=HOUR + silent(3) + calm(5))], {}),
    "the deployed target silent, another not": (
        [Seen(segments=HOUR, target="other")],
        {"probe-silent": {HERE}},
    ),
    "a single failure in an hour, burning at 16.7 times": (
        [Seen(segments=[*calm(55), (OK, BOTH_DOWN, *([OK] * 4))])],
        {},
    ),
    "a single failure, and little else to count": (
        [Seen(segments=[*silent(60), (OK, OK, BOTH_DOWN, OK)])],
        {},
    ),
    "both endpoints down for six minutes": (
        [Seen(segments=[*BEFORE, OUTAGE])],
        {
            "reads-failing": {STORE},
            "endpoint-down": {PRIMARY, SECONDARY},
            "geo-redundancy-lost": {STORE},
            **BURNS,
        },
    ),
    "an outage that ended half an hour ago": (
        [Seen(segments=[*BEFORE, OUTAGE, *calm(35)])],
        {"slo-burn-slow": {STORE}},
    ),
    "a slow burn: six failures in two days, the last two hours ago": (
        [
            Seen(
                segments=([*calm(475), (OK, BOTH_DOWN, OK, OK, OK)]) * 5
                + calm(355)
                + [(OK, BOTH_DOWN, OK, OK, OK)]
                + calm(120)
            )
        ],
        {"slo-burn-slow": {STORE}},
    ),
    "two failures in two days": (
        [Seen(segments=([*calm(1300), (OK, BOTH_DOWN, OK, OK, OK)]) * 2 + calm(20))],
        {},
    ),
    "the primary down for twenty minutes, reads rerouted": (
        [Seen(segments=[*calm(40), (OK, *[PRIMARY_DOWN] * 20)])],
        {"endpoint-down": {PRIMARY}, "rerouted": {STORE}},
    ),
    "the primary down for two minutes": (
        [Seen(segments=[*calm(30), (OK, PRIMARY_DOWN, PRIMARY_DOWN, *[OK] * 9)])],
        {},
    ),
    "an hour's outage with bad trials all along": (
        [Seen(segments=[*calm(5), (OK, *[PRIMARY_DOWN] * 60)])],
        {"endpoint-down": {PRIMARY}, "rerouted": {STORE}},
    ),
    "flapping: opened from closed four times in an hour": (
        [Seen(segments=[*calm(15), (OK, *FLAP * 4), *calm(10)])],
        {"flapping": {HERE}},
    ),
    "opened twice in an hour": ([Seen(segments=[*calm(30), (OK, *FLAP * 2), *calm(10)])], {}),
    "each of three vantages opened once": (
        [
            Seen(segments=[*calm(40), (OK, *FLAP), *calm(10)], vantage=v)
            for v in ("francecentral", "uksouth", "ukwest")
        ],
        {},
    ),
    "the secondary behind the RPO": (
        [Seen(segments=[*BEFORE, (OK, *[BEHIND] * 20)])],
        {"lag-over-rpo": {("store", "probe.replication.lag"), ("store", "probe.replication.last_sync.age")}},
    ),
    "a part of the account behind, though not the canary": (
        [Seen(segments=[*BEFORE, (OK, *[BEHIND] * 5)])],
        {"lag-over-rpo": {("store", "probe.replication.last_sync.age")}},
    ),
    "the last sync time old in one tick": ([Seen(segments=[*BEFORE, (OK, BEHIND, *[OK] * 5)])], {}),
    "the secondary's name gone": (
        [Seen(segments=[*BEFORE, (OK, *[ABSENT] * 7)])],
        {"geo-redundancy-lost": {STORE}},
    ),
    "the secondary's name gone for two ticks": (
        [Seen(segments=[*BEFORE, (OK, ABSENT, ABSENT, *[OK] * 5)])],
        {},
    ),
    "Azure says that replication is unavailable": (
        [Seen(segments=[*BEFORE, (OK, *[STALLED] * 7)])],
        {"geo-redundancy-lost": {STORE}},
    ),
    "a failover that lost writes": (
        [Seen(segments=[*BEFORE, (OK, OK, OK, OK, FAILED_OVER, OK)])],
        {"writes-lost": {("store", "FailoverWithLoss")}},
    ),
    "the canary deleted, and written again": (
        [Seen(segments=[*BEFORE, (OK, OK, DELETED, OK)])],
        {"writes-lost": {("store", "CanaryGone")}},
    ),
    "the state store down for ten minutes": (
        [Seen(segments=[*BEFORE, (OK, *[UNSAVED] * 10)])],
        unsaved("francecentral"),
    ),
    "the state store down for one tick": ([Seen(segments=[*BEFORE, (OK, UNSAVED, *[OK] * 5)])], {}),
    "the canary corrupt in every third tick": (
        [Seen(segments=[*BEFORE, (OK, *(CORRUPTED, OK, OK) * 4)])],
        {"canary-bad": {PRIMARY}},
    ),
    "the canary missing": (
        [Seen(segments=[*BEFORE, (OK, *[MISSING] * 4)])],
        {"canary-bad": {PRIMARY}, "writes-lost": {("store", "CanaryGone")}},
    ),
    "the canary corrupt once": ([Seen(segments=[*BEFORE, (OK, CORRUPTED, *[OK] * 5)])], {}),
    "denied on both endpoints": (
        [Seen(segments=[*BEFORE, (OK, *[REFUSED_US] * 6)])],
        {"denied": {PRIMARY, SECONDARY}},
    ),
    "denied once": ([Seen(segments=[*BEFORE, (OK, REFUSED_US, *[OK] * 5)])], {}),
    "the vantage cut off, so nothing is said of the account": (
        [Seen(segments=[*BEFORE, (OK, *[CUT_OFF] * 7)])],
        {"probe-blind": {HERE}, **unsaved("francecentral")},
    ),
    "cut off for two ticks": ([Seen(segments=[*BEFORE, (OK, CUT_OFF, CUT_OFF, *[OK] * 5)])], {}),
    "two vantages of which one fails": (
        [Seen(segments=[*BEFORE, OUTAGE]), Seen(segments=calm(22), vantage="uksouth")],
        {"reads-failing-in-part": {STORE}, **BURNS},
    ),
    "two vantages of which one is cut off": (
        [Seen(segments=calm(22)), Seen(segments=[*BEFORE, (OK, *[CUT_OFF] * 7)], vantage="uksouth")],
        {"probe-blind": {THERE}, **unsaved("uksouth")},
    ),
    "two vantages that both fail": (
        [Seen(segments=[*BEFORE, OUTAGE], vantage=v) for v in ("francecentral", "uksouth")],
        {
            "reads-failing": {STORE},
            "endpoint-down": {PRIMARY, SECONDARY},
            "geo-redundancy-lost": {STORE},
            **BURNS,
        },
    ),
    "two targets of which one fails": (
        [Seen(segments=calm(22)), Seen(segments=[*BEFORE, OUTAGE], target="orders")],
        {
            "reads-failing": {("orders",)},
            "endpoint-down": {("orders", "primary"), ("orders", "secondary")},
            "geo-redundancy-lost": {("orders",)},
            "slo-burn-fast": {("orders",)},
            "slo-burn-slow": {("orders",)},
        },
    ),
}


@pytest.mark.parametrize("name", TAPES)
def test_a_tape_fires_these_alerts_and_no_others(name):
    tape, expected = TAPES[name]
    workspace = Workspace(rows_of(tape))

    fired = {alert: rule.firing(workspace) for alert, rule in rules("default").items()}

    assert {alert: what for alert, what in fired.items() if what} == expected


def test_every_alert_fires_on_some_tape_and_is_quiet_on_another():
    alerts = set(rules("default"))

    assert alerts == {alert for _, fires in TAPES.values() for alert in fires}
    assert all(any(alert not in fires for _, fires in TAPES.values()) for alert in alerts)


def test_a_burn_is_measured_over_its_own_window_whatever_the_service_puts_in_sight():
    """With ago() in a query a rule may see two days: calm before the hour must not thin out its failures."""
    workspace = Workspace(rows_of([Seen(segments=[*calm(2160), OUTAGE])]))
    workspace.look_back(NOW - timedelta(days=2))

    (burning,) = workspace.run(rules("default")["slo-burn-fast"].query, NOW)

    assert burning["Ticks"] <= 60


def test_a_slower_schedule_alerts_on_the_same_outage():
    """The fleet ticks each five minutes: its windows and minimums still see an outage of half an hour."""
    tape = [
        Seen(segments=[*calm(10), OUTAGE], target="orders", vantage=v)
        for v in ("uksouth", "swedencentral", "ukwest")
    ]
    workspace = Workspace(rows_of(tape, 5 * MINUTE))

    fired = {alert for alert, rule in rules("fleet").items() if rule.firing(workspace)}

    assert fired == {
        "reads-failing",
        "endpoint-down",
        "geo-redundancy-lost",
        "slo-burn-fast",
        "slo-burn-slow",
        "probe-silent",
    }


def test_silence_names_each_missing_pair_of_target_and_vantage():
    tape = [
        Seen(segments=calm(15), target=target, vantage=vantage)
        for target in ("orders", "media-eu", "archive")
        for vantage in ("uksouth", "swedencentral", "ukwest")
        if (target, vantage) not in {("archive", "ukwest"), ("orders", "uksouth")}
    ]
    workspace = Workspace(rows_of(tape, 5 * MINUTE))

    quiet = rules("fleet")["probe-silent"].firing(workspace)

    assert quiet == {("archive", "ukwest"), ("orders", "uksouth")}
