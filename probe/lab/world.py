"""A world to run ticks in: geo-redundant accounts by script, a state store, a telemetry, one clock.

Rules kept here: the fakes stand behind ``probe.ports`` and nothing else is faked; time is the event loop's
and passes only when everybody waits, so that an attempt "takes" its five seconds and nobody waits for them.
What happens twice is the same to the microsecond. Every tape of the tests and of the lab is played here.
"""

import asyncio
import base64
import hashlib
import itertools
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from probe import tick
from probe.core import canary
from probe.core.brief import Brief, brief
from probe.core.canary import Stamp
from probe.core.errors import StateConflict, StateError
from probe.core.reading import Phases, Purpose, Reading, fault_of
from probe.core.record import ShardRecord
from probe.core.replication import Sync, SyncStatus
from probe.core.report import TickReport
from probe.core.target import Location, Policy, Target
from probe.ports import Loaded, TraceParent
from probe.tick import Firing

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BODY = b"a small picture"
_MD5 = base64.b64encode(hashlib.md5(BODY, usedforsecurity=False).digest()).decode()
MINUTE = timedelta(minutes=1)
_MS = timedelta(milliseconds=1)

QUICK = {Location.PRIMARY: 9 * _MS, Location.SECONDARY: 31 * _MS}
"""What an attempt takes unless its word says otherwise: the secondary is in a region further away."""
WRITES = {"read-only": "403", "unwritable": "500"}
"""What a write meets where reads are served."""
SERVES = ("ok", "slow", "stale", "old", "lost", *WRITES)
"""What a location may do and still answer with a canary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a word of a script does to a request. ``took``: ``None`` for ``QUICK``."""

    error_type: str | None = None
    status_code: int | None = 200
    took: timedelta | None = None
    detail: str | None = None
    service_error: str | None = None


ANSWERS = {
    **dict.fromkeys(SERVES, Answer()),
    "slow": Answer(took=3000 * _MS),
    "corrupt": Answer(detail="the body's SHA-256 is not the stamp's"),
    "unreadable": Answer(),
    "portal": Answer(error_type="protocol", status_code=None),
    "refused": Answer(error_type="refused", status_code=None, took=4 * _MS, detail="connection refused"),
    "dns": Answer(error_type="dns", status_code=None, took=6 * _MS, detail="the name does not resolve"),
    "connect_timeout": Answer(error_type="connect_timeout", status_code=None, took=2000 * _MS),
    "timeout": Answer(error_type="timeout", status_code=None, took=5000 * _MS, detail="no answer within 5 s"),
    "403": Answer(error_type="403", status_code=403, service_error="AuthorizationPermissionMismatch"),
    "404": Answer(error_type="404", status_code=404, service_error="BlobNotFound"),
    "503": Answer(
        error_type="503",
        status_code=503,
        took=12 * _MS,
        detail="Server is busy",
        service_error="ServerBusy",
    ),
}
"""The words with an answer of their own; every other one is an ``error.type`` and nothing more."""


class _Selector(selectors.DefaultSelector):
    """Never waits: when nothing is ready, the time that would have been waited has passed."""

    now = 0.0
    real = 0
    """How many wait for what is not simulated."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.real and timeout != 0:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits for something that will never happen")
        if not ready and timeout:
            self.now += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, began: datetime) -> None:
        self.began, self.simulated = began, _Selector()
        super().__init__(self.simulated)

    def time(self) -> float:
        return self.simulated.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - its base's
        """Wait for the threads in real time: in simulated time their five minutes are over at once."""
        with outside():
            await super().shutdown_default_executor()


def run[T](main: Coroutine[Any, Any, T], *, began: datetime = NOON) -> T:
    """Run a coroutine in simulated time, which begins at noon."""
    with asyncio.Runner(loop_factory=partial(_Loop, began)) as runner:
        return runner.run(main)


def clock() -> datetime:
    """Return the simulated time; where none runs it is noon."""
    loop = asyncio._get_running_loop()  # noqa: SLF001 - unlike its twin it does not raise
    return loop.began + timedelta(seconds=loop.time()) if isinstance(loop, _Loop) else NOON


@contextmanager
def outside() -> Iterator[None]:
    """Let what is real be waited for, as threads and sockets are; no simulated time passes meanwhile."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, _Loop):
        raise TypeError("nothing is simulated here")
    loop.simulated.real += 1
    try:
        yield
    finally:
        loop.simulated.real -= 1


