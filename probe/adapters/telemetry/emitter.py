"""The emitter: the ``Telemetry`` port over the backends and the console.

Rules kept here: neither ``emit`` nor ``flush`` raises, whatever a backend or a bug does; ``emit`` only hands
the report over, so that its cost does not grow with the fleet; ``flush``, ``drain`` and ``close``
together take no longer than one bound, and what is not sent by then goes on being sent behind it.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from probe.adapters.telemetry.console import Console
from probe.adapters.telemetry.sender import Finished, Sender
from probe.core.report import TickReport
from probe.ports import TraceParent

_log = logging.getLogger("probe.telemetry")


class Emitter:
    """Has finished ticks sent to every backend, each by its own sender. ``bound`` is in seconds."""

    def __init__(self, senders: Sequence[Sender], bound: float, console: Console | None = None) -> None:
        self._bound = bound
        self._deadline = 0.0
        """When the newest tick has been waited for as long as it may be, however often it is asked for."""
        self._senders = tuple(senders)
        self._console = console

    @property
    def lost(self) -> int:
        """Return how many rows were lost since the process began, over all backends."""
        return sum(each.lost for each in self._senders)

    def emit(self, report: TickReport, parent: TraceParent | None) -> None:
        """Hand a report over; quick, no I/O."""
        self._deadline = time.monotonic() + self._bound
        if self._console:
            self._console.put(report)
        for each in self._senders:
            each.put(Finished(report=report, parent=parent))

    async def flush(self) -> None:
        """Send what is buffered, until the newest tick was waited for as long as the bound."""
        try:
            if self._console:
                self._console.show()
            async with asyncio.timeout(self._deadline - time.monotonic()):
                await asyncio.gather(*(each.flush() for each in self._senders))
        except TimeoutError:
            return
        except Exception:  # noqa: BLE001 - a bug in telling must not fail what is told
            _log.exception("The tick's telemetry could not be sent; the tick itself is unharmed.")

    def claim_losses(self) -> Mapping[str, int]:
        """Return by backend how many more rows have not arrived than at the last call."""
        return {each.backend: each.claim() for each in self._senders}

    def drain(self) -> None:
        """Send what is buffered and block until it was tried; for SIGTERM.

        What the newest tick's flush has waited for already is not waited for again.
        """
        for each in self._senders:
            each.start()
        for each in self._senders:
            each.drain(self._deadline)

    def close(self) -> None:
        """Send what was not waited for yet, and end the threads."""
        self.drain()
        for each in self._senders:
            each.stop()
