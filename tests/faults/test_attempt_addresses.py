"""Which address is connected to, under which name, with which trust, in which protocol."""

import contextlib
import socket
import ssl
from datetime import timedelta

import pytest
import trustme

from probe.adapters.exchange import Limits, Line, Request, tls_context
from probe.core.reading import Purpose
from probe.core.target import Location
from tests.faults.attempt_servers import Peer, always, answer, full_queue, serving
from tests.faults.test_attempt_connection_faults import GOOD, has_ipv6, unused_port

P = Location.PRIMARY
NAME = "account.example"
BOUND = 0.9
needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@pytest.fixture
def addressed(monkeypatch):
    """Have a name stand for these addresses, in this order; each may have a port of its own."""

    def set_to(*places: tuple[str, int]) -> None:
        def found(host, _port, **_options):
            assert host.rstrip(".") == NAME
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (ip, port, 0, 0))
                if ":" in ip
                else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))
                for ip, port in places
            ]

        monkeypatch.setattr(socket, "getaddrinfo", found)

    return set_to


async def read(session):
    return await session.attempt(P, Purpose.READ, floor=None)


@contextlib.asynccontextmanager
async def failing(how: str):
    """Make a port that refuses, or that answers no SYN."""
    async with unused_port() if how == "refuses" else full_queue() as port:
        yield port


# Several addresses


@pytest.mark.parametrize("how", ["refuses", "is a black hole"])
@pytest.mark.parametrize(
    "good",
    [pytest.param("::1", marks=needs_ipv6, id="AAAA after A"), pytest.param("127.0.0.1", id="A after A")],
)
async def test_where_the_first_address_does_not_connect_the_next_one_serves(attempt_at, addressed, how, good):
    async with failing(how) as bad, serving(GOOD, host=good) as server:
        addressed(("127.0.0.1", bad), (good, server.port))
        reading = await read(attempt_at(f"http://{NAME}", connect_timeout=BOUND, deadline=5))

    assert reading.ok
    assert reading.phases.connect < timedelta(seconds=5)
    assert len(server.requests) == 1


@needs_ipv6
async def test_an_ipv4_address_serves_where_ipv6_leads_nowhere(attempt_at, addressed):
    with socket.socket(socket.AF_INET6) as bound:
        bound.bind(("::1", 0))
        async with serving(GOOD) as server:
            addressed(("::1", bound.getsockname()[1]), ("127.0.0.1", server.port))
            reading = await read(attempt_at(f"http://{NAME}", connect_timeout=BOUND, deadline=5))

    assert reading.ok


async def test_each_address_has_its_share_of_the_connect_bound(attempt_at, addressed):
    async with full_queue() as first, full_queue() as second, serving(GOOD) as server:
        addressed(*(("127.0.0.1", each) for each in (first, second, server.port)))
        reading = await read(attempt_at(f"http://{NAME}", connect_timeout=BOUND, deadline=10))

    assert reading.ok
    assert reading.phases.connect >= timedelta(seconds=BOUND * 2 / 3 - 0.01)


async def test_addresses_that_are_all_silent_take_the_connect_bound_once(attempt_at, addressed):
    async with full_queue() as first, full_queue() as second, full_queue() as third:
        addressed(*(("127.0.0.1", each) for each in (first, second, third)))
        reading = await read(attempt_at(f"http://{NAME}", connect_timeout=BOUND, deadline=30))

    assert reading.error_type == "connect_timeout"
    assert timedelta(seconds=BOUND - 0.01) <= reading.duration < timedelta(seconds=BOUND * 3)


@pytest.mark.parametrize(("first", "last", "told"), [(0, 1, "connect_timeout"), (1, 0, "refused")])
async def test_where_no_address_connects_the_last_ones_failure_is_told(
    attempt_at, addressed, first, last, told
):
    async with unused_port() as refusing, full_queue() as silent:
        ports = (refusing, silent)
        addressed(("127.0.0.1", ports[first]), ("127.0.0.1", ports[last]))
        reading = await read(attempt_at(f"http://{NAME}", connect_timeout=0.2, deadline=30))

    assert reading.error_type == told


