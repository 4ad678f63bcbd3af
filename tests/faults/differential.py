"""The exchange beside a client of another make: seeded servers from a grammar, each judged by both.

``python -m tests.faults.differential [COUNT] [FIRST_SEED]`` runs 2,000 behaviours, or so many, on both loops.
The other client is h11's parser over asyncio's streams: pure Python, written from the RFC's grammar, where
ours is llhttp, a state machine made for Node. Where they differ, a row of ``REASONS`` says why ours is right;
a row that explained nothing is told as well.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import h11
import uvloop

from probe.adapters.exchange import Limits, Line, Request
from tests.faults.attempt_servers import FOREVER, Peer, serving

BODY = b"0123456789" * 30
RUBBISH = b"RUBBISH"
SIZE = 1000
DEADLINE = 0.3
PATIENCE = 3.0
"""The deadline with which a difference is looked at again, alone: a busy machine is no difference."""
HANGS = 60
"""Seconds, after which either client hangs, whatever it is told."""
TOGETHER = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client makes of an answer: an ``error.type`` or none, the status, and a good answer's body."""

    error: str | None
    status: int | None = None
    body: bytes | None = field(default=None, repr=False)


@dataclass(slots=True)
class Behaviour:
    """What a server sends, in which pieces, how it ends; ``tags`` name what is odd about it."""

    seed: int
    data: bytes = b""
    pieces: list[bytes] = field(default_factory=list)
    pause: float = 0.0
    end: str = "close"
    tags: set[str] = field(default_factory=set)

    async def play(self, peer: Peer) -> None:
        await peer.request()
        for piece in self.pieces:
            await peer.send(piece)
            if self.pause:
                await asyncio.sleep(self.pause)
        if self.end == "hold":
            await asyncio.sleep(FOREVER)
        if self.end == "reset":
            await asyncio.sleep(0.01)
            peer.reset()


# The grammar: each choice is a tag and the bytes

