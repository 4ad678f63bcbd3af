"""The wire to an OTLP collector: decoded with the protocol's own classes."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from probe.adapters import telemetry
from probe.adapters.telemetry import catalogue
from probe.adapters.telemetry.catalogue import Kind
from probe.core.errors import ConfigurationError
from probe.lab.telemetry import capture, tapes
from probe.lab.telemetry.ingestion import Ingestion, Mode, refusing_url
from tests.telemetry.conftest import reports, run


@cache
def bodies(name: str) -> dict[str, list[bytes]]:
    return run(capture.otlp(reports(name)))


def metrics(name: str) -> Iterator[Any]:
    for body in bodies(name)["/v1/metrics"]:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                yield from scope.metrics


def records(name: str) -> Iterator[Any]:
    for body in bodies(name)["/v1/logs"]:
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
            for scope in resource.scope_logs:
                yield from scope.log_records


def spans(name: str) -> Iterator[Any]:
    for body in bodies(name)["/v1/traces"]:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                yield from scope.spans


def attributes(holder: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes}


def points(metric: Any) -> list[Any]:
    return list(getattr(metric, metric.WhichOneof("data")).data_points)


def test_every_metric_of_the_catalogue_arrives_with_its_unit_kind_and_attributes():
    found: dict[str, tuple[str, str, set[str]]] = {}
    for name in tapes.TAPES:
        for each in metrics(name):
            kind = {"sum": "counter"}.get(each.WhichOneof("data"), each.WhichOneof("data"))
            keys = {key for point in points(each) for key in attributes(point)}
            found.setdefault(each.name, (kind, each.unit, set()))[2].update(keys)

    expected = [each for each in catalogue.METRICS if each is not catalogue.TELEMETRY_LOST]
    assert found == {each.name: (each.kind, each.unit, set(each.attributes)) for each in expected}


def test_counters_and_histograms_are_deltas():
    temporalities = {
        getattr(each, each.WhichOneof("data")).aggregation_temporality
        for each in metrics("failing_primary")
        if each.WhichOneof("data") != "gauge"
    }

    assert temporalities == {AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA}


def test_histograms_have_the_catalogue_s_buckets():
    bounds = {
        each.name: tuple(points(each)[0].explicit_bounds)
        for each in metrics("failing_primary")
        if each.WhichOneof("data") == "histogram"
    }

    assert bounds == {each.name: each.buckets for each in catalogue.METRICS if each.kind is Kind.HISTOGRAM}


def test_availability_results_and_events_are_log_records_with_a_name():
    found = [each.event_name for each in records("failing_primary")]

    assert found.count("AvailabilityResult") == 14
    assert found.count("BreakerTransition") == 1
    assert found.count("VerdictChanged") == 2


def test_an_availability_result_carries_all_that_azure_monitor_asks_for():
    results = [attributes(each) for each in records("healthy")]

    for each in results:
        assert {
            "microsoft.availability.id",
            "microsoft.availability.name",
            "microsoft.availability.duration",
            "microsoft.availability.success",
            "microsoft.availability.runLocation",
            "microsoft.availability.message",
        } <= set(each)


def test_spans_and_records_of_a_tick_share_the_invocation_s_trace():
    trace = capture.parent(2).traceparent.split("-")[1]

    found = [each for each in spans("failing_primary") if each.trace_id.hex() == trace]
    tied = [each for each in records("failing_primary") if each.trace_id.hex() == trace]
    assert len(found) == 8
    assert len(tied) == 7


def test_attempts_are_client_spans_under_the_tick_s_and_failed_ones_say_why():
    found = list(spans("failing_primary"))
    tick = next(each for each in found if each.name == "probe tick")
    attempts = [each for each in found if each.trace_id == tick.trace_id and each is not tick]

    assert tick.kind == Span.SPAN_KIND_INTERNAL
    assert {each.parent_span_id for each in attempts} == {tick.span_id}
    assert {each.kind for each in attempts} == {Span.SPAN_KIND_CLIENT}
    assert {each.status.code for each in attempts} == {Status.STATUS_CODE_ERROR}
    assert {each.status.message for each in attempts} == {"Server is busy"}
    sent = {*catalogue.ATTEMPT_SPAN.attributes, "microsoft.custom_measurements"}
    assert {key for each in attempts for key in attributes(each)} == sent


def test_spans_last_as_long_as_their_attempts_did():
    failed = [each for each in reports("silent_primary")[1].targets[0].readings if not each.ok]
    took = [each.end_time_unix_nano - each.start_time_unix_nano for each in spans("silent_primary")]

    assert sorted(took)[:-1] == sorted(each.duration.total_seconds() * 1e9 for each in failed)


def test_the_resource_says_who_sends():
    (body, *_) = bodies("healthy")["/v1/logs"]
    (resource, *_) = ExportLogsServiceRequest.FromString(body).resource_logs

    assert set(catalogue.RESOURCE) <= set(attributes(resource.resource))
    assert attributes(resource.resource)["cloud.region"] == "francecentral"


def test_standard_resource_attributes_go_before_our_own(
    ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,team=storage")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ingestion.url)

    sending = telemetry.build(replace(capture.SETTINGS, otlp=True))
    sending.emit(reports("healthy")[0], None)
    sending.close()

    body = ExportLogsServiceRequest.FromString(ingestion.bodies("/v1/logs")[0])
    found = attributes(body.resource_logs[0].resource)
    assert (found["service.name"], found["team"]) == ("mine", "storage")


def test_standard_headers_and_compression_are_honoured(ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ingestion.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=not-a-secret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")

    sending = telemetry.build(replace(capture.SETTINGS, otlp=True))
    sending.emit(reports("healthy")[0], None)
    sending.close()

    assert {each.headers["api-key"] for each in ingestion.requests} == {"not-a-secret"}
    assert {each.headers["content-encoding"] for each in ingestion.requests} == {"gzip"}


def test_who_asks_for_cumulative_counters_gets_them_and_still_no_stale_gauge(
    ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ingestion.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative")

    sending = telemetry.build(replace(capture.SETTINGS, otlp=True))
    for report in reports("recovery"):
        sending.emit(report, None)
    sending.close()

    body = ExportMetricsServiceRequest.FromString(ingestion.bodies("/v1/metrics")[-1])
    last = {
        each.name: each
        for scope in body.resource_metrics
        for part in scope.scope_metrics
        for each in part.metrics
    }
    assert sum(each.as_int for each in last["probe.ticks"].sum.data_points) == 8
    assert {attributes(each)["probe.verdict"] for each in points(last["probe.endpoint.up"])} == {"healthy"}


async def test_both_backends_at_once_get_the_same_ticks(
    ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ingestion.url)
    settings = replace(capture.SETTINGS, otlp=True, connection_string=ingestion.connection_string)

    sending = telemetry.build(settings)
    for report in reports("failing_primary"):
        sending.emit(report, None)
        await sending.flush()
    sending.close()

    names = [each["data"]["baseType"] for each in ingestion.envelopes]
    logs = [ExportLogsServiceRequest.FromString(each) for each in ingestion.bodies("/v1/logs")]
    assert names.count("AvailabilityData") == 14
    assert len(logs) == 4


def test_a_protocol_that_the_probe_does_not_speak_is_told_at_start(ingestion, monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ingestion.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    telemetry.build(replace(capture.SETTINGS, otlp=True)).close()

    assert "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but the probe speaks http/protobuf alone" in caplog.text


def test_a_standard_setting_that_holds_nonsense_is_a_configuration_error_that_names_it(
    ingestion, monkeypatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ingestion.url)
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "many")

    with pytest.raises(ConfigurationError, match="OTEL_ATTRIBUTE_COUNT_LIMIT"):
        telemetry.build(replace(capture.SETTINGS, otlp=True))


@pytest.mark.parametrize("kind", ["", "_METRICS"], ids=["all", "metrics alone"])
def test_a_header_that_is_malformed_is_told_without_what_it_holds(ingestion, monkeypatch, caplog, kind):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ingestion.url)
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP{kind}_HEADERS", "Bearer s3cr3t-of-the-tests")
    telemetry.build(replace(capture.SETTINGS, otlp=True)).close()

    assert "s3cr3t" not in caplog.text
    assert "OTEL_EXPORTER_OTLP_HEADERS" in caplog.text
    assert "is left out" in caplog.text


@pytest.mark.parametrize("answering", [False, True], ids=["refusing", "hanging up"])
async def test_the_endpoint_s_path_which_may_be_a_key_is_never_told(monkeypatch, caplog, answering):
    with Ingestion(mode=Mode.ABRUPT) as abrupt:
        url = abrupt.url if answering else refusing_url()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{url}/s3cr3t-of-the-tests")
        made = telemetry.build(replace(capture.SETTINGS, otlp=True))
        made.emit(reports("healthy")[0], None)
        await made.flush()
        made.close()

    assert "Telemetry is being lost" in caplog.text
    assert "s3cr3t" not in caplog.text
