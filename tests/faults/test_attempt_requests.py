"""What an attempt asks for and as whom, what it makes of a good answer, and that nothing can surprise it."""

import asyncio
import base64
import re
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probe.adapters.authorization import TokenError
from probe.adapters.endpoint import Endpoints
from probe.core.connection import Connection, Entra, Sas, SharedKey
from probe.core.errors import ConfigurationError
from probe.core.reading import Fault, Purpose, Reading, fault_of
from probe.core.replication import Sync, SyncStatus
from probe.core.target import Location, Policy, Target
from tests.faults.attempt_servers import (
    BODY,
    FOREVER,
    STAMP,
    Peer,
    always,
    answer,
    chunked,
    once,
    serving,
)

P, S = Location.PRIMARY, Location.SECONDARY
GRACE = timedelta(seconds=1)
"""What a busy machine may add to a deadline; a server's silence would add ``FOREVER``."""
KEY = base64.b64encode(b"k" * 32).decode()


class FakeTokens:
    """Hands out one token, or fails."""

    def __init__(self, why: str | None = None) -> None:
        self.why = why

    async def get(self, entra: Entra) -> str:
        if self.why:
            raise TokenError(self.why)
        return f"eyJ.fake.token.{entra.client_id}"


def signature(text: str) -> Sas:
    return Sas(token=text)


