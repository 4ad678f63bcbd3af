"""Signals: what a tick has to tell, from its report alone."""

from dataclasses import replace
from datetime import timedelta

import pytest

from probe.adapters.telemetry import catalogue
from probe.adapters.telemetry.settings import Traces
from probe.adapters.telemetry.signals import Signals, signals
from probe.core.reading import Purpose
from probe.lab.telemetry.tapes import TAPES
from tests.telemetry.conftest import reports


def told(tape: str, tick: int = -1, traces: Traces = Traces.FAILURES) -> Signals:
    return signals(reports(tape)[tick], traces)


def values(found: Signals, metric: catalogue.Metric) -> list[float]:
    return [each.value for each in found.measurements if each.metric is metric]


def test_a_healthy_tick_says_that_both_endpoints_and_the_reads_are_up():
    found = told("healthy")

    assert [(each.name, each.success) for each in found.results] == [
        ("orders primary", True),
        ("orders secondary", True),
        ("orders reads", True),
    ]


def test_a_primary_that_is_down_fails_its_own_result_and_not_the_reads():
    found = told("failing_primary", 2)

    assert [(each.name, each.success) for each in found.results] == [
        ("orders primary", False),
        ("orders secondary", True),
        ("orders reads", True),
        ("orders primary down", False),
    ]


def test_reads_that_nobody_serves_fail_the_reads_result():
    found = told("both_down")

    assert [(each.name, each.success) for each in found.results] == [
        ("orders primary", False),
        ("orders secondary", False),
        ("orders reads", False),
        ("orders primary down", False),
        ("orders secondary down", False),
        ("orders reads failing", False),
    ]
    assert found.results[2].measurements["served_by_none"] == 5


def test_a_declared_maintenance_is_measured_and_shown_and_alarms_nobody():
    found = told("maintained", 1)

    assert [(each.name, each.success) for each in found.results] == [
        ("orders primary", False),
        ("orders secondary", False),
        ("orders reads", False),
    ]
    assert found.results[2].attributes["probe.maintenance.until"] == "2026-01-16T12:00:00.000000Z"
    assert values(found, catalogue.MAINTENANCE) == [1]


def test_outside_of_a_maintenance_nothing_is_said_of_it():
    found = told("both_down")

    assert values(found, catalogue.MAINTENANCE) == []
    assert all("probe.maintenance.until" not in each.attributes for each in found.results)


def test_an_inconclusive_tick_claims_neither_an_outage_nor_health():
    found = told("blind")

    assert found.results == ()
    assert values(found, catalogue.ENDPOINT_UP) == []
    assert values(found, catalogue.INCONCLUSIVE) == [1, 1, 1]


def test_a_denied_endpoint_is_not_up_but_the_reads_are_inconclusive():
    found = told("denied")

    assert [(each.name, each.success) for each in found.results] == [
        ("orders primary", False),
        ("orders secondary", False),
    ]
    assert values(found, catalogue.INCONCLUSIVE) == [1]


def test_a_result_s_message_is_the_verdict_with_its_reason():
    found = told("corrupt_canary")

    assert found.results[0].message.startswith("corrupt: digest")


def test_an_endpoint_s_result_has_the_phases_of_connecting_though_a_later_attempt_is_judged():
    found = told("healthy")

    assert {"dns", "connect", "tls", "ttfb", "transfer"} <= set(found.results[0].measurements)


def test_lag_is_measured_on_the_secondary_alone():
    found = told("lagging_secondary")

    assert "lag" not in found.results[0].measurements
    assert found.results[1].measurements["lag"] > 900
    assert found.results[1].measurements["last_sync_age"] > 900


def test_a_lag_that_is_unknown_is_absent_and_not_zero():
    report = reports("healthy")[1]
    unknown = replace(report.targets[0].replication, lag=None, recovery_point_age=None, status=None)
    found = signals(replace(report, targets=[replace(report.targets[0], replication=unknown)]), Traces.OFF)

    assert values(found, catalogue.REPLICATION_LAG) == []
    assert values(found, catalogue.LAST_SYNC_AGE) == []
    assert "lag" not in found.results[1].measurements


def test_a_target_without_a_secondary_tells_nothing_of_one():
    report = reports("healthy")[1]
    target = report.targets[0]
    alone = replace(
        target,
        target=replace(target.target, secondary=None),
        judgement=replace(target.judgement, secondary=None),
        readings=[each for each in target.readings if each.location == "primary"],
    )
    found = signals(replace(report, targets=[alone]), Traces.ALL)

    assert [each.name for each in found.results] == ["orders primary", "orders reads"]
    assert {each.attributes.get("probe.location", "primary") for each in found.measurements} == {"primary"}


