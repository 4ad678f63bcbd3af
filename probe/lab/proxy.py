"""Owns one endpoint of the lab: a proxy in front of one Azurite that can fail in every way on the list of faults.

Rules: the port stays the lab's for as long as the proxy lives, whatever is done to it; a fault strikes new requests on
connections that were open before it as well; what has been struck stays struck, and healing acts at once on whatever
comes next. `fault` and `heal` do not wait: they may be called from anywhere on the event loop.
"""

import asyncio
import contextlib
import enum
import functools
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, assert_never

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from probe.lab.certificates import Certificates
from probe.lab.events import Events
from probe.lab.faults import Fault, Kind, TlsMode, fault, is_read
from probe.lab.history import History, Version, as_of, blob_path
from probe.lab.wire import HEAD_LIMIT, HOP_BY_HOP, Answer, Request, azure_error, read_request

HOST = "127.0.0.1"
BACKLOG = 512
# How long a client has to take in what came before a reset: the kernel may drop unread data with it.
RESET_AFTER = 0.05
GARBAGE = b"\x00\x17\xd9 NOT/0.0 http? \xff\xfe\x00" * 4 + b"\r\n\r\n"
# TLS 1.2 alert record: fatal, handshake_failure. Source: RFC 5246, 7.2.
TLS_ALERT = bytes.fromhex("15030300020228")
PLAIN_TEXT = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Witness(Protocol):
    """Who is told of each write that passes: `begin` before it is forwarded, `end` before its answer goes out."""

    def begin(self) -> int: ...
    async def end(self, token: int, request: Request, answer: Answer | None) -> None: ...