STATUS_LINES = [
    ("", b"HTTP/1.1 200 OK"),
    ("", b"HTTP/1.1 200 "),
    ("", b"HTTP/1.0 200 OK"),
    ("", b"HTTP/1.1 503 Server Busy"),
    ("", b"HTTP/1.1 404 The specified blob does not exist."),
    ("", b"HTTP/1.1 206 Partial"),
    ("", b"HTTP/1.1 304 Not Modified"),
    ("", b"HTTP/1.1 204 No Content"),
    ("", b"HTTP/1.1 301 Moved"),
    ("", b"HTTP/1.1 599 \xe4\xf6"),
    ("no reason", b"HTTP/1.1 200"),
    ("two spaces", b"HTTP/1.1  200 OK"),
    ("short code", b"HTTP/1.1 20 OK"),
    ("long code", b"HTTP/1.1 2000 OK"),
    ("no code", b"HTTP/1.1 OK"),
    ("code below 100", b"HTTP/1.1 099 OK"),
    ("code above 599", b"HTTP/1.1 700 OK"),
    ("other version", b"HTTP/2.0 200 OK"),
    ("other version", b"HTTP/0.9 200 OK"),
    ("unknown version", b"HTTP/1.7 200 OK"),
    ("lower case", b"http/1.1 200 OK"),
    ("another protocol", b"SSH-2.0-OpenSSH_9.2"),
    ("another protocol", b"ICY 200 OK"),
    ("control in reason", b"HTTP/1.1 200 O\x01K"),
    ("101", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade"),
]
HEADERS = [
    ("", b"x-ms-request-id: 1"),
    ("", b"Date: Sun, 01 Mar 2026 12:00:00 GMT"),
    ("", b"no-space:value"),
    ("", b"spaces:   value \t "),
    ("", b"empty:"),
    ("", b"obs-text: \xe4\xf6\xff"),
    ("", b"Connection: keep-alive"),
    ("", b"Connection: close"),
    ("", b"Set-Cookie: a=b\r\nSet-Cookie: c=d"),
    ("", b"Content-Encoding: gzip"),
    ("folded", b"folded: a\r\n b"),
    ("space before colon", b"name : value"),
    ("no colon", b"nothing"),
    ("no name", b": value"),
    ("space in name", b"a name: value"),
    ("control", b"control: a\x01b"),
    ("delete", b"delete: a\x7fb"),
    ("nul", b"nul: a\x00b"),
    ("bare CR", b"cr: a\rb"),
    ("bare LF", b"lf: a\nb: c"),
    ("long line", b"long: " + b"x" * 20_000),
    ("many lines", b"\r\n".join(b"x-%d: 1" % n for n in range(300))),
    ("long head", b"\r\n".join(b"x-%d: %s" % (n, b"y" * 8000) for n in range(12))),
]
INTERIMS = [
    ("", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ("", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    ("", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ("framed interim", b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n"),
    ("many interims", b"HTTP/1.1 100 Continue\r\n\r\n" * 30),
]
AFTER = [
    ("", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nRUBBISH"),
    ("", RUBBISH),
    ("", b"\r\n\r\n"),
    ("", b"HTTP/1.1 200 OK\r\nContent-"),
    ("", b"\x00\xff" * 100),
]


def chunks(rng: random.Random, body: bytes, *, extension: bytes = b"", size: bytes = b"%x") -> bytes:
    """Return a body in chunks, without the last."""
    made = b""
    while body:
        part, body = body[: (n := rng.randint(1, 120))], body[n:]
        made += size % len(part) + extension + b"\r\n" + part + b"\r\n"
    return made


def framings(rng: random.Random) -> list[tuple[str, bytes, bytes]]:
    """Return the ways to say where a body ends: a tag, the header lines, the body as it is sent."""
    length = b"Content-Length: %d"
    whole, coded = chunks(rng, BODY) + b"0\r\n\r\n", b"Transfer-Encoding: chunked"
    return [
        *[("", length % len(BODY), BODY)] * 6,
        *[("", coded, whole)] * 4,
        ("until close", b"", BODY),
        ("until close", b"", BODY),
        ("", length % 0, b""),
        ("", b"Content-Length:   300  ", BODY),
        ("too large", length % (SIZE + 1), BODY),
        ("too large", coded, chunks(rng, bytes(SIZE + 500)) + b"0\r\n\r\n"),
        ("too large", b"", bytes(SIZE + 500)),
        ("", coded, chunks(rng, BODY, extension=b";a=b") + b"0;last\r\n\r\n"),
        ("", coded, chunks(rng, BODY, size=b"%X") + b"000\r\n\r\n"),
        ("", coded, chunks(rng, BODY) + b"0\r\nTrailer: yes\r\n\r\n"),
        ("", b"transfer-encoding: CHUNKED", whole),
        ("length of another body", length % (len(BODY) + 9), BODY),
        ("", length % (len(BODY) - 9), BODY),
        ("negative length", b"Content-Length: -5", BODY),
        ("signed length", b"Content-Length: +300", BODY),
        ("no number", b"Content-Length: many", BODY),
        ("empty length", b"Content-Length:", BODY),
        ("huge length", length % 10**30, BODY),
        ("same length twice", b"Content-Length: 300\r\nContent-Length: 300", BODY),
        ("length as a list", b"Content-Length: 300, 300", BODY),
        ("two lengths", b"Content-Length: 300\r\nContent-Length: 299", BODY),
        ("length and chunks", coded + b"\r\nContent-Length: 300", whole),
        ("length and chunks", b"Content-Length: 300\r\n" + coded, whole),
        ("another coding", b"Transfer-Encoding: gzip, chunked", whole),
        ("another coding", b"Transfer-Encoding: identity", BODY),
        ("coding twice", coded + b"\r\n" + coded, whole),
        ("bad chunk size", coded, b"zz\r\n" + BODY),
        ("huge chunk size", coded, b"f" * 20 + b"\r\n" + BODY),
        ("no end of chunk", coded, b"5\r\nabcdeXX0\r\n\r\n"),
        ("chunk ends in LF", coded, b"5\nabcde\n0\n\n"),
        ("space after chunk size", coded, b"5 \r\nabcde\r\n0\r\n\r\n"),
        ("bad trailer", coded, chunks(rng, BODY) + b"0\r\nno colon\r\n\r\n"),
    ]


def behaviour(seed: int) -> Behaviour:
    """Return the behaviour of a seed: mostly good in most of its parts, or everything would fail at once."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    made = Behaviour(seed)

    def pick(choices: list[tuple[str, bytes]], odd: float) -> bytes:
        plain = [each for each in choices if not each[0]]
        tag, data = rng.choice(choices if rng.random() < odd else plain)
        made.tags |= {tag} - {""}
        return data

    before = b"".join(pick(INTERIMS, 0.2) for _ in range(rng.choice([0, 0, 0, 0, 1, 2])))
    leading = b"\r\n" if rng.random() < 0.03 else b""
    made.tags |= {"leading CRLF"} if leading else set()
    status = pick(STATUS_LINES, 0.15) if rng.random() < 0.6 else b"HTTP/1.1 200 OK"
    lines = [pick(HEADERS, 0.08) for _ in range(rng.randint(0, 4))]
    ways = framings(rng)
    tag, said, body = rng.choice(ways[: 13 if rng.random() < 0.6 else None])
    made.tags |= {tag} - {""}
    if "Transfer-Encoding" in said.decode().title() and b"HTTP/1.0" in status:
        made.tags.add("chunks over 1.0")
    lines.insert(rng.randint(0, len(lines)), said)
    head = b"\r\n".join([status, *[each for each in lines if each], b"", b""])
    if rng.random() < 0.02:
        made.tags.add("lines end in LF")
        head = head.replace(b"\r\n", b"\n")
    made.data = before + leading + head + body
    if rng.random() < 0.12:
        made.data += pick(AFTER, 0)
        made.tags.add("more after it")
    if rng.random() < 0.2:
        made.data = made.data[: rng.randint(0, len(made.data))]
        made.tags.add("cut")
    made.end = rng.choice(["close"] * 8 + ["reset", "hold"])
    cuts = sorted(rng.randint(0, len(made.data)) for _ in range(rng.choice([0, 0, 1, 2, 5])))
    made.pieces = [made.data[a:b] for a, b in zip([0, *cuts], [*cuts, len(made.data)], strict=True)]
    made.pause = rng.choice([0, 0, 0.001, 0.003])
    return made


# The two clients


async def ours(port: int, deadline: float) -> tuple[Outcome, Outcome]:
    """Return what the exchange makes of the first answer, and of the one to a request after it."""
    line = Line(url=f"http://127.0.0.1:{port}", limits=Limits(deadline=deadline, connect=deadline))
    outcomes = []
    try:
        for _ in range(2):
            seen = await line.ask(Request(target="/", headers={}), lambda code: SIZE if code == 200 else None)
            error = seen.failure.error_type if seen.failure else "size" if seen.too_large else None
            outcomes.append(Outcome(error, seen.status, None if error else seen.body))
    finally:
        await line.aclose()
    return outcomes[0], outcomes[1]


async def theirs(port: int, deadline: float) -> Outcome:
    """Return what h11 makes of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seen = _Theirs()
    try:
        async with asyncio.timeout(deadline):
            await seen.run(reader, writer)
    except TimeoutError:
        return Outcome("timeout", seen.status)
    except ConnectionError:
        return Outcome("reset", seen.status)
    except h11.RemoteProtocolError:
        if not seen.ended:
            return Outcome("protocol", seen.status)
        return Outcome("reset" if seen.status is None else "truncated", seen.status)
    finally:
        writer.transport.abort()
    return Outcome(seen.error, seen.status, seen.body if seen.status == 200 and not seen.error else None)


class _Theirs:
    def __init__(self) -> None:
        self.status: int | None = None
        self.body = b""
        self.error: str | None = None
        self.ended = False

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 * 1024)
        request = h11.Request(method="GET", target="/", headers=[("Host", "127.0.0.1")])
        writer.write(parser.send(request) or b"")
        writer.write(parser.send(h11.EndOfMessage()) or b"")
        while True:
            match event := parser.next_event():
                case h11.NEED_DATA:
                    data = await reader.read(65536)
                    self.ended = self.ended or not data
                    parser.receive_data(data)
                case h11.Response():
                    self.status = event.status_code
                    if self.status != 200:
                        return
                    stated = dict(event.headers).get(b"content-length", b"0")
                    if int(stated) > SIZE:
                        self.error = "size"
                        return
                case h11.Data():
                    self.body += event.data
                    if len(self.body) > SIZE:
                        self.error = "size"
                        return
                case h11.EndOfMessage() | h11.PAUSED:
                    return
                case h11.InformationalResponse() if event.status_code == 101:
                    self.status = 101
                    return
                case _:
                    pass


# Where they differ

type Holds = Callable[[Outcome, Outcome], bool]


def refused(mine: Outcome, _: Outcome) -> bool:
    return mine.error == "protocol"


def taken(_: Outcome, other: Outcome) -> bool:
    return other.error == "protocol"


def unheard(mine: Outcome, _: Outcome) -> bool:
    return mine.error == "timeout" and mine.status is None


def refused_sooner(mine: Outcome, other: Outcome) -> bool:
    return mine.error == "protocol" and other.error in {"reset", "timeout", "truncated"}


TWO_WAYS = "the end of the body can be read in two ways: RFC 9112 6.3 lets a client refuse it"
REASONS: dict[str, tuple[Holds, str]] = {
    "framed interim": (refused, "RFC 9110 8.6 forbids it, and what follows could be read in two ways"),
    "many interims": (unheard, "after 16 of them nothing more is read: the deadline decides"),
    "lines end in LF": (refused, "RFC 9112 2.2 lets a client take a bare LF; who sends one is not Azure"),
    "chunk ends in LF": (refused, "as above"),
    "bare LF": (refused, "as above"),
    "space after chunk size": (refused, "RFC 9112 7.1 has no space there"),
    "chunks over 1.0": (refused, "RFC 9112 6.1: treat the framing as faulty"),
    "same length twice": (refused, TWO_WAYS),
    "length as a list": (refused, TWO_WAYS),
    "length and chunks": (refused, TWO_WAYS),
    "huge chunk size": (refused, "no body is as long: told at once, not when the connection ends"),
    "unknown version": (refused, "only 1.0 and 1.1 are spoken"),
    "other version": (refused, "as above"),
    "long line": (refused, "more than a line may have here"),
    "long head": (refused, "more than a head may have here"),
    "many lines": (refused, "more lines than a head may have here"),
    "leading CRLF": (taken, "empty lines before an answer say nothing: llhttp skips them"),
    "101": (taken, "an upgrade that nobody asked for has a status, which says enough"),
    "cut": (refused_sooner, "llhttp refuses at the first bad byte, h11 when the head is whole"),
}


async def judged(seed: int, deadline: float = DEADLINE) -> tuple[Behaviour, Outcome, Outcome, Outcome]:
    made = behaviour(seed)
    async with asyncio.timeout(HANGS), serving(made.play) as server:
        mine, second = await ours(server.port, deadline)
        other = await theirs(server.port, deadline)
    return made, mine, other, second


def reason(made: Behaviour, mine: Outcome, other: Outcome) -> str | None:
    """Return the tag that explains a difference; ``""`` where there is none, ``None`` where nothing does."""
    if mine == other:
        return ""
    return next((tag for tag in sorted(made.tags) if tag in REASONS and REASONS[tag][0](mine, other)), None)


async def run(seeds: range) -> tuple[Counter[str], list[str]]:
    """Return how often each reason explained a difference, and the differences that none explains."""
    gate, used, unexplained = asyncio.Semaphore(TOGETHER), Counter[str](), list[str]()
    again: list[int] = []

    async def one(seed: int, deadline: float, left: list[int] | None) -> None:
        async with gate:
            made, mine, other, second = await judged(seed, deadline)
        why = reason(made, mine, other)
        if why is not None:
            used[why] += 1
        elif left is not None:
            left.append(seed)
        else:
            unexplained.append(f"{seed} {sorted(made.tags)} {made.end}: {mine} beside {other}")
        whole = len(made.pieces) == 1 and "until close" not in made.tags
        if whole and second.body and RUBBISH in second.body:
            unexplained.append(f"{seed}: what came with an answer was taken for the next one")

    await asyncio.gather(*(one(seed, DEADLINE, again) for seed in seeds))
    for seed in again:
        await one(seed, PATIENCE, None)
    return used, unexplained


def main(count: int = 2000, first: int = 0) -> int:
    bad = 0
    for loop in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop) as runner:
            used, unexplained = runner.run(run(range(first, first + count)))
        bad += len(unexplained)
        unused = sorted(set(REASONS) - set(used))
        print(f"{loop.__module__}: {count} behaviours, {used.pop('', 0)} judged alike")
        for tag, times in used.most_common():
            print(f"  {times:4} {tag}: {REASONS[tag][1]}")
        print(*sorted(unexplained), f"  reasons without a case: {', '.join(unused) or 'none'}", sep="\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
