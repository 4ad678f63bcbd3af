"""What the libraries log while they send: it is kept as the reason of a failure, and printed by nobody.

Rules kept here: only what is logged on a sender's own thread is kept back; everywhere else these loggers
speak as they always did. So a dead backend fills no log, and no line about sending causes another sending.
"""

import logging
import re
import threading

THREADS = "probe-telemetry-"
"""How the names of the senders' threads begin."""

LIBRARIES = ("azure.", "msal", "opentelemetry.", "requests", "urllib3")
"""How the names of the loggers begin that speak while something is sent."""

_LONGEST = 500
_MOST = 3
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_said = threading.local()


class _Quiet(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if not threading.current_thread().name.startswith(THREADS):
            return True
        if record.levelno >= logging.WARNING:
            note(record.getMessage())
        return False


_FILTER = _Quiet()


def hush() -> None:
    """Keep back what the libraries log on senders' threads; call it when they are imported.

    A filter acts on its own logger alone, so each logger that there is gets it.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(LIBRARIES):
            logging.getLogger(name).addFilter(_FILTER)


class _Headers(logging.Filter):
    """Says of a header that cannot be read that it is left out; OpenTelemetry would print it whole."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _HEADERS_TOLD, ()
        return True


_HEADERS_TOLD = (
    "A header in OTEL_EXPORTER_OTLP_HEADERS (or in that of one signal) is not NAME=VALUE with the value "
    "URL-encoded: it is left out."
)
_HEADERS = _Headers()


def hide_headers() -> None:
    """Keep what the standard variables for headers hold, mostly keys, out of OpenTelemetry's own warning.

    Source: opentelemetry.util.re, ``parse_env_headers``, which has nothing else to say.
    """
    logging.getLogger("opentelemetry.util.re").addFilter(_HEADERS)


def note(text: str) -> None:
    """Keep a reason for this thread."""
    _said.texts = [*getattr(_said, "texts", ()), text][-_MOST:]


def said() -> str | None:
    """Return the reasons of this thread, short and without keys, and forget them."""
    texts: list[str] = getattr(_said, "texts", [])
    _said.texts = []
    line = "; ".join(dict.fromkeys(_GUID.sub("(key)", " ".join(each.split())) for each in texts))
    if not line:
        return None
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
