"""What goes wrong before a request is sent: the name, the connection, TLS, its reuse."""

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from probe.adapters import exchange
from probe.core.errors import ProbeError
from probe.core.reading import Fault, Purpose
from probe.core.target import Location
from tests.faults.attempt_servers import (
    FOREVER,
    STAMP,
    Peer,
    always,
    answer,
    full_queue,
    held,
    once,
    serving,
)
from tests.faults.conftest import DEADLINE, SHORT
from tests.faults.test_attempt_faults import GRACE, phases_of

P, S = Location.PRIMARY, Location.SECONDARY
GOOD = always(answer())


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


@asynccontextmanager
async def unused_port() -> AsyncIterator[int]:
    """Bind a port and do not listen on it: connections are refused, and nobody else takes it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count of the names is all that is wanted


async def read(session, location=P):
    return await session.attempt(location, Purpose.READ, floor=None)


def assert_path_fault(reading, error: str, ended: str) -> None:
    assert (reading.error_type, reading.fault, reading.status_code) == (error, Fault.PATH, None)
    assert phases_of(reading) == ended
    assert reading.duration < timedelta(seconds=DEADLINE) + GRACE


# The name and the connection


async def test_a_port_nobody_listens_on_is_refused(attempt_at):
    async with unused_port() as port:
        reading = await read(attempt_at(f"http://127.0.0.1:{port}"))

    assert_path_fault(reading, "refused", "")
    assert reading.detail == f"127.0.0.1:{port}: no connection (Connection refused)"


async def test_a_host_that_drops_every_syn_is_a_connect_timeout(attempt_at):
    async with full_queue() as port:
        reading = await read(attempt_at(f"http://127.0.0.1:{port}", **SHORT))

    assert_path_fault(reading, "connect_timeout", "")
    assert reading.duration >= timedelta(
        seconds=SHORT["connect_timeout"] - 0.002
    )  # uvloop counts in whole milliseconds


async def test_a_connect_timeout_longer_than_the_deadline_is_cut_off_by_it(attempt_at):
    async with full_queue() as port:
        reading = await read(attempt_at(f"http://127.0.0.1:{port}", connect_timeout=9, deadline=DEADLINE))

    assert_path_fault(reading, "connect_timeout", "")


async def test_a_name_that_does_not_exist_is_a_dns_error(attempt_at):
    reading = await read(attempt_at("http://account-secondary.invalid", deadline=5))

    assert (reading.error_type, reading.fault, phases_of(reading)) == ("dns", Fault.PATH, "")
    assert reading.detail.startswith("account-secondary.invalid:80: the name does not resolve")


async def test_a_lookup_that_hangs_is_a_dns_error_and_holds_up_nobody_else(attempt_at, monkeypatch):
    real, let_go = socket.getaddrinfo, threading.Event()

    def hanging(host, *args, **options):
        if host == "hanging.example":
            let_go.wait(FOREVER)
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    async with serving(GOOD, host="localhost") as server:
        stuck = [read(attempt_at("http://hanging.example", **SHORT)) for _ in range(40)]
        *hung, good = await asyncio.gather(*stuck, read(attempt_at(f"http://localhost:{server.port}")))
    let_go.set()

    for reading in hung:
        assert_path_fault(reading, "dns", "")
    assert good.ok


async def test_a_name_is_looked_up_and_numbers_are_not(attempt_at):
    async with serving(GOOD, host="localhost") as server:
        by_name = await read(attempt_at(f"http://localhost:{server.port}"))
    async with serving(GOOD) as server:
        by_number = await read(attempt_at(f"http://127.0.0.1:{server.port}"))

    assert phases_of(by_name) == "dns connect ttfb transfer"
    assert phases_of(by_number) == "connect ttfb transfer"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_an_ipv6_endpoint_is_read(attempt_at):
    async with serving(GOOD, host="::1") as server:
        reading = await read(attempt_at(f"http://[::1]:{server.port}"))

    assert reading.ok


async def test_a_machine_out_of_files_blames_no_endpoint(attempt_at, monkeypatch):
    def exhausted(*_args, **_options):
        raise OSError(24, os.strerror(24))

    async with serving(GOOD) as server:
        session = attempt_at(f"http://127.0.0.1:{server.port}")
        monkeypatch.setattr(socket, "socket", exhausted)
        with pytest.raises(ProbeError, match="Too many open files"):
            await read(session)
        monkeypatch.undo()


# TLS


@pytest.fixture
def certified(attempt_authority):
    """Make a server's TLS context with a certificate for these names, of the trusted authority or another."""

    def made(*names: str, authority: trustme.CA | None = None, **dates: datetime) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        (authority or attempt_authority).issue_cert(*names, **dates).configure_cert(context)
        return context

    return made