@dataclass(slots=True)
class Account:
    """A geo-redundant account and how its two locations behave, each by a script.

    A script has what the attempts of a tick meet, in order; the last one stays. ``ok``, ``slow``, ``stale``
    (replication stands still) and ``old`` (the location shows what it had one write before) serve;
    ``lost`` serves too: the account failed over, and what the secondary had not seen is lost. ``portal``
    answers 200 with a page that is not Azure's; ``read-only`` serves and refuses the write with 403.
    ``corrupt`` and ``unreadable`` answer the wrong content; ``hang`` never answers and has no deadline of
    its own; ``bug`` raises; everything else is an ``error.type``.
    """

    script: dict[Location, list[str]] = field(default_factory=dict)
    blobs: dict[Location, Stamp | None] = field(default_factory=lambda: dict.fromkeys(Location))
    before: dict[Location, Stamp | None] = field(default_factory=lambda: dict.fromkeys(Location))
    lag: timedelta = timedelta(0)
    """How long a write is under way to the secondary."""
    under_way: list[tuple[datetime, Stamp | None]] = field(default_factory=list)
    """What was written, and when, that the secondary does not have yet."""
    synced_at: datetime | None = None
    container: bool = True
    stats: str | None = "live"
    """What the stats say: a status, an HTTP status, ``None`` for live without a time."""
    writer: str = "here"
    says: dict[Stamp, dict[str, str | None]] = field(default_factory=dict)
    """What is wrong with a blob's metadata: what a line says in its stamp's place, ``None``: nothing."""
    opened: int = 0
    closed: int = 0
    calls: list[tuple[Location, Purpose]] = field(default_factory=list)

    def behave(self, primary: str, secondary: str) -> None:
        """Set the scripts of a tick; words are separated by commas."""
        self.script = {Location.PRIMARY: _words(primary), Location.SECONDARY: _words(secondary)}
        if primary == "lost":
            self.blobs[Location.PRIMARY] = self.blobs[Location.SECONDARY]
            self.under_way.clear()
        self.replicate()

    def begin(self, sequence: int = 0) -> None:
        """Have a canary of this probe's from before, at both locations."""
        stamp = canary.stamp(body=BODY, sequence=sequence, written_at=clock() - MINUTE, writer=self.writer)
        self.blobs = dict.fromkeys(Location, stamp)
        self.synced_at = clock()

    def next(self, location: Location) -> str:
        words = self.script.get(location) or ["ok"]
        return words.pop(0) if len(words) > 1 else words[0]

    def peek(self, location: Location) -> str:
        return (self.script.get(location) or ["ok"])[-1]

    def write(self, stamp: Stamp) -> None:
        self._put(Location.PRIMARY, stamp)
        self.under_way.append((clock(), stamp))
        self.replicate()

    def write_as(self, writer: str) -> None:
        """Write the canary that follows, as somebody who is not this tick."""
        shown = self.blobs[Location.PRIMARY]
        sequence = shown.sequence + 1 if shown else 1
        self.write(canary.stamp(body=BODY, sequence=sequence, written_at=clock(), writer=writer))

    def metadata(self, stamp: Stamp) -> dict[str, str]:
        found = canary.encode(stamp) | self.says.get(stamp, {})
        return {name: value for name, value in found.items() if value is not None}

    def delete(self) -> None:
        """Delete the canary, here and there."""
        self.blobs = dict.fromkeys(Location)
        self.under_way.clear()

    def replicate(self) -> None:
        """Copy to the secondary what is due there, unless its script says that replication stands still."""
        if self.peek(Location.SECONDARY) == "stale":
            return
        self.synced_at = clock() - self.lag
        due = [stamp for at, stamp in self.under_way if at <= self.synced_at]
        self.under_way = self.under_way[len(due) :]
        arrived = due if self.lag else [self.blobs[Location.PRIMARY]]
        if arrived and arrived[-1] != self.blobs[Location.SECONDARY]:
            self._put(Location.SECONDARY, arrived[-1])

    def _put(self, location: Location, stamp: Stamp | None) -> None:
        self.before[location], self.blobs[location] = self.blobs[location], stamp


def _words(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]


@dataclass(slots=True)
class Endpoints:
    """``ports.Endpoints`` on accounts by target name."""

    accounts: dict[str, Account]
    requests: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def open(self, target: Target) -> "Session":
        account = self.accounts[target.name]
        if account.peek(Location.PRIMARY) == "bug at open":
            raise RuntimeError("a bug in open")
        account.opened += 1
        return Session(target, account, self.requests)


