"""How far above idle any answer takes the memory of the probe, which has a process of its own.

``python -m tests.faults.memory`` prints a row for each kind of request and each kind of answer, in MiB.
"""

import asyncio
import gc
import gzip
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path

from probe.adapters import deployed
from probe.adapters.credentials import Tokens
from probe.adapters.endpoint import Endpoints
from probe.adapters.state_blob import BlobStateStore
from probe.adapters.storage import CanaryWriter, read_body
from probe.core.connection import Connection, Entra
from probe.core.reading import Purpose
from probe.core.record import ShardRecord
from probe.core.target import Location, Policy, Target
from tests.faults import hostile
from tests.faults.attempt_servers import Play, always, answer, endless, serving

MEBIBYTE = 2**20
BOUND = timedelta(seconds=0.7)
ALLOWED = {
    "read": 16,
    "stats": 16,
    "write": 16,
    "container": 16,
    "state, saved": 16,
    "state, listed": 16,
    "token": 16,
    # What a fleet remembers may have 16 MiB itself, and is there twice for a moment when it is whole.
    "state, loaded": 2 * 16 + 8,
    # A command's process, which parses what may have 16 MiB, and then ends.
    "status of an app": 600,
}
"""MiB above idle that each kind of request may take."""
HEAD = (
    b"HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\nContent-Type: application/json\r\n"
    b'ETag: "1"\r\nLast-Modified: Sun, 01 Mar 2026 12:00:00 GMT\r\n'
)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def whole(body: bytes, *more: bytes) -> bytes:
    return b"%s%sContent-Length: %d\r\n\r\n%s" % (HEAD, b"".join(more), len(body), body)


def answers() -> dict[str, Play]:
    """Return the answers that have cost memory, here or elsewhere."""
    bomb = gzip.compress(bytes(64 * MEBIBYTE))
    return {
        "without an end": endless(HEAD + b"\r\n", bytes(2**18)),
        "an error without an end": endless(b"HTTP/1.1 503 Busy\r\n\r\n", bytes(2**18)),
        "chunks without an end": endless(CHUNKED, b"40000\r\n" + bytes(2**18) + b"\r\n"),
        "chunks of one byte": endless(CHUNKED, b"1\r\nx\r\n" * 20_000),
        "a gzip bomb": always(whole(bomb, b"Content-Encoding: gzip\r\n")),
        "JSON of 60 KiB, all of it lists": always(whole(b"[" + b"[]," * 20_000 + b"1]")),
        "JSON of 15 MiB, all of it lists": always(whole(b"[" + b"[]," * (5 * MEBIBYTE) + b"1]")),
    }


def requests(port: int) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return every kind of request that the probe makes, at a port."""
    url = f"http://127.0.0.1:{port}/account"
    connection = Connection(primary=url, secondary=url, authorization=hostile.KEY)
    policy = Policy(deadline=BOUND, connect_timeout=BOUND)
    target = Target(name="t", primary=url, secondary=url, policy=policy)
    canaries = CanaryWriter(tokens=None, clock=hostile._now, writer="w", body=read_body())
    session = Endpoints(
        connections={"t": connection}, tokens=None, canaries=canaries, clock=hostile._now
    ).open(target)
    store = BlobStateStore(connection=connection, container="s", prefix="p", tokens=None, bound=BOUND)

    async def token() -> None:
        tokens = Tokens(clock=hostile._now, limit=BOUND)
        try:
            await tokens.get(Entra(managed=True, client_id="c"))
        finally:
            await tokens.aclose()

    return {
        "read": lambda: session.attempt(Location.PRIMARY, Purpose.READ, floor=None),
        "stats": session.stats,
        "write": lambda: session.write(sequence=1, replacing=None),
        "container": lambda: session.write(sequence=1, replacing=None, create=True),
        "state, saved": lambda: store.save(0, ShardRecord(targets={}), None),
        "state, loaded": lambda: store.load(0),
        "state, listed": store.vantages,
        "token": token,
        "status of an app": lambda: deployed.status(deployed.address(f"http://127.0.0.1:{port}", "key")),
    }


# In the probe's process


def memory(what: str) -> int:
    """Return a figure of this process's memory in bytes, as Linux tells it."""
    return int(re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def forget() -> None:
    """Let the highest figure so far be the one of now."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


async def asked(kind: str, port: int) -> None:
    os.environ.update(IDENTITY_ENDPOINT=f"http://127.0.0.1:{port}/msi", IDENTITY_HEADER="x")
    with suppress(Exception):  # what is told of it is others' tests' claim
        await requests(port)[kind]()


async def probe(kinds: list[str], ports: dict[str, int], calm: int) -> dict[str, dict[str, float]]:
    """Return how far above idle each request's memory went, by the answer that it got, in MiB."""
    deployed.BOUND = BOUND.total_seconds()
    found: dict[str, dict[str, float]] = {}
    for kind in kinds * 2:  # what is imported and made on first use is no answer's doing
        await asked(kind, calm)
    gc.collect()
    idle = memory("VmRSS")
    for kind in kinds:
        for name, port in ports.items():
            forget()
            await asked(kind, port)
            found.setdefault(kind, {})[name] = round((memory("VmHWM") - idle) / MEBIBYTE, 1)
    return found


# Here


async def measured(kinds: Sequence[str], given: Sequence[str]) -> dict[str, dict[str, float]]:
    """Serve these answers, and return what a probe in a process of its own measured of itself."""
    missing = answer(b"", status="404 X", headers=("x-ms-request-id: 1", "x-ms-error-code: BlobNotFound"))
    async with AsyncExitStack() as stack:
        calm = await stack.enter_async_context(serving(always(missing)))
        plays = {name: play for name, play in answers().items() if name in given}
        ports = {name: (await stack.enter_async_context(serving(play))).port for name, play in plays.items()}
        words = ["-m", "tests.faults.memory", "probe", json.dumps(kinds), json.dumps(ports), str(calm.port)]
        child = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        out, _ = await child.communicate()
    return json.loads(out)


def main() -> None:
    if sys.argv[1:2] == ["probe"]:
        print(
            json.dumps(asyncio.run(probe(json.loads(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4]))))
        )
        return
    for kind, row in asyncio.run(measured([*ALLOWED], [*answers()])).items():
        print(f"{kind:18}", *(f"{name} {most};" for name, most in row.items()))


if __name__ == "__main__":
    main()