async def test_over_https_every_phase_is_measured(attempt_at, certified):
    async with serving(GOOD, host="localhost", tls=certified("localhost")) as server:
        reading = await read(attempt_at(f"https://localhost:{server.port}"))

    assert reading.ok
    assert phases_of(reading) == "dns connect tls ttfb transfer"
    parts = [getattr(reading.phases, each) for each in phases_of(reading).split()]
    assert sum(parts, timedelta(0)) <= reading.duration


@pytest.mark.parametrize(
    ("names", "dates", "why"),
    [
        pytest.param(
            ["localhost"],
            {"not_after": datetime(2020, 1, 1, tzinfo=UTC)},
            "certificate has expired",
            id="expired",
        ),
        pytest.param(
            ["localhost"],
            {"not_before": datetime(2999, 1, 1, tzinfo=UTC), "not_after": datetime(3000, 1, 1, tzinfo=UTC)},
            "certificate is not yet valid",
            id="not yet valid",
        ),
        pytest.param(["elsewhere.example"], {}, "Hostname mismatch", id="wrong host"),
    ],
)
async def test_a_certificate_that_does_not_fit_is_a_tls_error(attempt_at, certified, names, dates, why):
    async with serving(GOOD, host="localhost", tls=certified(*names, **dates)) as server:
        reading = await read(attempt_at(f"https://localhost:{server.port}"))

    assert_path_fault(reading, "tls", "dns connect")
    assert why in reading.detail
    assert not server.requests


async def test_a_certificate_of_an_unknown_authority_is_a_tls_error(attempt_at, certified):
    tls = certified("localhost", authority=trustme.CA())
    async with serving(GOOD, host="localhost", tls=tls) as server:
        reading = await read(attempt_at(f"https://localhost:{server.port}"))

    assert_path_fault(reading, "tls", "dns connect")
    assert "certificate" in reading.detail


async def closed_in_handshake(peer: Peer) -> None:
    await peer.reader.read(10)


async def reset_in_handshake(peer: Peer) -> None:
    await peer.reader.read(10)
    peer.reset()


async def silent_in_handshake(_peer: Peer) -> None:
    await asyncio.sleep(FOREVER)


async def plain_http(peer: Peer) -> None:
    await peer.reader.read(10)
    await peer.send(answer())


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(silent_in_handshake, id="silent"),
        pytest.param(closed_in_handshake, id="closed"),
        pytest.param(reset_in_handshake, id="reset"),
        pytest.param(plain_http, id="plain HTTP"),
    ],
)
async def test_a_handshake_that_does_not_come_about_is_a_tls_error(attempt_at, play):
    async with serving(play) as server:
        reading = await read(attempt_at(f"https://127.0.0.1:{server.port}", **SHORT))

    assert_path_fault(reading, "tls", "connect")


async def test_tls_that_breaks_after_the_handshake_is_a_reset_or_truncated(attempt_at, certified):
    whole = answer()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(whole[:-5])
        await asyncio.sleep(0.02)
        peer.reset()

    async with serving(play, host="localhost", tls=certified("localhost")) as server:
        reading = await read(attempt_at(f"https://localhost:{server.port}"))

    assert reading.error_type in ("reset", "truncated")
    assert reading.status_code == 200


# Fresh and reused connections


async def test_the_first_attempt_is_fresh_and_the_next_ones_reuse_its_connection(attempt_at):
    async with serving(GOOD) as server:
        session = attempt_at(f"http://127.0.0.1:{server.port}")
        readings = [await read(session) for _ in range(3)]

    assert [phases_of(each) for each in readings] == ["connect ttfb transfer", *["ttfb transfer"] * 2]
    assert server.connections == 1


async def test_each_location_and_each_opening_has_a_fresh_connection_even_at_one_server(attempt_at):
    async with serving(GOOD) as server:
        url = f"http://127.0.0.1:{server.port}"
        for _ in range(2):
            session = attempt_at(url, url)
            assert (await read(session, P)).phases.connect
            assert (await read(session, S)).phases.connect

    assert server.connections == 4


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(answer(b"busy", status="503 Busy"), id="status"),
        pytest.param(answer(stamp=replace(STAMP, sha256="0" * 64)), id="digest"),
    ],
)
async def test_the_attempt_after_a_failure_is_fresh_again(attempt_at, bad):
    async with serving(always(bad)) as server:
        session = attempt_at(f"http://127.0.0.1:{server.port}")
        readings = [await read(session) for _ in range(2)]

    assert all(each.phases.connect for each in readings)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_server_that_closes_after_each_answer_without_saying_so_is_no_outage(
    attempt_at, certified, scheme
):
    tls = certified("localhost") if scheme == "https" else None
    async with serving(once(answer()), host="localhost", tls=tls) as server:
        session = attempt_at(f"{scheme}://localhost:{server.port}")
        readings = []
        for _ in range(5):
            readings.append(await read(session))
            await asyncio.sleep(0.02)

    assert [each.error_type for each in readings] == [None] * 5
    assert server.connections == 5


