"""Verdicts: what the readings of a tick mean, always with a reason that a tired person can use.

Rules kept here: every input gets a verdict; "is it us?" is asked before an endpoint is blamed; corruption is
never outvoted by a later good reading; else the last reading decides, since it is the youngest. Whether reads
are served and whether the data is safe are two verdicts: neither is mixed into the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from probe.core.look import LOST_THE_RACE
from probe.core.reading import Fault, Read, Reading, fault_of
from probe.core.redaction import without_secrets
from probe.core.replication import Ledger, Replication, SyncStatus
from probe.core.target import Location, Policy
from probe.core.times import spoken

_DENIED = ("401", "403")
_LOSES_AT_MOST = 3
"""Writes in a row that somebody else's may be ahead of; then it is the condition that is never met."""


class EndpointVerdict(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"
    DENIED = "denied"
    MISSING = "missing"
    CORRUPT = "corrupt"
    STALE = "stale"
    ABSENT = "absent"
    INCONCLUSIVE = "inconclusive"

    @property
    def up(self) -> bool:
        """Return whether a client would be served what it asked for (gauge ``probe.endpoint.up``)."""
        return self in (type(self).HEALTHY, type(self).DEGRADED, type(self).STALE)


_UNREADABLE = (EndpointVerdict.DOWN, EndpointVerdict.MISSING, EndpointVerdict.CORRUPT)


class TargetVerdict(StrEnum):
    OK = "ok"
    REROUTED = "rerouted"
    UNAVAILABLE = "unavailable"
    INCONCLUSIVE = "inconclusive"


class RedundancyVerdict(StrEnum):
    """Whether the data would survive the loss of the primary."""

    PROTECTED = "protected"
    BEHIND = "behind"
    UNPROTECTED = "unprotected"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointJudgement:
    """A location's verdict, its reason, and the reading that it rests on (``None`` when there was none).

    ``since`` is when the first tick began that came to this verdict; the record fills it in, for all three.
    """

    verdict: EndpointVerdict
    reason: str
    reading: Reading | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetJudgement:
    verdict: TargetVerdict
    reason: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedundancyJudgement:
    verdict: RedundancyVerdict
    reason: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a target is judged by: the tick's readings of each location, its reads, and what is known.

    ``alive`` is ``False`` when everything failed alike and no independent sign of life was there either;
    ``ledger`` is the one after the tick. ``unwritten`` says why the canary was not even tried to be written.
    """

    primary: Sequence[Reading]
    secondary: Sequence[Reading]
    reads: Sequence[Read]
    ledger: Ledger
    replication: Replication
    write: Reading | None = None
    unwritten: str | None = None
    stats: Reading | None = None
    policy: Policy
    now: datetime
    alive: bool = True
    geo: bool = True
    stamped: bool = True
    cut_short: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    primary: EndpointJudgement
    secondary: EndpointJudgement | None
    target: TargetJudgement
    redundancy: RedundancyJudgement | None = None


def judge(evidence: Evidence) -> Judgement:
    """Return the verdicts of both endpoints, of the target's reads and of its redundancy."""
    sides = [evidence.primary, evidence.secondary] if evidence.geo else [evidence.primary]
    if not evidence.alive and unheard(sides):
        return _ours(evidence)
    primary = _unwritten(_endpoint(evidence.primary, evidence.policy), evidence)
    secondary = _secondary(evidence, primary) if evidence.geo else None
    return Judgement(
        primary=primary,
        secondary=secondary,
        target=_target(evidence, primary),
        redundancy=_redundancy(evidence, secondary) if secondary else None,
    )


def unheard(sides: Sequence[Sequence[Reading]]) -> bool:
    """Return whether no word of Azure Storage was heard from any location: then it may well be us.

    A 503 that Azure gave is a word: we have a network. One of a proxy or a sign-in page is none.
    """
    return all(side and not any(each.is_azures for each in side) for side in sides)


def _ours(evidence: Evidence) -> Judgement:
    reason = (
        "nothing of Azure Storage was heard from any endpoint, and no independent sign of life either: "
        "the probe's own network is the likelier cause"
    )

    def endpoint(side: Sequence[Reading]) -> EndpointJudgement:
        why = f"{reason} ({_failure(side[-1])})"
        return EndpointJudgement(verdict=EndpointVerdict.INCONCLUSIVE, reason=why, reading=side[-1])

    return Judgement(
        primary=endpoint(evidence.primary),
        secondary=endpoint(evidence.secondary) if evidence.geo else None,
        target=TargetJudgement(verdict=TargetVerdict.INCONCLUSIVE, reason=reason),
        redundancy=RedundancyJudgement(verdict=RedundancyVerdict.UNKNOWN, reason=reason)
        if evidence.geo
        else None,
    )


def _endpoint(side: Sequence[Reading], policy: Policy) -> EndpointJudgement:
    if not side:
        return EndpointJudgement(
            verdict=EndpointVerdict.INCONCLUSIVE, reason="not measured: the tick's budget ran out first"
        )
    corrupt = next((each for each in side if _is_corrupt(each)), None)
    if corrupt:
        return EndpointJudgement(verdict=EndpointVerdict.CORRUPT, reason=_failure(corrupt), reading=corrupt)
    last = side[-1]
    if last.error_type:
        return EndpointJudgement(verdict=_of_failure(last.error_type), reason=_failure(last), reading=last)
    return _served(side, policy)


def _unwritten(found: EndpointJudgement, evidence: Evidence) -> EndpointJudgement:
    """Judge a primary that serves reads but did not take the canary: degraded, and lag says nothing new.

    A write that lost to somebody else's of the same moment was not refused by the primary; but nobody loses
    each time.
    """
    write = evidence.write
    lost_one = evidence.ledger.unacknowledged < _LOSES_AT_MOST
    raced = write is not None and write.error_type in LOST_THE_RACE and lost_one
    failed = write is not None and not write.ok and not raced
    why = _failure(write) if write and failed else evidence.unwritten
    if why is None or found.verdict is not EndpointVerdict.HEALTHY:
        return found
    reason = f"it serves, but the canary was not written, so the lag tells nothing new: {why}"
    return EndpointJudgement(verdict=EndpointVerdict.DEGRADED, reason=reason, reading=found.reading)


def _is_corrupt(reading: Reading) -> bool:
    return reading.fault is Fault.CONTENT and reading.error_type != "404"


def _of_failure(error_type: str) -> EndpointVerdict:
    match fault_of(error_type):
        case Fault.PATH:
            return EndpointVerdict.DOWN
        case Fault.CONTENT:
            return EndpointVerdict.MISSING
        case Fault.OURS:
            return EndpointVerdict.DENIED if error_type in _DENIED else EndpointVerdict.INCONCLUSIVE


def _served(side: Sequence[Reading], policy: Policy) -> EndpointJudgement:
    """Judge a location that serves. The reading is the first good one, whose connection was fresh."""
    failures = [each for each in side if each.error_type]
    slowest = max(side, key=lambda each: each.duration)
    reading = next(each for each in side if each.ok)
    if failures:
        verdict = EndpointVerdict.DEGRADED
        reason = (
            f"{len(failures)} of {len(side)} attempts failed, the last of them with {_failure(failures[-1])}"
        )
    elif slowest.duration > policy.slow_after:
        verdict, reading = EndpointVerdict.DEGRADED, slowest
        reason = f"slow: {spoken(slowest.duration)}, more than {spoken(policy.slow_after)}"
    else:
        verdict = EndpointVerdict.HEALTHY
        reason = f"{len(side)} of {len(side)} attempts served, the slowest in {spoken(slowest.duration)}"
    return EndpointJudgement(verdict=verdict, reason=reason, reading=reading)


def _secondary(evidence: Evidence, primary: EndpointJudgement) -> EndpointJudgement:
    found = _endpoint(evidence.secondary, evidence.policy)
    error = found.reading.error_type if found.reading else None
    if error == "dns" and primary.verdict not in (EndpointVerdict.DOWN, EndpointVerdict.INCONCLUSIVE):
        reason = (
            "its name does not resolve while the primary answers: "
            "the account lost its geo-redundancy, or it failed over"
        )
        return EndpointJudgement(verdict=EndpointVerdict.ABSENT, reason=reason, reading=found.reading)
    if error == "404" and (why := _not_replicated_yet(evidence)):
        return EndpointJudgement(verdict=EndpointVerdict.INCONCLUSIVE, reason=why, reading=found.reading)
    if found.verdict.up and (behind := _behind(evidence)):
        return EndpointJudgement(verdict=EndpointVerdict.STALE, reason=behind, reading=found.reading)
    return found


def _not_replicated_yet(evidence: Evidence) -> str | None:
    """Return why the secondary may still lawfully show no canary, if so."""
    ledger = evidence.ledger
    if evidence.stamped and ledger.newest is None and ledger.primary_shown is None:
        return "not replicated yet: no canary is known to have been written"
    if ledger.secondary_shown or not ledger.unseen:
        return None
    age = max(evidence.now - ledger.unseen[0].written_at, timedelta(0))
    if age > evidence.policy.rpo:
        return None
    return f"not replicated yet: the first canary was written {spoken(age)} ago"


def _behind(evidence: Evidence) -> str | None:
    known = evidence.replication
    rpo = evidence.policy.rpo
    if known.lag is not None and known.lag > rpo:
        return f"the canary is {spoken(known.lag)} behind, more than the RPO of {spoken(rpo)}"
    if known.recovery_point_age is not None and known.recovery_point_age > rpo:
        age = spoken(known.recovery_point_age)
        return f"the recovery point is {age} old, more than the RPO of {spoken(rpo)}"
    return None


CANNOT_BE_READ = "the secondary cannot be read"
STATS_RIGHT = "Microsoft.Storage/storageAccounts/blobServices/read"
"""What the stats need, and what the role Reader on the account gives; a container's data role does not.

Source: https://github.com/Azure/azure-sdk-for-js/issues/13503
"""


def _redundancy(evidence: Evidence, secondary: EndpointJudgement) -> RedundancyJudgement:
    known = evidence.replication
    if reason := _lost(known, secondary):
        return RedundancyJudgement(verdict=RedundancyVerdict.UNPROTECTED, reason=reason)
    if reason := _refused(evidence, secondary):
        return RedundancyJudgement(verdict=RedundancyVerdict.UNKNOWN, reason=reason)
    if reason := _behind(evidence):
        return RedundancyJudgement(verdict=RedundancyVerdict.BEHIND, reason=reason)
    if known.recovery_point_age is None:
        reason = known.reason or "no recovery point was ever known"
        return RedundancyJudgement(verdict=RedundancyVerdict.UNKNOWN, reason=reason)
    reason = f"every write up to {spoken(known.recovery_point_age)} ago is on the secondary"
    return RedundancyJudgement(verdict=RedundancyVerdict.PROTECTED, reason=reason)


def _lost(known: Replication, secondary: EndpointJudgement) -> str | None:
    """Return why there is no second copy to rely on, if so."""
    if known.status in (SyncStatus.UNAVAILABLE, SyncStatus.BOOTSTRAP):
        return f"Azure says that geo-replication is {known.status}{_last_point(known)}"
    if secondary.verdict is EndpointVerdict.ABSENT:
        return secondary.reason
    if secondary.verdict in _UNREADABLE:
        return f"{CANNOT_BE_READ}: {secondary.reason}{_last_point(known)}"
    return None


def _refused(evidence: Evidence, secondary: EndpointJudgement) -> str | None:
    """Return why the secondary does not let us know, if so."""
    if secondary.verdict is EndpointVerdict.DENIED:
        return f"the secondary refuses us: {secondary.reason}"
    if evidence.stats is not None and evidence.stats.error_type in _DENIED:
        return evidence.replication.reason
    return None


def _last_point(known: Replication) -> str:
    if known.recovery_point is None:
        return "; no recovery point is known"
    return f"; the last recovery point is {known.recovery_point:%H:%M:%S} UTC"


def stats_missing(stats: Reading | None, status: SyncStatus | None) -> str:
    """Return why a tick brought no recovery point of its own."""
    if stats is None:
        return "the stats were not asked for: the tick's budget ran out first"
    if stats.error_type in _DENIED:
        return (
            f"the stats were refused ({_failure(stats)}): they need {STATS_RIGHT}, "
            "which Reader on the account gives"
        )
    if stats.error_type:
        return f"the stats could not be had: {_failure(stats)}"
    return f"Azure gives no last sync time; it says that geo-replication is {status}"


def _target(evidence: Evidence, primary: EndpointJudgement) -> TargetJudgement:
    reads = evidence.reads
    lost = [each for each in reads if each.served_by is None]
    if lost:
        return _unserved(lost, len(reads))
    rerouted = [each for each in reads if each.served_by is Location.SECONDARY]
    if rerouted:
        reason = (
            f"{len(rerouted)} of {len(reads)} reads were served by the secondary; primary: {primary.reason}"
        )
        return TargetJudgement(verdict=TargetVerdict.REROUTED, reason=reason)
    if not reads:
        return TargetJudgement(
            verdict=TargetVerdict.INCONCLUSIVE, reason="no read was finished within the tick's budget"
        )
    short = "; cut short by the tick's budget" if evidence.cut_short else ""
    reason = f"{len(reads)} of {len(reads)} reads were served by the primary{short}"
    return TargetJudgement(verdict=TargetVerdict.OK, reason=reason)


def _unserved(lost: Sequence[Read], total: int) -> TargetJudgement:
    attempts = [each for read in lost for each in read.attempts]
    if not attempts:
        return TargetJudgement(
            verdict=TargetVerdict.INCONCLUSIVE, reason="a read was cut off before its first attempt"
        )
    if all(each.fault is Fault.OURS for each in attempts):
        reason = f"every attempt was refused for a cause of ours, not an outage: {_failure(attempts[-1])}"
        return TargetJudgement(verdict=TargetVerdict.INCONCLUSIVE, reason=reason)
    last = {each.location: each for each in attempts}
    why = "; ".join(f"{location}: {_failure(each)}" for location, each in last.items())
    reason = f"{len(lost)} of {total} reads were served by neither location; {why}"
    return TargetJudgement(verdict=TargetVerdict.UNAVAILABLE, reason=reason)


def _failure(reading: Reading) -> str:
    code = f" {reading.service_error}" if reading.service_error else ""
    detail = f" ({without_secrets(reading.detail)})" if reading.detail else ""
    return f"{reading.error_type}{code}{detail} after {spoken(reading.duration)}"
