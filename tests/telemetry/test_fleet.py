"""A fleet's tick: thousands of rows, in requests of a bounded size, all of them and each once."""

import json
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from probe.adapters import telemetry
from probe.adapters.telemetry.exporters import REQUEST_ROWS
from probe.adapters.telemetry.settings import Traces
from probe.core.report import TickReport
from probe.lab.telemetry import capture, tapes
from probe.lab.telemetry.ingestion import TRACK, Ingestion
from tests.telemetry.conftest import run

TARGETS = 60


@pytest.fixture(scope="module")
def report() -> TickReport:
    scenes = (tapes.Scene(primary="503"),)
    (found,) = run(tapes.play(scenes, targets=tapes.fleet(TARGETS)))
    return found


def test_a_large_tick_arrives_whole_in_requests_of_a_bounded_size(ingestion: Ingestion, report: TickReport):
    settings = replace(capture.SETTINGS, connection_string=ingestion.connection_string, traces=Traces.ALL)
    made = telemetry.build(settings)
    made.emit(report, None)
    made.close()

    sizes = [len(json.loads(each.body)) for each in ingestion.requests if each.path == TRACK]
    kinds = [each["data"]["baseType"] for each in ingestion.envelopes]
    up = [each for each in ingestion.envelopes if "probe.endpoint.up" in json.dumps(each)]
    assert max(sizes) == REQUEST_ROWS
    assert len(kinds) > 2000
    # Every primary is down: three results each, and the one that says so.
    assert kinds.count("AvailabilityData") == 4 * TARGETS
    assert kinds.count("RemoteDependencyData") == 1 + sum(len(each.readings) for each in report.targets)
    assert len(up) == 2 * TARGETS
    assert made.lost == 0


def test_a_large_tick_arrives_whole_over_otlp(
    ingestion: Ingestion, report: TickReport, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ingestion.url)
    made = telemetry.build(replace(capture.SETTINGS, otlp=True))
    made.emit(report, None)
    made.close()

    bodies = [ExportMetricsServiceRequest.FromString(each) for each in ingestion.bodies("/v1/metrics")]
    names = [
        (metric.name, len(getattr(metric, metric.WhichOneof("data")).data_points))
        for body in bodies
        for metric in body.resource_metrics[0].scope_metrics[0].metrics
    ]
    assert len(bodies) > 1
    assert sum(count for name, count in names if name == "probe.endpoint.up") == 2 * TARGETS
    assert sum(count for name, count in names if name == "probe.breaker.transitions") == TARGETS


def test_the_sdk_s_own_off_switch_is_obeyed(
    ingestion: Ingestion, report: TickReport, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    made = telemetry.build(replace(capture.SETTINGS, connection_string=ingestion.connection_string))
    made.emit(report, None)
    made.close()

    assert ingestion.envelopes == []
    assert made.lost == 0
