"""The exporters of both backends, and how a batch is handed to them.

Rules kept here: the exporters are told all that they would otherwise find out by themselves; nothing is sent
or kept that the user did not ask for (no SDK statistics, no control plane, no resource metric, no copy on
disk); an exporter never retries on its own, since it sits on the only thread of its backend.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from http import HTTPStatus
from itertools import batched
from typing import TYPE_CHECKING, Any

from probe.adapters.telemetry import catalogue, library_logs
from probe.adapters.telemetry.log_lines import LogLines
from probe.adapters.telemetry.otel import DELTA, Batch, Pipeline, Temporality, points, portions
from probe.adapters.telemetry.sender import Finished, Missing
from probe.adapters.telemetry.settings import TelemetrySettings, connection, identity
from probe.adapters.telemetry.signals import Measurement, rows, signals
from probe.core.errors import ConfigurationError
from probe.core.redaction import without_secrets

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineResponse
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter

_log = logging.getLogger("probe.telemetry")

AZURE_MONITOR = "azure_monitor"
OTLP = "otlp"

SWITCHES = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",
}
"""What the Azure Monitor exporter would send or ask for on its own. An app setting goes before these."""

REQUEST_ROWS = 500
"""The most rows in one request, as Microsoft's own SDKs batch; a large fleet's tick has thousands."""
PATIENCE = 10.0
"""Seconds after which what is left of a tick is given up."""
_CONNECT_TIMEOUT = 3.0
_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
_SPOKEN = "http/protobuf"
_TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporters:
    """A backend's exporters, and how it wants counters and histograms."""

    backend: str
    logs: "LogRecordExporter"
    metrics: "MetricExporter"
    spans: "SpanExporter"
    temporality: Temporality
    close: Callable[[], None]
    """Closes the connections."""


def exporters(settings: TelemetrySettings) -> tuple[Exporters, ...]:
    """Make the exporters that the settings ask for. Raises ``ConfigurationError``."""
    azure = (_azure_monitor(settings),) if settings.connection_string else ()
    otlp = (_otlp(),) if settings.otlp else ()
    library_logs.hush()
    return (*azure, *otlp)


def _azure_monitor(settings: TelemetrySettings) -> Exporters:
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415 - only when it is used
    from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter  # noqa: PLC0415 - 0.3 s, and after the switches

    from probe.adapters.telemetry.envelopes import LogRows, MetricRows  # noqa: PLC0415 - as above

    transport = RequestsTransport(connection_timeout=_CONNECT_TIMEOUT, read_timeout=PATIENCE)
    common = {
        "connection_string": connection(settings),
        "credential": _credential(settings),
        "transport": transport,
        "raw_response_hook": _note,
        "disable_offline_storage": True,
        "retry_total": 0,
        "max_envelopes_per_second": 0,  # a tick comes at once, and a fleet's would be cut
    }
    try:
        return Exporters(
            backend=AZURE_MONITOR,
            logs=LogRows(**common),
            metrics=MetricRows(**common),
            spans=AzureMonitorTraceExporter(**common),
            temporality=DELTA,
            close=transport.close,
        )
    except ValueError as exc:
        problem = f"APPLICATIONINSIGHTS_CONNECTION_STRING cannot be used: {without_secrets(str(exc))}"
        raise ConfigurationError((problem,)) from None


def _note(response: "PipelineResponse[Any, Any]") -> None:
    """Keep a bad status as the reason: of most of them the exporter says nothing."""
    status = response.http_response.status_code
    if status != HTTPStatus.OK:
        library_logs.note(f"it answered {status}")


def _credential(settings: TelemetrySettings) -> object | None:
    """Return the credential to send with: a synchronous one, since it is used on the sender's thread."""
    who = identity(settings)
    if who is None:
        return None
    from azure.identity import ManagedIdentityCredential  # noqa: PLC0415 - 0.2 s, only when it is used

    return (
        ManagedIdentityCredential(client_id=who.client_id) if who.client_id else ManagedIdentityCredential()
    )


