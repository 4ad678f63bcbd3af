"""The emitter: the ``Telemetry`` port over the backends and the console.

Rules kept here: neither ``emit`` nor ``flush`` raises, whatever a backend or a bug does; ``emit`` only hands
the report over, so that its cost does not grow with the fleet; ``flush`` takes no longer than its bound, and
what is not sent by then goes on being sent behind it.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from probe.adapters.telemetry import catalogue
from probe.adapters.telemetry.console import Console
from probe.adapters.telemetry.exporters import Exporters, parts
from probe.adapters.telemetry.log_lines import Lines
from probe.adapters.telemetry.otel import Batch, Pipeline
from probe.adapters.telemetry.sender import Packing, Sender
from probe.adapters.telemetry.settings import TelemetrySettings
from probe.adapters.telemetry.signals import Measurement, Signals, rows, signals
from probe.core.report import TickReport
from probe.ports import TraceParent

_log = logging.getLogger("probe.telemetry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A tick that is over, and the invocation that it belongs to."""

    report: TickReport
    parent: TraceParent | None


class Emitter:
    """Has finished ticks sent to every backend, each by its own sender."""

    def __init__(
        self,
        settings: TelemetrySettings,
        senders: Sequence[Sender[Finished, Batch]],
        console: Console | None = None,
    ) -> None:
        self._bound = settings.flush_seconds
        self._senders = tuple(senders)
        self._console = console

    @property
    def lost(self) -> int:
        """Return how many rows were lost since the process began, over all backends."""
        return sum(each.losses.total for each in self._senders)

    def emit(self, report: TickReport, parent: TraceParent | None) -> None:
        """Hand a report over; quick, no I/O."""
        if self._console:
            self._console.put(report)
        for each in self._senders:
            each.put(Finished(report=report, parent=parent))

    async def flush(self) -> None:
        """Send what is buffered, for at most the flush bound."""
        try:
            if self._console:
                self._console.show()
            async with asyncio.timeout(self._bound):
                await asyncio.gather(*(each.flush() for each in self._senders))
        except TimeoutError:
            return
        except Exception:  # noqa: BLE001 - a bug in telling must not fail what is told
            _log.exception("The tick's telemetry could not be sent; the tick itself is unharmed.")

    def drain(self) -> None:
        """Send what is buffered and block until it was tried, for at most the flush bound."""
        deadline = time.monotonic() + self._bound
        for each in self._senders:
            each.start()
        for each in self._senders:
            each.drain(deadline)

    def close(self) -> None:
        """Drain, then end the threads."""
        self.drain()
        for each in self._senders:
            each.stop()


def sender(settings: TelemetrySettings, found: Exporters) -> Sender[Finished, Batch]:
    """Return the sender of one backend, with a pipeline of its own."""
    pipeline = Pipeline(settings, found.temporality)
    lines = Lines()
    lines.listen()

    def pack(finished: Finished, lost: int) -> Batch:
        telling = signals(finished.report, settings.traces)
        if lost:
            telling = _with_loss(telling, lost, found.backend, finished.report.vantage)
        return pipeline.batch(telling, finished.parent, lines.take())

    def count(finished: Finished) -> int:
        return rows(signals(finished.report, settings.traces))

    return Sender(found.backend, Packing(pack=pack, rows=count, end=lines.leave), parts(found), found.close)


def _with_loss(telling: Signals, lost: int, backend: str, vantage: str) -> Signals:
    loss = Measurement(
        metric=catalogue.TELEMETRY_LOST,
        value=lost,
        attributes={"probe.vantage": vantage, "probe.backend": backend},
    )
    return replace(telling, measurements=(*telling.measurements, loss))
