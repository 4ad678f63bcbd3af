"""The tick, the one use case: measure every target of a shard, judge, remember, tell.

Rules kept here: the breaker never gates the measurement; targets run side by side and none delays or fails
another; what the budget cuts off is named, never dropped; measuring goes on when the state store is down;
of two ticks at once, each folds its facts onto what the other saved. A duplicate or stale tick is skipped.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from probe.core import record as records
from probe.core import replication as replications
from probe.core.canary import Stamp
from probe.core.errors import StateConflict, StateError
from probe.core.reading import PATH_ERRORS, Purpose, Read, Reading
from probe.core.record import HistoryEntry, ShardRecord, TargetRecord, TickFacts
from probe.core.replication import Sync
from probe.core.report import Result, StateProblem, TargetReport, TickReport, seconds, target_document
from probe.core.target import Location, Target
from probe.core.verdict import EndpointVerdict, Evidence, judge
from probe.ports import Clock, Endpoints, Loaded, Session, StateStore, Telemetry, TraceParent
from probe.reader import Reader, Sleep

CONCURRENCY = 128
"""Targets probed side by side."""
SAVE_TRIES = 5
"""How often a conflict with another tick is folded before it counts as a failure of the store."""
log = logging.getLogger("probe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One firing of the timer, for one shard. ``scheduled_at`` is aware UTC."""

    scheduled_at: datetime
    shard: int = 0
    past_due: bool = False
    parent: TraceParent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A shard's record as this process knows it, saved or not, and the tag of the version it stands on."""

    record: ShardRecord
    tag: str | None


@dataclass(slots=True, kw_only=True)
class World:
    """All that a tick needs. ``last_known`` is what this process knows by shard, for when the store fails."""

    endpoints: Endpoints
    store: StateStore
    telemetry: Telemetry
    clock: Clock
    vantage: str
    budget: timedelta
    sleep: Sleep = asyncio.sleep
    last_known: dict[int, Known] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Found:
    """What is found out about a target as its tick goes on; whole or cut short, it is judged."""

    target: Target
    reader: Reader | None = None
    reads: list[Read] = field(default_factory=list)
    around: list[Reading] = field(default_factory=list)
    written: Stamp | None = None
    sync: Sync | None = None
    skipped: tuple[str, ...] = ()
    bug: Exception | None = None
    ended_at: datetime | None = None
    """When the last of it was measured: it is judged as of then, however long others take."""

    def facts(self, now: datetime) -> TickFacts:
        if self.reader is None:
            return TickFacts(finished_at=now, written=self.written)
        return TickFacts(
            attempts=tuple(self.reader.facts),
            written=self.written,
            shown=tuple(self.reader.shown),
            finished_at=now,
        )

    def at(self, location: Location) -> list[Reading]:
        seen = self.reader.readings if self.reader else []
        return [each for each in seen if each.location is location]

    @property
    def write(self) -> Reading | None:
        return next((each for each in self.around if each.purpose is Purpose.WRITE), None)

    @property
    def readings(self) -> list[Reading]:
        made = [*self.around, *(self.reader.readings if self.reader else ())]
        return sorted(made, key=lambda each: each.started_at)


async def run(world: World, targets: Sequence[Target], firing: Firing) -> TickReport:
    """Run one tick of one shard, and return its report after it was saved, emitted and flushed.

    Raises whatever a bug raises, after the other targets' findings were saved and told.
    """
    started_at, begun = world.clock(), asyncio.get_running_loop().time()
    store = _Store(world, firing.shard)
    record = await store.load(started_at)
    found: list[_Found] = []
    reports: list[TargetReport] = []
    result = Result.SKIPPED
    if record is None or not _is_stale(record, firing):
        found = await _measure(world, targets, record)
        reports = await store.save(firing, found)
        result = _result(found)
    report = TickReport(
        scheduled_at=firing.scheduled_at,
        started_at=started_at,
        duration=timedelta(seconds=asyncio.get_running_loop().time() - begun),
        past_due=firing.past_due,
        vantage=world.vantage,
        shard=firing.shard,
        result=result,
        targets=reports,
        state_store=store.verdict,
        state_problems=tuple(store.problems),
        reason=_reason(result, found),
    )
    world.telemetry.emit(report, firing.parent)
    await world.telemetry.flush()
    for each in found:
        if each.bug:
            raise each.bug
    return report


def _result(found: Sequence[_Found]) -> Result:
    if any(each.bug for each in found):
        return Result.FAILED
    return Result.CUT_SHORT if any(each.skipped for each in found) else Result.COMPLETED


def _reason(result: Result, found: Sequence[_Found]) -> str | None:
    match result:
        case Result.COMPLETED:
            return None
        case Result.SKIPPED:
            return "a tick of the same or a later scheduled time has run already"
        case Result.CUT_SHORT:
            names = ", ".join(each.target.name for each in found if each.skipped)
            return f"the tick's budget ran out before these were finished: {names}"
        case Result.FAILED:
            bugs = "; ".join(f"{each.target.name}: {each.bug!r}" for each in found if each.bug)
            return f"a bug of the probe kept it from these: {bugs}"


