"""One request over one connection under one deadline, and the connections that go to one location.

Rules kept here:

- Nothing is ever sent twice: not after a dropped connection, not after an answer, not to the next address.
- One deadline bounds all of it, and within it one bound TCP and TLS together. Of several addresses each gets
  its share of what is left of that bound, so that one black hole does not use it up for the others.
- The first request goes over a fresh connection, and so does the one after ``renew``. A connection is reused
  only after an answer that ended where it said, while it has been idle for less than ``IDLE_LIMIT``, and
  while its socket has nothing to tell: so a server's usual idle time-out is not taken for an outage. A server
  that closes after an answer without saying so can still cross a request on its way. That is told as what it
  is, a ``reset`` of a reused connection, and once: from then on every request here opens its own.
- Each phase is timed where it happens, so that they add up to the duration.
- What a peer does is data; only what says nothing of it is raised (see ``failures``).
- Nothing outlives ``aclose``.
"""

import asyncio
import functools
import re
import select
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from urllib.parse import urlsplit

from probe.adapters.answer import Answer, Ended, Headers, Wanted
from probe.adapters.failures import SEEN, Failure, Where, judged, unusable
from probe.adapters.phases import Phase, Stopwatch
from probe.adapters.resolver import Address, addresses
from probe.core.reading import Phases

IDLE_LIMIT = timedelta(seconds=1)
"""Storage front ends and proxies keep an idle connection for many times as long."""
_SENDABLE = re.compile(r"[\x20-\x7e]*")
_TARGET = re.compile(r"/[\x21-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one request, in seconds; ``connect`` bounds TCP and TLS together."""

    deadline: float
    connect: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """``target`` is path and query, as they go out; ``headers`` are all but Host and Content-Length."""

    method: str = "GET"
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What one request showed.

    ``status`` and ``headers`` are there as soon as an answer's head was read, also when its body failed
    later. ``body`` is ``None`` where it was not wanted, failed, or was larger than wanted.
    """

    duration: timedelta
    phases: Phases
    status: int | None
    headers: Headers
    body: bytes | None = field(repr=False)
    too_large: bool
    failure: Failure | None


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return the process's one TLS context; making it costs 20 ms. It honours ``SSL_CERT_FILE``."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def target_of(url: str) -> str:
    """Return a URL's path and query as they go out: quoting a signature again would break it."""
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


class Line:
    """The way to one location: its requests, and the connections that they go over."""

    def __init__(self, *, url: str, limits: Limits, tls: Callable[[], ssl.SSLContext] = tls_context) -> None:
        """``url`` is any of the location; nothing of it counts but scheme, host and port.

        Raises ``ConfigurationError`` for one that no request can be sent to.
        """
        try:
            parts = urlsplit(url)
            secure, host, port = parts.scheme == "https", parts.hostname or "", parts.port
        except ValueError as error:
            raise unusable(url) from error
        if not host or parts.scheme not in ("http", "https"):
            raise unusable(url)
        self._tls, self._host = tls if secure else None, host
        self._port = port or (443 if secure else 80)
        self._named = parts.netloc.rpartition("@")[2]
        self._address = f"{host}:{self._port}"
        self._limits = limits
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._epoch = 0
        self._keep = True

    async def ask(self, request: Request, wanted: Wanted) -> Exchange:
        """Send a request once, and return within the deadline come what may.

        ``wanted`` says how much of the body is read, by the answer's status. Raises only what ``judged``
        raises: what says nothing of the endpoint.
        """
        data, epoch = self._encoded(request), self._epoch
        tls = self._tls() if self._tls else None  # had before the time is taken: the first one costs 20 ms
        watch = Stopwatch()
        answer = Answer(wanted, watch)
        connection, failure = None, None
        try:
            async with asyncio.timeout(self._limits.deadline) as bound:
                connection = self._kept() or await self._connected(watch, tls, bound)
                watch.begin(Phase.TTFB)
                watch.reused = connection.used
                await connection.exchange(data, answer)
        except SEEN as error:
            failure = judged(error, Where(address=self._address, phase=watch.phase, reused=watch.reused))
        finally:
            duration = watch.elapsed()
            if connection is not None:
                self._put_back(connection, answer, epoch)
        if watch.reused and failure and failure.error_type == "reset":
            self._keep = False
        return Exchange(
            duration=duration,
            phases=watch.phases(),
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            too_large=answer.too_large,
            failure=failure,
        )

    def renew(self) -> None:
        """Let the next request open a fresh connection; what is in use is left alone, and not kept."""
        self._epoch += 1
        while self._idle:
            self._idle.pop().drop()

    async def aclose(self) -> None:
        """Close every connection, also those that are in use."""
        self.renew()
        closing = [each.drop() for each in tuple(self._open)]
        if closing:
            await asyncio.wait(closing)

    def _encoded(self, request: Request) -> bytes:
        lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {self._named}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        if request.body is not None:
            lines.append(f"Content-Length: {len(request.body)}")
        if not _TARGET.fullmatch(request.target) or not _SENDABLE.fullmatch("".join(lines)):
            raise unusable(self._address)
        return "\r\n".join([*lines, "", ""]).encode("ascii") + (request.body or b"")

    def _kept(self) -> "_Connection | None":
        """Return a connection that can still be used, closing those that cannot."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fit():
                return connection
            connection.drop()
        return None

    def _put_back(self, connection: "_Connection", answer: Answer, epoch: int) -> None:
        if answer.reusable and answer.error is None and self._keep and epoch == self._epoch:
            connection.rest()
            self._idle.append(connection)
        else:
            connection.drop()

    async def _connected(
        self, watch: Stopwatch, tls: ssl.SSLContext | None, bound: asyncio.Timeout
    ) -> "_Connection":
        """Return a fresh connection. While it is made, ``bound`` is the connection's, if that comes first."""
        try:
            found = await addresses(self._host, self._port, lambda: watch.begin(Phase.DNS))
        except UnicodeError as error:
            raise unusable(self._address) from error
        watch.begin(Phase.CONNECT)
        deadline = bound.when()
        ends_at = asyncio.get_running_loop().time() + self._limits.connect
        bound.reschedule(min(ends_at, deadline or ends_at))
        opened = await _first(found, ends_at)
        try:
            if tls:
                watch.begin(Phase.TLS)
            connection = await self._made(opened, tls)
        except BaseException:
            with suppress(OSError):  # uvloop may have closed it already, and that must not hide what ended it
                opened.close()
            raise
        bound.reschedule(deadline)
        return connection

    async def _made(self, opened: socket.socket, tls: ssl.SSLContext | None) -> "_Connection":
        connection = _Connection(self._open)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection,
                sock=opened,
                ssl=tls,
                server_hostname=self._host.rstrip(".") if tls else None,
            )
        except BaseException:
            # Where it fails just as it was made, uvloop closes it without a word to its protocol: nobody
            # else would ever say that it is lost, and ``aclose`` would wait for that.
            connection.connection_lost(None)
            raise
        return connection


