"""What each fault of an endpoint looks like in a reading: one wrong server each, on real sockets."""

import asyncio
import gzip
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from probe.core import canary
from probe.core.reading import Fault, Purpose
from probe.core.target import Location
from tests.faults.attempt_servers import (
    BODY,
    FOREVER,
    STAMP,
    Peer,
    Play,
    always,
    answer,
    chunked,
    dripped,
    endless,
    held,
    once,
    reset_after,
    serving,
)
from tests.faults.conftest import DEADLINE, SHORT

GRACE = timedelta(seconds=1)
"""What a busy machine may add to a deadline; a server's silence would add ``FOREVER``."""
P = Location.PRIMARY
OLDER = replace(STAMP, sequence=1)
"""What the location is known to have shown: a canary of ours."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A server's play, and the reading that it must give; ``ended`` are the phases that have a duration."""

    play: Play
    error: str | None
    fault: Fault | None
    ended: str
    status: int | None = None


def path(play: Play, error: str, ended: str, status: int | None = None) -> Case:
    return Case(play=play, error=error, fault=Fault.PATH, ended=ended, status=status)


def content(play: Play, error: str) -> Case:
    return Case(play=play, error=error, fault=Fault.CONTENT, ended="connect ttfb transfer", status=200)


def status(code: int, error: str, fault: Fault) -> Case:
    play = always(answer(b"", status=f"{code} Some", stamp=None))
    return Case(play=play, error=error, fault=fault, ended="connect ttfb", status=code)


def served(play: Play) -> Case:
    return Case(play=play, error=None, fault=None, ended="connect ttfb transfer", status=200)


def with_stamp_line(name: str, value: str) -> bytes:
    """Return a good response in which one line of the stamp is replaced."""
    whole = canary.encode(STAMP)[name]
    return answer().replace(
        f"x-ms-meta-{name}: {whole}".encode(), f"x-ms-meta-{name}: {value}".encode("latin-1"), 1
    )


def torn(end: str) -> Play:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(chunked()[:-40])
        await asyncio.sleep(0.02)
        if end == "reset":
            peer.reset()
        elif end == "bad chunk":
            await peer.send(b"\r\n" * 20 + b"not a size\r\n")
            await asyncio.sleep(FOREVER)

    return play


async def unlistening(peer: Peer) -> None:
    """Close before a request is read."""


async def reset_at_once(peer: Peer) -> None:
    peer.reset()


UNTIL_CLOSE = answer().replace(b"Content-Length: %d\r\n" % len(BODY), b"")
TOO_LARGE = canary.SIZE_LIMIT + 1
UNSIZED = answer(b"", headers=("Transfer-Encoding: chunked",)).replace(b"Content-Length: 0\r\n", b"")
MEBIBYTE = b"100000\r\n" + bytes(2**20) + b"\r\n"
SQUEEZED = gzip.compress(BODY)

