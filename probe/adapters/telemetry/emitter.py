"""The emitter: the ``Telemetry`` port over the backends and the console.

Rules kept here: neither ``emit`` nor ``flush`` raises, whatever a backend or a bug does; ``emit`` does no
I/O; ``flush`` takes no longer than its bound, and what is not sent by then goes on being sent behind it.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from probe.adapters.telemetry import catalogue
from probe.adapters.telemetry.console import Console
from probe.adapters.telemetry.otel import Batch, Pipeline
from probe.adapters.telemetry.sender import Sender
from probe.adapters.telemetry.settings import TelemetrySettings
from probe.adapters.telemetry.signals import Measurement, Signals, signals
from probe.core.report import TickReport
from probe.ports import TraceParent

_log = logging.getLogger("probe.telemetry")


class Emitter:
    """Turns reports into telemetry and has it sent."""

    def __init__(
        self,
        settings: TelemetrySettings,
        pipeline: Pipeline,
        senders: Sequence[Sender[Batch]],
        console: Console | None = None,
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._senders = tuple(senders)
        self._console = console
        self._lock = threading.Lock()

    @property
    def lost(self) -> int:
        """Answer how many rows no backend's taking could be shown for, since the process began."""
        return sum(each.losses.total for each in self._senders)

    def emit(self, report: TickReport, parent: TraceParent | None) -> None:
        """Turn a report into telemetry; quick, no I/O."""
        try:
            with self._lock:
                self._emit(report, parent)
        except Exception:  # noqa: BLE001 - a bug in telling must not fail what is told
            _log.exception("The tick's telemetry could not be made; the tick itself is unharmed.")

    def _emit(self, report: TickReport, parent: TraceParent | None) -> None:
        told = {each.backend: each.losses.claim() for each in self._senders}
        found = _with_losses(signals(report, self._settings.traces), told, report.vantage)
        if self._console:
            self._console.put(found)
        batches = self._pipeline.batches(found, parent, told)
        for each in self._senders:
            each.put(batches[each.backend])

    async def flush(self) -> None:
        """Send what is buffered, for at most the flush bound."""
        try:
            if self._console:
                self._console.show()
            async with asyncio.timeout(self._settings.flush_seconds):
                await asyncio.gather(*(each.flush() for each in self._senders))
        except TimeoutError:
            return
        except Exception:  # noqa: BLE001 - as in emit
            _log.exception("The tick's telemetry could not be sent; the tick itself is unharmed.")

    def drain(self) -> None:
        """Send what is buffered and block until it is sent, for at most the flush bound. Raises nothing."""
        deadline = time.monotonic() + self._settings.flush_seconds
        for each in self._senders:
            each.start()
        for each in self._senders:
            each.drain(deadline)

    def close(self) -> None:
        """Drain, then end the threads."""
        self.drain()
        for each in self._senders:
            each.stop()


def _with_losses(found: Signals, told: dict[str, int], vantage: str) -> Signals:
    losses = tuple(
        Measurement(
            metric=catalogue.TELEMETRY_LOST,
            value=rows,
            attributes={"probe.vantage": vantage, "probe.backend": backend},
        )
        for backend, rows in told.items()
        if rows
    )
    return replace(found, measurements=found.measurements + losses) if losses else found
