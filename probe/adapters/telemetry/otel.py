"""A tick in OpenTelemetry's terms: one batch for one backend, ready for that backend's exporters.

Rules kept here: own providers, never the global ones, so that neither the Functions worker nor a library adds
to or takes from what the probe sends; no thread and no exit hook of the SDK's; every span that is made is
sampled, under whatever parent. Metrics come as finished points, made from sums: recording some forty values a
target through the SDK's instruments cost more than all the rest of our own telling.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import batched, groupby

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    DataPointT,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as SdkMetric
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.sdk.version import __version__ as sdk_version
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode

from probe.adapters.telemetry import catalogue
from probe.adapters.telemetry.catalogue import Kind, Metric
from probe.adapters.telemetry.log_lines import LogLine
from probe.adapters.telemetry.settings import TelemetrySettings
from probe.adapters.telemetry.signals import Availability, Event, Measurement, Signals, Span
from probe.core.sums import MICROSECONDS, added
from probe.ports import TraceParent

type Temporality = Mapping[type, AggregationTemporality]

DELTA: Temporality = dict.fromkeys((sdk.Counter, sdk.Histogram), AggregationTemporality.DELTA)
"""A function's instances come and go: what each has counted since it started would mean nothing."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one tick sends to one backend."""

    records: Sequence[ReadableLogRecord]
    metrics: MetricsData
    spans: Sequence[ReadableSpan]


class Pipeline:
    """What makes the batches of one backend. Not for several threads at once."""

    def __init__(self, settings: TelemetrySettings, temporality: Temporality) -> None:
        self._resource = _resource(settings)
        self._scope = InstrumentationScope(catalogue.SCOPE, settings.service_version)
        self._disabled = os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true"
        self._spans = _Spans()
        self._points = _Points(self._resource, self._scope, temporality)
        self._vantage = settings.vantage
        self._tracers = TracerProvider(sampler=ALWAYS_ON, resource=self._resource, shutdown_on_exit=False)
        self._tracers.add_span_processor(self._spans)
        self._tracer = self._tracers.get_tracer(catalogue.SCOPE, settings.service_version)

    def batch(self, signals: Signals, parent: TraceParent | None, lines: Sequence[LogLine] = ()) -> Batch:
        """Return what a tick sends, with the lines that were logged since the last one."""
        if self._disabled:
            return Batch(records=[], metrics=MetricsData([]), spans=[])
        context = self._trace(signals, parent)
        records = (
            *(_availability(each, context, self._new_id()) for each in signals.results),
            *(_event(each, context) for each in signals.events),
            *(_log_line(each, context, self._vantage) for each in lines),
        )
        return Batch(
            records=[ReadableLogRecord(each, self._resource, self._scope) for each in records],
            metrics=self._points.metrics(signals.measurements, signals.ended_at),
            spans=self._spans.take(),
        )

    def _trace(self, signals: Signals, parent: TraceParent | None) -> Context:
        """Make the spans and return the context that the records belong to: the tick's trace."""
        above = _extract(parent)
        if signals.tick is None:
            return above if _valid(above) else trace.set_span_in_context(self._unsent(), Context())
        tick = self._start(signals.tick, above, SpanKind.INTERNAL)
        context = trace.set_span_in_context(tick, Context())
        for each in signals.attempts:
            self._start(each, context, SpanKind.CLIENT).end(_ns(each.ended_at))
        tick.end(_ns(signals.tick.ended_at))
        return context

    def _start(self, span: Span, context: Context, kind: SpanKind) -> trace.Span:
        started = self._tracer.start_span(
            span.name,
            context,
            kind,
            {**span.attributes, **_measurements(span.measurements)},
            start_time=_ns(span.started_at),
        )
        if span.error:
            started.set_status(Status(StatusCode.ERROR, span.error))
        return started

    def _unsent(self) -> NonRecordingSpan:
        """Return a span that is never sent: it only ties the records of a tick without parent together."""
        ids = self._tracers.id_generator
        flags = TraceFlags(TraceFlags.SAMPLED)
        return NonRecordingSpan(
            SpanContext(ids.generate_trace_id(), ids.generate_span_id(), is_remote=False, trace_flags=flags)
        )

    def _new_id(self) -> str:
        return trace.format_span_id(self._tracers.id_generator.generate_span_id())


