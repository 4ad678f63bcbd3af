"""What a tick's findings make of a shard's record, and the reports that are judged on that."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from probe.core.record import (
    SAVED_LIMIT,
    HistoryEntry,
    Saved,
    ShardRecord,
    TargetRecord,
    conclude,
    fold,
    remember,
)
from probe.core.replication import replication
from probe.core.report import TargetReport
from probe.core.sums import measured, settled
from probe.core.target import Location, maintenance_end
from probe.core.times import seconds
from probe.core.verdict import Evidence, judge, stats_missing, unheard
from probe.tick.found import Found
from probe.tick.world import Fate, Firing

log = logging.getLogger("probe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Went:
    """How a tick went beside its targets: ``alive`` says that the probe has a network, ``by`` names it."""

    alive: bool
    by: str
    fate: Fate = Fate.SAVED


def folded(
    record: ShardRecord | None, found: Sequence[Found], firing: Firing, now: datetime, went: Went
) -> tuple[ShardRecord, list[TargetReport]]:
    """Return the shard's record with a tick's facts folded onto it, and the reports judged on that.

    A tick that measured no target does not count as completed: it is no sign that the probe works.
    """
    base = record or ShardRecord(targets={})
    reports, remembered = [], dict(base.targets)
    for each in found:
        if each.bug:
            continue
        old = base.targets.get(each.target.name) or TargetRecord.fresh(now)
        try:
            judged_at = each.ended_at or now
            report, new = _reported(old, each, judged_at, alive=went.alive)
            report, new = _settled(report, new, firing, went.fate)
            new = remember(new, _entry(report, judged_at), report.document)
        except Exception as bug:  # noqa: BLE001 - one target's bug is its own: the others are saved and told
            stumbled(each, bug)
            continue
        reports.append(report)
        remembered[each.target.name] = new
    scheduled, completed = base.last_scheduled_at, base.last_completed_at
    any_measured = any(each.is_measured for each in found)
    return replace(
        base,
        targets=remembered,
        last_scheduled_at=max(scheduled, firing.scheduled_at) if scheduled else firing.scheduled_at,
        last_completed_at=max(completed or now, now) if any_measured else completed,
        ticks=base.ticks + 1,
        identity=base.identity or went.by,
        saved=(*base.saved, Saved(slot=firing.scheduled_at, by=went.by))[-SAVED_LIMIT:],
    ), reports


def stumbled(found: Found, bug: Exception) -> None:
    """Keep a bug with the target that it hit; it is raised once the others were saved and told."""
    log.error("%s could not be probed", found.target.name, exc_info=bug)
    found.bug = bug


def _reported(
    old: TargetRecord, found: Found, now: datetime, *, alive: bool
) -> tuple[TargetReport, TargetRecord]:
    target = found.target
    geo = target.secondary is not None
    facts = found.facts(now)
    if not alive and unheard(found.sides):  # our own network: no fault of the primary's, so nothing is routed
        facts = replace(facts, attempts=())
    step = fold(old, facts, policy=target.policy, geo=geo)
    status = found.sync.status if found.sync else None
    renewed = found.sync is not None and found.sync.last_sync_time is not None
    known = replication(
        ledger=step.record.ledger,
        sync=found.sync,
        point=step.record.recovery,
        lag=step.lag,
        now=now,
        rpo=target.policy.rpo,
        reason=stats_missing(found.stats, status) if geo and not renewed else None,
        delays=step.delays,
    )
    evidence = Evidence(
        primary=found.at(Location.PRIMARY),
        secondary=found.at(Location.SECONDARY),
        reads=found.reads,
        write=found.write,
        unwritten=found.unwritten,
        stats=found.stats,
        ledger=step.record.ledger,
        replication=known,
        policy=target.policy,
        now=now,
        alive=alive,
        geo=geo,
        stamped=target.write,
        cut_short=bool(found.skipped),
    )
    done = conclude(
        step.record,
        judge(evidence),
        reads=found.reads,
        recovery_point_age=known.recovery_point_age,
        began_at=found.began_at,
    )
    report = TargetReport(
        target=target,
        judgement=done.judgement,
        reads=tuple(found.reads),
        readings=tuple(found.readings),
        breaker=step.record.breaker,
        forced=target.policy.forced_at(now),
        maintenance_until=maintenance_end(target.policy, now),
        transitions=step.transitions,
        replication=known,
        written_sequence=found.written.sequence if found.written else None,
        previous=_previous(old),
        previous_redundancy=old.history[-1].redundancy if old.history else None,
        unwritten=found.unwritten,
        events=step.events + done.events,
        recent=done.record.events,
        incident=done.record.incident,
        skipped=found.skipped,
    )
    return report, done.record


def _settled(
    report: TargetReport, record: TargetRecord, firing: Firing, fate: Fate
) -> tuple[TargetReport, TargetRecord]:
    """Return the report with the sums that it is to send, and the record with those that wait.

    Where the tick is not saved for sure, its sums are sent at once; where the store may have them, they wait
    as the rest of what this process knows does.
    """
    own = measured(report.readings, report.reads, report.replication.delays)
    calm = report.calm and fate is not Fate.FAILED
    told, unsent = settled(record.unsent, own, at=firing.scheduled_at, calm=calm, saved=fate is Fate.SAVED)
    return replace(report, told=told), replace(record, unsent=unsent)


def _previous(record: TargetRecord) -> tuple[str, str, str | None] | None:
    if not record.history:
        return None
    last = record.history[-1]
    return last.verdict, last.primary, last.secondary


def _entry(report: TargetReport, now: datetime) -> HistoryEntry:
    served = Counter(each.served_by for each in report.reads)
    verdict, primary, secondary = report.verdicts
    redundancy = report.judgement.redundancy
    return HistoryEntry(
        at=now,
        verdict=verdict,
        primary=primary,
        secondary=secondary,
        primary_error=_error(report, Location.PRIMARY),
        secondary_error=_error(report, Location.SECONDARY),
        redundancy=redundancy.verdict if redundancy else None,
        served_primary=served[Location.PRIMARY],
        served_secondary=served[Location.SECONDARY],
        served_none=served[None],
        worst_read=max((each.duration.total_seconds() for each in report.reads), default=None),
        lag=seconds(report.replication.lag),
        last_sync_age=seconds(report.replication.recovery_point_age),
    )


def _error(report: TargetReport, location: Location) -> str | None:
    judged = report.judged(location)
    return judged.reading.error_type if judged and judged.reading else None