class _Store:
    """The shard's document during one tick: loaded before it, folded onto and saved after it.

    While nobody else saves, what this process knows is the newest: a tick that could not be saved is not
    forgotten when the store is there again.
    """

    def __init__(self, world: World, shard: int) -> None:
        self._world, self._shard = world, shard
        self._loaded: Loaded | None = None
        self.problems: list[StateProblem] = []
        self.verdict = "ok"

    async def load(self, now: datetime) -> ShardRecord | None:
        """Load the record; when the store is down, answer what this process knows."""
        try:
            self._loaded = await self._load(now)
        except StateError as error:
            self._failed("load", error)
            known = self._known()
            return known.record if known else None
        return self._loaded.record

    async def save(self, firing: Firing, found: Sequence[_Found]) -> list[TargetReport]:
        """Fold the tick's facts, judge and save; on a conflict do so again on the newer record.

        When the store is down, the facts are folded onto what this process knows, and judged as well.
        """
        now = self._world.clock()
        try:
            return await self._folded_and_saved(firing, found, now)
        except StateError as error:
            self._failed("save", error)
            base = self._loaded or self._known()
            record = base.record if base else None
            record, reports = _folded(record, found, firing, now, store_reachable=_answered(error))
            self._remember(record, base.tag if base else None)
            return reports

    async def _folded_and_saved(
        self, firing: Firing, found: Sequence[_Found], now: datetime
    ) -> list[TargetReport]:
        for number in range(SAVE_TRIES):
            if number or self._loaded is None:
                self._loaded = await self._load(now)
            record, reports = _folded(self._loaded.record, found, firing, now)
            try:
                tag = await self._world.store.save(self._shard, record, self._loaded.tag)
            except StateConflict:
                continue
            self._remember(record, tag)
            return reports
        raise StateConflict(f"{SAVE_TRIES} saves in a row met another tick's")

    def _known(self) -> Known | None:
        return self._world.last_known.get(self._shard)

    def _remember(self, record: ShardRecord, tag: str | None) -> None:
        self._world.last_known[self._shard] = Known(record=record, tag=tag)

    async def _load(self, now: datetime) -> Loaded:
        loaded = await self._world.store.load(self._shard)
        if loaded.replaced:
            self._tell("load", "unreadable", loaded.replaced)
        known = self._known()
        if known and known.tag == loaded.tag:
            loaded = replace(loaded, record=known.record)
        if loaded.record is None:
            return loaded
        record = records.clamped(loaded.record, now)
        if record.clamped > loaded.record.clamped:
            count = record.clamped - loaded.record.clamped
            self._tell("clamp", "future_time", f"{count} saved times were in the future, and were set to now")
        return replace(loaded, record=record)

    def _failed(self, operation: str, error: StateError) -> None:
        self._tell(operation, error.error_type, str(error))

    def _tell(self, operation: str, error_type: str, message: str) -> None:
        log.warning("state store, %s: %s: %s", operation, error_type, message)
        self.problems.append(StateProblem(operation=operation, error_type=error_type, message=message))
        self.verdict = error_type


def _answered(error: StateError) -> bool:
    """Return whether anything of the store was heard, though it failed: then we have a network."""
    return error.error_type not in PATH_ERRORS


def _is_stale(record: ShardRecord, firing: Firing) -> bool:
    return record.last_scheduled_at is not None and firing.scheduled_at <= record.last_scheduled_at


async def _measure(world: World, targets: Sequence[Target], record: ShardRecord | None) -> list[_Found]:
    """Probe all targets side by side within the budget; a bug is kept with what it hit, not raised."""
    ends_at = asyncio.get_running_loop().time() + world.budget.total_seconds()
    gate = asyncio.Semaphore(CONCURRENCY)
    known = record.targets if record else {}

    async def one(target: Target) -> _Found:
        found = _Found(target=target)
        remembered = known.get(target.name) or records.fresh(world.clock())
        async with gate:
            try:
                await _probe(world, found, remembered, ends_at)
            except Exception as bug:  # noqa: BLE001 - raised when the others were saved and told
                _stumbled(found, bug)
        found.ended_at = world.clock()
        return found

    return await asyncio.gather(*map(one, targets))


def _stumbled(found: _Found, bug: Exception) -> None:
    log.error("%s could not be probed", found.target.name, exc_info=bug)
    found.bug = bug


async def _probe(world: World, found: _Found, remembered: TargetRecord, ends_at: float) -> None:
    session = world.endpoints.open(found.target)
    steps = _Steps(world, found, remembered, session)
    try:
        async with asyncio.timeout_at(ends_at):
            await steps.run()
    except TimeoutError:
        found.skipped = steps.left()
    finally:
        await session.aclose()


