"""One table from what aiohttp, TLS and the operating system raise to ``error.type``, most specific first.

Rules kept here: what is no failure of the endpoint is not turned into one: a URL that cannot be used is a
``ConfigurationError``, a machine out of files, ports or memory a ``ProbeError``. The sentence about a
failure is made here from known parts; a library's own message, which may hold a URL with its query, never
gets into it.
"""

import errno
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from aiohttp.http import HttpProcessingError

from probe.adapters.answer import Ended, NotHttp
from probe.adapters.phases import Phase
from probe.core.errors import ConfigurationError, ProbeError

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL)
_SENTENCE_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where an attempt was when it failed: ``address`` is host and port, ``lost`` what its connection met."""

    address: str
    phase: Phase | None
    reused: bool = False
    lost: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    error_type: str
    detail: str


SEEN: tuple[type[Exception], ...] = (OSError, Ended, NotHttp)
"""What an exchange meets when the endpoint or the path fails; TLS and time-outs are kinds of the first."""


def judged(error: Exception, where: Where) -> Failure:
    """Return what ended an exchange early, by the phase that it was in.

    Raises ``ProbeError`` when it says something of this machine, not of the endpoint.
    """
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        raise _exhausted(error.errno) from error
    failure = _by_phase(error, where)
    return Failure(error_type=failure.error_type, detail=plain(failure.detail))


def _by_phase(error: Exception, where: Where) -> Failure:
    if isinstance(error, NotHttp):
        return _protocol(error, where)
    if isinstance(error, TimeoutError) and error.errno is None:
        return timed_out(error, where)
    if isinstance(error, Ended):
        return _ended(where)
    match where.phase:
        case Phase.DNS:
            return _dns(error, where)
        case Phase.CONNECT | Phase.TLS:
            return _connect(error, where)
        case _:
            return _broken(error, where)


def _ended(where: Where) -> Failure:
    if where.phase is Phase.TRANSFER:
        detail = f"{where.address}: the body ended before its promised length"
        return Failure(error_type="truncated", detail=detail)
    which = "the reused connection" if where.reused else "the connection"
    detail = f"{where.address}: {which} was closed before the answer's header"
    return Failure(error_type="reset", detail=detail)


def _exhausted(number: int) -> ProbeError:
    return ProbeError(
        f"this machine cannot open another connection ({os.strerror(number)}): "
        "probe fewer targets on one instance, or raise its limit of open files"
    )


def unusable(address: str) -> ConfigurationError:
    """Return what is raised for a URL that no request can be sent to; its query is not shown."""
    shown = plain(address.partition("?")[0])
    return ConfigurationError(
        (f"{shown}: the URL cannot be used; check the endpoints, the container and the blob",)
    )


type _Rule = Callable[[BaseException, Where], Failure]


def _dns(error: BaseException, where: Where) -> Failure:
    return Failure(error_type="dns", detail=f"{where.address}: the name does not resolve ({_said(error)})")


def _tls(error: BaseException, where: Where) -> Failure:
    return Failure(error_type="tls", detail=f"{where.address}: TLS failed ({_tls_said(error)})")


def _connect(error: BaseException, where: Where) -> Failure:
    """Judge a connection that did not come about; what is neither silence nor a reset was turned away."""
    if where.phase is Phase.TLS:
        return _tls(error, where)
    match _errno(error):
        case errno.ETIMEDOUT:
            return Failure(error_type="connect_timeout", detail=f"{where.address}: no connection in time")
        case errno.ECONNRESET | errno.EPIPE | errno.ECONNABORTED:
            return _broken(error, where)
        case _:
            return Failure(error_type="refused", detail=f"{where.address}: no connection ({_said(error)})")


def _broken(error: BaseException, where: Where) -> Failure:
    """Judge a connection that was lost while it was in use."""
    if isinstance(_cause(error), ssl.SSLError):
        return _tls(_cause(error), where)
    if where.phase is Phase.TLS:
        return _tls(error, where)
    which = "the reused connection" if where.reused else "the connection"
    done = "in the middle of the body" if where.phase is Phase.TRANSFER else "before the answer's header"
    return Failure(error_type="reset", detail=f"{where.address}: {which} was lost {done} ({_said(error)})")


def _disconnected(_error: BaseException, where: Where) -> Failure:
    which = "the reused connection" if where.reused else "the connection"
    return Failure(
        error_type="reset", detail=f"{where.address}: {which} was closed before the answer's header"
    )


def _payload(error: BaseException, where: Where) -> Failure:
    """Judge a body that did not end: reset, closed too early, or not HTTP."""
    if isinstance(where.lost, OSError):
        return _broken(where.lost, where)
    if isinstance(where.lost, aiohttp.ServerDisconnectedError):
        return Failure(
            error_type="truncated", detail=f"{where.address}: the body ended before its promised length"
        )
    return _protocol(error, where)


def _protocol(_error: BaseException, where: Where) -> Failure:
    return Failure(error_type="protocol", detail=f"{where.address}: the answer is not valid HTTP")


def timed_out(_error: BaseException, where: Where) -> Failure:
    """Judge a time-out by the phase that it cut off.

    aiohttp does not wake the reader of a body whose framing breaks in the middle; its connection knows.
    """
    if isinstance(where.lost, HttpProcessingError):
        return _protocol(_error, where)
    match where.phase:
        case Phase.DNS:
            return Failure(error_type="dns", detail=f"{where.address}: the name was not looked up in time")
        case Phase.CONNECT:
            return Failure(error_type="connect_timeout", detail=f"{where.address}: no connection in time")
        case Phase.TLS:
            return Failure(error_type="tls", detail=f"{where.address}: the TLS handshake did not end in time")
        case Phase.TRANSFER:
            return Failure(error_type="timeout", detail=f"{where.address}: the body did not end in time")
        case _:
            return Failure(error_type="timeout", detail=f"{where.address}: no answer in time")


def _ours(error: BaseException, where: Where) -> Failure:
    problem = f"{where.address}: the URL cannot be used; check the endpoints, the container and the blob"
    raise ConfigurationError((problem,)) from error


TABLE: tuple[tuple[type[BaseException], _Rule], ...] = (
    (aiohttp.InvalidURL, _ours),
    (aiohttp.NonHttpUrlClientError, _ours),
    (aiohttp.RedirectClientError, _protocol),  # redirects are not followed: unreachable, and still mapped
    (aiohttp.ClientConnectorDNSError, _dns),
    (aiohttp.ClientSSLError, _tls),
    (aiohttp.ServerFingerprintMismatch, _tls),
    (aiohttp.ClientConnectorError, _connect),
    (aiohttp.ServerTimeoutError, timed_out),
    (aiohttp.ServerDisconnectedError, _disconnected),
    (aiohttp.ClientPayloadError, _payload),
    (aiohttp.ClientResponseError, _protocol),
    (HttpProcessingError, _protocol),
    (aiohttp.UploadAbortedError, _broken),
    (aiohttp.ClientConnectionError, _broken),
    (TimeoutError, timed_out),
    (ssl.SSLError, _tls),
    (OSError, _broken),
    (aiohttp.ClientError, _protocol),
)
"""The last row is for what a newer aiohttp may add; a test holds that all of today's stand above it."""

