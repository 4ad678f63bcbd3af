"""One GET over aiohttp under one deadline, and the connections that a location's GETs go over.

Rules kept here:

- One request, over one connection at most. aiohttp sends an idempotent request again when a kept connection
  was dropped under it; a middleware keeps that from happening. Redirects, cookies, proxies of the
  environment, decompression and the DNS cache are off as well.
- The first GET opens a fresh connection, and so does the one after a failure.
- A connection is reused only while it has been idle for less than ``IDLE_LIMIT``, and after the loop had the
  chance to see that the peer closed it: so a server's usual idle time-out is not taken for an outage. A
  server that closes after an answer without saying so can still cross a request on its way. That is told as
  what it is, a ``reset`` of a reused connection, and once: from then on every GET here opens its own.
- Nothing outlives ``aclose``.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from probe.adapters.failures import RAISED, Failure, Where, failure_of
from probe.adapters.phases import Phase, Stopwatch, timing, trace_config
from probe.adapters.resolver import ThreadPerLookup
from probe.core.reading import OK_STATUS, Phases

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

NO_HEADERS = CIMultiDictProxy(CIMultiDict[str]())
_RESOLVER = ThreadPerLookup()
IDLE_LIMIT = timedelta(seconds=1)
"""Storage front ends and proxies keep an idle connection for many times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one GET, in seconds; ``connect`` bounds TCP and TLS together."""

    deadline: float
    connect: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What one GET showed.

    ``status`` and ``headers`` are there as soon as an answer's header was read, also when its body failed
    later. ``body`` is ``None`` where it was not read (any status but 200), failed, or was too large.
    """

    duration: timedelta
    phases: Phases
    status: int | None
    headers: CIMultiDictProxy[str]
    body: bytes | None = field(repr=False)
    too_large: bool
    failure: Failure | None


class _Unrepeated(Exception):  # noqa: N818 - not an error of its own, it carries one
    """Carries what aiohttp would answer with a second request."""


