"""Verdicts: what the readings of a tick mean, always with a reason that a tired person can use.

Rules kept here: every input gets a verdict; "is it us?" is asked before an endpoint is blamed; corruption is
never outvoted by a later good reading; else the last reading decides, since it is the youngest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from probe.core.reading import PATH_ERRORS, Fault, Read, Reading, fault_of
from probe.core.redaction import without_queries
from probe.core.replication import Ledger, Replication
from probe.core.target import Location, Policy

_DENIED = ("401", "403")


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


class TargetVerdict(StrEnum):
    OK = "ok"
    REROUTED = "rerouted"
    UNAVAILABLE = "unavailable"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointJudgement:
    """A location's verdict, its reason, and the reading that it rests on (``None`` when there was none)."""

    verdict: EndpointVerdict
    reason: str
    reading: Reading | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetJudgement:
    verdict: TargetVerdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a target is judged by: the tick's readings of each location, its reads, and what is known.

    ``store_reachable`` is ``False`` when the state store failed too; ``ledger`` is the one after the tick.
    """

    primary: Sequence[Reading]
    secondary: Sequence[Reading]
    reads: Sequence[Read]
    ledger: Ledger
    replication: Replication
    write: Reading | None = None
    policy: Policy
    now: datetime
    store_reachable: bool = True
    geo: bool = True
    stamped: bool = True
    cut_short: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    primary: EndpointJudgement
    secondary: EndpointJudgement | None
    target: TargetJudgement


def judge(evidence: Evidence) -> Judgement:
    """Return the verdicts of both endpoints and of the target."""
    if _is_it_us(evidence):
        return _ours(evidence)
    primary = _unwritten(_endpoint(evidence.primary, evidence.policy), evidence.write)
    secondary = _secondary(evidence, primary) if evidence.geo else None
    return Judgement(primary=primary, secondary=secondary, target=_target(evidence, primary))


def _is_it_us(evidence: Evidence) -> bool:
    """Return if nothing at all was heard from outside; a server's 503 is an answer: we have a network."""
    sides = [evidence.primary, evidence.secondary] if evidence.geo else [evidence.primary]
    return not evidence.store_reachable and all(
        side and all(each.error_type in PATH_ERRORS for each in side) for side in sides
    )


def _ours(evidence: Evidence) -> Judgement:
    reason = "every endpoint and the state store failed alike: the probe's own network is the likelier cause"

    def endpoint(side: Sequence[Reading]) -> EndpointJudgement:
        why = f"{reason} ({_failure(side[-1])})"
        return EndpointJudgement(verdict=EndpointVerdict.INCONCLUSIVE, reason=why, reading=side[-1])

    return Judgement(
        primary=endpoint(evidence.primary),
        secondary=endpoint(evidence.secondary) if evidence.geo else None,
        target=TargetJudgement(verdict=TargetVerdict.INCONCLUSIVE, reason=reason),
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


def _unwritten(found: EndpointJudgement, write: Reading | None) -> EndpointJudgement:
    """Judge a primary that serves reads but did not take the canary: degraded, and lag says nothing new."""
    if write is None or write.ok or found.verdict is not EndpointVerdict.HEALTHY:
        return found
    reason = f"it serves, but the canary could not be written: {_failure(write)}; the lag tells nothing new"
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
        reason = f"slow: {_s(slowest.duration)}, more than {_s(policy.slow_after)}"
    else:
        verdict = EndpointVerdict.HEALTHY
        reason = f"{len(side)} of {len(side)} attempts served, the slowest in {_s(slowest.duration)}"
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
    if error == "404" and (age := _not_replicated_yet(evidence)) is not None:
        reason = f"not replicated yet: the first canary was written {_s(age)} ago"
        return EndpointJudgement(verdict=EndpointVerdict.INCONCLUSIVE, reason=reason, reading=found.reading)
    if found.verdict.up and (behind := _behind(evidence)):
        return EndpointJudgement(verdict=EndpointVerdict.STALE, reason=behind, reading=found.reading)
    return found


def _not_replicated_yet(evidence: Evidence) -> timedelta | None:
    """Return the age of the oldest write, if the secondary may still lawfully show none of them."""
    ledger = evidence.ledger
    if ledger.secondary_shown or not ledger.unseen:
        return None
    age = max(evidence.now - ledger.unseen[0].written_at, timedelta(0))
    return age if age <= evidence.policy.rpo else None


def _behind(evidence: Evidence) -> str | None:
    known = evidence.replication
    rpo = evidence.policy.rpo
    if known.lag is not None and known.lag > rpo:
        return f"the canary is {_s(known.lag)} behind, more than the RPO of {_s(rpo)}"
    if known.last_sync_age is not None and known.last_sync_age > rpo:
        return f"the last sync time is {_s(known.last_sync_age)} old, more than the RPO of {_s(rpo)}"
    return None


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
    detail = f" ({without_queries(reading.detail)})" if reading.detail else ""
    return f"{reading.error_type}{code}{detail} after {_s(reading.duration)}"


def _s(value: timedelta) -> str:
    seconds = value.total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f}".removesuffix(".0") + " s"
