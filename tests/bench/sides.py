"""What the bench measures, each side in a process of its own on one core.

``python -m tests.bench.sides SIDE WHERE SIZES`` prepares a side and prints a line. For each line that it gets
it then runs once, and prints the seconds of CPU that it took, or what else the side measures. What it reads
is verified each time.
"""

import asyncio
import hashlib
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from probe import compose
from probe.core import canary
from probe.core.errors import StateError
from probe.core.reading import Phases, Purpose, Reading
from probe.core.record import ShardRecord
from probe.core.replication import Sync, SyncStatus
from probe.core.report import Result
from probe.core.target import Location
from probe.core.verdict import TargetVerdict
from probe.tick import Firing

REQUESTS = 9
"""Of one target's tick: a look at both locations, a write, five reads, the stats."""
CONCURRENCY = 16
WRITER = "local"
"""The default vantage's canaries."""
KEY = "a2V5a2V5a2V5a2V5"
PICTURE = Path(compose.__file__).with_name("HelloWorld.png").read_bytes()
WRITTEN = {"sequence": "1", "writtenat": "2026-03-01T12:00:00.000000+00:00", "writer": "bench"}
METADATA = {f"x-ms-meta-{name}": each for name, each in WRITTEN.items()}
METADATA["x-ms-meta-sha256"] = hashlib.sha256(PICTURE).hexdigest()
PUT = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2023-11-03", **METADATA}

type Where = dict[str, str]
"""Where the account of the bench listens."""
type Run = Callable[[], Any]


class Minutes:
    """A clock on which a minute passes with each tick: what an hour of them leaves need not take one."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def settings(where: Where, targets: int, **more: str) -> dict[str, str]:
    """Return the environment of a probe of so many targets."""
    fleet = [{"name": f"t{number}", "connection": f"T{number}"} for number in range(targets)]
    strings = {
        f"T{number}": f"DefaultEndpointsProtocol=http;AccountName=t{number};AccountKey={KEY};"
        f"BlobEndpoint={where['primary']}/t{number};BlobSecondaryEndpoint={where['secondary']}/t{number}"
        for number in range(targets)
    }
    return {"PROBE_TARGETS": json.dumps(fleet), "PROBE_STATE": "memory", **strings, **more}


class Ticks:
    """Ticks of the whole probe, one simulated minute after the other."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._clock = compose.utc_now = Minutes()
        self.app = compose.build(environment)

    async def tick(self) -> None:
        """Run one, and look that nothing was left out."""
        report = await self.app.fire(Firing(scheduled_at=self._clock()))
        self._clock.ahead += timedelta(minutes=1)
        assert report.result is Result.COMPLETED, report.reason
        for each in report.targets:
            assert each.judgement.target.verdict is TargetVerdict.OK, each.judgement.target.reason
            assert len(each.readings) == REQUESTS, "a tick has as many requests as it is compared by"

    async def hour(self, minutes: int) -> None:
        for _ in range(minutes):
            await self.tick()


@asynccontextmanager
async def probe(where: Where, sizes: dict[str, int], **more: str) -> AsyncIterator[Run]:
    ticks = Ticks(settings(where, sizes["targets"], **more))
    await ticks.hour(sizes["minutes"])
    try:
        yield ticks.tick
    finally:
        await ticks.app.aclose()


@asynccontextmanager
async def tick(where: Where, sizes: dict[str, int]) -> AsyncIterator[Run]:
    """Return a tick of all targets; state in memory, no telemetry."""
    async with probe(where, sizes) as run:
        yield run


@asynccontextmanager
async def telling_tick(where: Where, sizes: dict[str, int]) -> AsyncIterator[Run]:
    """Return the same, telling Azure Monitor of it."""
    async with probe(where, sizes, APPLICATIONINSIGHTS_CONNECTION_STRING=where["telemetry"]) as run:
        yield run


@asynccontextmanager
async def bare_aiohttp(where: Where, sizes: dict[str, int]) -> AsyncIterator[Run]:
    """Return the requests of a tick over aiohttp as anybody writes it; digests are looked at, no more."""
    import aiohttp  # noqa: PLC0415 - no other side pays for it

    async def read(session: aiohttp.ClientSession, url: str) -> None:
        async with session.get(url, headers={"x-ms-version": "2023-11-03"}) as answer:
            body = await answer.read()
            assert hashlib.sha256(body).hexdigest() == answer.headers["x-ms-meta-sha256"]

    async def write(session: aiohttp.ClientSession, url: str) -> None:
        async with session.put(url, data=PICTURE, headers=PUT) as answer:
            assert answer.status == 201

    async def target(session: aiohttp.ClientSession, name: str) -> None:
        primary, secondary = (f"{where[each]}/{name}/health-probe/HelloWorld.png" for each in Location)
        await asyncio.gather(read(session, primary), read(session, secondary))
        await write(session, primary)
        for _ in range(5):
            await read(session, primary)
        async with session.get(f"{where['secondary']}/{name}/?restype=service&comp=stats") as answer:
            assert b"LastSyncTime" in await answer.read()

    async def run() -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(target(session, f"b{number}") for number in range(sizes["targets"])))

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        for number in range(sizes["targets"]):
            await write(session, f"{where['primary']}/b{number}/health-probe/HelloWorld.png")
    yield run