async def _once(request: aiohttp.ClientRequest, send: ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Unrepeated from error


class Line:
    """The way to one location: its GETs, and the connections that they go over."""

    def __init__(
        self, *, address: str, limits: Limits, headers: Mapping[str, str], tls: Callable[[], ssl.SSLContext]
    ) -> None:
        self._address = address
        self._limits = limits
        self._headers = headers
        self._tls = tls
        self._timeout = aiohttp.ClientTimeout(sock_connect=limits.connect, ceil_threshold=inf)
        self._session: aiohttp.ClientSession | None = None
        self._in_use: Counter[aiohttp.ClientSession] = Counter()
        self._keep = True

    async def get(self, url: URL, headers: Mapping[str, str], *, size: int) -> Exchange:
        """Make one GET of at most ``size`` bytes of body; answers within the deadline come what may.

        Raises only what ``failure_of`` raises: what says nothing of the endpoint.
        """
        session = await self._opened(url)
        one = _Get(address=self._address, size=size)
        self._in_use[session] += 1
        try:
            await one.run(self._request(session, url, headers, one.watch), self._limits.deadline)
        finally:
            self._in_use[session] -= 1
            if one.body is None:
                await self._retire(session)
        if one.watch.reused and one.failure and one.failure.error_type == "reset":
            self._keep = False
        return one.exchange()

    async def _request(
        self, session: aiohttp.ClientSession, url: URL, headers: Mapping[str, str], watch: Stopwatch
    ) -> aiohttp.ClientResponse:
        return await session.get(
            url, headers=headers, allow_redirects=False, timeout=self._timeout, trace_request_ctx=watch
        )

    async def _opened(self, url: URL) -> aiohttp.ClientSession:
        """Return the session in use, after the loop has seen what its connections met; or a fresh one."""
        if self._session is not None:
            await asyncio.sleep(0)  # the loop polls the sockets ...
            await asyncio.sleep(0)  # ... and has told their protocols
            return self._session
        connector = aiohttp.TCPConnector(
            ssl=self._tls() if url.scheme == "https" else True,
            resolver=_RESOLVER,
            use_dns_cache=False,
            limit=0,
            **({"keepalive_timeout": IDLE_LIMIT.total_seconds()} if self._keep else {"force_close": True}),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            trace_configs=[trace_config()],
            middlewares=(_once,),
        )
        return self._session

    async def _retire(self, session: aiohttp.ClientSession) -> None:
        """Let the next GET open a fresh connection; close this session when no other GET is on it."""
        if self._session is session:
            self._session = None
        if not self._in_use[session]:
            del self._in_use[session]
            await session.close()

    async def renew(self) -> None:
        """Let the next GET open a fresh connection."""
        if self._session is not None:
            await self._retire(self._session)

    async def aclose(self) -> None:
        """Close every connection, also those that are in use."""
        self._session = None
        sessions, self._in_use = list(self._in_use), Counter()
        for session in sessions:
            await session.close()


class _Get:
    """One GET in progress, and what it has found so far."""

    __slots__ = (
        "_address",
        "_connection",
        "_elapsed",
        "_size",
        "answer",
        "body",
        "failure",
        "too_large",
        "watch",
    )

    def __init__(self, *, address: str, size: int) -> None:
        self._address = address
        self._size = size
        self._elapsed = timedelta(0)
        self._connection: ResponseHandler | None = None
        self.watch = Stopwatch()
        self.answer: aiohttp.ClientResponse | None = None
        self.body: bytes | None = None
        self.too_large = False
        self.failure: Failure | None = None

    async def run(self, request: Awaitable[aiohttp.ClientResponse], deadline: float) -> None:
        """Await the request and its body; what becomes of them stands in the fields."""
        token = timing.set(self.watch)
        try:
            async with asyncio.timeout(deadline):
                self.answer = await request
                self.watch.begin(None)
                if self.answer.status == OK_STATUS:  # no other answer's body says anything of the endpoint
                    await self._take(self.answer)
        except _Unrepeated as carried:
            self.failure = self._judged(carried.__cause__ or carried)
        except RAISED as error:
            self.failure = self._judged(error)
        finally:
            self._elapsed = self.watch.elapsed()
            timing.reset(token)
            if self.answer is not None:
                self.answer.close()

    async def _take(self, answer: aiohttp.ClientResponse) -> None:
        """Read the body, or as much of it as the limit allows."""
        self.watch.begin(Phase.TRANSFER)
        self._connection = answer.connection.protocol if answer.connection is not None else None
        if (answer.content_length or 0) > self._size:
            self.too_large = True
            return
        body = await self._read(answer)
        if _ends_with_connection(answer) and isinstance(lost := self._lost(), OSError):
            raise lost
        if body is not None:
            self.watch.begin(None)
        self.body = body

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes | None:
        parts, size = [], 0
        async for part in answer.content.iter_any():
            size += len(part)
            if size > self._size:
                self.too_large = True
                return None
            parts.append(part)
        return b"".join(parts)

    def _lost(self) -> BaseException | None:
        """Return what the connection met, as far as its protocol was told."""
        return self._connection.exception() if self._connection is not None else None

    def _judged(self, error: BaseException) -> Failure:
        where = Where(
            address=self._address, phase=self.watch.phase, reused=self.watch.reused, lost=self._lost()
        )
        return failure_of(error, where)

    def exchange(self) -> Exchange:
        return Exchange(
            duration=self._elapsed,
            phases=self.watch.phases(),
            status=self.answer.status if self.answer is not None else None,
            headers=self.answer.headers if self.answer is not None else NO_HEADERS,
            body=self.body,
            too_large=self.too_large,
            failure=self.failure,
        )


def _ends_with_connection(answer: aiohttp.ClientResponse) -> bool:
    """Return whether only the end of the connection tells where the body ends: then a reset is no end."""
    chunked = "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
    return answer.content_length is None and not chunked