@pytest.fixture
def server_tls(attempt_authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    attempt_authority.issue_cert("localhost").configure_cert(context)
    return context


# The request


async def test_a_read_is_one_plain_get_with_our_headers(attempt_at):
    async with serving(always(answer())) as server:
        session = attempt_at(f"http://127.0.0.1:{server.port}/acc")
        reading = await session.attempt(P, Purpose.CHECK, floor=None)

    line, *headers = server.requests[0].decode().rstrip().split("\r\n")
    got = dict(header.lower().split(": ", 1) for header in headers)
    assert line.startswith("GET /acc/health-probe/HelloWorld.png?")
    assert got["x-ms-version"]
    assert got["x-ms-client-request-id"] == reading.client_request_id
    assert got["accept-encoding"] == "identity"
    assert got["user-agent"].startswith("geo-storage-probe/")
    assert "authorization" not in got
    assert "cookie" not in got
    assert reading.purpose is Purpose.CHECK


async def test_a_given_signature_goes_out_as_it_was_given(attempt_at):
    async with serving(always(answer())) as server:
        session = attempt_at(
            f"http://127.0.0.1:{server.port}", authorization=signature("?sp=r&sig=a%2Fb%2Bc%3D")
        )
        await session.attempt(P, Purpose.READ, floor=None)

    assert b"HelloWorld.png?sp=r&sig=a%2Fb%2Bc%3D HTTP/1.1" in server.requests[0]


async def test_a_key_signs_for_an_hour_of_reading_blobs_and_nothing_else(attempt_at):
    before = datetime.now(UTC)
    async with serving(always(answer())) as server:
        session = attempt_at(
            f"http://127.0.0.1:{server.port}", authorization=SharedKey(account="acc", key=KEY)
        )
        await session.attempt(P, Purpose.READ, floor=None)

    query = dict(re.findall(r"[?&](\w+)=([^& ]*)", server.requests[0].decode()))
    expiry = datetime.fromisoformat(query["se"].replace("%3A", ":"))
    assert (query["sp"], query["ss"], query["srt"]) == ("r", "b", "so")
    assert timedelta(minutes=49) < expiry - before <= timedelta(minutes=60)
    assert "spr" not in query


async def test_a_key_signs_for_https_alone_where_the_endpoint_is_https(attempt_at, server_tls):
    async with serving(always(answer()), host="localhost", tls=server_tls) as server:
        key = SharedKey(account="acc", key=KEY)
        session = attempt_at(f"https://localhost:{server.port}", authorization=key)
        await session.attempt(P, Purpose.READ, floor=None)

    assert b"spr=https" in server.requests[0]


async def test_a_bearer_token_goes_over_https(attempt_at, server_tls):
    async with serving(always(answer()), host="localhost", tls=server_tls) as server:
        session = attempt_at(
            f"https://localhost:{server.port}", authorization=Entra(client_id="me"), tokens=FakeTokens()
        )
        reading = await session.attempt(P, Purpose.READ, floor=None)

    assert reading.ok
    assert b"\r\nAuthorization: Bearer eyJ.fake.token.me\r\n" in server.requests[0]
    assert b"?" not in server.requests[0].split(b"\r\n")[0]
    assert "eyJ" not in repr(reading)


async def test_a_bearer_token_is_never_sent_over_http(attempt_at):
    with pytest.raises(ConfigurationError, match="not sent over http"):
        attempt_at("http://127.0.0.1:1", authorization=Entra(), tokens=FakeTokens())


async def test_a_bearer_token_does_not_follow_a_redirect(attempt_at, server_tls):
    async with serving(always(answer())) as elsewhere:
        moved = answer(b"", status="307 Moved", headers=(f"Location: http://127.0.0.1:{elsewhere.port}/",))
        async with serving(always(moved), host="localhost", tls=server_tls) as server:
            session = attempt_at(
                f"https://localhost:{server.port}", authorization=Entra(), tokens=FakeTokens()
            )
            reading = await session.attempt(P, Purpose.READ, floor=None)

    assert (reading.error_type, reading.status_code) == ("protocol", 307)
    assert elsewhere.connections == 0


async def test_without_a_token_no_request_is_made_and_the_fault_is_ours(attempt_at, server_tls):
    tokens = FakeTokens("the managed identity gave none")
    async with serving(always(answer()), host="localhost", tls=server_tls) as server:
        session = attempt_at(f"https://localhost:{server.port}", authorization=Entra(), tokens=tokens)
        reading = await session.attempt(P, Purpose.READ, floor=None)

    assert (reading.error_type, reading.status_code, reading.fault) == ("401", None, Fault.OURS)
    assert reading.detail == "no token: the managed identity gave none"
    assert server.connections == 0


async def test_the_proxies_of_the_environment_are_not_used(attempt_at, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with serving(always(answer())) as server:
        reading = await attempt_at(f"http://127.0.0.1:{server.port}").attempt(P, Purpose.READ, floor=None)

    assert reading.ok


async def test_cookies_are_neither_kept_nor_sent(attempt_at):
    async with serving(always(answer(headers=("Set-Cookie: a=b",))), host="localhost") as server:
        session = attempt_at(f"http://localhost:{server.port}")
        for _ in range(2):
            await session.attempt(P, Purpose.READ, floor=None)

    assert b"ookie" not in server.requests[1]


# The answer


async def test_a_reading_carries_the_stamp_and_the_request_ids(attempt_at):
    async with serving(always(answer(headers=("x-ms-request-id: 11-22",)))) as server:
        reading = await attempt_at(f"http://127.0.0.1:{server.port}").attempt(P, Purpose.READ, floor=None)

    assert reading.canary == STAMP
    assert reading.request_id == "11-22"
    assert reading.detail is None


async def test_the_service_error_code_is_told_and_washed(attempt_at):
    headers = ("x-ms-error-code: ServerBusy\xff\x7f" + "x" * 200, "x-ms-request-id: 1")
    async with serving(always(answer(b"", status="503 Busy", headers=headers))) as server:
        reading = await attempt_at(f"http://127.0.0.1:{server.port}").attempt(P, Purpose.READ, floor=None)

    assert reading.service_error.startswith("ServerBusy?")
    assert reading.service_error.isascii()
    assert len(reading.service_error) == 64


async def test_a_failure_without_a_request_id_may_come_from_something_in_between(attempt_at):
    async with serving(always(answer(b"", status="502 Bad Gateway", headers=()))) as server:
        reading = await attempt_at(f"http://127.0.0.1:{server.port}").attempt(P, Purpose.READ, floor=None)

    assert "something in between" in reading.detail


@pytest.mark.parametrize("write", [True, False], ids=["our canary", "probed read-only"])
async def test_a_page_of_something_in_between_is_no_blob_however_good_its_status(attempt_at, write):
    page = answer(
        b"<html>Log in to the guest network</html>", stamp=None, headers=("Content-Type: text/html",)
    )
    async with serving(always(page)) as server:
        session = attempt_at(f"http://127.0.0.1:{server.port}", write=write)
        reading = await session.attempt(P, Purpose.READ, floor=None)

    assert (reading.error_type, reading.fault) == ("protocol", Fault.PATH)
    assert "something in between" in reading.detail


@pytest.mark.parametrize(
    ("floor", "error"),
    [
        pytest.param(6, None, id="newer than shown"),
        pytest.param(7, None, id="as shown"),
        pytest.param(8, "rollback", id="older than shown"),
    ],
)
async def test_an_older_canary_than_this_location_has_shown_is_a_rollback(attempt_at, floor, error):
    async with serving(always(answer())) as server:
        session = attempt_at(f"http://127.0.0.1:{server.port}")
        reading = await session.attempt(P, Purpose.READ, floor=replace(STAMP, sequence=floor))

    assert reading.error_type == error
    assert reading.canary == STAMP


@pytest.mark.parametrize(
    ("md5", "error"),
    [
        pytest.param((), None, id="none given"),
        pytest.param(("Content-MD5: tBHmjl5k4t6CWrrpcBcRVQ==",), "digest", id="of something else"),
    ],
)
async def test_a_blob_probed_read_only_needs_no_stamp_but_must_fit_its_md5(attempt_at, md5, error):
    async with serving(always(answer(stamp=None, headers=("x-ms-request-id: 1", *md5)))) as server:
        session = attempt_at(f"http://127.0.0.1:{server.port}", write=False)
        reading = await session.attempt(P, Purpose.READ, floor=None)

    assert reading.error_type == error


# The stats


def stats(status: str = "live", time: str = "Sun, 01 Mar 2026 11:59:07 GMT") -> bytes:
    last = f"<LastSyncTime>{time}</LastSyncTime>" if time else "<LastSyncTime />"
    text = (
        '<?xml version="1.0" encoding="utf-8"?><StorageServiceStats><GeoReplication>'
        f"<Status>{status}</Status>{last}</GeoReplication></StorageServiceStats>"
    )
    return b"\xef\xbb\xbf" + text.encode()


async def test_stats_are_asked_of_the_secondary_with_the_same_authorization(attempt_at):
    async with serving(always(answer(stats(), stamp=None))) as server:
        url = f"http://127.0.0.1:{server.port}"
        reading, sync = await attempt_at(f"{url}/acc", f"{url}/acc-secondary").stats()

    line = server.requests[0].split(b"\r\n")[0].decode()
    assert line.startswith("GET /acc-secondary/?restype=service&comp=stats&sv=")
    assert "sig=s%2Fecret%3D" in line
    assert (reading.purpose, reading.location, reading.ok) == (Purpose.STATS, S, True)
    when = datetime(2026, 3, 1, 11, 59, 7, tzinfo=UTC)
    assert sync == Sync(status=SyncStatus.LIVE, last_sync_time=when)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(answer(b"<html>hello</html>", stamp=None), "protocol", id="a page"),
        pytest.param(answer(bytes(70_000), stamp=None), "size", id="too large"),
        pytest.param(answer(b"", status="403 Forbidden"), "403", id="denied"),
        pytest.param(answer(stats(), stamp=None, length=999), "truncated", id="torn"),
    ],
)
async def test_stats_that_cannot_be_had_are_none_with_the_reason(attempt_at, body, error):
    async with serving(once(body)) as server:
        url = f"http://127.0.0.1:{server.port}"
        reading, sync = await attempt_at(url, url).stats()

    assert (reading.error_type, sync) == (error, None)


