"""The report's JSON document: names, units and nulls are an outward contract, and so are the exit codes."""

import json
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from probe.core import report as reports
from probe.core.breaker import Breaker, State, Transition, Trigger
from probe.core.reading import Phases, Purpose
from probe.core.replication import Ledger, Replication, SyncStatus
from probe.core.report import Result, TargetReport, TickReport, document, exit_code
from probe.core.target import Forced, Policy, Target
from probe.core.times import seconds, time_text
from probe.core.verdict import (
    EndpointJudgement,
    EndpointVerdict,
    Evidence,
    Judgement,
    TargetJudgement,
    TargetVerdict,
    judge,
)
from tests.unit.core_values import NOON, PRIMARY, SECONDARY, at, read, reading, s, stamped

GEO = Target(name="orders", primary="https://a.example", secondary="https://b.example")
ZONAL = replace(GEO, secondary=None)
WAITING = replace(GEO, policy=Policy(cooldown=s(60)))
WRITE = reading(PRIMARY, purpose=Purpose.WRITE, took=0.03)
SHOWING = reading(PRIMARY, canary=stamped(7, -0.2), took=0.01, status_code=200, phases=Phases(dns=s(0.001)))
SECOND = reading(SECONDARY, "dns", took=0.002)


def target_report(target: Target = GEO, **more) -> TargetReport:
    geo = target.secondary is not None
    evidence = Evidence(
        primary=[SHOWING],
        secondary=[SECOND] if geo else [],
        reads=[read(SHOWING)],
        ledger=Ledger(),
        replication=Replication(),
        policy=Policy(),
        now=at(1),
        geo=geo,
    )
    values = {
        "target": target,
        "judgement": judge(evidence),
        "reads": [read(SHOWING)],
        "readings": [WRITE, SHOWING, SECOND, reading(SECONDARY, purpose=Purpose.STATS)],
        "breaker": Breaker(since=NOON, consecutive_failures=2),
        "forced": None,
        "transitions": (),
        "replication": Replication(),
        "written_sequence": 7,
    }
    return TargetReport(**(values | more))


def tick(*targets: TargetReport, **more) -> TickReport:
    values = {
        "scheduled_at": NOON,
        "started_at": at(0.25),
        "duration": s(0.4),
        "past_due": False,
        "vantage": "local",
        "shard": 0,
        "result": Result.COMPLETED,
        "targets": targets,
    }
    return TickReport(**(values | more))


def verdicts(target: TargetVerdict, primary=EndpointVerdict.HEALTHY, secondary=None) -> TargetReport:
    judgement = Judgement(
        primary=EndpointJudgement(verdict=primary, reason="r"),
        secondary=secondary and EndpointJudgement(verdict=secondary, reason="r"),
        target=TargetJudgement(verdict=target, reason="r"),
    )
    return target_report(GEO if secondary else ZONAL, judgement=judgement)


