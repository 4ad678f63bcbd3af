"""Telemetry without a backend: printed for ``--debug``, or none at all.

Rules kept here: nothing of OpenTelemetry is imported.
"""

from probe.adapters.telemetry.console import Console
from probe.core.report import TickReport
from probe.ports import TraceParent


class Printer:
    """Prints each tick's telemetry and sends none: what ``--debug`` does where no backend is set."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def emit(self, report: TickReport, parent: TraceParent | None) -> None:  # noqa: ARG002 - the port's
        """Keep the report."""
        self._console.put(report)

    async def flush(self) -> None:
        """Print it."""
        self._console.show()

    def claim_losses(self) -> dict[str, int]:
        """Return nothing: nothing is sent."""
        return {}

    def close(self) -> None:
        """Print it."""
        self._console.show()


class Silent:
    """Sends nothing: no backend is set."""

    def emit(self, report: TickReport, parent: TraceParent | None) -> None:
        """Do nothing."""

    async def flush(self) -> None:
        """Do nothing."""

    def claim_losses(self) -> dict[str, int]:
        """Return nothing: nothing is sent."""
        return {}

    def close(self) -> None:
        """Do nothing."""
