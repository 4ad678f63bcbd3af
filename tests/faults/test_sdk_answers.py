"""Answers that a parser stumbles over: a failed write and a failed store, never the end of a tick.

The server is real, and so are its bytes; what stands on them is the probe's own writer and state store.
"""

import asyncio
import gzip
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from probe.adapters import blobs
from probe.adapters.endpoint import Endpoints
from probe.adapters.state_blob import BlobStateStore
from probe.adapters.storage import CanaryWriter, read_body
from probe.core.connection import Connection, SharedKey
from probe.core.errors import StateConflict, StateError
from probe.core.record import ShardRecord
from probe.core.target import Policy, Target

KEY = SharedKey(account="account", key="a2V5a2V5a2V5a2V5")
XML = "Content-Type: application/xml"


def answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


HOSTILE = {
    "a page that is no UTF-8": answer(
        "503 Busy", b"<h1>Wartung f\xfcr heute</h1>", "Content-Type: text/html"
    ),
    "a page of another character set": answer(
        "503 Busy", b"f\xfcr\xff", "Content-Type: text/html; charset=iso-8859-1"
    ),
    "a refusal with typographic quotes": answer("403 No", b"\x93denied\x94", XML),
    "gzip that is none": answer("503 Busy", b"no gzip", "Content-Encoding: gzip", XML),
    "gzip cut off": answer("503 Busy", gzip.compress(b"x" * 999)[:20], "Content-Encoding: gzip", XML),
    "XML in utf-7": answer("503 Busy", b'<?xml version="1.0" encoding="utf-7"?><Error/>', XML),
    "deep JSON": answer("503 Busy", b"[" * 100_000, "Content-Type: application/json"),
    "a sign-in page": answer("200 OK", b"<html>please sign in</html>", "Content-Type: text/html"),
    "XML that is not called so": answer(
        "503 Busy", b'<?xml version="1.0"?><Error><Code>ServerBusy</Code></Error>'
    ),
    "a code page that nobody knows": answer(
        "500 Oops", b"\xff\xfe", "Content-Type: text/xml; charset=klingon"
    ),
}


@asynccontextmanager
async def server(reply: bytes):
    async def serve(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/account"


async def written(target: Target, connection: Connection, *, create: bool):
    clock = lambda: datetime.now(UTC)  # noqa: E731 - the only clock here
    session = Endpoints(
        connections={target.name: connection},
        tokens=None,
        canaries=CanaryWriter(tokens=None, clock=clock, writer="w", body=read_body()),
        clock=clock,
    ).open(target)
    try:
        return await session.write(sequence=1, replacing=None, writer="w", create=create)
    finally:
        await session.aclose()


@pytest.mark.parametrize("create", [False, True], ids=["the canary", "its container"])
@pytest.mark.parametrize("reply", HOSTILE.values(), ids=HOSTILE)
async def test_a_write_is_told_as_failed_whatever_it_is_answered(reply, create):
    async with server(reply) as url:
        connection = Connection(primary=url, secondary=None, authorization=KEY)
        policy = Policy(deadline=timedelta(seconds=2))
        target = Target(name="t", primary=url, secondary=None, policy=policy)
        reading, stamp = await written(target, connection, create=create)

    assert stamp is None
    assert reading.error_type in ("protocol", "503", "403", "500")
    assert "Wartung" not in reading.detail
    assert "JSON" not in reading.detail


@pytest.mark.parametrize("reply", HOSTILE.values(), ids=HOSTILE)
async def test_a_state_store_is_told_as_failed_whatever_it_answers(reply):
    async with server(reply) as url:
        store = BlobStateStore(
            connection=Connection(primary=url, secondary=None, authorization=KEY),
            container="state",
            prefix=uuid.uuid4().hex,
            tokens=None,
            bound=timedelta(seconds=2),
        )
        with pytest.raises(StateError) as loading:
            await store.load(0)
        with pytest.raises(StateError) as saving:
            await store.save(0, ShardRecord(targets={}), None)

    assert not isinstance(saving.value, StateConflict)
    assert {loading.value.error_type, saving.value.error_type} <= {"protocol", "503", "403", "500"}
    assert "JSON" not in f"{loading.value} {saving.value}"


async def test_a_bug_of_ours_within_a_call_is_not_passed_off_as_an_answer():
    async def call():
        connection = Connection(primary="http://127.0.0.1:9/a", secondary=None, authorization=KEY)
        async with blobs.opened(connection, None, bound=timedelta(seconds=1)):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await call()
