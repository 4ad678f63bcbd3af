"""Tapes: ticks that are really run, against endpoints that behave as a script says, on a clock that it owns.

Rules kept here: the tick, the breaker and the judging are the probe's own; only what an endpoint answers, and
how long it takes, is made up; a tape played twice is the same to the microsecond. Telemetry is captured,
counted and checked on tapes, since no real outage comes when it is wanted.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from probe import tick
from probe.adapters.state import MemoryStateStore
from probe.core.canary import Stamp
from probe.core.errors import StateError
from probe.core.reading import Phases, Purpose, Reading
from probe.core.record import ShardRecord
from probe.core.replication import Sync, SyncStatus
from probe.core.report import TickReport
from probe.core.target import Location, Policy, Target
from probe.ports import Loaded, StateStore, Telemetry, TraceParent

START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
INTERVAL = timedelta(minutes=1)
TARGET = Target(
    name="orders",
    primary="https://orders.blob.core.windows.net",
    secondary="https://orders-secondary.blob.core.windows.net",
)
_MS = timedelta(milliseconds=1)
BEFORE = Stamp(sequence=1, written_at=START - INTERVAL, sha256="0" * 64, writer="tape")
"""The canary that is there already when a tape begins: the probe wrote it before it lost its state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How an endpoint answers: well in ``took``, or with an ``error.type``."""

    error_type: str | None = None
    status_code: int | None = 200
    took: timedelta = 9 * _MS
    detail: str | None = None
    service_error: str | None = None


GOOD = Answer()
WRITTEN = Answer(status_code=201)
FAR = Answer(took=31 * _MS)
BUSY = Answer(
    error_type="503", status_code=503, took=12 * _MS, detail="Server is busy", service_error="ServerBusy"
)
REFUSED = Answer(error_type="refused", status_code=None, took=4 * _MS, detail="connection refused")
SILENT = Answer(error_type="timeout", status_code=None, took=5000 * _MS, detail="no answer within 5 s")
CORRUPT = Answer(error_type="digest", detail="the body's SHA-256 is not the stamp's")
DENIED = Answer(error_type="403", status_code=403, service_error="AuthorizationPermissionMismatch")
MISSING = Answer(error_type="404", status_code=404, service_error="BlobNotFound")
GONE = Answer(error_type="dns", status_code=None, took=6 * _MS, detail="the name does not resolve")
SLOW = Answer(took=2400 * _MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One tick's circumstances. ``lag`` is how far the secondary is behind, ``known`` what stats tell."""

    primary: Answer = GOOD
    secondary: Answer = FAR
    lag: timedelta = timedelta(seconds=20)
    known: SyncStatus | None = SyncStatus.LIVE
    store: bool = True
    happened: Literal["failover", "second writer", "gone"] | None = None
    """What was done to the account before the tick: its newest writes were lost, somebody else wrote, or the
    canary was deleted."""
    again: bool = False
    """The timer fires a second time for the scheduled time of the scene before."""


def _ticks(count: int, **circumstances: object) -> tuple[Scene, ...]:
    return (Scene(**circumstances),) * count  # type: ignore[arg-type]  # the names are Scene's own


TAPES: dict[str, tuple[Scene, ...]] = {
    "healthy": _ticks(2),
    "failing_primary": (*_ticks(2), *_ticks(2, primary=BUSY)),
    "recovery": (*_ticks(1), *_ticks(1, primary=REFUSED), *_ticks(6)),
    "silent_primary": (*_ticks(1), *_ticks(1, primary=SILENT)),
    "corrupt_canary": (*_ticks(1), *_ticks(1, primary=CORRUPT)),
    "lagging_secondary": (*_ticks(2), *_ticks(17, lag=timedelta(hours=2))),
    "lost_secondary": (*_ticks(1), *_ticks(1, secondary=GONE)),
    "denied": (*_ticks(1), *_ticks(1, primary=DENIED, secondary=DENIED)),
    "both_down": (*_ticks(1), *_ticks(1, primary=BUSY, secondary=BUSY)),
    "blind": (*_ticks(1), *_ticks(1, primary=REFUSED, secondary=REFUSED, store=False)),
    "slow_primary": (*_ticks(1), *_ticks(1, primary=SLOW)),
    "failover": (*_ticks(4), *_ticks(1, happened="failover")),
    "second_writer": (*_ticks(2), *_ticks(1, happened="second writer")),
    "canary_gone": (*_ticks(2), *_ticks(1, happened="gone")),
    "twice": (*_ticks(1), Scene(again=True)),
}
"""What can happen, by name. Most begin with healthy ticks, so that there is something to differ from."""


