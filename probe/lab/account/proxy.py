"""Owns one endpoint of the lab: a proxy before one Azurite that can fail in every way on the list.

Rules: a fault strikes new requests on connections that were open before it as well; what has been struck
stays struck, and healing acts at once on whatever comes next. `fault` and `heal` never wait: they may be
called from anywhere on the event loop.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from probe.lab.account.certificates import Certificates
from probe.lab.account.events import Events
from probe.lab.account.faults import Fault, Kind, fault, is_read
from probe.lab.account.history import History, Version
from probe.lab.account.listener import CLOSE_TIMEOUT, HOST, Door, Listener, Profile
from probe.lab.account.names import SUFFIX, Names
from probe.lab.account.strikes import STRIKES, Struck
from probe.lab.account.upstream import payload, upstream_session
from probe.lab.account.wire import HOP_BY_HOP, Answer, Request, azure_error, read_request
from probe.lab.errors import FaultError

_NOBODY = Request(method="GET", target="/", headers=CIMultiDict())


class Witness(Protocol):
    """Who is told of each write: `begin` before it is forwarded, `end` before its answer goes out."""

    def begin(self) -> int: ...
    async def end(self, token: int, request: Request, answer: Answer | None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What an endpoint is, besides a proxy: who witnesses its writes, and how a secondary differs.

    `read_only` refuses writes as Azure does on a secondary; `stats` makes the body of the service's stats.
    With `names`, its URL has a name in the place of the address.
    """

    name: str
    names: Names | None = None
    witness: Witness | None = None
    read_only: bool = False
    stats: Callable[[], bytes] | None = None


@dataclass(slots=True, kw_only=True)
class Active:
    """A fault at work: since when (loop time), how many requests came within its scope, what it pinned."""

    fault: Fault
    since: float
    seen: int = 0
    pinned: Mapping[str, Version] = field(default_factory=dict)


