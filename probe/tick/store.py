"""The shard's document during one tick: loaded before it, folded onto and saved after it."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, repeat

from probe.core import budget
from probe.core.errors import StateConflict, StateError
from probe.core.reading import PATH_ERRORS
from probe.core.record import ShardRecord, clamped
from probe.core.report import StateProblem, TargetReport
from probe.core.sums import with_losses
from probe.core.verdict import unheard
from probe.ports import Loaded
from probe.tick.folding import Went, folded
from probe.tick.found import Found
from probe.tick.world import Fate, Firing, Known, World

PATIENCE = timedelta(seconds=10)
"""How long a tick whose saves meet other ticks' goes on folding before the store counts as failed."""
PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""The most seconds before each further try, of which a random part is waited: so that of many ticks at once
each comes through. The last one stays."""
_NEVER_SAVED = ("conflict", "connect_timeout", "dns", "refused", "tls", "unreadable")
"""Failures of a save (``error.type``) after which nothing can have been saved, as after any 4xx."""
log = logging.getLogger("probe")


class Store:
    """One shard's document in one tick.

    While nobody else saves, what this process knows is the newest: a tick that could not be saved is not
    forgotten when the store is there again.
    """

    def __init__(self, world: World, shard: int, *, ends_at: float) -> None:
        """``ends_at``: when the tick's budget is over, by the loop's clock, which time-outs are set on."""
        self._world, self._shard, self._token = world, shard, world.token()
        self._ends_at = ends_at
        self._life: bool | None = None
        self._loaded: Loaded | None = None
        self._heard = False
        self._newest: Known | None = None
        self._fate = Fate.FAILED
        self.lost: Mapping[str, int] = {}
        """The rows of telemetry lost earlier that this tick is to tell of, by backend."""
        self.problems: list[StateProblem] = []
        self.verdict = "ok"

    async def load(self, now: datetime) -> ShardRecord | None:
        """Load the record; when the store is down, return what this process knows."""
        loop, share = asyncio.get_running_loop(), budget.loading(self._world.budget)
        try:
            async with _until(loop.time() + share.total_seconds()):
                self._loaded = await self._load(now)
        except StateError as error:
            self._failed("load", error)
            known = self._known()
            return known.record if known else None
        if self._loaded.record:
            self._newest = Known(record=self._loaded.record, tag=self._loaded.tag)
        return self._loaded.record

    async def save(self, firing: Firing, found: Sequence[Found]) -> list[TargetReport] | None:
        """Fold the tick's facts, judge and save; on a conflict do so again on the newer record.

        When the store is down, the facts are folded onto what this process knows, and judged as well.
        Returns ``None`` when another tick has been saved that stands for the same time.
        """
        now = self._world.clock()
        if self._loaded is None:
            try:
                async with _until(self._ends_at):
                    self._loaded = await self._load(now)
            except StateError as error:
                self._failed("load", error)
                return await self._unsaved(firing, found, now, Fate.FAILED)
        losses = self._claimed()
        try:
            async with _until(self._ends_at):
                return await self._folded_and_saved(firing, found, now, losses)
        except StateError as error:
            self._failed("save", error)
            self._world.losses.update(losses)
            fate = Fate.FAILED if _is_unsaved(error) else self._fate
            return await self._unsaved(firing, found, now, fate)

    async def _unsaved(
        self, firing: Firing, found: Sequence[Found], now: datetime, fate: Fate
    ) -> list[TargetReport]:
        self._newest = None
        base = self._loaded or self._known()
        went = Went(alive=await self._alive(found), by=self._token, fate=fate)
        record, reports = folded(base.record if base else None, found, firing, now, went)
        known = self._known()
        since = known.unsaved_since if known and known.unsaved_since else now
        self._remember(record, base.tag if base else None, unsaved_since=since)
        return reports

    async def _folded_and_saved(
        self, firing: Firing, found: Sequence[Found], now: datetime, losses: Mapping[str, int]
    ) -> list[TargetReport] | None:
        assert self._loaded is not None, "loaded by who calls"  # noqa: S101 - by save
        went = Went(alive=await self._alive(found), by=self._token)
        reports: list[TargetReport] = []
        lost: Mapping[str, int] = {}
        async for loaded in self._turns(self._loaded):
            by = loaded.record.saver_of(firing.scheduled_at) if loaded.record else None
            if by is None:
                record, reports = folded(loaded.record, found, firing, now, went)
                lost = with_losses(record.lost, losses)
                with suppress(StateConflict):
                    await self._put(replace(record, lost={}), loaded.tag)
                    break
            elif by == self._token:  # our own save, which something in between has sent twice
                break
            else:
                self._world.losses.update(losses)
                return None
        self.lost = lost
        return reports

    async def _turns(self, loaded: Loaded) -> AsyncIterator[Loaded]:
        """Yield what to fold onto: what is loaded, then what others have saved meanwhile, again and again."""
        yield loaded
        gives_up_at = self._world.monotonic() + PATIENCE.total_seconds()
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            if self._world.monotonic() >= gives_up_at:
                break
            await self._world.sleep(pause * self._world.chance())
            self._loaded = await self._load(self._world.clock())
            yield self._loaded
        raise StateConflict(f"for {PATIENCE.total_seconds():g} s each save met another tick's")

    async def save_losses(self) -> None:
        """Count in the document what the tick's telemetry has lost: this process may be at its end."""
        losses = self._claimed()
        if not any(losses.values()):
            return
        ends_at = asyncio.get_running_loop().time() + budget.LOSSES.total_seconds()
        try:
            async with _until(ends_at):
                await self._losses_saved(losses)
        except StateError:
            self._world.losses.update(losses)

    async def _losses_saved(self, losses: Mapping[str, int]) -> None:
        if self._newest is None:
            raise StateConflict
        newest = Loaded(record=self._newest.record, tag=self._newest.tag)
        async for loaded in self._turns(newest):
            if loaded.record is None:
                break
            lost = with_losses(loaded.record.lost, losses)
            with suppress(StateConflict):
                await self._put(replace(loaded.record, lost=lost), loaded.tag)
                return
        raise StateConflict

    def _claimed(self) -> Counter[str]:
        """Take what was lost and is in no document yet, so that no other shard's tick counts it as well."""
        losses, self._world.losses = self._world.losses, Counter()
        losses.update(self._world.telemetry.claim_losses())
        return losses

    async def _put(self, record: ShardRecord, tag: str | None) -> None:
        self._fate = Fate.UNKNOWN
        try:
            tag = await self._world.store.save(self._shard, record, tag)
        except StateConflict:
            self._fate = Fate.FAILED
            raise
        self._fate = Fate.SAVED
        self._newest = Known(record=record, tag=tag)
        self._remember(record, tag)

    async def _alive(self, found: Sequence[Found]) -> bool:
        """Return whether the probe has a network, asked only where nothing else of the tick says so."""
        if self._life is None and any(unheard(each.sides) for each in found):
            self._life = self._heard and self._world.store_is_remote
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._ends_at):
                    self._life = self._life or await self._world.alive()
        return self._life is not False

    def _known(self) -> Known | None:
        return self._world.last_known.get(self._shard)

    def _remember(
        self, record: ShardRecord, tag: str | None, *, unsaved_since: datetime | None = None
    ) -> None:
        known = Known(record=record, tag=tag, unsaved_since=unsaved_since)
        self._world.last_known[self._shard] = known

    async def _load(self, now: datetime) -> Loaded:
        known = self._known()
        saved = known is not None and known.unsaved_since is None
        loaded = await self._world.store.load(self._shard, known.tag if known and saved else None)
        self._heard = True
        if loaded.replaced:
            self._tell("load", "unreadable", loaded.replaced)
        if known and known.tag == loaded.tag:
            loaded = replace(loaded, record=known.record)
        if loaded.record is None:
            return loaded
        record = clamped(loaded.record, now)
        if record.clamped > loaded.record.clamped:
            count = record.clamped - loaded.record.clamped
            self._tell("clamp", "future_time", f"{count} saved times were in the future, and were set to now")
        return replace(loaded, record=record)

    def _failed(self, operation: str, error: StateError) -> None:
        """Keep what the store failed with; whether anything of it was heard says if there is a network."""
        self._heard = error.error_type not in PATH_ERRORS
        self._tell(operation, error.error_type, str(error))

    def _tell(self, operation: str, error_type: str, message: str) -> None:
        log.warning("state store, %s: %s: %s", operation, error_type, message)
        self.problems.append(StateProblem(operation=operation, error_type=error_type, message=message))
        self.verdict = error_type


@asynccontextmanager
async def _until(ends_at: float) -> AsyncIterator[None]:
    """Bound what is done with the store, beside its own bounds. Raises ``StateError`` when time is over."""
    try:
        async with asyncio.timeout_at(ends_at):
            yield
    except TimeoutError as error:
        message = "no answer in the time that the tick's budget leaves; raise PROBE_TICK_BUDGET, or look why"
        raise StateError(message, error_type="timeout") from error


def _is_unsaved(error: StateError) -> bool:
    """Return whether the store cannot have saved what it failed to."""
    return error.error_type in _NEVER_SAVED or error.error_type.startswith("4")
