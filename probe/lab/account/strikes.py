"""What each fault that strikes a request does to it: one function a kind, one table.

A strike answers whether the connection lives on. The request is forwarded first where the fault is in the
answer: a write whose answer gets lost has been written, as in life.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from probe.lab.account.faults import Fault, Kind
from probe.lab.account.history import Version, as_of, blob_path
from probe.lab.account.listener import reset
from probe.lab.account.wire import HEAD_LIMIT, Answer, Request, azure_error

# How long a client has to take in what came before a reset: the kernel may drop unread data with it.
RESET_AFTER = 0.05
GARBAGE = b"\x00\x17\xd9 NOT/0.0 http? \xff\xfe\x00" * 4 + b"\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """One request and the fault that strikes it; `answer` asks the healthy endpoint, `pinned` is stale."""

    fault: Fault
    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    answer: Callable[[], Awaitable[Answer]]
    pinned: Mapping[str, Version]

    async def send(self, answer: Answer) -> bool:
        self.writer.write(answer.head() + answer.body)
        await self.writer.drain()
        return self.request.keep_alive


async def _swallow(struck: Struck) -> bool:
    """Read on and say nothing, until the client gives up."""
    while await struck.reader.read(HEAD_LIMIT):
        pass
    return False


async def _cut(struck: Struck) -> bool:
    """Reset a request that was on its way in as the door closed."""
    reset(struck.writer)
    return False


async def _babble(struck: Struck) -> bool:
    struck.writer.write(GARBAGE)
    return False


async def _refuse(struck: Struck) -> bool:
    return await struck.send(azure_error(struck.request, struck.fault.code, struck.fault.error))


async def _delay(struck: Struck) -> bool:
    await asyncio.sleep(struck.fault.seconds)
    return await struck.send(await struck.answer())


async def _corrupt(struck: Struck) -> bool:
    answer = await struck.answer()
    middle = len(answer.body) // 2
    flipped = bytes(byte ^ 0xFF for byte in answer.body[middle : middle + 1])
    body = answer.body[:middle] + flipped + answer.body[middle + 1 :]
    return await struck.send(answer.with_body(body) if body else answer)


async def _age(struck: Struck) -> bool:
    answer, request = await struck.answer(), struck.request
    version = struck.pinned.get(blob_path(request.target))
    of_a_blob = request.method in {"GET", "HEAD"} and "comp=" not in request.target
    if version is None or not of_a_blob or answer.status not in {200, 206, 404}:
        return await struck.send(answer)
    return await struck.send(as_of(version, request, answer))


async def _drip_head(struck: Struck) -> bool:
    answer = await struck.answer()
    await _drip(struck, answer.head())
    struck.writer.write(answer.body)
    return struck.request.keep_alive


async def _drip_body(struck: Struck) -> bool:
    answer = await struck.answer()
    struck.writer.write(answer.head())
    await _drip(struck, answer.body)
    return struck.request.keep_alive


async def _drip(struck: Struck, data: bytes) -> None:
    for index in range(len(data)):
        struck.writer.write(data[index : index + 1])
        await struck.writer.drain()
        await asyncio.sleep(struck.fault.interval)


async def _truncate(struck: Struck) -> bool:
    """Send half; where the body is empty, promise a byte (an answer to HEAD cannot)."""
    answer = await struck.answer()
    empty = not answer.body and struck.request.method != "HEAD"
    struck.writer.write(answer.with_body(b" ").head() if empty else answer.head())
    struck.writer.write(answer.body[: len(answer.body) // 2])
    return False


async def _break_off(struck: Struck) -> bool:
    """Reset in the middle of the body, or of the head where there is no body."""
    answer = await struck.answer()
    head, body = answer.head(), answer.body
    struck.writer.write(head + body[: len(body) // 2] if body else head[: len(head) // 2])
    await struck.writer.drain()
    await asyncio.sleep(RESET_AFTER)
    reset(struck.writer)
    return False


# Not here: a flap strikes as the fault that it alternates with health, and no request meets a missing name.
STRIKES: Mapping[Kind, Callable[[Struck], Awaitable[bool]]] = {
    Kind.REFUSE: _cut,
    Kind.BLACK_HOLE: _swallow,
    Kind.CONNECT_DROP: _swallow,
    Kind.LATENCY: _delay,
    Kind.HEADER_DRIP: _drip_head,
    Kind.BODY_DRIP: _drip_body,
    Kind.TRUNCATE: _truncate,
    Kind.RESET: _break_off,
    Kind.GARBAGE: _babble,
    Kind.TLS: _cut,
    Kind.STATUS: _refuse,
    Kind.CORRUPT: _corrupt,
    Kind.STALE: _age,
}
