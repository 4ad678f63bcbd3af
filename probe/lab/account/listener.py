"""Owns one port and the connections through it: what a SYN meets, and what the handshake shows.

Rules: the port stays ours for as long as the listener lives, whether it listens or not. A door that closes,
and a change of certificate, reset the connections that are open; behind a silent door they stay, since
packets that get lost reset nothing.
"""

import asyncio
import contextlib
import enum
import functools
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from probe.lab.account.certificates import Certificates
from probe.lab.account.events import Events
from probe.lab.account.faults import TlsMode
from probe.lab.account.wire import HEAD_LIMIT

HOST = "127.0.0.1"
BACKLOG = 512
CLOSE_TIMEOUT = 1.0
# A TLS 1.2 alert record: fatal, handshake_failure. Source: RFC 5246, 7.2.
TLS_ALERT = bytes.fromhex("15030300020228")
PLAIN_TEXT = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Door(enum.Enum):
    """What a SYN meets."""

    OPEN = enum.auto()
    CLOSED = enum.auto()
    SILENT = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How the port is listened on: its door, and the TLS failure that it shows, if any."""

    door: Door = Door.OPEN
    tls: TlsMode | None = None


class Listener:
    """A port on the loopback that hands each connection to `serve`; open until a profile says otherwise."""

    def __init__(self, *, name: str, serve: Serve, events: Events, certificates: Certificates | None) -> None:
        self.port = 0
        self.accepted = 0
        self._name = name
        self._serve = serve
        self._events = events
        self._certificates = certificates
        self._profile: Profile | None = None
        self._reserved: socket.socket | None = None
        self._listening: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter | None] = {}

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def start(self, port: int) -> None:
        """Take the port (0: any that is free) and listen.

        Raises:
            OSError: the port is taken.

        """
        if port:
            _check_free(port)
        self._reserved = _bound(port)
        self.port = self._reserved.getsockname()[1]
        self.show(Profile())

    async def stop(self) -> None:
        self._stop_listening()
        tasks = tuple(self._connections)
        self._reset_connections()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)
        if self._reserved is not None:
            self._reserved.close()

    def show(self, profile: Profile) -> None:
        """Take up a profile; nothing happens when it is the present one."""
        if profile == self._profile:
            return
        self._stop_listening()
        self._profile = profile
        if profile.door is not Door.SILENT:
            self._reset_connections()
        if profile.door is Door.CLOSED:
            return
        self._listening = listening = _bound(self.port)
        if profile.door is Door.SILENT:
            self._fillers = _silenced(listening)
        else:
            self._open(listening, profile.tls)

    def _open(self, listening: socket.socket, tls: TlsMode | None) -> None:
        listening.listen(BACKLOG)
        context = self._certificates.server(tls) if self._certificates else None
        asyncio.get_running_loop().add_reader(listening, self._accept, listening, context)

    def _stop_listening(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        for filler in self._fillers:
            filler.close()
        self._fillers = []

    def _reset_connections(self) -> None:
        for task, writer in self._connections.items():
            if writer is not None:
                reset(writer)
            task.cancel()

    def _accept(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        try:
            accepted, _ = listening.accept()
        except OSError:  # the client has gone already
            return
        accepted.settimeout(0)
        self.accepted += 1
        task = asyncio.get_running_loop().create_task(self._connected(accepted, context))
        self._connections[task] = None
        task.add_done_callback(functools.partial(self._ended, accepted))

    def _ended(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        accepted.close()  # where the task was cancelled before it ever ran
        del self._connections[task]
        if not task.cancelled() and (error := task.exception()):
            self._events.emit(self._name, f"a connection failed: {error!r}")

    async def _connected(self, accepted: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=HEAD_LIMIT, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        # From here on the transport closes it: closed under a transport, its number would soon be another's.
        handed = socket.socket(fileno=accepted.detach())
        handed.settimeout(0)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, handed, ssl=context)
        except OSError:  # a failed handshake is the client's to tell
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._connections[_current()] = writer
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._profile is None or self._profile.tls is None:
            await self._serve(reader, writer)
        elif await reader.read(HEAD_LIMIT):
            writer.write(PLAIN_TEXT if self._certificates else TLS_ALERT)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    raw = writer.get_extra_info("socket")  # uvloop has none for a connection that is closed already
    with contextlib.suppress(OSError):
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _current() -> asyncio.Task[None]:
    task: asyncio.Task[None] | None = asyncio.current_task()
    assert task is not None  # noqa: S101 (a coroutine that runs has its task)
    return task


def _bound(port: int) -> socket.socket:
    """Return a socket on the port that does not listen yet.

    With SO_REUSEPORT one such socket keeps the port while the listening one is closed: a port that is bound
    but not listened on refuses, and nobody else can have it.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.settimeout(0)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound


def _check_free(port: int) -> None:
    """Find out whether another lab has the port: SO_REUSEPORT would let the two share it in silence."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sole:
        sole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sole.bind((HOST, port))


def _silenced(listening: socket.socket) -> list[socket.socket]:
    """Fill the queue of a socket that nobody accepts from: the kernel then drops every further SYN."""
    listening.listen(0)
    fillers = []
    for _ in range(2):  # a backlog of 0 holds one connection; the second is there to be sure
        filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        filler.settimeout(0)
        filler.connect_ex(listening.getsockname())
        fillers.append(filler)
    return fillers
