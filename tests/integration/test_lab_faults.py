"""Each fault of the lab, as a client sees it on the wire."""

import asyncio
import socket
import time

import aiohttp
import pytest

from probe.lab.account.faults import KINDS, Kind
from probe.lab.account.strikes import STRIKES
from tests.timing import soonest

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.azurite]


IMPATIENT = aiohttp.ClientTimeout(total=10, sock_connect=0.6, sock_read=0.6)


async def outcome(read) -> str:
    """Name what a client saw of one read."""
    try:
        seen = await read(timeout=IMPATIENT)
    except TimeoutError as error:
        return "connect timeout" if isinstance(error, aiohttp.ConnectionTimeoutError) else "timeout"
    except aiohttp.ClientConnectorError as error:
        return "refused" if isinstance(error.os_error, ConnectionRefusedError) else repr(error)
    except aiohttp.ClientPayloadError as error:
        return "reset in body" if "ConnectionResetError" in str(error) else "truncated"
    except aiohttp.ClientResponseError:
        return "garbage"
    except aiohttp.ClientOSError as error:
        return "reset" if isinstance(error, ConnectionResetError) else repr(error)
    return f"{seen.status}"


FAULTS = [
    ("refuse", {}, "refused"),
    ("black_hole", {}, "timeout"),
    ("connect_drop", {}, "connect timeout"),
    ("latency", {"seconds": 2}, "timeout"),
    ("header_drip", {"interval": 2}, "timeout"),
    ("body_drip", {"interval": 2}, "timeout"),
    ("truncate", {}, "truncated"),
    ("reset", {}, "reset in body"),
    ("garbage", {}, "garbage"),
    ("tls", {}, "garbage"),
    ("status", {"code": 503}, "503"),
    ("status", {"code": 404}, "404"),
    ("status", {"code": 429}, "429"),
    ("corrupt", {}, "200"),
    ("stale", {}, "200"),
    ("flap", {"of": "status", "period": 60}, "503"),
]
IDS = [" ".join([kind, *(f"{n}={v}" for n, v in options.items())]) for kind, options, _ in FAULTS]


@pytest.mark.parametrize(("kind", "options", "expected"), FAULTS, ids=IDS)
async def test_a_fresh_connection_sees_the_fault(blob, pair, kind, options, expected):
    await blob.http.connector.close()
    blob.http._connector = aiohttp.TCPConnector()

    pair.primary.fault(kind, **options)

    assert await outcome(blob.get) == expected


@pytest.mark.parametrize(("kind", "options", "expected"), FAULTS, ids=IDS)
async def test_a_connection_kept_alive_feels_the_fault_and_healing_restores_at_once(
    blob, pair, kind, options, expected
):
    await blob.get()
    accepted = pair.primary.accepted
    pair.primary.fault(kind, **options)

    during = await outcome(blob.get)
    opened = pair.primary.accepted - accepted
    pair.primary.heal()
    after = await blob.get()

    # Where open connections live on, the old one shows it; aiohttp itself opens a new one where it was reset.
    assert during == ("timeout" if kind == "connect_drop" else expected)
    assert opened == (1 if kind == "tls" else 0)
    assert (after.status, after.version) == (200, 1)


async def test_every_kind_on_the_list_is_shown_above():
    assert {kind for kind, _, _ in FAULTS} | {Kind.DNS} == set(KINDS) == set(Kind)
    assert set(STRIKES) == set(Kind) - {Kind.FLAP, Kind.DNS}


async def test_refusing_keeps_the_port(pair):
    pair.primary.fault("refuse")

    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", pair.primary.port))


async def test_a_drip_arrives_byte_by_byte(blob, pair):
    pair.primary.fault("body_drip", interval=0.02)
    begun = time.monotonic()

    seen = await blob.get()

    assert seen.body == b"version 1 of the body"
    assert time.monotonic() - begun >= 0.02 * (len(seen.body) - 1)


async def test_latency_is_what_was_asked_for(blob, pair):
    pair.primary.fault("latency", seconds=0.2)

    assert 0.2 <= await soonest(blob.get, within=0.4) < 0.4