async def test_an_address_that_takes_the_request_and_resets_is_told_and_nothing_goes_to_the_next(
    attempt_at, addressed
):
    async def play(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    async with serving(play) as first, serving(GOOD) as second:
        addressed(("127.0.0.1", first.port), ("127.0.0.1", second.port))
        reading = await read(attempt_at(f"http://{NAME}", connect_timeout=5, deadline=5))

    assert reading.error_type == "reset"
    assert (len(first.requests), second.connections) == (1, 0)


# Names


@needs_ipv6
async def test_an_ipv6_literal_is_verified_by_its_number_over_tls(attempt_at, attempt_authority):
    async with serving(GOOD, host="::1", tls=certified(attempt_authority, "::1")) as server:
        reading = await read(attempt_at(f"https://[::1]:{server.port}", connect_timeout=5, deadline=5))

    assert reading.ok
    assert reading.phases.dns is None
    assert f"\r\nHost: [::1]:{server.port}\r\n".encode() in server.requests[0]


async def test_a_name_that_ends_in_a_dot_is_verified_without_it(attempt_at, attempt_authority, addressed):
    async with serving(GOOD, tls=certified(attempt_authority, NAME)) as server:
        addressed(("127.0.0.1", server.port))
        reading = await read(attempt_at(f"https://{NAME}.", connect_timeout=5, deadline=5))

    assert reading.ok
    assert reading.phases.tls


# Trust and protocol, by the context that the process really uses


def certified(authority: trustme.CA, *names: str, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


@pytest.fixture
def trusting(attempt_loop, monkeypatch, tmp_path):
    """Ask a port over the process's own TLS context, made anew with this authority's file or without one."""
    del attempt_loop

    async def ask(authority: trustme.CA | None, port: int):
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        if authority is not None:
            authority.cert_pem.write_to_path(tmp_path / "ca.pem")
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        tls_context.cache_clear()
        line = Line(url=f"https://127.0.0.1:{port}", limits=Limits(deadline=5, connect=5))
        try:
            return await line.ask(Request(target="/", headers={}), lambda _: 10_000)
        finally:
            await line.aclose()

    yield ask
    tls_context.cache_clear()


async def test_an_authority_that_ssl_cert_file_names_is_trusted_and_no_other(trusting):
    authority = trustme.CA()
    async with serving(GOOD, tls=certified(authority, "127.0.0.1")) as server:
        trusted = await trusting(authority, server.port)
        untrusted = await trusting(None, server.port)

    assert (trusted.failure, trusted.status) == (None, 200)
    assert untrusted.failure.error_type == "tls"
    assert "certificate" in untrusted.failure.detail
    assert len(server.requests) == 1


async def test_http_1_1_is_offered_and_nothing_else(trusting):
    authority, spoken = trustme.CA(), []

    async def play(peer: Peer) -> None:
        spoken.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await always(answer())(peer)

    async with serving(play, tls=certified(authority, "127.0.0.1", alpn=("h2", "http/1.1"))) as server:
        seen = await trusting(authority, server.port)

    assert (seen.failure, spoken) == (None, ["http/1.1"])


async def test_a_server_that_refuses_all_but_http_2_is_told_as_tls(trusting):
    async def play(peer: Peer) -> None:
        await peer.reader.read(10)
        await peer.send(b"\x15\x03\x03\x00\x02\x02\x78")  # RFC 7301 3.2: no_application_protocol, fatal

    async with serving(play) as server:
        seen = await trusting(None, server.port)

    assert seen.failure.error_type == "tls"
    assert "no application protocol" in seen.failure.detail


async def test_a_server_that_speaks_http_2_unasked_is_told_as_protocol(trusting):
    authority = trustme.CA()

    async def play(peer: Peer) -> None:
        await peer.send(bytes.fromhex("000000040000000000"))  # RFC 9113 3.4: an empty SETTINGS frame
        await peer.request()

    async with serving(play, tls=certified(authority, "127.0.0.1", alpn=("h2",))) as server:
        seen = await trusting(authority, server.port)

    assert seen.failure.error_type == "protocol"