class Door(enum.Enum):
    """What a SYN meets."""

    OPEN = enum.auto()
    CLOSED = enum.auto()
    SILENT = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How the endpoint is listening: its door, and the TLS failure that it shows, if any."""

    door: Door = Door.OPEN
    tls: TlsMode | None = None


@dataclass(slots=True, kw_only=True)
class Active:
    """A fault at work: since when (loop time), how many requests came within its scope, and its pinned versions."""

    fault: Fault
    since: float
    seen: int = 0
    pinned: Mapping[str, Version] = field(default_factory=dict)


class Proxy:
    """One endpoint, as an async context manager.

    `upstream` is where requests go; it can be changed while it runs. `read_only` refuses writes as Azure does on a
    secondary; `stats` answers the body of the service's stats in the place of Azurite's own.
    """

    def __init__(
        self,
        *,
        name: str,
        upstream: str,
        events: Events,
        port: int = 0,
        certificates: Certificates | None = None,
        witness: Witness | None = None,
        stats: Callable[[], bytes] | None = None,
        read_only: bool = False,
    ) -> None:
        self.name = name
        self.upstream = upstream
        self.port = port
        self.history = History()
        self.counts: Counter[str] = Counter()
        self._events = events
        self._certificates = certificates
        self._witness = witness
        self._stats = stats
        self._read_only = read_only
        self._active: tuple[Active, ...] = ()
        self._profile: Profile | None = None
        self._reserved: socket.socket | None = None
        self._listening: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter | None] = {}
        self._writes: set[asyncio.Task[Answer]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._certificates else 'http'}://{HOST}:{self.port}"

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(active.fault for active in self._active)

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        self._reserved = _bound(self.port)
        self.port = self._reserved.getsockname()[1]
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=self._certificates.client() if self._certificates else True, keepalive_timeout=60
            ),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        self._settle()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._stop_listening()
        tasks = (*self._connections, *self._writes)
        self._abort_connections()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        if self._reserved is not None:
            self._reserved.close()

    # -- switching faults ------------------------------------------------------------------------------------------

    def fault(self, kind: str | Fault, *, also: bool = False, **options: object) -> Fault:
        """Switch a fault on in the place of the present ones, or besides them (`also`): the first in scope strikes.

        Raises:
            FaultError: no such fault.

        """
        made = kind if isinstance(kind, Fault) else fault(kind, **options)
        active = Active(fault=made, since=asyncio.get_running_loop().time())
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
        """Make the listening socket what the faults want now, and come back when a flap turns."""
        loop = asyncio.get_running_loop()
        wanted = self._wanted(loop.time())
        if wanted != self._profile:
            self._listen(wanted)
        if self._timer is not None:
            self._timer.cancel()
        turns = [_next_turn(active, loop.time()) for active in self._active if active.fault.kind is Kind.FLAP]
        self._timer = loop.call_later(min(turns), self._settle) if turns else None

    def _wanted(self, now: float) -> Profile:
        for active in self._active:
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

    # -- the listening socket --------------------------------------------------------------------------------------

    def _listen(self, profile: Profile) -> None:
        """Take up a profile. Connections open until now are reset, but fall silent behind a silent door."""
        self._stop_listening()
        self._profile = profile
        if profile.door is not Door.SILENT:
            self._abort_connections()
        match profile.door:
            case Door.CLOSED:
                pass
            case Door.SILENT:
                self._listening = _bound(self.port)
                self._fillers = _silenced(self._listening)
            case Door.OPEN:
                self._listening = _bound(self.port)
                self._listening.listen(BACKLOG)
                context = self._certificates.server(profile.tls) if self._certificates else None
                asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening, context)
            case _:
                assert_never(profile.door)

    def _stop_listening(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        for filler in self._fillers:
            filler.close()
        self._fillers = []

    def _abort_connections(self) -> None:
        for task, writer in self._connections.items():
            if writer is not None:
                _reset(writer)
            task.cancel()

    def _accept(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        try:
            accepted, _ = listening.accept()
        except OSError:  # the client has gone already
            return
        accepted.setblocking(False)
        self.counts["connections"] += 1
        task = asyncio.get_running_loop().create_task(self._serve(accepted, context))
        self._connections[task] = None
        task.add_done_callback(functools.partial(self._ended, accepted))

    def _ended(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        accepted.close()  # also when the task was cancelled before it ever ran
        del self._connections[task]
        if not task.cancelled() and (error := task.exception()):
            self._events.emit(self.name, f"a connection failed: {error!r}")

    # -- one connection --------------------------------------------------------------------------------------------

    async def _serve(self, accepted: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=HEAD_LIMIT, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted, ssl=context)
        except OSError:  # a failed handshake (SSLError is one) is the client's to tell
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a coroutine that runs has its task)
        self._connections[task] = writer
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._converse(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._profile is not None and self._profile.tls is not None:
            if await reader.read(HEAD_LIMIT):
                writer.write(PLAIN_TEXT if self._certificates else TLS_ALERT)
            return
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
        """Answer one request; answer whether the connection lives on."""
        self.counts["reads" if is_read(request.method) else "writes"] += 1
        active = self._struck_by(request)
        if active is None:
            return await self._send(request, await self._answer(request), writer)
        self.counts["struck"] += 1
        return await self._strike(active, request, reader, writer)

    def _struck_by(self, request: Request) -> Active | None:
        now = asyncio.get_running_loop().time()
        for active in self._active:
            if not active.fault.strikes(request.method, request.target):
                continue
            active.seen += 1
            if active.fault.on_at(now - active.since) and active.fault.on_nth(active.seen):
                return active
        return None

    async def _send(self, request: Request, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        self.counts[f"status_{answer.status}"] += 1
        writer.write(answer.head() + answer.body)
        await writer.drain()
        return request.keep_alive

    async def _strike(
        self, active: Active, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        struck = active.fault.effect
        match struck.kind:
            case Kind.BLACK_HOLE | Kind.CONNECT_DROP:
                while await reader.read(HEAD_LIMIT):
                    pass
                return False
            case Kind.GARBAGE:
                writer.write(GARBAGE)
                return False
            case Kind.REFUSE | Kind.TLS:  # on its way in as the door closed
                _reset(writer)
                return False
            case Kind.STATUS:
                return await self._send(request, azure_error(request, struck.code, struck.error), writer)
            case Kind.LATENCY:
                await asyncio.sleep(struck.seconds)
                return await self._send(request, await self._answer(request), writer)
            case Kind.STALE:
                stale = _stale(active, request, await self._answer(request))
                return await self._send(request, stale, writer)
            case Kind.CORRUPT:
                return await self._send(request, _corrupted(await self._answer(request)), writer)
            case Kind.HEADER_DRIP | Kind.BODY_DRIP | Kind.TRUNCATE | Kind.RESET:
                return await _mangle(struck, request, await self._answer(request), writer)
            case Kind.FLAP:
                raise AssertionError("a flap's effect is another fault")
            case _:
                assert_never(struck.kind)

    # -- one answer ------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Answer:
        """Answer as the healthy endpoint would."""
        if self._read_only and not is_read(request.method):
            # Source: Common REST API error codes (InsufficientAccountPermissions, 403); the words are those that
            # clients log when they write to a secondary.
            return azure_error(
                request, 403, "InsufficientAccountPermissions", "Write operations are not allowed."
            )
        if self._witness is None or is_read(request.method):
            answer = await self._forward(request)
        else:
            answer = await self._to_the_end(self._witnessed(request, self._witness))
        self.history.saw(request, answer)
        if self._stats is not None and answer.status == 200 and _is_stats(request):  # noqa: PLR2004 (OK)
            return answer.with_body(self._stats())
        return answer

    async def _to_the_end(self, write: Coroutine[None, None, Answer]) -> Answer:
        """Await a write that goes on when its client's connection is cut: what Azurite took must be replicated."""
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
        headers = {
            n: v for n, v in request.headers.items() if n.lower() not in {*HOP_BY_HOP, "content-length"}
        }
        data = request.body if request.body or request.method in {"PUT", "POST", "PATCH"} else None
        url = URL(self.upstream + request.target, encoded=True)
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=data, allow_redirects=False
            ) as got:
                body = await got.read()
        except aiohttp.ClientError as error:
            self._events.emit(self.name, f"the storage behind does not answer: {error!r}")
            raise ConnectionResetError("no upstream") from error
        kept = got.headers.copy()
        length = kept.get("Content-Length")
        for name in (*HOP_BY_HOP, "content-length"):
            kept.popall(name, None)
        head_only = length if request.method == "HEAD" else None
        return Answer(status=got.status, reason=got.reason or "", headers=kept, body=body, length=head_only)