async def _first(found: list[Address], ends_at: float) -> socket.socket:
    """Return a socket connected to the first address that lets it. Raises the last one's ``OSError``.

    Who calls holds it to ``ends_at``; each address but the last gets its share of the time until then.
    """
    loop = asyncio.get_running_loop()
    failed: OSError = TimeoutError()
    for left, (family, address) in zip(range(len(found), 0, -1), found, strict=True):
        now = loop.time()
        opened = None
        try:
            opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            opened.setblocking(False)  # noqa: FBT003 - a setter's value
            share = now + (ends_at - now) / left
            async with asyncio.timeout_at(share if left > 1 else None):
                await loop.sock_connect(opened, address)
        except BaseException as error:
            if opened is not None:
                opened.close()
            if not isinstance(error, OSError):
                raise
            failed = error
        else:
            return opened
    raise failed


class _Connection(asyncio.Protocol):
    """One connection: it hands what arrives to the answer that is waited for, and knows when it is over."""

    def __init__(self, opened: "set[_Connection]") -> None:
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._told: asyncio.Future[None] | None = None
        self._lost = asyncio.get_running_loop().create_future()
        self._idle_since = 0.0
        self._seen: select.poll | None = None
        self._over = False
        self.used = False
        """Whether a request has gone over it before the one that it is used for now."""

    async def exchange(self, data: bytes, answer: Answer) -> None:
        """Send a request, and return when its answer has ended; raises what ended it early."""
        if self._transport is None or self._over:
            raise Ended
        self._answer = answer
        self._told = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        await self._told
        if answer.error is not None:
            raise answer.error

    def is_fit(self) -> bool:
        """Return whether it may be used again: not idle for too long, and its socket has nothing to tell.

        The socket is asked itself: the loop may not have looked at it since its end arrived.
        """
        if self._over or self._transport is None:
            return False
        if monotonic() - self._idle_since >= IDLE_LIMIT.total_seconds():
            return False
        if self._seen is None:
            self._seen = select.poll()
            self._seen.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._seen.poll(0)

    def rest(self) -> None:
        """Be idle until it is used again."""
        self._answer, self.used, self._idle_since = None, True, monotonic()

    def drop(self) -> "asyncio.Future[None]":
        """Close it at once; what is returned is done when nothing is left of it."""
        self._over, self._answer = True, None
        if self._transport is not None:
            self._transport.abort()
        return self._lost

    # What the loop tells, in its own names

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # of a stream, as asked for
        self._opened.add(self)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self._over = True  # nothing was asked
            return
        self._answer.feed(data)
        if self._answer.flooded and self._transport is not None:
            self._transport.pause_reading()
        self._tell()

    def eof_received(self) -> None:
        self._over = True
        if self._answer is not None:
            self._answer.eof()
            self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        self._opened.discard(self)
        if self._answer is not None:
            if exc is None:
                self._answer.eof()
            else:
                self._answer.lost(exc)
            self._tell()
        if not self._lost.done():
            self._lost.set_result(None)

    def _tell(self) -> None:
        if self._answer is not None and self._answer.ended and self._told and not self._told.done():
            self._told.set_result(None)