class Session:
    """``ports.Session`` on one account: the first attempt at a location pays for DNS, TCP and TLS.

    The canary is written over a connection of its own.
    """

    def __init__(self, target: Target, account: Account, requests: "itertools.count[int]") -> None:
        self._target, self._account, self._requests = target, account, requests
        self._connected: set[Location] = set()

    async def attempt(self, location: Location, purpose: Purpose, *, floor: Stamp | None) -> Reading:
        self._account.calls.append((location, purpose))
        word = self._account.next(location)
        self._account.replicate()
        stamp = self._account.before[location] if word == "old" else self._account.blobs[location]
        reading = await self._met(word, location, purpose)
        if not reading.ok:
            return reading
        if stamp is None:
            missing = "BlobNotFound" if self._account.container else "ContainerNotFound"
            return replace(reading, error_type="404", status_code=404, service_error=missing)
        seen, error = canary.verify(
            body=b"other bytes" if word == "corrupt" else BODY,
            metadata={} if word == "unreadable" else self._account.metadata(stamp),
            content_md5=_MD5,
            floor=floor,
            stamped=self._target.write,
        )
        detail = ANSWERS[word].detail if error and word in ANSWERS else None
        return replace(reading, canary=seen, error_type=error, detail=detail, etag=etag(stamp))

    async def stats(self) -> tuple[Reading, Sync | None]:
        word = self._account.peek(Location.SECONDARY)
        self._account.calls.append((Location.SECONDARY, Purpose.STATS))
        reading = await self._met(word, Location.SECONDARY, Purpose.STATS)
        self._account.replicate()
        if not reading.ok or self._account.stats is None:
            return reading, Sync(status=SyncStatus.LIVE) if reading.ok else None
        if self._account.stats in ("bootstrap", "unavailable"):
            return reading, Sync(status=SyncStatus(self._account.stats))
        if self._account.stats != "live":
            refused = int(self._account.stats)
            return replace(reading, error_type=str(refused), status_code=refused), None
        synced_at = self._account.synced_at and self._account.synced_at.replace(microsecond=0)
        return reading, Sync(status=SyncStatus.LIVE, last_sync_time=synced_at)

    async def write(
        self, *, sequence: int, replacing: str | None, writer: str, create: bool = False
    ) -> tuple[Reading, Stamp | None]:
        self._account.calls.append((Location.PRIMARY, Purpose.WRITE))
        word = (self._account.script.get(Location.PRIMARY) or ["ok"])[0]
        stamp = canary.stamp(body=BODY, sequence=sequence, written_at=clock(), writer=writer)
        reading = await self._met(WRITES.get(word, word), Location.PRIMARY, Purpose.WRITE)
        if not reading.ok:
            return reading, None
        self._account.container = self._account.container or create
        if not self._account.container:
            return replace(
                reading, error_type="404", status_code=404, service_error="ContainerNotFound"
            ), None
        if replacing != etag(self._account.blobs[Location.PRIMARY]):
            status = 412 if replacing else 409
            return replace(reading, error_type=str(status), status_code=status), None
        self._account.write(stamp)
        return replace(reading, status_code=201, etag=etag(stamp)), stamp

    async def aclose(self) -> None:
        self._account.closed += 1

    async def _met(self, word: str, location: Location, purpose: Purpose) -> Reading:
        started_at = clock()
        if word == "bug":
            raise RuntimeError("a bug in an attempt")
        if word == "hang":
            await asyncio.Event().wait()
        unasked = word == "404" and purpose in (Purpose.WRITE, Purpose.STATS)  # they do not ask for the blob
        answer = Answer() if unasked else _answer(word)
        took = answer.took or QUICK[location]
        number = next(self._requests)
        await asyncio.sleep(took / timedelta(seconds=1))
        return Reading(
            location=location,
            purpose=purpose,
            started_at=started_at,
            duration=took,
            error_type=answer.error_type,
            status_code=answer.status_code,
            phases=self._phases(location, purpose, answer, took),
            detail=answer.detail if answer.error_type else None,
            service_error=answer.service_error,
            request_id=f"5e41c0de-0000-4000-8000-{number:012}" if answer.status_code else None,
            client_request_id=f"c11e4700-0000-4000-8000-{number:012}",
        )

    def _phases(self, location: Location, purpose: Purpose, answer: Answer, took: timedelta) -> Phases:
        if answer.status_code is None:
            return Phases(dns=1 * _MS) if answer.error_type != "dns" else Phases()
        served = Phases(ttfb=took * 0.5, transfer=took * 0.1)
        if location in self._connected and purpose is not Purpose.WRITE:
            return served
        if purpose is not Purpose.WRITE:
            self._connected.add(location)
        return replace(served, dns=1 * _MS, connect=took * 0.1, tls=took * 0.2)


def etag(stamp: Stamp | None) -> str | None:
    """Return the tag of a blob's version, ``None`` where there is none."""
    return f'"{stamp.writer} {stamp.sequence} {stamp.written_at:%H%M%S%f}"' if stamp else None


def _answer(word: str) -> Answer:
    if word not in ANSWERS:
        fault_of(word)  # a misspelt word in a script is no error.type
    code = int(word) if word.isdecimal() else None
    return ANSWERS.get(word, Answer(error_type=word, status_code=code))


