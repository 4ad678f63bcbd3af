"""For each tape, exactly the alerts that fire on it: the rules as deployed, on rows as the exporter sends them."""

from datetime import timedelta

import pytest

from tests.infra.alerts import rules
from tests.infra.rows import Workspace
from tests.infra.tapes import Seen, rows_of

STORE = ("store",)
PRIMARY, SECONDARY = ("store", "primary"), ("store", "secondary")
HERE = ("store", "francecentral")
H, D, O, C, T = "healthy", "primary-down", "opening", "closing", "bad-trial"  # noqa: E741 - columns of a tape
OUTAGE, LAG, BLIND = "both-down", "lagging", "inconclusive"

# name: (the tape, what fires)
TAPES = {
    "all is well": ([Seen(ticks=[H] * 70)], {}),
    "no rows at all": ([], {"probe-silent": {HERE}}),
    "silent for twenty minutes": (
        [Seen(ticks=[H] * 50 + [None] * 20)],
        {"probe-silent": {HERE}},
    ),
    "three ticks missed": ([Seen(ticks=[H] * 60 + [None] * 3 + [H] * 5)], {}),
    "one of two targets silent, the other not ours": (
        [Seen(ticks=[H] * 70, target="other")],
        {"probe-silent": {HERE}},
    ),
    "a single failure in an hour, burning at 16.7 times": ([Seen(ticks=[H] * 62 + [OUTAGE] + [H] * 5)], {}),
    "a single failure, and little else to count": ([Seen(ticks=[None] * 60 + [H] * 2 + [OUTAGE] + [H])], {}),
    "both endpoints down for five minutes": (
        [Seen(ticks=[H] * 60 + [OUTAGE] * 6)],
        {
            "reads-failing": {STORE},
            "endpoint-down": {PRIMARY, SECONDARY},
            "slo-burn-fast": {STORE},
            "slo-burn-slow": {STORE},
        },
    ),
    "an outage that ended half an hour ago": (
        [Seen(ticks=[H] * 20 + [OUTAGE] * 10 + [H] * 40)],
        {"slo-burn-slow": {STORE}},
    ),
    "a slow burn: six failures in two days, the last an hour ago": (
        [Seen(ticks=([H] * 479 + [OUTAGE]) * 5 + [H] * 359 + [OUTAGE] + [H] * 60)],
        {"slo-burn-slow": {STORE}},
    ),
    "two failures in two days": ([Seen(ticks=([H] * 1300 + [OUTAGE]) * 2 + [H] * 20)], {}),
    "the primary down, reads rerouted": (
        [Seen(ticks=[H] * 40 + [O] + [D] * 19)],
        {"endpoint-down": {PRIMARY}, "rerouted": {STORE}},
    ),
    "the primary down for two minutes": ([Seen(ticks=[H] * 40 + [O, D, C] + [H] * 3)], {}),
    "a long outage with a bad trial every four minutes": (
        [Seen(ticks=[H] * 10 + [O] + [D, D, D, T] * 12)],
        {"endpoint-down": {PRIMARY}, "rerouted": {STORE}},
    ),
    "flapping: opened from closed four times in an hour": (
        [Seen(ticks=[H] * 10 + [O, C, *[H] * 10] * 4)],
        {"flapping": {HERE}},
    ),
    "opened twice in an hour": ([Seen(ticks=[H] * 30 + [O, C, *[H] * 10] * 2)], {}),
    "each of three vantages opened once": (
        [Seen(ticks=[H] * 40 + [O, C, *[H] * 20], vantage=v) for v in ("francecentral", "uksouth", "ukwest")],
        {},
    ),
    "the secondary behind the RPO": (
        [Seen(ticks=[H] * 50 + [LAG] * 5)],
        {"lag-over-rpo": {("store", "probe.replication.lag"), ("store", "probe.replication.last_sync.age")}},
    ),
    "one tick behind the RPO": ([Seen(ticks=[H] * 50 + [LAG] + [H] * 5)], {}),
    "the secondary's name gone": (
        [Seen(ticks=[H] * 50 + ["absent"] * 7)],
        {"geo-redundancy-lost": {SECONDARY}},
    ),
    "the secondary's name gone for two ticks": ([Seen(ticks=[H] * 50 + ["absent"] * 2 + [H] * 5)], {}),
    "the canary corrupt in four ticks of ten": (
        [Seen(ticks=[H] * 50 + ["corrupt", H, H] * 4)],
        {"canary-bad": {PRIMARY}},
    ),
    "the canary missing": (
        [Seen(ticks=[H] * 60 + ["missing"] * 4)],
        {"canary-bad": {PRIMARY}},
    ),
    "the canary corrupt once": ([Seen(ticks=[H] * 60 + ["corrupt"] + [H] * 5)], {}),
    "denied on both endpoints": (
        [Seen(ticks=[H] * 60 + ["denied"] * 6)],
        {
            "denied": {PRIMARY, SECONDARY},
            "reads-failing": {STORE},
            "slo-burn-fast": {STORE},
            "slo-burn-slow": {STORE},
        },
    ),
    "denied once": ([Seen(ticks=[H] * 60 + ["denied"] + [H] * 5)], {}),
    "the vantage cut off, so nothing is said of the account": (
        [Seen(ticks=[H] * 60 + [BLIND] * 7)],
        {"probe-blind": {HERE}},
    ),
    "cut off for two ticks": ([Seen(ticks=[H] * 60 + [BLIND] * 2 + [H] * 5)], {}),
    "two vantages of which one fails": (
        [Seen(ticks=[H] * 60 + [OUTAGE] * 6), Seen(ticks=[H] * 66, vantage="uksouth")],
        {"reads-failing-in-part": {STORE}, "slo-burn-fast": {STORE}, "slo-burn-slow": {STORE}},
    ),
    "two vantages that both fail": (
        [Seen(ticks=[H] * 60 + [OUTAGE] * 6, vantage=v) for v in ("francecentral", "uksouth")],
        {
            "reads-failing": {STORE},
            "endpoint-down": {PRIMARY, SECONDARY},
            "slo-burn-fast": {STORE},
            "slo-burn-slow": {STORE},
        },
    ),
    "two targets of which one fails": (
        [Seen(ticks=[H] * 66), Seen(ticks=[H] * 60 + [OUTAGE] * 6, target="orders")],
        {
            "reads-failing": {("orders",)},
            "endpoint-down": {("orders", "primary"), ("orders", "secondary")},
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


def test_a_slower_schedule_alerts_on_the_same_outage():
    """The fleet ticks each five minutes: its windows and minimums still see an outage of half an hour."""
    tape = [
        Seen(ticks=[H] * 12 + [OUTAGE] * 6, target="orders", vantage=vantage)
        for vantage in ("uksouth", "swedencentral", "ukwest")
    ]
    workspace = Workspace(rows_of(tape, timedelta(minutes=5)))

    fired = {alert for alert, rule in rules("fleet").items() if rule.firing(workspace)}

    assert fired == {"reads-failing", "endpoint-down", "slo-burn-fast", "slo-burn-slow", "probe-silent"}


def test_silence_names_each_missing_pair_of_target_and_vantage():
    tape = [
        Seen(ticks=[H] * 18, target=target, vantage=vantage)
        for target in ("orders", "media-eu", "archive")
        for vantage in ("uksouth", "swedencentral", "ukwest")
        if (target, vantage) not in {("archive", "ukwest"), ("orders", "uksouth")}
    ]
    workspace = Workspace(rows_of(tape, timedelta(minutes=5)))

    silent = rules("fleet")["probe-silent"].firing(workspace)

    assert silent == {("archive", "ukwest"), ("orders", "uksouth")}
