"""Log records without secrets, whoever makes them and whoever prints them.

Libraries log what servers sent them, and the trace of a bug holds what it stumbled over; the handlers that
print it are the terminal's, or those of the Functions worker, which are not ours.
"""

import logging
from typing import Any

from probe.core.redaction import without_secrets

_CLEANED = ("probe", "azure.", "msal", "opentelemetry.", "requests", "urllib3")
"""How the names of the loggers begin whose records are cleaned: our own, and those of what we call."""
_made = logging.getLogRecordFactory()
_trace = logging.Formatter().formatException


def clean() -> None:
    """Clean the records that are made in this process from now on."""
    logging.setLogRecordFactory(_clean)


def _clean(*given: Any, **more: Any) -> logging.LogRecord:  # noqa: ANN401 - as logging hands them on
    record = _made(*given, **more)
    if record.name.startswith(_CLEANED):
        record.msg, record.args = without_secrets(record.getMessage()), None
        if record.exc_info and record.exc_info[1]:
            record.exc_text = without_secrets(_trace(record.exc_info))  # what a formatter then takes
    return record


def cleaned[T: Exception](error: T) -> T:
    """Return the exception itself, its words cleaned: whoever catches it may print it."""
    error.args = tuple(without_secrets(each) if isinstance(each, str) else each for each in error.args)
    return error