@pytest.mark.parametrize("tape", TAPES)
def test_no_url_has_a_query(tape: str):
    spans = [span for report in reports(tape) for span in signals(report, Traces.ALL).attempts]

    assert spans or tape == "none"
    assert not any("?" in str(each.attributes["url.full"]) for each in spans)


@pytest.mark.parametrize(
    ("tape", "traces", "spans"),
    [
        pytest.param("healthy", Traces.OFF, 0, id="off: none"),
        pytest.param("healthy", Traces.FAILURES, 0, id="failures, all well: none"),
        pytest.param("healthy", Traces.ALL, 9, id="all: 2 looks, write, 5 reads, stats"),
        pytest.param("failing_primary", Traces.OFF, 0, id="off while the primary fails: none"),
        pytest.param("failing_primary", Traces.FAILURES, 2, id="failures: the write and the check"),
        pytest.param("failing_primary", Traces.ALL, 9, id="all while the primary fails"),
    ],
)
def test_traces_say_which_attempts_become_spans(tape: str, traces: Traces, spans: int):
    found = told(tape, traces=traces)

    assert len(found.attempts) == spans
    assert (found.tick is not None) == (spans > 0)


def test_a_failed_attempt_s_span_carries_its_reason_its_phases_and_the_service_s_request_id():
    span = told("failing_primary").attempts[1]

    assert span.attributes["error.type"] == span.attributes["probe.error.type"] == "503"
    assert span.attributes["azure.service.request.id"]
    assert span.attributes["http.response.status_code"] == 503
    assert span.error == "Server is busy"
    assert span.measurements["ttfb"] == 0.006


def test_an_attempt_without_an_answer_has_no_status_and_no_request_id():
    span = told("silent_primary").attempts[0]

    assert "http.response.status_code" not in span.attributes
    assert "azure.service.request.id" not in span.attributes


def test_stats_are_asked_at_the_service_s_url():
    spans = told("healthy", traces=Traces.ALL).attempts

    stats = [each for each in spans if each.attributes["probe.purpose"] == Purpose.STATS]
    assert [each.attributes["url.full"] for each in stats] == [
        "https://orders-secondary.blob.core.windows.net/"
    ]


def test_a_change_of_verdict_is_an_event_for_each_subject_that_changed():
    found = told("failing_primary", 2)

    changes = [each for each in found.events if each.name == "VerdictChanged"]
    assert [
        (each.attributes.get("probe.location"), each.attributes["probe.from"], each.attributes["probe.to"])
        for each in changes
    ] == [(None, "ok", "rerouted"), ("primary", "healthy", "down")]


def test_the_first_tick_of_a_target_changes_nothing():
    assert told("healthy", 0).events == ()


def test_a_transition_is_an_event_with_the_figures_that_caused_it():
    found = told("failing_primary", 2)

    (event,) = [each for each in found.events if each.name == "BreakerTransition"]
    assert (event.attributes["probe.from"], event.attributes["probe.to"]) == ("closed", "open")
    assert event.measurements["consecutive_failures"] == 5


def test_a_skipped_tick_is_counted_and_its_duration_is_not():
    found = told("twice")

    assert [(each.metric.name, each.attributes["probe.result"]) for each in found.measurements] == [
        ("probe.ticks", "skipped")
    ]


def test_failures_of_the_state_store_are_counted_by_operation():
    found = told("blind")

    counted = [each.attributes for each in found.measurements if each.metric is catalogue.STATE_ERRORS]
    assert [(each["probe.operation"], each["error.type"]) for each in counted] == [
        ("load", "refused"),
    ]


def test_a_corrupt_canary_is_counted_by_what_is_wrong_with_it():
    found = told("corrupt_canary")

    counted = [each for each in found.measurements if each.metric is catalogue.CANARY_FAILURES]
    assert {each.attributes["error.type"] for each in counted} == {"digest"}


def test_calm_are_the_ticks_in_which_nothing_happened():
    calm = {tape for tape in TAPES if [each.calm for each in reports(tape)[-1].targets] == [True]}

    assert calm == {"healthy", "recovery"}


def test_the_reads_result_takes_as_long_as_the_slowest_read():
    report = reports("failing_primary")[2]
    found = signals(report, Traces.OFF)

    slowest = max(each.duration for each in report.targets[0].reads)
    assert found.results[2].duration == slowest > timedelta(milliseconds=200)