async def test_a_close_that_has_arrived_is_seen_before_the_connection_is_reused(attempt_at):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(2)
        closed = threading.Semaphore(0)

        def answer_and_close() -> None:
            for _ in range(3):
                try:
                    accepted, _address = listener.accept()
                except TimeoutError:
                    return
                with accepted:
                    accepted.recv(4096)
                    accepted.sendall(answer())
                closed.release()

        server = threading.Thread(target=answer_and_close, daemon=True)
        server.start()
        session = attempt_at(f"http://127.0.0.1:{listener.getsockname()[1]}")
        readings = []
        for _ in range(3):
            readings.append(await read(session))
            closed.acquire(timeout=1)  # the loop stands still meanwhile, and has not looked at the socket
        server.join()

    assert [each.error_type for each in readings] == [None] * 3


async def test_a_connection_idle_for_longer_than_the_limit_is_opened_anew_from_its_name_on(
    attempt_at, monkeypatch
):
    monkeypatch.setattr("probe.adapters.exchange.IDLE_LIMIT", timedelta(seconds=0.05))
    async with serving(GOOD, host="localhost") as server:
        session = attempt_at(f"http://localhost:{server.port}")
        await read(session)
        await asyncio.sleep(0.15)
        reading = await read(session)

    assert phases_of(reading) == "dns connect ttfb transfer"
    assert server.connections == 2


async def test_a_reused_connection_dropped_under_its_request_is_told_once_and_not_asked_again(attempt_at):
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer())
        await peer.request()

    async with serving(play) as server:
        session = attempt_at(f"http://127.0.0.1:{server.port}")
        readings = [await read(session) for _ in range(5)]

    assert [each.error_type for each in readings] == [None, "reset", None, None, None]
    assert "reused connection" in readings[1].detail
    assert len(server.requests) == 5


async def test_a_failed_attempt_sends_one_request_and_no_more(attempt_at):
    async with serving(once(b"")) as server:
        await read(attempt_at(f"http://127.0.0.1:{server.port}"))
        await asyncio.sleep(0.05)

    assert len(server.requests) == 1


async def test_a_failure_leaves_another_attempt_on_the_same_location_alone(attempt_at):
    asked = itertools.count()

    async def play(peer: Peer) -> None:
        await peer.request()
        if next(asked) == 0:
            await asyncio.sleep(0.1)
            await peer.send(answer())
        await peer.send(answer(b"", status="503 Busy"))

    async with serving(play) as server:
        session = attempt_at(f"http://127.0.0.1:{server.port}")
        found = await asyncio.gather(read(session), read(session))

    assert {each.error_type for each in found} == {None, "503"}


async def test_closing_leaves_no_socket_open(attempt_at):
    async with serving(once(answer(b"", status="503 Busy"))) as busy, serving(held(answer())) as server:
        session = attempt_at(f"http://127.0.0.1:{busy.port}", f"http://127.0.0.1:{server.port}")
        before = open_files()
        for location in (P, P, S):
            await read(session, location)
        await session.aclose()
        after = open_files()

    assert after - before == 1  # the end that the holding server keeps


async def test_a_cancelled_attempt_ends_at_once_and_leaves_nothing(attempt_at):
    async with serving(held(b"")) as server:
        session = attempt_at(f"http://127.0.0.1:{server.port}", deadline=FOREVER)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(session), 0.1)

    assert len(server.requests) == 1


async def test_a_request_that_ends_just_as_it_is_connected_leaves_nothing_to_wait_for(monkeypatch):
    """Uvloop closes such a connection without a word to its protocol."""
    made = exchange._Connection.connection_made
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    line = exchange.Line(url=f"http://127.0.0.1:{port}", limits=exchange.Limits(deadline=5, connect=5))
    asking = asyncio.create_task(line.ask(exchange.Request(target="/", headers={}), lambda _: 0))

    def cancelled(connection, transport):
        made(connection, transport)
        asking.cancel()

    monkeypatch.setattr(exchange._Connection, "connection_made", cancelled)
    with pytest.raises(asyncio.CancelledError):
        await asking

    async with asyncio.timeout(5):
        await line.aclose()
    server.close()