@asynccontextmanager
async def attempts(where: Where, sizes: dict[str, int]) -> AsyncIterator[Run]:
    """Return attempts that each open their own connection, so many at once."""
    environment = settings(where, 1)
    if sizes["tls"]:
        environment["T0"] = environment["T0"].replace(where["primary"], where["tls"])
    app = compose.build(environment)
    (target,) = app.settings.targets
    session = app.world.endpoints.open(target)
    written, _ = await session.write(sequence=1, replacing=None, writer=WRITER)
    assert written.ok, written.detail
    await session.aclose()

    async def client() -> None:
        for _ in range(sizes["attempts"] // CONCURRENCY):
            session = app.world.endpoints.open(target)
            reading = await session.attempt(Location.PRIMARY, Purpose.CHECK, floor=None)
            await session.aclose()
            assert reading.ok, reading.detail
            assert (reading.phases.tls is not None) == bool(sizes["tls"])

    async def run() -> None:
        await asyncio.gather(*(client() for _ in range(CONCURRENCY)))

    yield run
    await app.aclose()


class Canned:
    """Endpoints that answer at once, and with what was written last: a tick without its requests."""

    def __init__(self, clock: Minutes) -> None:
        self._clock = clock
        self._written: dict[str, canary.Stamp] = {}

    def open(self, target):
        return _Canned(target.name, self._clock, self._written)


class _Canned:
    def __init__(self, name: str, clock: Minutes, written: dict[str, canary.Stamp]) -> None:
        self._name, self._clock, self._written = name, clock, written

    async def attempt(self, location, purpose, *, floor):
        del floor
        if (stamp := self._written.get(self._name)) is None:
            return self._reading(location, purpose, error_type="404", status_code=404)
        return self._reading(location, purpose, status_code=200, canary=stamp, etag='"0x1"')

    async def stats(self):
        reading = self._reading(Location.SECONDARY, Purpose.STATS, status_code=200)
        return reading, Sync(status=SyncStatus.LIVE, last_sync_time=self._clock())

    async def write(self, *, sequence, replacing, writer, create=False):
        del replacing, create
        stamp = canary.Stamp(sequence=sequence, written_at=self._clock(), sha256="0" * 64, writer=writer)
        self._written[self._name] = stamp
        return self._reading(Location.PRIMARY, Purpose.WRITE, status_code=201, etag='"0x1"'), stamp

    async def aclose(self):
        pass

    def _reading(self, location, purpose, **more):
        took = timedelta(milliseconds=2)
        return Reading(
            location=location,
            purpose=purpose,
            started_at=self._clock(),
            duration=took,
            phases=Phases(ttfb=took),
            request_id="6a3b1ef2-801e-0047-2f1c-000000000000",
            client_request_id="6a3b1ef2-801e-0047-2f1c-000000000001",
            **more,
        )


@asynccontextmanager
async def bookkeeping(where: Where, sizes: dict[str, int]) -> AsyncIterator[Run]:
    """Return a tick of all targets whose requests cost next to nothing."""
    ticks = Ticks(settings(where, sizes["targets"]))
    ticks.app.world.endpoints = Canned(ticks._clock)
    await ticks.hour(sizes["minutes"])
    yield ticks.tick
    await ticks.app.aclose()


@asynccontextmanager
async def hostile(where: Where, sizes: dict[str, int]) -> AsyncIterator[Run]:
    """Return every request that the probe makes, given hostile answers; what is measured is memory."""

    async def answered(seed: int) -> None:
        url = f"{where['hostile']}/seed-{seed}"
        string = f"AccountName=t;AccountKey={KEY};BlobEndpoint={url};BlobSecondaryEndpoint={url}-2"
        app = compose.build(
            {
                "ProbedStorage": string,
                "AzureWebJobsStorage": string,
                "PROBE_DEADLINE": "0.5",
                "PROBE_SLOW_AFTER": "0.5",
                "PROBE_CONNECT_TIMEOUT": "0.5",
            }
        )
        (target,) = app.settings.targets
        session = app.world.endpoints.open(target)
        await session.attempt(Location.PRIMARY, Purpose.CHECK, floor=None)
        await session.stats()
        await session.write(sequence=1, replacing=None, writer=WRITER, create=True)
        await session.aclose()
        for call in (app.world.store.load(0), app.world.store.save(0, ShardRecord(targets={}), None)):
            with suppress(StateError):
                await call
        await app.aclose()

    async def run() -> int:
        """Return the peak of memory above the idle probe, in bytes."""
        idle = _peak(anew=True)
        for seed in range(sizes["answers"]):
            await answered(seed)
        return _peak() - idle

    for seed in range(3):  # what is imported and made on first use is no answer's doing
        await answered(seed)
    yield run


def _peak(*, anew: bool = False) -> int:
    """Return the most memory that was ever used, in bytes; ``anew``: from now on."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


SIDES = {each.__name__: each for each in (tick, telling_tick, bare_aiohttp, attempts, bookkeeping, hostile)}


async def main(name: str, where: Where, sizes: dict[str, int]) -> None:
    """Serve the bench: a run for each line that comes."""
    logging.getLogger().addHandler(logging.NullHandler())  # what is logged is made, and goes nowhere
    async with SIDES[name](where, sizes) as run:
        print("ready", flush=True)
        while sys.stdin.readline():
            began = time.process_time()
            found = await run()
            took = time.process_time() - began
            print(json.dumps(found if found is not None else took), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
