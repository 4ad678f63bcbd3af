"""Quiet: what the libraries log while they send is kept as the reason of a failure, and printed by nobody.

Rules kept here: only what is logged on a sender's own thread is kept back; everywhere else these loggers
speak as they always did. So a dead backend fills no log, and no line about sending causes another sending.
"""

import logging
import re
import threading

PREFIX = "probe-telemetry-"
"""How the names of the senders' threads begin."""

TALKATIVE = (
    "azure.core.pipeline.policies.http_logging_policy",
    "azure.identity._credentials.managed_identity",
    "azure.identity._internal.decorators",
    "azure.identity._internal.get_token_mixin",
    "azure.monitor.opentelemetry.exporter.export._base",
    "azure.monitor.opentelemetry.exporter.export.logs._exporter",
    "azure.monitor.opentelemetry.exporter.export.metrics._exporter",
    "azure.monitor.opentelemetry.exporter.export.trace._exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)
"""A filter acts on its own logger alone, so each is named; a test fails when another one speaks."""

_LONGEST = 200
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_said = threading.local()


class _Quiet(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if not threading.current_thread().name.startswith(PREFIX):
            return True
        if record.levelno >= logging.WARNING:
            note(record.getMessage())
        return False


_FILTER = _Quiet()


def hush() -> None:
    """Keep back what the libraries log on senders' threads; calling it again changes nothing."""
    for name in TALKATIVE:
        logging.getLogger(name).addFilter(_FILTER)


def note(text: str) -> None:
    """Keep a reason for this thread, in place of an earlier one."""
    _said.text = text


def said() -> str | None:
    """Answer the last reason of this thread, short and without keys, and forget it."""
    text: str | None = getattr(_said, "text", None)
    _said.text = None
    if text is None:
        return None
    line = _GUID.sub("(key)", " ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