@dataclass(slots=True)
class _Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass(slots=True)
class _World:
    """What the endpoints of a tape share: the scene, and the canaries written so far."""

    clock: _Clock
    scene: Scene = Scene()
    written: dict[str, list[Stamp]] = field(default_factory=lambda: defaultdict(lambda: [BEFORE]))
    requests: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def open(self, target: Target) -> "_Session":
        return _Session(self, target)


class _Session:
    """The connections of one tick: the first attempt at a location pays for DNS, TCP and TLS.

    The canary is written over a connection of its own.
    """

    def __init__(self, world: _World, target: Target) -> None:
        self._world, self._target = world, target
        self._known: set[Location] = set()

    async def attempt(self, location: Location, purpose: Purpose, *, floor: Stamp | None) -> Reading:
        del floor
        scene = self._world.scene
        answer = scene.primary if location is Location.PRIMARY else scene.secondary
        if answer.error_type is None and self._shown(location) is None:
            answer = MISSING
        reading = self._reading(location, purpose, answer)
        shown = answer.error_type is None or answer.error_type == "digest"
        stamp = self._shown(location) if shown else None
        return replace(reading, canary=stamp, etag=f'"{stamp.sequence}"' if stamp else None)

    async def stats(self) -> tuple[Reading, Sync | None]:
        scene = self._world.scene
        reading = self._reading(Location.SECONDARY, Purpose.STATS, scene.secondary)
        if not reading.ok or scene.known is None:
            return reading, None
        synced = (self._world.clock.now - scene.lag).replace(microsecond=0)
        return reading, Sync(status=scene.known, last_sync_time=synced)

    async def write(self, *, sequence: int, replacing: str | None) -> tuple[Reading, Stamp | None]:
        del replacing
        answer = self._world.scene.primary
        failed = answer if answer.error_type not in ("digest", None) else replace(WRITTEN, took=answer.took)
        reading = self._reading(Location.PRIMARY, Purpose.WRITE, failed)
        if not reading.ok:
            return reading, None
        written = self._world.written[self._target.name]
        stamp = Stamp(sequence=sequence, written_at=reading.started_at, sha256="0" * 64, writer="tape")
        written.append(stamp)
        return replace(reading, etag=f'"{stamp.sequence}"'), stamp

    async def aclose(self) -> None:
        """Nothing was opened."""

    def _shown(self, location: Location) -> Stamp | None:
        written, lag = self._world.written[self._target.name], self._world.scene.lag
        if location is Location.PRIMARY or not written:
            return written[-1] if written else None
        there = [each for each in written if each.written_at <= self._world.clock.now - lag]
        return there[-1] if there else written[0]

    def _reading(self, location: Location, purpose: Purpose, answer: Answer) -> Reading:
        number = next(self._world.requests)
        started_at = self._world.clock.now
        self._world.clock.now += answer.took
        return Reading(
            location=location,
            purpose=purpose,
            started_at=started_at,
            duration=answer.took,
            error_type=answer.error_type,
            status_code=answer.status_code,
            phases=self._phases(location, purpose, answer),
            detail=answer.detail,
            service_error=answer.service_error,
            request_id=f"5e41c0de-0000-4000-8000-{number:012}" if answer.status_code else None,
            client_request_id=f"c11e4700-0000-4000-8000-{number:012}",
        )

    def _phases(self, location: Location, purpose: Purpose, answer: Answer) -> Phases:
        if answer.status_code is None:
            return Phases(dns=1 * _MS) if answer.error_type != "dns" else Phases()
        served = Phases(ttfb=answer.took * 0.5, transfer=answer.took * 0.1)
        if location in self._known and purpose is not Purpose.WRITE:
            return served
        if purpose is not Purpose.WRITE:
            self._known.add(location)
        return replace(served, dns=1 * _MS, connect=answer.took * 0.1, tls=answer.took * 0.2)