RAISED = tuple(kind for kind, _ in TABLE)


def failure_of(error: BaseException, where: Where) -> Failure:
    """Return what an exception of an attempt says of the endpoint.

    Raises ``ProbeError`` when it says something of this machine, ``ConfigurationError`` of the settings.
    """
    if (number := _errno(error)) in _EXHAUSTED:
        raise ProbeError(
            f"this machine cannot open another connection ({os.strerror(number)}): "
            "probe fewer targets on one instance, or raise its limit of open files"
        ) from error
    rule = next(rule for kind, rule in TABLE if isinstance(error, kind))
    failure = rule(error, where)
    return Failure(error_type=failure.error_type, detail=plain(failure.detail))


def plain(text: str, limit: int = _SENTENCE_LIMIT) -> str:
    """Return foreign text as short printable ASCII, fit for any log and any JSON."""
    kept = "".join(each if each.isascii() and each.isprintable() else "?" for each in text)
    return kept if len(kept) <= limit else kept[: limit - 3] + "..."


def _cause(error: BaseException) -> BaseException:
    """Return the operating system's or TLS's own exception behind aiohttp's."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return error.__cause__ or error


def _errno(error: BaseException) -> int:
    found = _cause(error)
    return (found.errno or 0) if isinstance(found, OSError) else 0


def _said(error: BaseException) -> str:
    """Return the system's words; nothing of them comes from a URL."""
    found = _cause(error)
    if isinstance(found, OSError) and found.errno and found.strerror:
        return found.strerror if found.errno < 0 else os.strerror(found.errno)
    if isinstance(found, ConnectionError):  # asyncio's own, for an end of the stream that it did not expect
        return "closed by the other side"
    return type(found).__name__


def _tls_said(error: BaseException) -> str:
    found = _cause(error)
    if not isinstance(found, ssl.SSLError):
        return _said(error)
    if certificate := getattr(found, "verify_message", None):
        return f"certificate: {certificate}"
    return (getattr(found, "reason", None) or "handshake failed").replace("_", " ").lower()
