"""What ended an exchange early, told as an ``error.type`` and a sentence, by the phase that it was in.

Rules kept here: what is no failure of the endpoint is not turned into one: a URL that cannot be used is a
``ConfigurationError``, a machine out of files, ports or memory a ``ProbeError``. The sentence about a
failure is made here from known parts; a library's own message, which may hold a URL with its query, never
gets into it.
"""

import errno
import os
import re
import ssl
from dataclasses import dataclass

from probe.adapters.answer import Ended, NotHttp
from probe.adapters.phases import Phase
from probe.core.errors import ConfigurationError, ProbeError
from probe.core.redaction import without_secrets

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL)
_SENTENCE_LIMIT = 200
SEEN: tuple[type[Exception], ...] = (OSError, Ended, NotHttp)
"""What an exchange meets when the endpoint or the path fails; TLS and time-outs are kinds of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where an exchange was when it failed: ``address`` is host and port."""

    address: str
    phase: Phase | None
    reused: bool = False

    @property
    def connection(self) -> str:
        return f"{self.address}: the {'reused ' if self.reused else ''}connection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What an exchange showed of the endpoint or the path: ``detail`` is a sentence, fit for any log."""

    error_type: str
    detail: str


def judged(error: Exception, where: Where) -> Failure:
    """Return what one of ``SEEN`` says of the endpoint.

    Raises ``ProbeError`` when it says something of this machine.
    """
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        raise ProbeError(
            f"this machine cannot open another connection ({os.strerror(error.errno)}): "
            "probe fewer targets on one instance, or raise its limit of open files"
        ) from error
    error_type, detail = _by_kind(error, where)
    return Failure(error_type=error_type, detail=plain(detail))


def unusable(address: str) -> ConfigurationError:
    """Return what is raised for a URL that no request can be sent to; its query is not shown."""
    shown = plain(address.partition("?")[0])
    return ConfigurationError(
        (f"{shown}: the URL cannot be used; check the endpoints, the container and the blob",)
    )


def plain(text: str, limit: int = _SENTENCE_LIMIT) -> str:
    """Return foreign text as short printable ASCII without secrets, fit for any log and any JSON."""
    kept = without_secrets(text).replace("…", "...")
    if not (kept.isascii() and kept.isprintable()):  # nearly all is, in every answer
        kept = "".join(each if each.isascii() and each.isprintable() else "?" for each in kept)
    return kept if len(kept) <= limit else kept[: limit - 3] + "..."


def _by_kind(error: Exception, where: Where) -> tuple[str, str]:
    match error:
        case NotHttp():
            return "protocol", f"{where.address}: the answer is not valid HTTP"
        case Ended() if where.phase is Phase.TRANSFER:
            return "truncated", f"{where.address}: the body ended before its promised length"
        case Ended():
            return "reset", f"{where.connection} was closed before the answer's header"
        case TimeoutError(errno=None):
            return _timed_out(where)
        case _:
            return _by_phase(error, where)


def _timed_out(where: Where) -> tuple[str, str]:
    match where.phase:
        case Phase.DNS:
            return "dns", f"{where.address}: the name was not looked up in time"
        case Phase.CONNECT:
            return "connect_timeout", f"{where.address}: no connection in time"
        case Phase.TLS:
            return "tls", f"{where.address}: the TLS handshake did not end in time"
        case Phase.TRANSFER:
            return "timeout", f"{where.address}: the body did not end in time"
        case _:
            return "timeout", f"{where.address}: no answer in time"


def _by_phase(error: Exception, where: Where) -> tuple[str, str]:
    if where.phase is Phase.DNS:
        return "dns", f"{where.address}: the name does not resolve ({_said(error)})"
    if where.phase is Phase.TLS or isinstance(error, ssl.SSLError):
        return "tls", f"{where.address}: TLS failed ({_said(error)})"
    if where.phase is Phase.CONNECT:
        return _unconnected(error, where)
    done = "in the middle of the body" if where.phase is Phase.TRANSFER else "before the answer's header"
    return "reset", f"{where.connection} was lost {done} ({_said(error)})"


def _unconnected(error: Exception, where: Where) -> tuple[str, str]:
    """Judge a connection that did not come about; what is neither silence nor a reset was turned away."""
    match getattr(error, "errno", None):
        case errno.ETIMEDOUT:
            return "connect_timeout", f"{where.address}: no connection in time"
        case errno.ECONNRESET | errno.EPIPE | errno.ECONNABORTED:
            return "reset", f"{where.connection} was lost before the answer's header ({_said(error)})"
        case _:
            return "refused", f"{where.address}: no connection ({_said(error)})"


def _said(error: Exception) -> str:
    """Return the system's words, or TLS's; nothing of them comes from a URL."""
    if isinstance(error, ssl.SSLError):
        if certificate := getattr(error, "verify_message", None):
            return f"certificate: {certificate}"
        # Python has names for a part of OpenSSL's reasons only; the rest stands in the text alone.
        words = re.search(r"\] (.+) \(_ssl", error.strerror or "")
        known = getattr(error, "reason", None) or (words and words[1])
        return (known or "handshake failed").replace("_", " ").lower()
    if isinstance(error, OSError) and error.errno and error.strerror:
        return error.strerror if error.errno < 0 else os.strerror(error.errno)
    if isinstance(error, ConnectionError):  # asyncio's own, for an end of the stream that it did not expect
        return "closed by the other side"
    return type(error).__name__
