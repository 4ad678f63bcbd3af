"""Seeded hostile answers to a PUT and to the state store, in a process of its own, whose memory is measured.

``python -m tests.faults.hostile FIRST_SEED COUNT`` gives each answer to a PUT of the canary (every other
time to its container's, which then comes first), to a load and to a save of the state, and prints as JSON
what came of them, and how far memory and time went.
"""

import asyncio
import gzip
import json
import random
import resource
import sys
import time
from datetime import UTC, datetime, timedelta

from probe.adapters.endpoint import Endpoints
from probe.adapters.state_blob import BlobStateStore
from probe.adapters.storage import CanaryWriter, read_body
from probe.core.connection import Connection, SharedKey
from probe.core.errors import StateError
from probe.core.record import ShardRecord
from probe.core.target import Policy, Target
from tests.faults.attempt_servers import Peer, serving

KEY = SharedKey(account="account", key="a2V5a2V5a2V5a2V5")
BOUND = timedelta(seconds=0.5)
STATUSES = (200, 201, 202, 204, 206, 301, 304, 400, 401, 403, 404, 409, 412, 416, 429, 500, 502, 503, 599)
TYPES = (
    "text/html",
    "text/html; charset=iso-8859-1",
    "application/xml",
    "application/json",
    "text/xml; charset=klingon",
    "application/octet-stream",
    "multipart/mixed",
    "text/plain; charset=utf-7",
    "\xff\xfe",
    "",
)
CODINGS = ("gzip", "deflate", "br", "identity", "gzip, gzip", "zstd")
BOMB = gzip.compress(bytes(32 * 2**20))
"""Of 32 KB, and a thousand times as much when somebody unpacks it."""


def bodies(rng: random.Random) -> bytes:
    """Return a body that some parser does not expect."""
    return rng.choice(
        [
            b"",
            b"\xff\xfe\x00",
            b"f\xfcr heute",
            b"\x93denied\x94",
            BOMB,
            gzip.compress(b"x" * 999)[:20],
            b"[" * 100_000,
            b'{"a":' * 20_000,
            b'<?xml version="1.0" encoding="utf-7"?><Error/>',
            b'<?xml version="1.0"?><Error><Code>ServerBusy</Code>',
            b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><a>&a;</a>",
            b'\xef\xbb\xbf<?xml version="1.0"?><Error><Code>\xff</Code></Error>',
            b"<html>please sign in</html>",
            b"null",
            b"1e999",
            b"NaN",
            rng.randbytes(rng.randint(1, 4000)),
        ]
    )


def lines(rng: random.Random) -> list[str]:
    """Return header lines that a client of Azure Storage reads, with values that it does not expect."""
    odd = [
        "",
        "x" * 9000,
        "\xff\xfe",
        "-1",
        "99999999999999999999",
        "None",
        "0x1",
        "a\tb",
        "%00",
        '"',
        "W/",
        "é",
    ]
    names = [
        "x-ms-error-code",
        "x-ms-request-id",
        "ETag",
        "Last-Modified",
        "Content-Range",
        "Content-MD5",
        "Location",
        "x-ms-blob-type",
        "x-ms-meta-sequence",
        "x-ms-lease-state",
        "x-ms-creation-time",
        "x-ms-version",
        "x-ms-blob-content-length",
        "x-ms-server-encrypted",
        "WWW-Authenticate",
        "Retry-After",
        "Date",
    ]
    good = {
        "ETag": '"0x1"',
        "x-ms-request-id": "1",
        "Content-Range": "bytes 0-1/2",
        "x-ms-error-code": "BlobNotFound",
        "Last-Modified": "Fri, 31 Dec 9999 23:59:59 -0100",
    }
    chosen = rng.sample(names, rng.randint(0, 6))
    return [f"{name}: {rng.choice([*odd, *[good.get(name, 'a')] * 6])}" for name in chosen]


def answers(seed: int) -> tuple[bytes, bytes]:
    """Return an answer and what comes after it without an end, if anything does."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    body, more = bodies(rng), b""
    said = [f"HTTP/1.1 {rng.choice(STATUSES)} X", *lines(rng), f"Content-Type: {rng.choice(TYPES)}"]
    if rng.random() < 0.4:
        said.append(f"Content-Encoding: {rng.choice(CODINGS)}")
    match rng.choice(["length"] * 5 + ["close", "chunks", "endless", "endless chunks", "endless head"]):
        case "length":
            said.append(f"Content-Length: {len(body)}")
        case "chunks":
            said.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        case "endless":
            more = bytes(2**18)
        case "endless chunks":
            said.append("Transfer-Encoding: chunked")
            body, more = b"", b"40000\r\n" + bytes(2**18) + b"\r\n"
        case "endless head":
            return "\r\n".join(said).encode("latin-1"), b"\r\nx-more: " + b"x" * 5000
        case _:
            pass
    return "\r\n".join([*said, "", ""]).encode("latin-1") + body, more


async def play(peer: Peer, header: bytes, seed: int) -> None:
    """Take the body of a request whose header was read, and answer as a seed says."""
    start, more = answers(seed)
    if b"Content-Length: " in header:
        await peer.reader.readexactly(int(header.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
    await peer.send(start)
    while more:
        await peer.send(more)
        await asyncio.sleep(0)


def player(seed: int):
    async def played(peer: Peer) -> None:
        await play(peer, await peer.request(), seed)

    return played


async def outcomes(seed: int) -> list[str]:
    """Return what comes of an answer to a PUT, to a load and to a save; whatever else is raised is raised."""
    async with serving(player(seed)) as server:
        url = f"http://127.0.0.1:{server.port}/account"
        connection = Connection(primary=url, secondary=None, authorization=KEY)
        target = Target(
            name="t", primary=url, secondary=None, policy=Policy(deadline=BOUND, connect_timeout=BOUND)
        )
        canaries = CanaryWriter(tokens=None, clock=_now, writer="w", body=read_body())
        session = Endpoints(connections={"t": connection}, tokens=None, canaries=canaries, clock=_now).open(
            target
        )
        try:
            reading, _ = await session.write(sequence=1, replacing=None, writer="w", create=seed % 2 == 1)
        finally:
            await session.aclose()
        store = BlobStateStore(connection=connection, container="state", prefix="p", tokens=None, bound=BOUND)
        told = [reading.error_type or "written"]
        for call in (lambda: store.load(0), lambda: store.save(0, ShardRecord(targets={}), None)):
            try:
                await call()
            except StateError as error:
                told.append(error.error_type)
            else:
                told.append("taken")
        return told


def _now() -> datetime:
    return datetime.now(UTC)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def main(first: int, count: int) -> None:
    for seed in range(first, first + 3):  # what is imported and made on first use is no answer's doing
        await outcomes(seed)
    idle, slowest, seen = _peak(), 0.0, []
    for seed in range(first, first + count):
        began = time.monotonic()
        seen.append([seed, *await outcomes(seed)])
        slowest = max(slowest, time.monotonic() - began)
    print(json.dumps({"outcomes": seen, "peak_above_idle": _peak() - idle, "slowest": slowest}))


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