def _otlp() -> Exporters:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter  # noqa: PLC0415 - as above
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    from probe.adapters.telemetry.otlp_session import OtlpSession  # noqa: PLC0415

    if (protocol := os.environ.get(_PROTOCOL, _SPOKEN)) != _SPOKEN:
        _log.warning(
            "%s is %s, but the probe speaks %s alone: give it that port.", _PROTOCOL, protocol, _SPOKEN
        )
    chosen = None if os.environ.get(_TEMPORALITY) else dict(DELTA)
    library_logs.hide_headers()
    session = OtlpSession()
    metrics = OTLPMetricExporter(preferred_temporality=chosen, session=session)
    wanted = metrics._preferred_temporality or DELTA  # noqa: SLF001 - what the SDK's own readers ask it
    return Exporters(
        backend=OTLP,
        logs=OTLPLogExporter(session=session),
        metrics=metrics,
        spans=OTLPSpanExporter(session=session),
        temporality=wanted,
        close=session.close,
    )


class Exporting:
    """A backend that is reached through exporters: packs a tick, and hands it over kind by kind.

    Results and events go first, since they are what people are woken by. Each kind goes in requests of
    bounded size; after one that fails the rest of its kind is not tried.
    """

    def __init__(self, settings: TelemetrySettings, found: Exporters) -> None:
        self.name = found.backend
        self._traces = settings.traces
        self._found = found
        self._pipeline = Pipeline(settings, found.temporality)
        self._lines = LogLines()
        self._lines.listen()

    def rows(self, tick: Finished) -> int:
        """Return how many rows a tick has, those that it is to tell of as lost included."""
        return rows(signals(tick.report, self._traces)) + self._untold(tick)

    def send(self, tick: Finished) -> Missing | None:
        """Send a tick once, and return what did not arrive."""
        untold = self._untold(tick)
        batch = self._batch(tick, untold)
        return _missing(
            _Kind(rows=len(batch.records), send=lambda: self._records(batch)),
            _Kind(rows=points(batch.metrics), untold=untold, send=lambda: self._metrics(batch)),
            _Kind(rows=len(batch.spans), send=lambda: self._spans(batch)),
        )

    def leave(self) -> None:
        self._lines.leave()

    def close(self) -> None:
        self._found.close()

    def _untold(self, tick: Finished) -> int:
        """Return the rows lost earlier that the tick is to tell this backend of."""
        return tick.report.lost.get(self.name, 0)

    def _batch(self, tick: Finished, untold: int) -> Batch:
        telling = signals(tick.report, self._traces)
        if untold:
            loss = Measurement(
                metric=catalogue.TELEMETRY_LOST,
                value=untold,
                attributes={"probe.vantage": tick.report.vantage, "probe.backend": self.name},
                since=tick.report.started_at,
            )
            telling = replace(telling, measurements=(*telling.measurements, loss))
        return self._pipeline.batch(telling, tick.parent, self._lines.take())

    def _records(self, batch: Batch) -> bool:
        some = batched(batch.records, REQUEST_ROWS, strict=False)
        return all(_good(self._found.logs.export(each)) for each in some)

    def _metrics(self, batch: Batch) -> bool:
        some = portions(batch.metrics, REQUEST_ROWS)
        return all(_good(self._found.metrics.export(each)) for each in some)

    def _spans(self, batch: Batch) -> bool:
        some = batched(batch.spans, REQUEST_ROWS, strict=False)
        return all(_good(self._found.spans.export(each)) for each in some)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One kind of a tick's rows. ``untold`` are rows lost earlier that they tell of."""

    rows: int
    send: Callable[[], bool]
    untold: int = 0


def _missing(*kinds: _Kind) -> Missing | None:
    """Send each kind, and return what did not arrive.

    What is left when the patience is over is given up: a silent backend is waited for once, not once for
    each kind.
    """
    given_up = time.monotonic() + PATIENCE
    missing: list[_Kind] = []
    why = ""
    for each in kinds:
        if not each.rows:
            continue
        reason = _tried(each.send) if time.monotonic() < given_up else "it did not answer in time"
        if reason is not None:
            missing, why = [*missing, each], reason
    if not missing:
        return None
    return Missing(
        rows=sum(each.rows for each in missing), untold=sum(each.untold for each in missing), why=why
    )


def _tried(send: Callable[[], bool]) -> str | None:
    """Send one kind of rows; returns why it did not arrive, or ``None`` when it did."""
    library_logs.said()
    try:
        arrived = send()
    except Exception as exc:  # noqa: BLE001 - whatever an exporter raises is a loss and no more
        return f"{type(exc).__name__}: {exc}"
    return None if arrived else library_logs.said() or "it gave no reason"


def _good(result: Enum) -> bool:
    """Return whether an exporter succeeded; each kind has its own result, all with the same names."""
    return result.name == "SUCCESS"