class _Steps:
    """The steps of one target's tick, in order; ``left`` names those that did not finish."""

    def __init__(self, world: World, found: _Found, remembered: TargetRecord, session: Session) -> None:
        self._world, self._found, self._remembered, self._session = world, found, remembered, session
        self._done: set[str] = set()

    def _names(self) -> list[str]:
        target = self._found.target
        names = ["write"] if target.write else []
        names += [f"read {number + 1}" for number in range(target.policy.reads)]
        names += [f"check {location}" for location in target.locations]
        return [*names, "stats"] if target.secondary else names

    def left(self) -> tuple[str, ...]:
        return tuple(each for each in self._names() if each not in self._done)

    async def run(self) -> None:
        target, found = self._found.target, self._found
        ledger = self._remembered.ledger
        if target.write:
            ledger = await self._write()
        reader = found.reader = Reader(
            target=target,
            session=self._session,
            breaker=self._remembered.breaker,
            stale=_was_stale(self._remembered),
            ledger=ledger,
            clock=self._world.clock,
            sleep=self._world.sleep,
        )
        for number in range(target.policy.reads):
            found.reads.append(await reader.read())
            self._done.add(f"read {number + 1}")
        for location in target.locations:
            if all(each.location is not location for each in reader.readings):
                await reader.check(location)
            self._done.add(f"check {location}")
        if target.secondary:
            reading, found.sync = await self._session.stats()
            found.around.append(reading)
            self._done.add("stats")

    async def _write(self) -> replications.Ledger:
        ledger = self._remembered.ledger
        known = ledger.newest or ledger.primary_shown or ledger.secondary_shown
        reading, stamp = await self._session.write(
            sequence=replications.next_sequence(ledger) if known else None
        )
        self._found.around.append(reading)
        self._found.written = stamp
        self._done.add("write")
        return replications.written(ledger, stamp) if stamp else ledger


def _folded(
    record: ShardRecord | None,
    found: Sequence[_Found],
    firing: Firing,
    now: datetime,
    *,
    store_reachable: bool = True,
) -> tuple[ShardRecord, list[TargetReport]]:
    """Return the shard's record with a tick's facts folded onto it, and the reports judged on that."""
    base = record or ShardRecord(targets={})
    reports, remembered = [], dict(base.targets)
    for each in found:
        if each.bug:
            continue
        old = base.targets.get(each.target.name) or records.fresh(now)
        try:
            report, new = _reported(old, each, each.ended_at or now, store_reachable=store_reachable)
        except Exception as bug:  # noqa: BLE001 - as above: one target's bug is its own
            _stumbled(each, bug)
            continue
        reports.append(report)
        remembered[each.target.name] = new
    scheduled = base.last_scheduled_at
    return replace(
        base,
        targets=remembered,
        last_scheduled_at=max(scheduled, firing.scheduled_at) if scheduled else firing.scheduled_at,
        last_completed_at=now,
        ticks=base.ticks + 1,
    ), reports


def _reported(
    old: TargetRecord, found: _Found, now: datetime, *, store_reachable: bool
) -> tuple[TargetReport, TargetRecord]:
    target = found.target
    geo = target.secondary is not None
    folded = records.fold(old, found.facts(now), policy=target.policy, geo=geo)
    replication = replications.replication(
        folded.record.ledger, found.sync, now=now, rpo=target.policy.rpo, delays=folded.delays
    )
    evidence = Evidence(
        primary=found.at(Location.PRIMARY),
        secondary=found.at(Location.SECONDARY),
        reads=found.reads,
        write=found.write,
        ledger=folded.record.ledger,
        replication=replication,
        policy=target.policy,
        now=now,
        store_reachable=store_reachable,
        geo=geo,
        stamped=target.write,
        cut_short=bool(found.skipped),
    )
    forced = target.policy.forced
    report = TargetReport(
        target=target,
        judgement=judge(evidence),
        reads=tuple(found.reads),
        readings=tuple(found.readings),
        breaker=folded.record.breaker,
        forced=forced if forced and now < forced.until else None,
        transitions=folded.transitions,
        replication=replication,
        written_sequence=found.written.sequence if found.written else None,
        previous=_previous(old),
        skipped=found.skipped,
    )
    return report, records.remember(folded.record, _entry(report, now), target_document(report))


def _was_stale(record: TargetRecord) -> bool:
    """Return whether the tick before found the secondary further behind than the RPO allows."""
    return bool(record.history) and record.history[-1].secondary == EndpointVerdict.STALE


def _previous(record: TargetRecord) -> tuple[str, str, str | None] | None:
    if not record.history:
        return None
    last = record.history[-1]
    return last.verdict, last.primary, last.secondary


def _entry(report: TargetReport, now: datetime) -> HistoryEntry:
    served = Counter(each.served_by for each in report.reads)
    verdict, primary, secondary = report.verdicts
    return HistoryEntry(
        at=now,
        verdict=verdict,
        primary=primary,
        secondary=secondary,
        served_primary=served[Location.PRIMARY],
        served_secondary=served[Location.SECONDARY],
        served_none=served[None],
        worst_read=max((each.duration.total_seconds() for each in report.reads), default=None),
        lag=seconds(report.replication.lag),
        last_sync_age=seconds(report.replication.last_sync_age),
    )