_NOBODY = Request(method="GET", target="/", headers=CIMultiDict())


def _is_stats(request: Request) -> bool:
    return request.method == "GET" and "comp=stats" in request.target and "restype=service" in request.target


def _next_turn(active: Active, now: float) -> float:
    """Answer in how many seconds a flap turns."""
    period = active.fault.period
    return period - (now - active.since) % period


def _bound(port: int) -> socket.socket:
    """Answer a socket on the port, not listening yet.

    With SO_REUSEPORT a second socket can keep the port while the listening one is closed: a port that is bound but does
    not listen refuses, and nobody else can have it.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound


def _silenced(listening: socket.socket) -> list[socket.socket]:
    """Fill the queue of a listening socket that nobody accepts from: the kernel then drops every further SYN."""
    listening.listen(0)
    fillers = []
    for _ in range(2):  # a backlog of 0 holds one connection; the second is there to be sure
        filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        filler.setblocking(False)
        filler.connect_ex(listening.getsockname())
        fillers.append(filler)
    return fillers


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    writer.transport.abort()


def _stale(active: Active, request: Request, answer: Answer) -> Answer:
    version = active.pinned.get(blob_path(request.target))
    servable = (
        answer.status in {200, 206, 404}
        and request.method in {"GET", "HEAD"}
        and "comp=" not in request.target
    )
    return as_of(version, request, answer) if version is not None and servable else answer


def _corrupted(answer: Answer) -> Answer:
    middle = len(answer.body) // 2
    flipped = bytes(byte ^ 0xFF for byte in answer.body[middle : middle + 1])
    return answer.with_body(answer.body[:middle] + flipped + answer.body[middle + 1 :]) if flipped else answer


async def _mangle(struck: Fault, request: Request, answer: Answer, writer: asyncio.StreamWriter) -> bool:
    head, body = answer.head(), answer.body
    match struck.kind:
        case Kind.HEADER_DRIP:
            await _drip(head, struck.interval, writer)
            writer.write(body)
            return request.keep_alive
        case Kind.BODY_DRIP:
            writer.write(head)
            await _drip(body, struck.interval, writer)
            return request.keep_alive
        case Kind.TRUNCATE:
            writer.write(head if body else _promising_more(request, answer))
            writer.write(body[: len(body) // 2])
            return False
        case _:
            writer.write(head + body[: len(body) // 2] if body else head[: len(head) // 2])
            await writer.drain()
            await asyncio.sleep(RESET_AFTER)
            _reset(writer)
            return False


def _promising_more(request: Request, answer: Answer) -> bytes:
    """Answer the head of a bodiless answer that promises a byte, so that it can be truncated; HEAD cannot."""
    return answer.head() if request.method == "HEAD" else answer.with_body(b" ").head()


async def _drip(data: bytes, interval: float, writer: asyncio.StreamWriter) -> None:
    for index in range(len(data)):
        writer.write(data[index : index + 1])
        await writer.drain()
        await asyncio.sleep(interval)