class Proxy:
    """One endpoint, as an async context manager; `upstream` is where requests go, and can be changed."""

    def __init__(
        self,
        role: Role,
        *,
        upstream: str,
        events: Events,
        port: int = 0,
        certificates: Certificates | None = None,
    ) -> None:
        self.upstream = upstream
        self.history = History()
        self.counts: Counter[str] = Counter()
        self._role = role
        self._events = events
        self._wanted_port = port
        self._certificates = certificates
        self._active: tuple[Active, ...] = ()
        self._listener = Listener(name=role.name, serve=self._serve, events=events, certificates=certificates)
        self._writes: set[asyncio.Task[Answer]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        return self._role.name

    @property
    def port(self) -> int:
        return self._listener.port or self._wanted_port

    @property
    def url(self) -> str:
        """The endpoint's root, without an account."""
        return f"{'https' if self._certificates else 'http'}://{self.host}:{self.port}"

    @property
    def host(self) -> str:
        """The host in its URL: an address, or a name of the lab's."""
        return f"{self.name}{SUFFIX}" if self._role.names else HOST

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(active.fault for active in self._active)

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return self._listener.open_connections

    @property
    def accepted(self) -> int:
        """How many connections were ever accepted."""
        return self._listener.accepted

    async def __aenter__(self) -> Self:
        self._listener.start(self._wanted_port)
        self._session = upstream_session(self._certificates)
        self._settle()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._listener.stop()
        if self._writes:
            _, late = await asyncio.wait(self._writes, timeout=CLOSE_TIMEOUT)
            for write in late:
                write.cancel()
        if self._session is not None:
            await self._session.close()

    # -- switching faults --------------------------------------------------------------------------------

    def fault(self, kind: str | Fault, *, also: bool = False, **options: object) -> Fault:
        """Switch a fault on in the place of the present ones, or besides them (`also`).

        Of several, the first that has a request in its scope strikes it.

        Raises:
            FaultError: there is no such fault, or this lab cannot make it.

        """
        made = kind if isinstance(kind, Fault) else fault(kind, **options)
        if made.effect.kind is Kind.DNS and self._role.names is None:
            raise FaultError("this lab has no names that could stop resolving: make it with Pair(names=True)")
        active = Active(fault=made, since=_clock())
        if made.effect.kind is Kind.STALE:
            active.pinned = self.history.back(made.versions)
        self._active = (*self._active, active) if also else (active,)
        self._events.emit(self.name, f"fault: {made}")
        self._settle()
        return made

    def heal(self) -> None:
        """Switch every fault off."""
        if self._active:
            self._events.emit(self.name, "healed")
        self._active = ()
        self._settle()

    def _settle(self) -> None:
        """Listen as the faults want now, and come back when a flap turns."""
        now = _clock()
        self._listener.show(_profile(self._active, now))
        if self._role.names:
            self._role.names.resolve(self.host, known=not _unnamed(self._active, now))
        if self._timer is not None:
            self._timer.cancel()
        turns = [_next_turn(active, now) for active in self._active if active.fault.kind is Kind.FLAP]
        self._timer = asyncio.get_running_loop().call_later(min(turns), self._settle) if turns else None

    def _striking(self, request: Request) -> Active | None:
        now = _clock()
        for active in self._active:
            if active.fault.effect.kind is Kind.DNS or not active.fault.strikes(
                request.method, request.target
            ):
                continue
            active.seen += 1
            if active.fault.on_at(now - active.since) and active.fault.on_nth(active.seen):
                return active
        return None

    # -- requests ----------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                request = await read_request(reader, writer)
            except ValueError as error:
                refusal = azure_error(_NOBODY, 400, "InvalidInput", str(error))
                writer.write(refusal.head() + refusal.body)
                return
            if request is None or not await self._respond(request, reader, writer):
                return

    async def _respond(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request, and return whether the connection lives on."""
        self.counts["reads" if is_read(request.method) else "writes"] += 1
        active = self._striking(request)
        if active is None:
            answer = await self._answer(request)
            writer.write(answer.head() + answer.body)
            await writer.drain()
            return request.keep_alive
        self.counts["struck"] += 1
        struck = Struck(
            fault=active.fault.effect,
            request=request,
            reader=reader,
            writer=writer,
            answer=lambda: self._answer(request),
            pinned=active.pinned,
        )
        return await STRIKES[struck.fault.kind](struck)

    async def _answer(self, request: Request) -> Answer:
        """Answer as the healthy endpoint would."""
        if self._role.read_only and not is_read(request.method):
            # Source: Common REST API error codes (InsufficientAccountPermissions, 403); the words are those
            # that clients log when they write to a secondary.
            words = "Write operations are not allowed."
            return azure_error(request, 403, "InsufficientAccountPermissions", words)
        if self._role.witness is None or is_read(request.method):
            answer = await self._forward(request)
        else:
            answer = await self._to_the_end(self._witnessed(request, self._role.witness))
        self.history.saw(request, answer)
        if self._role.stats is not None and answer.status == 200 and _is_stats(request):  # noqa: PLR2004 (OK)
            return answer.with_body(self._role.stats())
        return answer

    async def _to_the_end(self, write: Coroutine[None, None, Answer]) -> Answer:
        """Await a write that goes on when its client is cut off: what Azurite took must be replicated."""
        task = asyncio.get_running_loop().create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._written)
        return await asyncio.shield(task)

    def _written(self, task: asyncio.Task[Answer]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()  # its client has been told, or is gone

    async def _witnessed(self, request: Request, witness: Witness) -> Answer:
        token = witness.begin()
        answer = None
        try:
            answer = await self._forward(request)
        finally:
            await witness.end(token, request, answer)
        return answer

    async def _forward(self, request: Request) -> Answer:
        """Pass a request on.

        Raises:
            ConnectionError: the Azurite behind does not answer; the client sees a dropped connection.

        """
        assert self._session is not None  # noqa: S101 (made on entering)
        dropped = {*HOP_BY_HOP, "content-length"}
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in dropped]
        url = URL(self.upstream + request.target, encoded=True)
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=payload(request), allow_redirects=False
            ) as got:
                return _answered(request, got, await got.read())
        except aiohttp.ClientError as error:
            self._events.emit(self.name, f"the storage behind does not answer: {error!r}")
            raise ConnectionResetError("no upstream") from error


def _answered(request: Request, got: aiohttp.ClientResponse, body: bytes) -> Answer:
    headers = got.headers.copy()
    length = headers.get("Content-Length") if request.method == "HEAD" else None
    for name in (*HOP_BY_HOP, "content-length"):
        headers.popall(name, None)
    return Answer(status=got.status, reason=got.reason or "", headers=headers, body=body, length=length)


def _profile(faults: tuple[Active, ...], now: float) -> Profile:
    """Return how to listen: as the first fault of the connection wants that is on now."""
    for active in faults:
        if not active.fault.on_at(now - active.since):
            continue
        match active.fault.effect.kind:
            case Kind.REFUSE:
                return Profile(door=Door.CLOSED)
            case Kind.CONNECT_DROP:
                return Profile(door=Door.SILENT)
            case Kind.TLS:
                return Profile(tls=active.fault.mode)
            case _:
                continue
    return Profile()


def _unnamed(faults: tuple[Active, ...], now: float) -> bool:
    """Return whether the endpoint's name does not resolve now."""
    return any(
        active.fault.effect.kind is Kind.DNS and active.fault.on_at(now - active.since) for active in faults
    )


def _next_turn(active: Active, now: float) -> float:
    """Return in how many seconds a flap turns."""
    period = active.fault.period
    return period - (now - active.since) % period


def _is_stats(request: Request) -> bool:
    wanted = ("comp=stats", "restype=service")
    return request.method == "GET" and all(part in request.target for part in wanted)


def _clock() -> float:
    return asyncio.get_running_loop().time()
