"""The wire to Azure Monitor: what the real exporter sends, as the ingestion endpoint takes it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from probe.adapters.telemetry import catalogue
from probe.lab.telemetry import capture, tapes
from tests.telemetry.conftest import reports, taken

GOLDEN = Path(__file__).parent / "golden"
type Envelope = dict[str, Any]


def base(envelope: Envelope) -> dict[str, Any]:
    return envelope["data"]["baseData"]


def of_type(envelopes: list[Envelope], base_type: str) -> list[Envelope]:
    return [each for each in envelopes if each["data"]["baseType"] == base_type]


def everything() -> list[Envelope]:
    return [each for name in tapes.TAPES for tick in taken(name) for each in tick.envelopes]


@pytest.mark.parametrize("name", capture.GOLDEN)
def test_what_is_sent_is_what_the_golden_file_shows(name: str):
    sent = [each for tick in capture.GOLDEN[name] for each in capture.settled(taken(name)[tick])]

    golden = (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
    assert capture.text(sent) == golden, (
        "`python -m probe.lab.telemetry.capture` writes the golden files anew"
    )


def test_there_is_no_golden_file_that_no_tape_makes():
    assert {each.stem for each in GOLDEN.glob("*.json")} == set(capture.GOLDEN)


def test_the_base_types_are_those_promised():
    assert {each["data"]["baseType"] for each in everything()} == {
        "AvailabilityData",
        "MetricData",
        "EventData",
        "RemoteDependencyData",
    }


def test_a_red_dot_leads_to_the_failed_attempts_by_its_operation_id():
    sent = taken("failing_primary")[2].envelopes
    red = next(each for each in of_type(sent, "AvailabilityData") if not base(each)["success"])

    operation = red["tags"]["ai.operation.id"]
    attempts = [
        base(each)
        for each in of_type(sent, "RemoteDependencyData")
        if each["tags"]["ai.operation.id"] == operation and base(each)["type"] == "HTTP"
    ]
    assert len(attempts) == 7
    assert {each["properties"]["probe.error.type"] for each in attempts} == {"503"}


def test_attempts_hang_under_the_tick_and_the_tick_under_the_invocation():
    sent = of_type(taken("failing_primary")[2].envelopes, "RemoteDependencyData")
    (tick,) = [each for each in sent if base(each)["name"] == "probe tick"]
    attempts = [each for each in sent if each is not tick]

    assert {each["tags"]["ai.operation.parentId"] for each in attempts} == {base(tick)["id"]}
    parent = capture.parent(2).traceparent.split("-")
    assert tick["tags"]["ai.operation.id"] == parent[1]
    assert tick["tags"]["ai.operation.parentId"] == parent[2]


def test_every_row_of_a_tick_that_can_carry_the_invocation_s_trace_does():
    for number, tick in enumerate(taken("failing_primary")):
        tied = [each for each in tick.envelopes if each["data"]["baseType"] != "MetricData"]

        trace = capture.parent(number).traceparent.split("-")[1]
        assert {each["tags"]["ai.operation.id"] for each in tied} == {trace}


def test_results_of_a_tick_that_is_not_traced_hang_under_the_invocation_itself():
    sent = of_type(taken("healthy")[1].envelopes, "AvailabilityData")

    span = capture.parent(1).traceparent.split("-")[2]
    assert {each["tags"]["ai.operation.parentId"] for each in sent} == {span}


async def test_a_tick_without_an_invocation_has_a_trace_of_its_own():
    (tick,) = await capture.azure_monitor(reports("healthy")[1:2], parents=False)

    traces = {each["tags"]["ai.operation.id"] for each in of_type(tick.envelopes, "AvailabilityData")}
    assert len(traces) == 1
    assert re.fullmatch("(?!0{32})[0-9a-f]{32}", traces.pop())


def test_every_availability_result_is_whole():
    for each in of_type(everything(), "AvailabilityData"):
        data = base(each)

        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{7}", data["duration"])
        assert data["runLocation"] == "francecentral"
        assert isinstance(data["success"], bool)
        assert data["id"]
        assert ": " in data["message"]


def test_ids_of_availability_results_are_never_the_same():
    ids = [base(each)["id"] for each in of_type(everything(), "AvailabilityData")]

    assert len(ids) == len(set(ids))


def test_no_row_is_sent_twice():
    for name in tapes.TAPES:
        for tick in taken(name):
            series = [
                (base(each)["metrics"][0]["name"], *sorted(base(each)["properties"].items()))
                for each in of_type(tick.envelopes, "MetricData")
            ]

            assert len(series) == len(set(series)), name


def test_a_gauge_of_an_earlier_tick_is_not_sent_again():
    last = of_type(taken("recovery")[-1].envelopes, "MetricData")

    up = [base(each) for each in last if base(each)["metrics"][0]["name"] == "probe.endpoint.up"]
    assert [each["properties"]["probe.verdict"] for each in up] == ["healthy", "healthy"]


def test_counters_are_sums_of_their_tick_and_not_since_the_start():
    reads = [
        base(each)["metrics"][0]["value"]
        for each in of_type(taken("failing_primary")[3].envelopes, "MetricData")
        if base(each)["metrics"][0]["name"] == "probe.reads"
    ]

    assert reads == [5]


def test_what_is_summed_up_while_all_is_well_arrives_with_the_next_tick_that_is_not():
    attempts = [
        sum(
            base(each)["metrics"][0]["value"]
            for each in of_type(tick.envelopes, "MetricData")
            if base(each)["metrics"][0]["name"] == "probe.attempts"
        )
        for tick in taken("failing_primary")
    ]
    made = [len(each.targets[0].readings) for each in reports("failing_primary")]

    assert attempts == [made[0], 0, made[1] + made[2], made[3]]


async def test_what_is_summed_up_while_all_is_well_arrives_after_five_minutes_at_the_latest():
    calm = await tapes.play((tapes.Scene(),) * 12)
    sent = await capture.azure_monitor(calm)

    ticks = [
        number
        for number, tick in enumerate(sent)
        if any("probe.reads" in json.dumps(each) for each in tick.envelopes)
    ]
    assert ticks == [0, 5, 10]


def test_every_metric_of_the_catalogue_arrives_and_none_else():
    sent = {base(each)["metrics"][0]["name"] for each in of_type(everything(), "MetricData")}

    lost = {catalogue.TELEMETRY_LOST.name}  # test_backends loses telemetry and finds this one
    assert sent == {each.name for each in catalogue.METRICS} - lost


@pytest.mark.parametrize(
    "metric",
    [each for each in catalogue.METRICS if each is not catalogue.TELEMETRY_LOST],
    ids=lambda m: m.name,
)
def test_every_attribute_of_a_metric_arrives_and_none_else(metric: catalogue.Metric):
    sent = [
        base(each)["properties"]
        for each in of_type(everything(), "MetricData")
        if base(each)["metrics"][0]["name"] == metric.name
    ]

    assert {key for each in sent for key in each} == set(metric.attributes)


@pytest.mark.parametrize("entry", catalogue.AVAILABILITY, ids=["endpoint", "reads", "alarm"])
def test_every_attribute_and_measurement_of_a_result_arrives_and_none_else(entry: catalogue.Entry):
    sent = [
        base(each)
        for each in of_type(everything(), "AvailabilityData")
        if catalogue.result_of(base(each)["name"]) is entry
    ]

    assert {key for each in sent for key in each["properties"]} == {*entry.attributes, "logger_name"}
    assert {key for each in sent for key in each["measurements"]} == set(entry.measurements)


@pytest.mark.parametrize("entry", catalogue.EVENTS, ids=lambda entry: entry.name)
def test_every_attribute_of_an_event_arrives_and_none_else(entry: catalogue.Entry):
    sent = [base(each) for each in of_type(everything(), "EventData") if base(each)["name"] == entry.name]

    assert {key for each in sent for key in each["properties"]} == {*entry.attributes, "logger_name"}
    assert all(bool(each["measurements"]) == bool(entry.measurements) for each in sent)


def test_no_event_arrives_that_the_catalogue_does_not_have():
    sent = {base(each)["name"] for each in of_type(everything(), "EventData")}

    assert sent == {each.name for each in catalogue.EVENTS}


def test_every_attribute_of_an_attempt_arrives_as_a_dimension_or_as_a_field_of_the_dependency():
    sent = [base(each) for each in of_type(everything(), "RemoteDependencyData")]
    attempts = [each for each in sent if each["type"] == "HTTP"]

    fields = {
        "error.type",
        "http.request.method",
        "http.response.status_code",
        "server.address",
        "server.port",
        "url.full",
    }
    dimensions = {key for each in attempts for key in each["properties"]}
    assert dimensions | fields == set(catalogue.ATTEMPT_SPAN.attributes)
    assert {each["name"].split()[0] for each in attempts} == {"GET", "PUT"}
    assert {each["resultCode"] for each in attempts} == {"0", "200", "403", "404", "503"}
    assert {each["target"] for each in attempts} == {
        "orders.blob.core.windows.net:443",
        "orders-secondary.blob.core.windows.net:443",
    }
    assert not any("?" in each["data"] for each in attempts)


def test_every_attribute_of_a_tick_s_span_arrives_and_none_else():
    sent = [base(each) for each in of_type(everything(), "RemoteDependencyData")]
    ticks = [each for each in sent if each["type"] == "InProc"]

    reason = {"probe.reason"}  # only of a tick that failed or was cut short
    assert {key for each in ticks for key in each["properties"]} == {*catalogue.TICK_SPAN.attributes} - reason


def test_a_row_says_which_app_and_instance_it_is_from():
    roles = {(each["tags"]["ai.cloud.role"], each["tags"]["ai.cloud.roleInstance"]) for each in everything()}

    assert roles == {("probe-francecentral", "0--instance")}
