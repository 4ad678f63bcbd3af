"""The tick, the one use case: measure every target of a shard, judge, remember, tell.

Rules kept here: the breaker never gates the measurement; targets run side by side and none delays or fails
another; what the budget cuts off is named, never dropped, and saving is within the budget; measuring goes on
when the state store is down; of two ticks at once, each folds its facts onto what the other saved. A
duplicate or stale tick is skipped; of two that stand for the same time, the first to be saved is the tick,
and the other tells nothing.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from probe.core import budget
from probe.core.canary import marked
from probe.core.record import ShardRecord, TargetRecord
from probe.core.redaction import without_secrets
from probe.core.report import Result, TargetReport, TickReport
from probe.core.target import Target
from probe.tick.folding import stumbled
from probe.tick.found import Found
from probe.tick.steps import Steps
from probe.tick.store import Store
from probe.tick.world import Firing, Known, World

__all__ = ["CONCURRENCY", "Firing", "Known", "World", "run"]

CONCURRENCY = 128
"""Targets probed side by side."""


async def run(world: World, targets: Sequence[Target], firing: Firing) -> TickReport:
    """Run one tick of one shard, and return its report after it was saved, emitted and flushed.

    Raises whatever a bug raises, after the other targets' findings were saved and told.
    """
    started_at, begun = world.clock(), world.monotonic()
    ends_at = asyncio.get_running_loop().time() + world.budget.total_seconds()
    store = Store(world, firing.shard, ends_at=ends_at)
    record = await store.load(started_at)
    found: list[Found] = []
    reports: list[TargetReport] = []
    result = Result.SKIPPED
    if record is None or not record.has_run(firing.scheduled_at):
        measured_by = ends_at - budget.saving(world.budget).total_seconds()
        found = await _measure(world, targets, record, measured_by)
        saved = await store.save(firing, found)
        if saved is not None:
            reports, result = saved, _result(found)
    report = TickReport(
        scheduled_at=firing.scheduled_at,
        started_at=started_at,
        duration=timedelta(seconds=world.monotonic() - begun),
        past_due=firing.past_due,
        vantage=world.vantage,
        shard=firing.shard,
        result=result,
        targets=reports,
        state_store=store.verdict,
        state_problems=tuple(store.problems),
        reason=_reason(result, found),
        lost=store.lost,
    )
    world.telemetry.emit(report, firing.parent)
    await world.telemetry.flush()
    await store.save_losses()
    for each in found:
        if each.bug:
            raise each.bug
    return report


def _result(found: Sequence[Found]) -> Result:
    if any(each.bug for each in found):
        return Result.FAILED
    return Result.CUT_SHORT if any(each.skipped for each in found) else Result.COMPLETED


def _reason(result: Result, found: Sequence[Found]) -> str | None:
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
            return f"a bug of the probe kept it from these: {without_secrets(bugs)}"


async def _measure(
    world: World, targets: Sequence[Target], record: ShardRecord | None, ends_at: float
) -> list[Found]:
    """Probe all targets side by side within the budget; a bug is kept with what it hit, not raised."""
    gate = asyncio.Semaphore(CONCURRENCY)
    known = record.targets if record else {}
    writer = marked(world.writer, record.identity if record else "")

    async def one(target: Target) -> Found:
        remembered = known.get(target.name) or TargetRecord.fresh(world.clock())
        async with gate:
            found = Found(target=target, writer=writer, ledger=remembered.ledger, began_at=world.clock())
            try:
                await _probe(world, found, remembered, ends_at)
            except Exception as bug:  # noqa: BLE001 - raised when the others were saved and told
                stumbled(found, bug)
        found.ended_at = world.clock()
        return found

    return await asyncio.gather(*map(one, targets))


async def _probe(world: World, found: Found, remembered: TargetRecord, ends_at: float) -> None:
    session = world.endpoints.open(found.target)
    steps = Steps(world, found, remembered, session)
    try:
        async with asyncio.timeout_at(ends_at):
            await steps.run()
    except TimeoutError:
        found.skipped = steps.left()
    finally:
        await session.aclose()