# Whatever it is

PIECES = st.one_of(
    st.sampled_from(
        [
            answer(),
            answer()[:-9],
            chunked(),
            chunked()[:-30],
            BODY,
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"HTTP/1.1 503 \r\n",
            b"HTTP/1.1 204 \r\n\r\n",
            b"HTTP/9.9 -1\r\n",
            b"Content-Length: 18446744073709551617\r\n",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Content-Encoding: br\r\n",
            b"Connection: close\r\n",
            b"Location: http://[::\r\n",
            b"Set-Cookie: \xff=\x01; Max-Age=1e999\r\n",
            b"x-ms-meta-writtenat: 0001-01-01T00:00:00+00:00\r\n",
            b"x-ms-meta-sequence: \xd9\xa3\r\n",
            b"Content-MD5: \xff\r\n",
            b"\r\n",
            b"\r\n\r\n",
            b"ffffffffffffffff\r\n",
            b"5;x=y\r\nabcde\r\n",
            b"0\r\n\r\n",
        ]
    ),
    st.binary(max_size=60),
)
ENDS = st.sampled_from(["close", "close", "close", "reset", "hold"])


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(pieces=st.lists(PIECES, max_size=6), end=ENDS, apart=st.booleans())
def test_whatever_a_server_sends_two_attempts_answer_readings_within_their_deadlines(pieces, end, apart):
    readings = asyncio.run(attempted(pieces, end, apart=apart))

    for reading in readings:
        assert reading.error_type is None or fault_of(reading.error_type)
        assert reading.duration < timedelta(seconds=0.1) + GRACE
        assert "secret" not in repr(reading)
        assert reading.ok is (reading.canary == STAMP and reading.error_type is None)


async def attempted(pieces: list[bytes], end: str, *, apart: bool) -> list[Reading]:
    async def play(peer: Peer) -> None:
        await peer.request()
        for piece in pieces if apart else [b"".join(pieces)]:
            await peer.send(piece)
            await asyncio.sleep(0.002)
        if end == "hold":
            await asyncio.sleep(FOREVER)
        if end == "reset":
            peer.reset()

    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with serving(play) as server:
        url = f"http://127.0.0.1:{server.port}"
        policy = Policy(connect_timeout=timedelta(seconds=0.1), deadline=timedelta(seconds=0.1))
        target = Target(name="t", primary=url, secondary=None, policy=policy)
        connection = Connection(primary=url, secondary=None, authorization=signature("sig=secret"))
        session = Endpoints(
            connections={"t": connection}, tokens=FakeTokens(), canaries=None, clock=lambda: datetime.now(UTC)
        ).open(target)
        try:
            readings = [await session.attempt(P, Purpose.READ, floor=None) for _ in range(2)]
        finally:
            await session.aclose()
    assert not complaints
    return readings
