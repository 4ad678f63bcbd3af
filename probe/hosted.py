"""What the Functions platform needs of the app: errors where people look, and a runtime that works.

Why errors go to standard error as well: with the worker's OpenTelemetry switch on, the Functions host exports
no log line of a function, and before the settings are read there is no telemetry of ours. A line on standard
error that speaks of an error is logged by the host itself, as `Host.Function.Console` at level Error, which
shows in the log stream and in Application Insights (table AppTraces).
Source: azure-functions-host, OpenTelemetryConfigurationExtensions.cs (AddDefaultOpenTelemetryFilters) and
WorkerProcess.cs (ParseErrorMessageAndLog).
"""

import logging
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from probe import compose, logs
from probe.core.errors import ConfigurationError
from probe.core.redaction import without_secrets

MOST_LINES = 60
"""Lines that one process writes in `QUIET_SECONDS`; anybody can ask for the health, and so for its errors."""
QUIET_SECONDS = 3600.0
"""How long the same line is not repeated."""
TELEMETRY = "probe.telemetry"
_LONGEST = 4000
_FRAMES = 3

log = logging.getLogger("probe.hosted")
log.propagate = (
    False  # what is told here goes to the error stream alone, not into the functions' lines as well
)


def prepare() -> None:
    """Make the worker's process ready, and tell what is wrong with the settings; for the app's index."""
    ours = logging.getLogger("probe")
    ours.setLevel(logging.INFO)
    logging.getLogger("azure").setLevel(logging.WARNING)  # it logs each request, which would be paid for
    logs.clean()
    for each in (ours, log):
        each.addHandler(_STREAM)  # once, however often this is called
    complete_runtime()
    with suppress(ConfigurationError), telling():
        compose.load(os.environ)


def signs_in() -> bool:
    """Return whether the platform lets in only who has signed in, so that a key on top would keep people out.

    Source: https://learn.microsoft.com/azure/app-service/reference-app-settings (WEBSITE_AUTH_ENABLED is
    injected where it does); azure-functions-host#11394: functions behind it are anonymous.
    """
    return os.environ.get("WEBSITE_AUTH_ENABLED", "").strip().lower() == "true"


@contextmanager
def telling() -> Iterator[None]:
    """Tell an exception that passes, each problem of the settings in a line of its own."""
    try:
        yield
    except ConfigurationError as error:
        for problem in error.problems:
            log.error(problem)  # noqa: TRY400 - the problem and its remedy are the message, not our stack
        raise
    except Exception as error:
        log.exception("%s", type(error).__name__)
        raise logs.cleaned(error) from None


def complete_runtime() -> None:
    """Give the worker's runtime the trace propagator that it forgot to make.

    Before 1.3.0, `PYTHON_ENABLE_OPENTELEMETRY` on Python 3.13 makes every invocation of an async function
    fail with "'NoneType' object has no attribute 'extract'". The platform brings the runtime along, so no
    requirement of ours decides its version. Without the switch the host would export every log line of the
    functions, beside the rows that we send. To be taken out when no 1.2 is left.
    Source: https://github.com/Azure/azure-functions-python-worker/issues/1881
    """
    otel = sys.modules.get("azure_functions_runtime.otel")
    try:
        if otel and otel.otel_manager.get_trace_context_propagator() is None:
            otel.update_opentelemetry_status()
    except Exception:  # a runtime of another make must not keep the app from being indexed
        log.exception("the worker's runtime has no OpenTelemetry as we know it; its invocations may fail")


class ErrorStream(logging.Handler):
    """Writes errors to standard error, one line each, not the same one again within the hour.

    So it does with what the telemetry has to say of itself, which telemetry that is lost would not tell.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(lambda record: record.levelno >= logging.ERROR or record.name == TELEMETRY)
        self._clock = clock
        self._told: deque[tuple[float, str]] = deque()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = _line(record)
            if self._is_news(line):
                level = "error" if record.levelno >= logging.ERROR else "warning"
                sys.stderr.write(f"probe {level}: {line}\n")
                sys.stderr.flush()
        except Exception:  # noqa: BLE001 - logging's own way with a record that cannot be formatted
            self.handleError(record)

    def _is_news(self, line: str) -> bool:
        now = self._clock()
        while self._told and now - self._told[0][0] >= QUIET_SECONDS:
            self._told.popleft()
        if len(self._told) >= MOST_LINES or any(line == told for _, told in self._told):
            return False
        self._told.append((now, line))
        return True


def _line(record: logging.LogRecord) -> str:
    """Return a record in one line: the host logs each line by itself, at the level of its own words."""
    parts = [record.getMessage()]
    if record.exc_info and (raised := record.exc_info[1]):
        frames = traceback.extract_tb(raised.__traceback__)[-_FRAMES:]
        parts.append(f"{type(raised).__name__}: {raised}")
        parts += [f"in {frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames)]
    return without_secrets(" | ".join(" ".join(part.split()) for part in parts))[:_LONGEST]


_STREAM = ErrorStream()
