"""The rows made cheaply: to the byte those that Azure Monitor's own exporter makes of the same points."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from azure.monitor.opentelemetry.exporter import AzureMonitorLogExporter, AzureMonitorMetricExporter
from azure.monitor.opentelemetry.exporter._generated.exporter._utils.model_base import SdkJSONEncoder

from probe.adapters.telemetry import exporters
from probe.adapters.telemetry.envelopes import LogRows, MetricRows
from probe.adapters.telemetry.otel import DELTA, Batch, Pipeline
from probe.adapters.telemetry.settings import Traces
from probe.adapters.telemetry.signals import Signals, signals
from probe.lab.telemetry import capture, tapes
from probe.lab.telemetry.ingestion import connection_string
from tests.telemetry.conftest import reports

STRANGE = 'é ½ 試 "\\\n\x00' + "x" * 9000
"""What has to be escaped, and more than the exporter takes."""
KNOWN = {
    "connection_string": connection_string("http://127.0.0.1:1"),
    "disable_offline_storage": True,
}


@pytest.fixture(autouse=True)
def no_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in exporters.SWITCHES.items():
        monkeypatch.setenv(name, value)


def rows(metrics: AzureMonitorMetricExporter, logs: AzureMonitorLogExporter, batch: Batch) -> list[str]:
    """Return what an exporter puts into its requests for a batch, row by row."""
    made = [logs._log_to_envelope(each) for each in batch.records]
    for resource in batch.metrics.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    made += [metrics._point_to_envelope(point, metric.name, resource.resource, scope.scope)]
    return [json.dumps(each, cls=SdkJSONEncoder, exclude_readonly=True) for each in made]


def ours(batch: Batch) -> list[str]:
    return rows(MetricRows(**KNOWN), LogRows(**KNOWN), batch)


def the_exporter_s(batch: Batch) -> list[str]:
    return rows(AzureMonitorMetricExporter(**KNOWN), AzureMonitorLogExporter(**KNOWN), batch)


def told(name: str) -> Iterator[Signals]:
    return (signals(each, Traces.ALL) for each in reports(name))


@pytest.mark.parametrize("name", tapes.TAPES)
def test_every_row_of_every_tape_is_the_exporter_s_own_to_the_byte(name: str):
    pipeline = Pipeline(capture.SETTINGS, DELTA)
    batches = [pipeline.batch(each, capture.parent(number)) for number, each in enumerate(told(name))]

    assert [ours(each) for each in batches] == [the_exporter_s(each) for each in batches]
    assert sum(len(ours(each)) for each in batches) >= len(batches)


def test_rows_of_strange_words_and_numbers_are_the_exporter_s_own():
    (*_, found) = told("failing_primary")
    strange = {"probe.reason": STRANGE, "empty": "", "true": True, "whole": 7, "part": 0.1}
    odd = replace(
        found,
        ended_at=found.ended_at + timedelta(microseconds=123457),
        measurements=tuple(
            replace(each, attributes={**each.attributes, **strange}, value=each.value / 3)
            for each in found.measurements
        ),
        results=tuple(
            replace(each, attributes=strange, message=STRANGE, at=each.at + timedelta(microseconds=999999))
            for each in found.results
        ),
    )
    batch = Pipeline(capture.SETTINGS, DELTA).batch(odd, None)

    assert ours(batch) == the_exporter_s(batch)


@pytest.mark.parametrize("first", ["probe.ticks", "probe.tick.duration"])
def test_the_first_row_leaves_nothing_of_its_own_in_those_after_it(first: str):
    (found, *_) = told("healthy")
    ahead = sorted(found.measurements, key=lambda each: each.metric.name != first)
    batch = Pipeline(capture.SETTINGS, DELTA).batch(replace(found, measurements=tuple(ahead)), None)

    assert ours(batch) == the_exporter_s(batch)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop,device.id=d,k8s.pod.name=p,service.version=7"),
        ("APPLICATIONINSIGHTS_METRIC_NAMESPACE_OPT_IN", "true"),
    ],
)
def test_what_the_environment_asks_of_the_exporter_is_in_the_rows(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
):
    (found, *_) = told("healthy")
    plain = ours(Pipeline(capture.SETTINGS, DELTA).batch(found, capture.parent(0)))
    monkeypatch.setenv(name, value)
    batch = Pipeline(capture.SETTINGS, DELTA).batch(found, capture.parent(0))

    assert ours(batch) == the_exporter_s(batch)
    assert ours(batch)[-1] != plain[-1]


def test_rows_cost_a_small_part_of_what_the_exporter_s_own_cost():
    batch = Pipeline(capture.SETTINGS, DELTA).batch(next(told("healthy")), None)

    assert cpu(ours, batch) < cpu(the_exporter_s, batch) / 2


def cpu(make: Callable[[Batch], object], batch: Batch) -> float:
    """Return the seconds of this thread's own that it takes to make a batch's rows ten times."""
    began = time.thread_time()
    for _ in range(10):
        make(batch)
    return time.thread_time() - began