def test_the_document_is_what_was_promised():
    transition = Transition(
        from_state=State.CLOSED,
        to_state=State.OPEN,
        trigger=Trigger.TRIPPED,
        reason="why",
        at=at(0.3),
        epoch=1,
        figures={"samples": 5},
    )
    found = document(
        tick(
            target_report(
                transitions=[transition],
                forced=Forced(location=SECONDARY, until=at(60)),
                skipped=("stats",),
                replication=Replication(
                    status=SyncStatus.LIVE,
                    last_sync_time=at(-1),
                    recovery_point=at(-1),
                    recovery_point_age=s(1),
                    lag=s(0),
                    within_rpo=True,
                ),
            )
        )
    )

    assert json.loads(json.dumps(found)) == {
        "schema": 2,
        "tick": {
            "scheduled_at": "2026-03-01T12:00:00.000000Z",
            "started_at": "2026-03-01T12:00:00.250000Z",
            "duration_seconds": 0.4,
            "lateness_seconds": 0.25,
            "past_due": False,
            "vantage": "local",
            "shard": 0,
            "result": "completed",
            "reason": None,
            "state_store": "ok",
        },
        "targets": [
            {
                "name": "orders",
                "verdict": "ok",
                "reason": "1 of 1 reads were served by the primary",
                "since": None,
                "redundancy": {
                    "verdict": "unprotected",
                    "reason": "its name does not resolve while the primary answers: "
                    "the account lost its geo-redundancy, or it failed over",
                    "since": None,
                },
                "incident": None,
                "maintenance_until": None,
                "events": [],
                "endpoints": {
                    "primary": {
                        "url": "https://a.example/health-probe/HelloWorld.png",
                        "verdict": "healthy",
                        "reason": "1 of 1 attempts served, the slowest in 10 ms",
                        "since": None,
                        "error_type": None,
                        "status_code": 200,
                        "duration_seconds": 0.01,
                        "phases": dict.fromkeys(("connect", "tls", "ttfb", "transfer")) | {"dns": 0.001},
                        "request_id": "0a1b",
                        "canary_sequence": 7,
                        "canary_age_seconds": 0.21,
                    },
                    "secondary": {
                        "url": "https://b.example/health-probe/HelloWorld.png",
                        "verdict": "absent",
                        "reason": "its name does not resolve while the primary answers: "
                        "the account lost its geo-redundancy, or it failed over",
                        "since": None,
                        "error_type": "dns",
                        "status_code": None,
                        "duration_seconds": 0.002,
                        "phases": dict.fromkeys(("dns", "connect", "tls", "ttfb", "transfer")),
                        "request_id": None,
                        "canary_sequence": None,
                        "canary_age_seconds": None,
                    },
                },
                "reads": [
                    {
                        "served_by": "primary",
                        "duration_seconds": 0.01,
                        "attempts": [
                            {
                                "location": "primary",
                                "outcome": "success",
                                "error_type": None,
                                "status_code": 200,
                                "duration_seconds": 0.01,
                                "request_id": "0a1b",
                                "client_request_id": None,
                            }
                        ],
                    }
                ],
                "breaker": {
                    "state": "closed",
                    "since": "2026-03-01T12:00:00.000000Z",
                    "moved_at": None,
                    "reads_until_trial": None,
                    "trial_at": None,
                    "consecutive_failures": 2,
                    "secondary_reads": 0,
                    "forced": {"location": "secondary", "until": "2026-03-01T12:01:00.000000Z"},
                },
                "transitions": [
                    {
                        "from": "closed",
                        "to": "open",
                        "reason": "why",
                        "at": "2026-03-01T12:00:00.300000Z",
                        "figures": {"samples": 5},
                    }
                ],
                "replication": {
                    "status": "live",
                    "last_sync_time": "2026-03-01T11:59:59.000000Z",
                    "recovery_point": "2026-03-01T11:59:59.000000Z",
                    "recovery_point_age_seconds": 1.0,
                    "within_rpo": True,
                    "reason": None,
                    "lag_seconds": 0.0,
                    "secondary_sequence": None,
                    "secondary_delay_seconds": None,
                },
                "write": {
                    "outcome": "success",
                    "error_type": None,
                    "reason": None,
                    "sequence": 7,
                    "duration_seconds": 0.03,
                    "request_id": "0a1b",
                },
                "skipped": ["stats"],
            }
        ],
    }


def test_what_is_unknown_is_null_and_never_zero():
    found = reports.target_document(target_report(ZONAL, readings=[SHOWING]))

    assert set(found["endpoints"]) == {"primary"}
    assert found["write"] is None
    assert set(found["replication"].values()) == {None}
    assert found["breaker"]["forced"] is None


def test_an_endpoint_that_was_not_measured_has_nulls():
    found = reports.target_document(verdicts(TargetVerdict.INCONCLUSIVE, EndpointVerdict.INCONCLUSIVE))

    primary = found["endpoints"]["primary"]
    known = {key for key, value in primary.items() if value is not None}
    assert known == {"url", "verdict", "reason", "phases"}
    assert set(primary["phases"].values()) == {None}


def test_a_canary_of_a_clock_ahead_of_ours_is_not_younger_than_nothing():
    ahead = reading(PRIMARY, canary=stamped(1, 60))
    judgement = replace(
        target_report().judgement,
        primary=EndpointJudgement(verdict=EndpointVerdict.HEALTHY, reason="r", reading=ahead),
    )

    found = reports.target_document(target_report(judgement=judgement))
    assert found["endpoints"]["primary"]["canary_age_seconds"] == 0.0


