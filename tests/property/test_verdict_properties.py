"""Verdicts and the report's document, whatever a tick has seen."""

import json
import re
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from probe.core.reading import Purpose
from probe.core.report import Result, TargetReport, TickReport, document, exit_code
from probe.core.target import Location, Policy, Target
from probe.core.verdict import EndpointVerdict, Evidence, TargetVerdict, judge
from tests.property import strategies
from tests.unit.core_values import PRIMARY, SECONDARY

CANARY = (Purpose.READ, Purpose.TRIAL, Purpose.CHECK)
PROMISED = {
    "": {"schema", "tick", "targets"},
    "tick": {
        "scheduled_at", "started_at", "duration_seconds", "lateness_seconds", "past_due", "vantage", "shard",
        "state_store",
    },
    "target": {
        "name", "verdict", "reason", "since", "redundancy", "incident", "events", "endpoints", "reads",
        "breaker", "transitions", "replication", "write",
    },
    "endpoint": {
        "url", "verdict", "reason", "since", "error_type", "status_code", "duration_seconds", "phases",
        "request_id", "canary_sequence", "canary_age_seconds",
    },
    "phases": {"dns", "connect", "tls", "ttfb", "transfer"},
    "read": {"served_by", "duration_seconds", "attempts"},
    "attempt": {
        "location", "outcome", "error_type", "status_code", "duration_seconds", "request_id",
        "client_request_id",
    },
    "breaker": {
        "state", "since", "moved_at", "reads_until_trial", "trial_at", "consecutive_failures",
        "secondary_reads", "forced",
    },
    "transition": {"from", "to", "reason", "at"},
    "replication": {
        "status", "last_sync_time", "recovery_point", "recovery_point_age_seconds", "within_rpo", "reason",
        "lag_seconds", "secondary_sequence", "secondary_delay_seconds",
    },
    "write": {"outcome", "error_type", "reason", "sequence", "duration_seconds", "request_id"},
}  # fmt: skip
MORE = {"tick": {"result", "reason"}, "target": {"maintenance_until", "skipped"}, "transition": {"figures"}}
"""What the document holds beyond the outline that it was promised by."""


@st.composite
def evidences(draw, *, geo=None):
    return Evidence(
        primary=draw(st.lists(strategies.readings(PRIMARY, CANARY), max_size=3)),
        secondary=draw(st.lists(strategies.readings(SECONDARY, CANARY), max_size=3)),
        reads=draw(st.lists(strategies.reads(), max_size=3)),
        ledger=draw(strategies.ledgers),
        replication=draw(strategies.replications),
        policy=Policy(),
        now=draw(strategies.times),
        alive=draw(st.booleans()),
        unwritten=draw(st.none() | st.just("not tried")),
        stats=draw(st.none() | strategies.readings(SECONDARY, (Purpose.STATS,))),
        geo=draw(st.booleans()) if geo is None else geo,
        stamped=draw(st.booleans()),
        cut_short=draw(st.booleans()),
    )


@st.composite
def target_reports(draw):
    geo = draw(st.booleans())
    evidence = draw(evidences(geo=geo))
    other = draw(st.lists(strategies.readings(PRIMARY, (Purpose.WRITE, Purpose.STATS)), max_size=2))
    return TargetReport(
        target=Target(name="t", primary="https://a", secondary="https://b" if geo else None),
        judgement=judge(evidence),
        reads=evidence.reads,
        readings=[*evidence.primary, *evidence.secondary, *other],
        breaker=draw(strategies.breakers_of_any_state),
        forced=draw(strategies.forcings),
        transitions=draw(st.lists(strategies.transitions, max_size=3)),
        replication=evidence.replication,
        written_sequence=draw(st.none() | st.integers(0, 99)),
        skipped=draw(st.sampled_from([(), ("read 3", "stats")])),
    )


tick_reports = st.builds(
    TickReport,
    scheduled_at=strategies.times,
    started_at=strategies.times,
    duration=strategies.durations,
    past_due=st.booleans(),
    vantage=strategies.words,
    shard=st.integers(0, 9),
    result=st.sampled_from(Result),
    targets=st.lists(target_reports(), max_size=2),
    state_store=st.sampled_from(["ok", "timeout"]),
    reason=st.none() | strategies.words,
)


@given(evidence=evidences())
def test_every_input_gets_a_verdict_with_a_reason_free_of_queries(evidence):
    found = judge(evidence)
    judged = [each for each in (found.primary, found.secondary, found.target) if each]

    assert (found.secondary is not None) == evidence.geo
    assert all(each.verdict in (*EndpointVerdict, *TargetVerdict) for each in judged)
    assert all(each.reason.strip() for each in judged)
    assert not any(re.search(r"\?\S*=|sig=", each.reason) for each in judged)


@given(evidence=evidences())
def test_a_healthy_verdict_has_nothing_to_hide(evidence):
    found = judge(evidence)
    for judged, side in ((found.primary, evidence.primary), (found.secondary, evidence.secondary)):
        if judged and judged.verdict is EndpointVerdict.HEALTHY:
            assert side
            assert all(each.ok and each.duration <= evidence.policy.slow_after for each in side)
    if found.target.verdict is TargetVerdict.OK:
        assert evidence.reads
        assert all(each.served_by is Location.PRIMARY for each in evidence.reads)


@given(report=tick_reports)
def test_the_document_of_any_tick_is_json_and_has_the_promised_keys(report):
    found = json.loads(json.dumps(document(report), allow_nan=False))
    parts = [("", found), ("tick", found["tick"])]
    for target in found["targets"]:
        parts += [("target", target), ("breaker", target["breaker"]), ("replication", target["replication"])]
        parts += [("endpoint", each) for each in target["endpoints"].values()]
        parts += [("phases", each["phases"]) for each in target["endpoints"].values()]
        parts += [("read", each) for each in target["reads"]]
        parts += [("attempt", each) for read in target["reads"] for each in read["attempts"]]
        parts += [("transition", each) for each in target["transitions"]]
        parts += [("write", target["write"])] if target["write"] else []

    for name, part in parts:
        assert set(part) == PROMISED[name] | MORE.get(name, set()), name


@given(report=tick_reports)
def test_every_tick_has_an_exit_code_and_0_only_when_all_was_served(report):
    code = exit_code(report)
    served = [read.served_by is not None for target in report.targets for read in target.reads]

    assert code in (0, 1, 3)
    assert code or all(served)
    assert report.lateness >= timedelta(0)
