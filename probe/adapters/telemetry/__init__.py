"""Telemetry: a tick's report as availability results, metrics, events and spans, in Azure Monitor and OTLP.

The only importer of OpenTelemetry. What is sent stands in ``catalogue``; ``signals`` derives it from a
report, ``otel`` puts it in OpenTelemetry's terms, ``exporters`` and ``sender`` carry it away, ``emitter`` is
the port. Rules kept here: nothing of OpenTelemetry is imported unless there is somewhere to send to.
"""

from typing import Protocol

from probe.adapters.telemetry.console import Console
from probe.adapters.telemetry.settings import TelemetrySettings, Traces, problems
from probe.adapters.telemetry.sigterm import before_sigterm
from probe.adapters.telemetry.without_backend import Printer, Silent
from probe.core.errors import ConfigurationError
from probe.core.redaction import without_secrets
from probe.ports import Telemetry

__all__ = ["ProcessTelemetry", "TelemetrySettings", "Traces", "build", "problems"]


class ProcessTelemetry(Telemetry, Protocol):
    """A ``Telemetry`` that lives as long as its process, and can be ended with it."""

    def close(self) -> None:
        """Send what is buffered, within the flush bound, and end; for the process's own end."""
        ...


def build(settings: TelemetrySettings) -> ProcessTelemetry:
    """Return the telemetry that the settings ask for. Raises ``ConfigurationError`` with every problem."""
    if found := problems(settings):
        raise ConfigurationError(found)
    console = Console(settings.traces) if settings.debug else None
    if settings.exports:
        return _exporting(settings, console)
    return Printer(console) if console else Silent()


def _exporting(settings: TelemetrySettings, console: Console | None) -> ProcessTelemetry:
    from probe.adapters.telemetry.emitter import Emitter  # noqa: PLC0415 - only where something is sent
    from probe.adapters.telemetry.exporters import Exporting, exporters  # noqa: PLC0415 - OpenTelemetry: 0.5 s
    from probe.adapters.telemetry.sender import Sender  # noqa: PLC0415

    try:
        senders = [Sender(Exporting(settings, each)) for each in exporters(settings)]
    except ValueError as exc:  # a standard OTEL_… variable, which OpenTelemetry's message names
        problem = f"OpenTelemetry's settings cannot be used: {without_secrets(str(exc))}"
        raise ConfigurationError((problem,)) from None
    emitter = Emitter(senders, settings.flush_seconds, console)
    if settings.on_sigterm:
        before_sigterm(emitter.drain)
    return emitter