class _Points:
    """Makes metrics of measurements: of what is new, or of all so far, as the backend wants them."""

    def __init__(self, resource: Resource, scope: InstrumentationScope, temporality: Temporality) -> None:
        self._resource = resource
        self._scope = scope
        self._temporality = {
            Kind.COUNTER: temporality[sdk.Counter],
            Kind.HISTOGRAM: temporality[sdk.Histogram],
        }
        self._totals: dict[tuple[object, ...], Measurement] = {}

    def metrics(self, measurements: Sequence[Measurement], now: datetime) -> MetricsData:
        """Return what is to be sent of a tick."""
        if not measurements:
            return MetricsData([])
        found: dict[str, list[Measurement]] = {}
        for each in measurements:
            found.setdefault(each.metric.name, []).append(self._total(each))
        time = _ns(now)
        metrics = [self._metric(each[0].metric, each, time) for each in found.values()]
        return MetricsData(
            [
                ResourceMetrics(
                    resource=self._resource,
                    scope_metrics=[ScopeMetrics(scope=self._scope, metrics=metrics, schema_url="")],
                    schema_url=self._resource.schema_url,
                )
            ]
        )

    def _total(self, each: Measurement) -> Measurement:
        if self._temporality.get(each.metric.kind) is not AggregationTemporality.CUMULATIVE:
            return each
        series = (each.metric.name, *sorted(each.attributes.items()))
        known = self._totals.get(series)
        total = self._totals[series] = _joined(known, each) if known else each
        return total

    def _metric(self, metric: Metric, found: Sequence[Measurement], time: int) -> SdkMetric:
        data: Sum | Gauge | Histogram
        match metric.kind:
            case Kind.COUNTER:
                numbers = [_number(each, time) for each in found]
                temporality = self._temporality[Kind.COUNTER]
                data = Sum(data_points=numbers, aggregation_temporality=temporality, is_monotonic=True)
            case Kind.GAUGE:
                data = Gauge(data_points=[_number(each, time) for each in found])
            case Kind.HISTOGRAM:
                data = Histogram(
                    data_points=[_histogram(each, time) for each in found],
                    aggregation_temporality=self._temporality[Kind.HISTOGRAM],
                )
        return SdkMetric(name=metric.name, description=metric.meaning, unit=metric.unit, data=data)


def _joined(known: Measurement, new: Measurement) -> Measurement:
    """Return two measurements of one series as one."""
    if known.sum and new.sum:
        (both,) = added({"": known.sum}, {"": new.sum}).values()
        return replace(known, value=both.total / MICROSECONDS, sum=both)
    return replace(known, value=known.value + new.value)


def _number(each: Measurement, time: int) -> NumberDataPoint:
    started = 0 if each.metric.kind is Kind.GAUGE else _ns(each.since)
    return NumberDataPoint(
        attributes=each.attributes, start_time_unix_nano=started, time_unix_nano=time, value=each.value
    )


def _histogram(each: Measurement, time: int) -> HistogramDataPoint:
    assert each.sum is not None, "a histogram has one"  # noqa: S101 - narrows an Optional
    bounds = each.metric.buckets
    counts = [*each.sum.buckets, *[0] * (len(bounds) + 1 - len(each.sum.buckets))]
    return HistogramDataPoint(
        attributes=each.attributes,
        start_time_unix_nano=_ns(each.since),
        time_unix_nano=time,
        count=each.sum.number,
        sum=each.value,
        bucket_counts=counts,
        explicit_bounds=bounds,
        min=each.sum.least / MICROSECONDS,
        max=each.sum.most / MICROSECONDS,
    )


class _Spans(SpanProcessor):
    """Keeps the ended spans until they are taken."""

    def __init__(self) -> None:
        self._kept: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self._kept.append(span)

    def take(self) -> list[ReadableSpan]:
        kept, self._kept = self._kept, []
        return kept