async def test_a_corrupt_body_has_the_same_length_and_one_byte_flipped(blob, pair):
    pair.primary.fault("corrupt")

    seen = await blob.get()

    assert len(seen.body) == len(b"version 1 of the body") == int(seen.headers["Content-Length"])
    assert sum(a != b for a, b in zip(seen.body, b"version 1 of the body", strict=True)) == 1


async def test_a_stale_body_is_the_version_before_with_its_own_metadata(blob, pair):
    await blob.put(b"version 2, which is longer than the first", version=2)
    await pair.replicator.caught_up()
    pair.primary.fault("stale")
    pair.secondary.fault("stale")
    await blob.put(b"version 3", version=3)

    primary, secondary = await blob.get("primary"), await blob.get("secondary")

    assert (primary.version, primary.body) == (1, b"version 1 of the body")
    assert (secondary.version, secondary.body) == (1, b"version 1 of the body")


async def test_a_stale_range_is_cut_from_the_older_version(blob, pair):
    await blob.put(b"another body", version=2)
    pair.primary.fault("stale")

    seen = await blob.get(headers={"x-ms-range": "bytes=0-8"})

    assert (seen.status, seen.body, seen.headers["Content-Range"]) == (206, b"version 1", "bytes 0-8/21")


async def test_a_status_comes_with_azures_error_document(blob, pair):
    pair.primary.fault("status", code=503)

    seen = await blob.get(headers={"x-ms-client-request-id": "mine"})

    assert seen.headers["x-ms-error-code"] == "ServerBusy"
    assert seen.headers["x-ms-request-id"].encode() in seen.body
    assert seen.headers["x-ms-client-request-id"] == "mine"
    assert b"<Error><Code>ServerBusy</Code>" in seen.body


async def test_a_fault_limited_to_writes_lets_reads_pass(blob, pair):
    pair.primary.fault("status", code=403, only="writes")

    read, write = await blob.get(), None
    async with blob.http.put(blob.url(), data=b"", headers={"x-ms-blob-type": "BlockBlob"}) as answer:
        write = answer.status

    assert (read.status, write) == (200, 403)


async def test_a_fault_limited_to_a_path_strikes_the_stats_alone(blob, pair):
    pair.secondary.fault("status", code=500, path="comp=stats")

    assert (await blob.get("secondary")).status == 200
    assert (await blob.stats()).status == 500


async def test_faults_can_be_added_and_the_first_in_scope_strikes(blob, pair):
    pair.secondary.fault("status", code=500, path="comp=stats")
    pair.secondary.fault("status", code=404, also=True)

    assert (await blob.get("secondary")).status == 404
    assert (await blob.stats()).status == 500


async def test_a_flap_strikes_every_nth_request(blob, pair):
    pair.primary.fault("flap", of="status", code=500, every=3)

    assert [(await blob.get()).status for _ in range(7)] == [200, 200, 500, 200, 200, 500, 200]


async def test_a_flap_turns_the_port_off_and_on_again(blob, pair):
    pair.primary.fault("flap", of="refuse", period=0.8)

    first = await outcome(blob.get)
    await asyncio.sleep(1.0)
    second = await outcome(blob.get)

    assert (first, second) == ("refused", "200")


async def test_a_write_whose_answer_is_lost_has_been_written_and_is_replicated(blob, pair):
    pair.primary.fault("reset", only="writes")

    with pytest.raises(aiohttp.ClientOSError):
        await blob.put(b"landed all the same", version=2)
    pair.primary.heal()
    await pair.replicator.caught_up()

    assert (await blob.get("primary")).version == 2
    assert (await blob.get("secondary")).version == 2


async def test_the_storage_behind_gone_is_a_dropped_connection(blob, pair, monkeypatch):
    monkeypatch.setattr(pair.primary, "upstream", "http://127.0.0.1:1")

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await blob.get()


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x00\x05hello\r\n\r\n", b"GET /\r\n\r\n", b"PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n"],
    ids=["a TLS hello", "HTTP/0.9", "a length that is no number"],
)
async def test_what_is_not_http_is_answered_400_and_harms_nobody(blob, pair, sent):
    reader, writer = await asyncio.open_connection("127.0.0.1", pair.primary.port)
    writer.write(sent)

    answer = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert (await blob.get()).status == 200
