"""An attempt's phases add up to its duration, and each is timed where it happens."""

import asyncio
import contextlib
import socket
import ssl
from datetime import timedelta

import pytest

from probe.core.reading import Purpose
from probe.core.target import Location
from tests.faults.attempt_servers import always, answer, serving

P = Location.PRIMARY
LATE = 0.15


def total(reading) -> timedelta:
    names = ("dns", "connect", "tls", "ttfb", "transfer")
    return sum((getattr(reading.phases, each) or timedelta(0) for each in names), timedelta(0))


@pytest.fixture
def server_tls(attempt_authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    attempt_authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_phases_of_fresh_and_reused_attempts_add_up_to_their_durations(
    attempt_at, server_tls, scheme
):
    tls = server_tls if scheme == "https" else None
    async with serving(always(answer()), host="localhost", tls=tls) as server:
        session = attempt_at(f"{scheme}://localhost:{server.port}", connect_timeout=3, deadline=5)
        readings = [await session.attempt(P, Purpose.READ, floor=None) for _ in range(3)]

    assert [bool(each.phases.connect) for each in readings] == [True, False, False]
    assert [each.phases.tls is not None for each in readings] == [scheme == "https", False, False]
    assert [total(each) for each in readings] == [each.duration for each in readings]


async def test_a_handshake_that_the_server_delays_is_told_as_tls_and_as_nothing_else(attempt_at, server_tls):
    async with (
        serving(always(answer()), host="localhost", tls=server_tls) as server,
        late(server.port) as port,
    ):
        session = attempt_at(f"https://localhost:{port}", connect_timeout=3, deadline=5)
        reading = await session.attempt(P, Purpose.READ, floor=None)

    assert reading.ok
    assert reading.phases.tls >= timedelta(seconds=LATE * 0.9)
    assert reading.phases.connect < timedelta(seconds=LATE)
    assert total(reading) == reading.duration


@contextlib.asynccontextmanager
async def late(port: int):
    """Stand before a server and hold its first bytes, which begin its handshake, back for a while."""
    tasks: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: float) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65536):
                await asyncio.sleep(wait)
                wait = 0
                writer.write(data)
        writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above, below = await asyncio.open_connection("localhost", port, family=socket.AF_UNSPEC)
        tasks.add(asyncio.create_task(pipe(reader, below, 0)))
        tasks.add(asyncio.create_task(pipe(above, writer, LATE)))

    front = await asyncio.start_server(accepted, "localhost", 0, family=socket.AF_INET)
    try:
        yield front.sockets[0].getsockname()[1]
    finally:
        front.close()
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