def _availability(result: Availability, context: Context, unique: str) -> LogRecord:
    return LogRecord(
        timestamp=_ns(result.at),
        context=context,
        severity_number=SeverityNumber.INFO if result.success else SeverityNumber.WARN,
        body=result.message,
        event_name="AvailabilityResult",
        attributes={
            **result.attributes,
            **_measurements(result.measurements),
            "microsoft.availability.id": unique,
            "microsoft.availability.name": result.name,
            "microsoft.availability.duration": duration_text(result.duration),
            "microsoft.availability.success": result.success,
            "microsoft.availability.runLocation": result.run_location,
            "microsoft.availability.message": result.message,
        },
    )


def _event(event: Event, context: Context) -> LogRecord:
    return LogRecord(
        timestamp=_ns(event.at),
        context=context,
        severity_number=SeverityNumber.INFO,
        body=event.message,
        event_name=event.name,
        attributes={
            **event.attributes,
            **_measurements(event.measurements),
            "microsoft.custom_event.name": event.name,
        },
    )


def _log_line(line: LogLine, context: Context, vantage: str) -> LogRecord:
    raised = {
        "exception.type": line.raised,
        "exception.message": line.text,
        "exception.stacktrace": line.trace,
    }
    return LogRecord(
        timestamp=_ns(line.at),
        context=context,
        severity_number=SeverityNumber.ERROR if line.level >= logging.ERROR else SeverityNumber.WARN,
        severity_text=logging.getLevelName(line.level),
        body=line.text,
        attributes={"probe.vantage": vantage, **(raised if line.raised else {})},
    )


def _measurements(values: Mapping[str, float]) -> dict[str, str]:
    """Return measurements as the Azure Monitor exporter takes them: JSON text in one attribute."""
    return {"microsoft.custom_measurements": json.dumps(values, separators=(",", ":"))} if values else {}


def _resource(settings: TelemetrySettings) -> Resource:
    """Return who sends; what the standard ``OTEL_RESOURCE_ATTRIBUTES`` say goes before our own."""
    ours = {
        "service.name": settings.service_name,
        "service.version": settings.service_version,
        "service.instance.id": settings.faas_instance,
        "cloud.provider": "azure",
        "cloud.platform": "azure.functions",
        "cloud.region": settings.region,
        "faas.name": settings.faas_name,
        "faas.instance": settings.faas_instance,
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": sdk_version,
    }
    return Resource({key: value for key, value in ours.items() if value}).merge(
        OTELResourceDetector().detect()
    )


def _extract(parent: TraceParent | None) -> Context:
    if parent is None:
        return Context()
    carrier = {"traceparent": parent.traceparent, "tracestate": parent.tracestate}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def _valid(context: Context) -> bool:
    return trace.get_current_span(context).get_span_context().is_valid


def points(metrics: MetricsData) -> int:
    """Return how many points, and so rows, metrics have."""
    return sum(
        len(metric.data.data_points)
        for resource in metrics.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def portions(metrics: MetricsData, size: int) -> Iterator[MetricsData]:
    """Return metrics in portions of at most ``size`` points."""
    if points(metrics) <= size:
        yield metrics
        return
    (resource,) = metrics.resource_metrics
    (scope,) = resource.scope_metrics
    flat = ((metric, point) for metric in scope.metrics for point in metric.data.data_points)
    for portion in batched(flat, size, strict=False):
        grouped = groupby(portion, key=lambda each: each[0])
        some = [_of_points(metric, [point for _, point in each]) for metric, each in grouped]
        yield MetricsData([replace(resource, scope_metrics=[replace(scope, metrics=some)])])


def _of_points(metric: SdkMetric, some: Sequence[DataPointT]) -> SdkMetric:
    return replace(metric, data=replace(metric.data, data_points=some))  # type: ignore[arg-type]  # its own kind


def duration_text(value: timedelta) -> str:
    """Return a duration as availability results want it: ``hh:mm:ss.fffffff``, with days before if any."""
    seconds, micros = divmod(max(value, timedelta(0)) // _MICROSECOND, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{f'{days}.' if days else ''}{hour:02}:{minute:02}:{second:02}.{micros:06}0"


def _ns(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND * 1000