class _Kept:
    """A ``Telemetry`` that keeps the reports."""

    def __init__(self) -> None:
        self.reports: list[TickReport] = []

    def emit(self, report: TickReport, parent: TraceParent | None) -> None:
        del parent
        self.reports.append(report)

    async def flush(self) -> None:
        """Nothing is buffered."""

    def claim_losses(self) -> dict[str, int]:
        return {}


class _Store:
    """The state store of a tape: in memory, and away when the scene says so."""

    def __init__(self, world: _World) -> None:
        self._world, self._memory = world, MemoryStateStore()

    async def load(self, shard: int) -> Loaded:
        self._check()
        return await self._memory.load(shard)

    async def save(self, shard: int, record: ShardRecord, tag: str | None) -> str:
        self._check()
        return await self._memory.save(shard, record, tag)

    def _check(self) -> None:
        if not self._world.scene.store:
            raise StateError("the store cannot be reached", error_type="refused")


async def play(
    scenes: Sequence[Scene], *, targets: Sequence[Target] = (TARGET,), vantage: str = "francecentral"
) -> list[TickReport]:
    """Run a tick for each scene, a minute apart, and return their reports."""
    kept = _Kept()
    endpoints = _World(_Clock())
    world = _world(endpoints, _Store(endpoints), kept, vantage)
    scheduled_at = START
    for number, scene in enumerate(scenes):
        scheduled_at = scheduled_at if scene.again else START + number * INTERVAL
        _begin(endpoints, scene, number)
        await tick.run(world, targets, tick.Firing(scheduled_at=scheduled_at))
    return kept.reports


type Written = dict[str, list[Stamp]]
"""The canaries of an account, by the name of its target."""


async def play_one(
    scene: Scene, number: int, *, store: StateStore, telemetry: Telemetry, written: Written
) -> TickReport:
    """Run the tick of one minute, in whatever process: only store and canaries are shared with the others."""
    endpoints = _World(_Clock())
    endpoints.written.update(written)
    world = _world(endpoints, store, telemetry, "francecentral")
    _begin(endpoints, scene, number)
    report = await tick.run(world, (TARGET,), tick.Firing(scheduled_at=START + number * INTERVAL))
    written.update(endpoints.written)
    return report


def _world(endpoints: _World, store: StateStore, telemetry: Telemetry, vantage: str) -> tick.World:
    clock = endpoints.clock
    return tick.World(
        endpoints=endpoints,
        store=store,
        telemetry=telemetry,
        clock=clock,
        monotonic=clock.monotonic,
        vantage=vantage,
        writer="tape",
        budget=timedelta(seconds=45),
        sleep=clock.sleep,
    )


def _begin(endpoints: _World, scene: Scene, number: int) -> None:
    clock = endpoints.clock
    clock.now = max(clock.now, START + number * INTERVAL) + 200 * _MS
    endpoints.scene = scene
    for written in endpoints.written.values():
        match scene.happened:
            case "failover":
                del written[-2:]
            case "second writer":
                newest = written[-1]
                written.append(replace(newest, sequence=newest.sequence + 1, writer="a laptop"))
            case "gone":
                written.clear()


def fleet(count: int) -> list[Target]:
    """Return so many targets with names of their own."""
    return [
        replace(
            TARGET,
            name=f"orders{number:03}",
            primary=f"https://orders{number:03}.blob.core.windows.net",
            secondary=f"https://orders{number:03}-secondary.blob.core.windows.net",
            policy=Policy(),
        )
        for number in range(count)
    ]
