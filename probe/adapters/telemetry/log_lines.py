"""Log lines: the probe's own warnings and errors, kept for the next tick's telemetry.

Rules kept here: only the logger ``probe`` is listened to, never the root, so that no line about sending
causes another sending; the worker tells the host not to pass log lines on (``PYTHON_ENABLE_OPENTELEMETRY``),
so that what is not kept here would reach nobody; the lines are bounded, and a URL in them loses its query.
"""

import logging
import traceback
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from probe.core.redaction import without_secrets

KEPT = 100
_LONGEST = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One log record; ``trace`` is the stack's text where there was an exception of type ``raised``."""

    at: datetime
    level: int
    text: str
    raised: str | None = None
    trace: str | None = None


class LogLines(logging.Handler):
    """Keeps the newest lines of the logger ``probe`` until they are taken."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: deque[LogLine] = deque(maxlen=KEPT)

    def listen(self) -> None:
        logging.getLogger("probe").addHandler(self)

    def leave(self) -> None:
        logging.getLogger("probe").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        try:
            self._kept.append(_line(record))
        except Exception:  # noqa: BLE001 - logging's own way with a record that cannot be formatted
            self.handleError(record)

    def take(self) -> list[LogLine]:
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self._kept.popleft())
        return taken


def _line(record: logging.LogRecord) -> LogLine:
    raised = record.exc_info[1] if record.exc_info else None
    return LogLine(
        at=datetime.fromtimestamp(record.created, UTC),
        level=record.levelno,
        text=_clean(record.getMessage()),
        raised=type(raised).__name__ if raised else None,
        trace=_clean("".join(traceback.format_exception(raised))) if raised else None,
    )


def _clean(text: str) -> str:
    return without_secrets(text)[-_LONGEST:]