CASES = {
    # The endpoint or the path: silence, and too little at a time
    "accepts and is silent": path(held(b""), "timeout", "connect"),
    "header dripped": path(dripped(b"", answer()), "timeout", "connect"),
    "body dripped": path(dripped(answer(b"", length=len(BODY)), BODY), "timeout", "connect ttfb", 200),
    "body stops": path(held(answer()[:-5]), "timeout", "connect ttfb", 200),
    "only 100 Continue, again and again": path(
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "timeout", "connect"
    ),
    # ... cut off
    "closed before the request": path(unlistening, "reset", "connect"),
    "reset before the request": path(reset_at_once, "reset", "connect"),
    "closed without an answer": path(once(b""), "reset", "connect"),
    "reset without an answer": path(reset_after(b""), "reset", "connect"),
    "closed in the header": path(once(answer()[:40]), "reset", "connect"),
    "reset in the header": path(reset_after(answer()[:40]), "reset", "connect"),
    "closed in the body": path(once(answer()[:-5]), "truncated", "connect ttfb", 200),
    "closed before the body": path(once(answer(b"", length=5)), "truncated", "connect ttfb", 200),
    "reset in the body": path(reset_after(answer()[:-5]), "reset", "connect ttfb", 200),
    "closed in a chunk": path(torn("close"), "truncated", "connect ttfb", 200),
    "reset in a chunk": path(torn("reset"), "reset", "connect ttfb", 200),
    "reset where the close would end the body": path(reset_after(UNTIL_CLOSE), "reset", "connect ttfb", 200),
    # ... not HTTP
    "bad chunk later": path(torn("bad chunk"), "protocol", "connect ttfb", 200),
    "noise": path(held(b"\x00\x01\x02 noise\r\n\r\n"), "protocol", "connect"),
    "another protocol's greeting": path(held(b"SSH-2.0-OpenSSH_9.2\r\n"), "protocol", "connect"),
    "body without a header": path(once(BODY), "protocol", "connect"),
    "header line too long": path(
        held(answer(headers=("x-ms-request-id: " + "7" * 20_000,))), "protocol", "connect"
    ),
    "too many header lines": path(
        held(answer(headers=tuple(f"x-{n}: 1" for n in range(500)))), "protocol", "connect"
    ),
    "header without an end": path(
        endless(b"HTTP/1.1 200 OK\r\n", b"x-more: 1\r\n" * 50), "protocol", "connect"
    ),
    "two lengths": path(held(answer(headers=("Content-Length: 1",))), "protocol", "connect"),
    "length and chunks": path(held(answer(headers=("Transfer-Encoding: chunked",))), "protocol", "connect"),
    "length that is no number": path(held(answer(headers=(), length=-5)), "protocol", "connect"),
    "control character in a header": path(held(answer(headers=("x-a: b\x00c",))), "protocol", "connect"),
    "bare line feed smuggles a header": path(
        held(answer(headers=("x-a: b\rx-c: d",))), "protocol", "connect"
    ),
    # ... a status that Azure Storage does not answer a read with
    "101": path(
        always(b"HTTP/1.1 101 Other\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
        "protocol",
        "connect ttfb",
        101,
    ),
    **{
        str(code): status(code, "protocol", Fault.PATH)
        for code in (201, 202, 204, 206, 300, 301, 302, 303, 304, 307, 308, 600, 999)
    },
    # ... a failing service
    **{str(code): status(code, str(code), Fault.PATH) for code in (408, 429, 500, 501, 502, 503, 504, 599)},
    "503 whose body never comes": path(
        held(answer(b"", status="503 Busy", length=99)), "503", "connect ttfb", 503
    ),
    "503 with a torn body": path(
        reset_after(answer(b"abc", status="503 Busy", length=99)), "503", "connect ttfb", 503
    ),
    # Ours
    **{str(code): status(code, str(code), Fault.OURS) for code in (400, 401, 403, 405, 409, 412, 416, 451)},
    # The content
    "404": status(404, "404", Fault.CONTENT),
    "body changed": content(once(answer(b"X" + BODY[1:])), "digest"),
    "body empty": content(once(answer(b"")), "digest"),
    "body compressed on the way": content(
        once(answer(SQUEEZED, headers=("Content-Encoding: gzip",))), "digest"
    ),
    "stamp missing": content(once(answer(stamp=None)), "unreadable"),
    "stamp without a sequence": content(
        once(answer().replace(b"meta-sequence", b"meta-other")), "unreadable"
    ),
    "sequence twice": content(
        once(answer(headers=("x-ms-request-id: 1", "x-ms-meta-sequence: 9"))), "unreadable"
    ),
    "sequence twice, in another case": content(
        once(answer(headers=("x-ms-request-id: 1", "X-MS-Meta-Sequence: 7"))), "unreadable"
    ),
    "writer not ASCII": content(once(with_stamp_line("writer", "h\xe9re")), "unreadable"),
    "digest of something else": content(once(with_stamp_line("sha256", "0" * 64)), "digest"),
    "too large and says so": Case(
        play=held(answer(b"", length=TOO_LARGE)),
        error="size",
        fault=Fault.CONTENT,
        ended="connect ttfb",
        status=200,
    ),
    "too large in chunks": Case(
        play=endless(UNSIZED, MEBIBYTE), error="size", fault=Fault.CONTENT, ended="connect ttfb", status=200
    ),
    # No fault
    "good": served(once(answer())),
    "good in chunks": served(once(chunked())),
    "good until the close": served(once(UNTIL_CLOSE)),
    "good after 100 Continue": served(once(b"HTTP/1.1 100 Continue\r\n\r\n" + answer())),
    "good over HTTP/1.0": served(once(answer().replace(b"HTTP/1.1", b"HTTP/1.0"))),
    "good, stored compressed": served(
        once(
            answer(
                SQUEEZED,
                stamp=canary.stamp(body=SQUEEZED, sequence=7, written_at=STAMP.written_at, writer="here"),
                headers=("Content-Encoding: gzip",),
            )
        )
    ),
}


@pytest.mark.parametrize("case", [pytest.param(each, id=name) for name, each in CASES.items()])
async def test_each_answer_gives_its_reading_within_the_deadline(case, attempt_at):
    async with serving(case.play) as server:
        session = attempt_at(f"http://127.0.0.1:{server.port}", **(SHORT if case.error == "timeout" else {}))
        reading = await session.attempt(P, Purpose.READ, floor=OLDER)

    assert (reading.error_type, reading.fault, reading.status_code) == (case.error, case.fault, case.status)
    assert phases_of(reading) == case.ended
    assert reading.duration < timedelta(seconds=DEADLINE) + GRACE
    assert (reading.canary is None) or (reading.canary.sequence == STAMP.sequence)
    assert "secret" not in repr(reading)


async def test_a_sequence_beyond_all_numbers_is_read_as_the_limit_so_that_it_can_be_replaced(attempt_at):
    async with serving(once(with_stamp_line("sequence", "9" * 400))) as server:
        reading = await attempt_at(f"http://127.0.0.1:{server.port}").attempt(P, Purpose.READ, floor=OLDER)

    assert (reading.error_type, reading.canary.sequence) == (None, canary.SEQUENCE_LIMIT)


def phases_of(reading) -> str:
    names = ("dns", "connect", "tls", "ttfb", "transfer")
    return " ".join(each for each in names if getattr(reading.phases, each) is not None)