@dataclass(slots=True)
class Store:
    """``ports.StateStore`` in memory, with trouble on demand.

    ``trouble`` has an ``error.type`` for ``load`` or ``save`` while that fails. ``meanwhile`` are run before
    a save, one each: another tick that was quicker.
    """

    records: dict[int, ShardRecord] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)
    replaced: str | None = None
    meanwhile: list[Callable[[], Awaitable[object]]] = field(default_factory=list)
    saves: int = 0
    tokens: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def down(self) -> None:
        """Let the store be out of reach."""
        self.trouble = {"load": "timeout", "save": "timeout"}

    async def load(self, shard: int, known: str | None = None) -> Loaded:
        self._fail("load")
        replaced, self.replaced = self.replaced, None
        version = self.versions.get(shard)
        tag = None if version is None else str(version)
        record = None if tag == known else self.records.get(shard)
        return Loaded(record=record, tag=tag, replaced=replaced)

    async def glance(self, shard: int) -> Brief | None:
        self._fail("load")
        return brief(self.records[shard]) if shard in self.records else None

    async def save(self, shard: int, record: ShardRecord, tag: str | None) -> str:
        if self.meanwhile:
            await self.meanwhile.pop(0)()
        self._fail("save")
        version = self.versions.get(shard)
        if tag != (None if version is None else str(version)):
            raise StateConflict
        self.records[shard], self.versions[shard] = record, (version or 0) + 1
        self.saves += 1
        return str(self.versions[shard])

    def _fail(self, operation: str) -> None:
        if operation in self.trouble:
            raise StateError("the store cannot be reached", error_type=self.trouble[operation])


@dataclass(slots=True)
class Telemetry:
    """``ports.Telemetry`` that remembers what it was given."""

    reports: list[TickReport] = field(default_factory=list)
    parents: list[TraceParent | None] = field(default_factory=list)
    flushes: int = 0
    losses: dict[str, int] = field(default_factory=dict)
    """What did not arrive earlier, until it is claimed."""

    def emit(self, report: TickReport, parent: TraceParent | None) -> None:
        self.reports.append(report)
        self.parents.append(parent)

    async def flush(self) -> None:
        self.flushes += 1

    def claim_losses(self) -> dict[str, int]:
        claimed, self.losses = self.losses, {}
        return claimed


@dataclass(slots=True)
class World:
    """One process that ticks: its targets with their accounts, its store, its telemetry."""

    targets: tuple[Target, ...]
    accounts: dict[str, Account]
    store: Store
    telemetry: Telemetry
    inner: tick.World

    @property
    def account(self) -> Account:
        return self.accounts[self.targets[0].name]

    async def tick(self, scheduled_at: datetime | None = None, **firing: Any) -> TickReport:  # noqa: ANN401 - a firing's own
        """Run a tick that is scheduled now, or at the time given."""
        return await tick.run(
            self.inner, self.targets, Firing(scheduled_at=scheduled_at or clock(), **firing)
        )

    async def until(self, at: datetime) -> None:
        """Let time pass until then; at once, when that is over."""
        await asyncio.sleep(max((at - clock()).total_seconds(), 0))


def target(name: str = "contoso", *, geo: bool = True, write: bool = True, **policy: Any) -> Target:  # noqa: ANN401 - the policy's own
    """Return a target; further names are its policy's."""
    return Target(
        name=name,
        primary=f"https://{name}.blob.core.windows.net",
        secondary=f"https://{name}-secondary.blob.core.windows.net" if geo else None,
        write=write,
        policy=Policy(**policy),
    )


def world(
    *targets: Target,
    beside: World | None = None,
    budget: float = 45,
    vantage: str = "here",
    accounts: dict[str, Account] | None = None,
) -> World:
    """Return a world with these targets; ``beside`` another one, on its accounts and its store."""
    probed = targets or (target(),)
    accounts = beside.accounts if beside else accounts or {each.name: _account(each) for each in probed}
    store, telemetry = beside.store if beside else Store(), Telemetry()
    inner = tick.World(
        endpoints=Endpoints(accounts),
        store=store,
        telemetry=telemetry,
        clock=clock,
        monotonic=lambda: asyncio.get_running_loop().time(),
        vantage=vantage,
        writer="here",
        chance=lambda: 0.5,
        token=lambda: f"{next(store.tokens):08x}",
        budget=timedelta(seconds=budget),
    )
    return World(targets=probed, accounts=accounts, store=store, telemetry=telemetry, inner=inner)


def _account(probed: Target) -> Account:
    """Return an account; one that is only read from has its canary already."""
    if probed.write:
        return Account()
    stamp = canary.stamp(body=BODY, sequence=1, written_at=NOON, writer="somebody")
    return Account(blobs=dict.fromkeys(Location, stamp))
