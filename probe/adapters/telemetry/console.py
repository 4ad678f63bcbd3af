"""The console: one tick's telemetry as text, for ``once --debug``.

Rules kept here: the same signals as the backends get, in the same words and none of OpenTelemetry's; text to
stderr, so that stdout stays the answer's.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TextIO

from probe.adapters.telemetry.settings import Traces
from probe.adapters.telemetry.signals import (
    Availability,
    Event,
    Measurement,
    Signals,
    Span,
    Value,
    signals,
)
from probe.core.report import TickReport
from probe.core.sums import MICROSECONDS

_COMMON = ("probe.vantage", "server.address", "server.port")
"""Attributes that say the same in every line."""


class Console:
    """Keeps reports until they are printed."""

    def __init__(self, traces: Traces, stream: TextIO | None = None) -> None:
        self._traces = traces
        self._stream = stream
        self._kept: list[TickReport] = []

    def put(self, report: TickReport) -> None:
        self._kept.append(report)

    def show(self) -> None:
        """Print what was kept."""
        kept, self._kept = self._kept, []
        for each in kept:
            print("\n".join(lines(signals(each, self._traces))), file=self._stream or sys.stderr)


def lines(telling: Signals) -> Iterator[str]:
    """Return a tick's telemetry as lines."""
    yield f"telemetry: {len(telling.results)} availability results"
    yield from (f"  {_result(each)}" for each in telling.results)
    yield f"telemetry: {len(telling.events)} events"
    yield from (f"  {each.name}  {each.message}{_figures(each)}" for each in telling.events)
    spans = [*([telling.tick] if telling.tick else []), *telling.attempts]
    yield f"telemetry: {len(spans)} spans"
    yield from (f"  {_span(each)}" for each in spans)
    yield f"telemetry: {len(telling.measurements)} measurements"
    yield from (f"  {each}" for each in _metrics(telling.measurements))


def _result(result: Availability) -> str:
    word = "up  " if result.success else "DOWN"
    return (
        f"{word} {result.name}  {result.duration.total_seconds():.3f} s  {result.message}{_figures(result)}"
    )


def _figures(source: Availability | Event) -> str:
    return f"  [{_pairs(source.measurements)}]" if source.measurements else ""


def _span(span: Span) -> str:
    took = (span.ended_at - span.started_at).total_seconds()
    where = span.attributes.get("url.full", "")
    why = f"  {span.error}" if span.error else ""
    return f"{span.name} {where}  {took:.3f} s{why}  [{_pairs(_shortened(span.attributes))}]"


def _metrics(measurements: Iterable[Measurement]) -> Iterator[str]:
    """Return a line for each series, as a backend would see it: sums, last values, counts with their mean."""
    lines = []
    for each in measurements:
        attributes = {key: value for key, value in each.attributes.items() if key not in _COMMON}
        lines.append(f"{each.metric.name}  {_pairs(attributes)} = {_value(each)}")
    yield from sorted(lines)


def _value(measurement: Measurement) -> str:
    unit = "" if measurement.metric.unit == "1" else f" {measurement.metric.unit.strip('{}')}"
    found = measurement.sum
    if found is None:
        return f"{measurement.value:g}{unit}"
    mean, most = found.total / found.number / MICROSECONDS, found.most / MICROSECONDS
    return f"{found.number} x, mean {mean:.3g}{unit}, max {most:.3g}{unit}"


def _shortened(attributes: Mapping[str, Value]) -> dict[str, Value]:
    hidden = (
        *_COMMON,
        "url.full",
        "azure.resource_provider.namespace",
        "http.request.method",
        "probe.reason",
    )
    return {key: value for key, value in attributes.items() if key not in hidden}


def _pairs(values: Mapping[str, Value]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())