def test_a_read_that_nobody_served_says_none():
    assert reports.read_document(read(reading(PRIMARY, "503")))["served_by"] == "none"


def test_a_target_report_finds_its_write_and_its_readings_by_location():
    found = target_report()

    assert found.write is WRITE
    assert found.at(PRIMARY) == [SHOWING]
    assert found.at(SECONDARY) == [SECOND]
    assert found.verdicts == ("ok", "healthy", "absent")
    assert target_report(ZONAL).verdicts == ("ok", "healthy", None)


def test_a_tick_that_started_early_was_not_late():
    assert tick(started_at=at(-1)).lateness == timedelta(0)


@pytest.mark.parametrize(
    ("report", "code"),
    [
        pytest.param(tick(), 0, id="no-targets"),
        pytest.param(tick(verdicts(TargetVerdict.OK)), 0, id="ok"),
        pytest.param(
            tick(verdicts(TargetVerdict.REROUTED, EndpointVerdict.DOWN)), 0, id="rerouted-is-served"
        ),
        pytest.param(
            tick(verdicts(TargetVerdict.OK, secondary=EndpointVerdict.ABSENT)), 0, id="absent-is-served"
        ),
        pytest.param(tick(verdicts(TargetVerdict.OK), state_store="timeout"), 0, id="store-down-but-served"),
        pytest.param(tick(verdicts(TargetVerdict.UNAVAILABLE)), 1, id="unavailable"),
        pytest.param(
            tick(verdicts(TargetVerdict.REROUTED, EndpointVerdict.CORRUPT)), 1, id="primary-corrupt"
        ),
        pytest.param(
            tick(verdicts(TargetVerdict.OK, secondary=EndpointVerdict.CORRUPT)), 1, id="secondary-corrupt"
        ),
        pytest.param(tick(verdicts(TargetVerdict.INCONCLUSIVE)), 3, id="inconclusive"),
        pytest.param(
            tick(verdicts(TargetVerdict.INCONCLUSIVE), verdicts(TargetVerdict.UNAVAILABLE)),
            1,
            id="an-outage-outranks-doubt",
        ),
        pytest.param(
            tick(verdicts(TargetVerdict.OK), verdicts(TargetVerdict.UNAVAILABLE)), 1, id="any-target"
        ),
        pytest.param(tick(verdicts(TargetVerdict.OK), result=Result.CUT_SHORT), 0, id="cut-short-but-served"),
        pytest.param(tick(result=Result.FAILED), 3, id="failed"),
        pytest.param(tick(result=Result.SKIPPED), 3, id="skipped"),
        pytest.param(
            tick(verdicts(TargetVerdict.UNAVAILABLE), result=Result.FAILED), 3, id="failed-outranks"
        ),
    ],
)
def test_the_exit_code_of_a_tick(report, code):
    assert exit_code(report) == code


def test_a_duration_is_in_seconds_to_the_microsecond():
    assert seconds(timedelta(minutes=1, microseconds=1)) == 60.000001
    assert seconds(None) is None


def test_a_time_is_written_in_utc_whatever_its_zone():
    assert time_text(NOON.astimezone(timezone(timedelta(hours=-5)))) == "2026-03-01T12:00:00.000000Z"


@pytest.mark.parametrize(
    ("target", "forced", "reads", "trial_at"),
    [
        pytest.param(WAITING, None, 13, "2026-03-01T12:02:00.000000Z", id="it-routes"),
        pytest.param(WAITING, Forced(location=SECONDARY, until=at(60)), None, None, id="forced"),
        pytest.param(replace(WAITING, secondary=None), None, None, None, id="no-secondary"),
    ],
)
def test_the_breaker_says_what_it_waits_for_where_it_routes(target, forced, reads, trial_at):
    breaker = Breaker(state=State.OPEN, since=NOON, moved_at=at(60), epoch=3, secondary_reads=7)

    found = reports.breaker_document(breaker, target, forced)

    assert (found["since"], found["moved_at"]) == (
        "2026-03-01T12:00:00.000000Z",
        "2026-03-01T12:01:00.000000Z",
    )
    assert (found["reads_until_trial"], found["trial_at"]) == (reads, trial_at)
