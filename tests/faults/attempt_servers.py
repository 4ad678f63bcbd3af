"""Hand-written servers on raw sockets for the measured attempt: each does one wrong thing, exactly."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from probe.core import canary

BODY = b"a small picture " * 64
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STAMP = canary.stamp(body=BODY, sequence=7, written_at=NOON, writer="here")
FOREVER = 30.0
"""Seconds; longer than any attempt of a test, and ended with the server."""


@dataclass
class Peer:
    """One accepted connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """Read one request's header; raises ``IncompleteReadError`` when the client is gone."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        if self.writer.transport.is_closing():  # uvloop calls it a bug to write there
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, *, every: float = 0.03) -> None:
        for byte in data:
            await self.send(bytes([byte]))
            await asyncio.sleep(every)

    def reset(self) -> None:
        """Close so that the client gets an RST, whatever it has read."""
        raw = self.writer.get_extra_info("socket")
        if self.writer.transport.is_closing():
            return
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


type Play = Callable[[Peer], Awaitable[None]]


@dataclass
class Server:
    """What a running server has seen: the number of connections, and the header of each request."""

    port: int
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serving(
    play: Play, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Serve each connection by ``play``; the connection is closed when it returns."""
    tasks: set[asyncio.Task[None]] = set()
    ending: list[bool] = []

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        seen.connections += 1
        peer = Peer(reader, writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await play(_Recording(peer, seen))
        finally:
            if ending:
                writer.transport.abort()  # closing would wait for whoever does not read what was written
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(accepted, host, 0, ssl=tls, limit=2**20)
    seen = Server(port=server.sockets[0].getsockname()[1])
    try:
        yield seen
    finally:
        server.close()
        ending.append(True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Recording(Peer):
    def __init__(self, peer: Peer, seen: Server) -> None:
        super().__init__(peer.reader, peer.writer)
        self._seen = seen

    async def request(self) -> bytes:
        header = await super().request()
        self._seen.requests.append(header)
        return header


def answer(
    body: bytes = BODY,
    *,
    status: str = "200 OK",
    stamp: canary.Stamp | None = STAMP,
    headers: tuple[str, ...] = ("x-ms-request-id: 4-5",),
    length: int | None = None,
) -> bytes:
    """Return the bytes of a response as Azure Storage gives it, or nearly so."""
    metadata = [f"x-ms-meta-{name}: {value}" for name, value in canary.encode(stamp).items()] if stamp else []
    size = f"Content-Length: {len(body) if length is None else length}"
    lines = [f"HTTP/1.1 {status}", size, *headers, *metadata, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(body: bytes = BODY) -> bytes:
    """Return a good response in one chunk."""
    whole = answer(b"", headers=("Transfer-Encoding: chunked",)).replace(b"Content-Length: 0\r\n", b"")
    return whole + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def once(data: bytes) -> Play:
    """Return one request with these bytes, then close."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)

    return play


def held(data: bytes) -> Play:
    """Return one request with these bytes, then hold the connection open in silence."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        await asyncio.sleep(FOREVER)

    return play


def reset_after(data: bytes) -> Play:
    """Return one request with these bytes, let them arrive, then reset the connection."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        await asyncio.sleep(0.02)
        peer.reset()

    return play


def dripped(start: bytes, rest: bytes) -> Play:
    """Return the start at once and the rest byte by byte."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(start)
        await peer.drip(rest)

    return play


def always(data: bytes) -> Play:
    """Return every request on a connection with these bytes."""

    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(data)

    return play


def endless(start: bytes, more: bytes) -> Play:
    """Return the start and then ``more``, as fast as it is taken."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(start)
        while True:
            await peer.send(more)
            await asyncio.sleep(0)

    return play


@asynccontextmanager
async def full_queue() -> AsyncIterator[int]:
    """Listen on a port whose accept queue is full, so that the system drops every further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - a setter's value
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
