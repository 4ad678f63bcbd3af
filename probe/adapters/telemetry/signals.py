"""Signals: what a finished tick has to tell, derived from its report and from nothing else.

Rules kept here: pure functions and values, no OpenTelemetry; each series stands in a tick's signals once; an
inconclusive verdict claims neither an outage nor health, so it sends no availability result and no
``probe.endpoint.up``; what is unknown is absent and never 0; a URL never carries a query.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from probe.adapters.telemetry import catalogue
from probe.adapters.telemetry.catalogue import Metric
from probe.adapters.telemetry.settings import Traces
from probe.core.breaker import State
from probe.core.reading import Fault, Outcome, Phases, Purpose, Reading
from probe.core.report import Result, TargetReport, TickReport
from probe.core.sums import (
    ATTEMPT,
    DELAY,
    MICROSECONDS,
    PHASE,
    PHASES,
    READ,
    TICK,
    Sum,
    Sums,
    Tally,
    added,
    single,
)
from probe.core.target import Location
from probe.core.times import time_text
from probe.core.verdict import EndpointJudgement, EndpointVerdict, RedundancyVerdict, TargetVerdict

type Value = str | int | float | bool
type Attributes = dict[str, Value]

BREAKER_STATES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A finished point: a counter's sum, a gauge's value, or a histogram's total with the rest of its sum.

    ``since`` is when that which it sums up began.
    """

    metric: Metric
    value: float
    attributes: Attributes
    since: datetime
    sum: Sum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """One availability result; ``measurements`` are seconds or counts."""

    name: str
    at: datetime
    duration: timedelta
    success: bool
    run_location: str
    message: str
    attributes: Attributes
    measurements: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    name: str
    at: datetime
    message: str
    attributes: Attributes
    measurements: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time; ``error`` is what went wrong in it, for people."""

    name: str
    started_at: datetime
    ended_at: datetime
    attributes: Attributes
    error: str | None = None
    measurements: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """All of one tick. ``tick`` is ``None`` when the tick is not traced, and then there are no attempts."""

    at: datetime
    ended_at: datetime
    measurements: tuple[Measurement, ...]
    results: tuple[Availability, ...]
    events: tuple[Event, ...]
    tick: Span | None
    attempts: tuple[Span, ...]


def signals(report: TickReport, traces: Traces) -> Signals:
    """Return all that a tick has to tell."""
    attempts = tuple(_attempts(report, traces))
    return Signals(
        at=report.started_at,
        ended_at=report.started_at + report.duration,
        measurements=tuple(_measurements(report)),
        results=tuple(each for target in report.targets for each in _results(report, target)),
        events=tuple(each for target in report.targets for each in _events(report, target)),
        tick=_tick(report) if _traced(report, traces, attempts) else None,
        attempts=attempts,
    )


def rows(found: Signals) -> int:
    """Return how many rows a tick's signals are."""
    spans = len(found.attempts) + (found.tick is not None)
    return len(found.measurements) + len(found.results) + len(found.events) + spans


def _measurements(report: TickReport) -> Iterator[Measurement]:
    since, vantage = report.started_at, report.vantage
    who: Attributes = {"probe.vantage": vantage}
    yield _measure(catalogue.TICKS, 1, since, {**who, "probe.result": str(report.result)})
    if report.result in (Result.COMPLETED, Result.CUT_SHORT):
        shard: Attributes = {**who, "probe.shard": report.shard}
        yield _spread(catalogue.TICK_DURATION, single(TICK, report.duration), since, shard)
        yield _spread(catalogue.TICK_LATENESS, single(TICK, report.lateness), since, shard)
    problems = Counter((each.operation, each.error_type) for each in report.state_problems)
    for (operation, error_type), count in problems.items():
        what: Attributes = {**who, "probe.operation": operation, "error.type": error_type}
        yield _measure(catalogue.STATE_ERRORS, count, since, what)
    for target in report.targets:
        yield from _of_target(report, target)
        if target.told:
            yield from _of_sums(report, target, target.told)


def _of_target(report: TickReport, target: TargetReport) -> Iterator[Measurement]:
    since, who = report.started_at, _who(report, target)
    if target.judgement.target.verdict is TargetVerdict.INCONCLUSIVE:
        yield _measure(catalogue.INCONCLUSIVE, 1, since, who)
    redundancy = target.judgement.redundancy
    if redundancy and redundancy.verdict is not RedundancyVerdict.UNKNOWN:
        held: Attributes = {**who, "probe.verdict": str(redundancy.verdict)}
        yield _measure(
            catalogue.REDUNDANCY, int(redundancy.verdict is RedundancyVerdict.PROTECTED), since, held
        )
    if target.maintenance_until:
        yield _measure(catalogue.MAINTENANCE, 1, since, who)
    state = target.breaker.state
    named: Attributes = {**who, "probe.breaker.state_name": str(state)}
    yield _measure(catalogue.BREAKER_STATE, BREAKER_STATES[state], since, named)
    moves = Counter((str(move.from_state), str(move.to_state)) for move in target.transitions)
    for (before, after), count in moves.items():
        way: Attributes = {**who, "probe.from": before, "probe.to": after}
        yield _measure(catalogue.BREAKER_TRANSITIONS, count, since, way)
    for location in target.target.locations:
        yield from _of_endpoint(since, _where(report, target, location), target, location)
    if target.target.secondary:
        yield from _of_replication(since, _where(report, target, Location.SECONDARY), target)


def _of_sums(report: TickReport, target: TargetReport, tally: Tally) -> Iterator[Measurement]:
    """Return the points of summed series, whose names are those that ``probe.core.sums.measured`` gives."""
    who, since = _who(report, target), tally.since
    places = {str(each): _where(report, target, each) for each in target.target.locations}
    durations: dict[tuple[str, str, str], Sums] = {}
    for name, each in tally.sums.items():
        match name.split("/"):
            case [measure, place, purpose, error, status] if measure == ATTEMPT and place in places:
                key = (place, purpose, error)
                durations[key] = added(durations.get(key, {}), {ATTEMPT: each})
                code: Attributes = {"http.response.status_code": int(status)} if status else {}
                made = {**places[place], **_outcome(purpose, error), **code}
                yield _measure(catalogue.ATTEMPTS, each.number, since, made)
            case [measure, place, phase] if measure == PHASE and place in places:
                yield _spread(catalogue.PHASE_DURATION, each, since, {**places[place], "probe.phase": phase})
            case [measure, served_by] if measure == READ:
                yield _measure(catalogue.READS, each.number, since, {**who, "probe.served_by": served_by})
            case [measure, place] if measure == DELAY and place in places:
                yield _spread(catalogue.REPLICATION_DELAY, each, since, places[place])
    for (place, purpose, error), found in durations.items():
        made = {**places[place], **_outcome(purpose, error)}
        yield _spread(catalogue.ATTEMPT_DURATION, found[ATTEMPT], since, made)


def _outcome(purpose: str, error: str) -> Attributes:
    outcome = Outcome.FAILURE if error else Outcome.SUCCESS
    found: Attributes = {"probe.purpose": purpose, "probe.outcome": str(outcome)}
    return {**found, "error.type": error} if error else found


def _of_endpoint(
    since: datetime, where: Attributes, target: TargetReport, location: Location
) -> Iterator[Measurement]:
    judged = target.judged(location)
    if judged is None:
        return
    if judged.verdict is EndpointVerdict.INCONCLUSIVE:
        yield _measure(catalogue.INCONCLUSIVE, 1, since, where)
    else:
        verdict: Attributes = {**where, "probe.verdict": str(judged.verdict)}
        yield _measure(catalogue.ENDPOINT_UP, int(judged.verdict.up), since, verdict)
    age = _canary_age(judged)
    if age is not None and target.told:
        yield _measure(catalogue.CANARY_AGE, age, since, where)
    wrong = Counter(str(each.error_type) for each in target.at(location) if _is_canary_failure(each, judged))
    for error_type, count in wrong.items():
        yield _measure(catalogue.CANARY_FAILURES, count, since, {**where, "error.type": error_type})


def _is_canary_failure(reading: Reading, judged: EndpointJudgement) -> bool:
    """Return whether the wrong canary was shown; one that is lawfully not replicated yet is none."""
    lawful = judged.verdict is EndpointVerdict.INCONCLUSIVE and reading.error_type == "404"
    return reading.fault is Fault.CONTENT and not lawful


def _of_replication(since: datetime, where: Attributes, target: TargetReport) -> Iterator[Measurement]:
    known = target.replication
    if known.status:
        where = {**where, "probe.replication.status": str(known.status)}
    if known.lag is not None:
        yield _measure(catalogue.REPLICATION_LAG, _s(known.lag), since, where)
    if known.recovery_point_age is not None:
        yield _measure(catalogue.LAST_SYNC_AGE, _s(known.recovery_point_age), since, where)


def _results(report: TickReport, target: TargetReport) -> Iterator[Availability]:
    for location in target.target.locations:
        judged = target.judged(location)
        if judged and judged.verdict is not EndpointVerdict.INCONCLUSIVE:
            yield _endpoint_result(report, target, location, judged)
    if target.judgement.target.verdict is not TargetVerdict.INCONCLUSIVE:
        yield _reads_result(report, target)
    if not target.maintenance_until:
        yield from _alarms(report, target)


def _alarms(report: TickReport, target: TargetReport) -> Iterator[Availability]:
    """Return what is worth a page at once, each under a name of its own: see ``ALARM_RESULT``."""
    found = {
        f"{location} down": f"{judged.verdict}: {judged.reason}"
        for location in target.target.locations
        if (judged := target.judged(location)) and judged.verdict is EndpointVerdict.DOWN
    }
    reads = target.judgement.target
    if reads.verdict is TargetVerdict.UNAVAILABLE:
        found["reads failing"] = f"{reads.verdict}: {reads.reason}"
    for what, message in found.items():
        yield Availability(
            name=f"{target.target.name} {what}",
            at=report.started_at,
            duration=timedelta(0),
            success=False,
            run_location=report.vantage,
            message=message,
            attributes=_who(report, target),
        )


def _endpoint_result(
    report: TickReport, target: TargetReport, location: Location, judged: EndpointJudgement
) -> Availability:
    reading = judged.reading
    error: Attributes = {"error.type": reading.error_type} if reading and reading.error_type else {}
    measured = {
        **_endpoint_phases(target, location, reading),
        "canary_age": _canary_age(judged),
        "lag": _lag(target.replication.lag, location),
        "last_sync_age": _lag(target.replication.recovery_point_age, location),
    }
    return Availability(
        name=f"{target.target.name} {location}",
        at=reading.started_at if reading else report.started_at,
        duration=reading.duration if reading else timedelta(0),
        success=judged.verdict.up,
        run_location=report.vantage,
        message=f"{judged.verdict}: {judged.reason}",
        attributes={
            **_where(report, target, location),
            **_judged(target, judged.verdict),
            **error,
            **(_status(reading) if reading else {}),
        },
        measurements={name: value for name, value in measured.items() if value is not None},
    )


def _endpoint_phases(target: TargetReport, location: Location, reading: Reading | None) -> dict[str, float]:
    """Return the phases of an endpoint: the judged attempt's, and those of connecting from who connected."""
    readings = (*target.at(location), *([reading] if reading else []))
    return _seconds({name: value for each in readings for name, value in _known(each.phases)})


def _reads_result(report: TickReport, target: TargetReport) -> Availability:
    verdict = target.judgement.target
    served = [str(each.served_by or "none") for each in target.reads]
    return Availability(
        name=f"{target.target.name} reads",
        at=target.reads[0].started_at if target.reads else report.started_at,
        duration=max((each.duration for each in target.reads), default=timedelta(0)),
        success=verdict.verdict is not TargetVerdict.UNAVAILABLE,
        run_location=report.vantage,
        message=f"{verdict.verdict}: {verdict.reason}",
        attributes={
            **_who(report, target),
            **_judged(target, verdict.verdict),
            **_maintained(target),
        },
        measurements={
            "reads": len(served),
            **{f"served_by_{who}": served.count(who) for who in ("primary", "secondary", "none")},
        },
    )


def _events(report: TickReport, target: TargetReport) -> Iterator[Event]:
    who = _who(report, target)
    for move in target.transitions:
        yield Event(
            name=catalogue.BREAKER_TRANSITION.name,
            at=move.at,
            message=f"{target.target.name}: {move.from_state} to {move.to_state}: {move.reason}",
            attributes={
                **who,
                "probe.from": str(move.from_state),
                "probe.to": str(move.to_state),
                "probe.reason": move.reason,
            },
            measurements=dict(move.figures),
        )
    yield from _verdict_changes(report, target, who)
    for each in target.events:
        words = {f"probe.{key}": value for key, value in each.details.items() if isinstance(value, str)}
        numbers = {key: value for key, value in each.details.items() if isinstance(value, (int, float))}
        yield Event(
            name=catalogue.EVENT_OF[each.kind].name,
            at=each.at,
            message=f"{target.target.name}: {each.reason}",
            attributes={**who, "probe.reason": each.reason, **words},
            measurements=numbers,
        )


def _verdict_changes(report: TickReport, target: TargetReport, who: Attributes) -> Iterator[Event]:
    if target.previous is None:
        return
    judgement = target.judgement
    secondary = judgement.secondary.reason if judgement.secondary else ""
    reasons = (judgement.target.reason, judgement.primary.reason, secondary)
    subjects = (None, Location.PRIMARY, Location.SECONDARY)
    for subject, before, after, reason in zip(
        subjects, target.previous, target.verdicts, reasons, strict=True
    ):
        if before is None or after is None or before == after:
            continue
        where: Attributes = {"probe.location": str(subject)} if subject else {}
        yield Event(
            name=catalogue.VERDICT_CHANGED.name,
            at=report.started_at + report.duration,
            message=f"{target.target.name} {subject or 'reads'}: {before} to {after}: {reason}",
            attributes={**who, **where, "probe.from": before, "probe.to": after, "probe.reason": reason},
        )


def _traced(report: TickReport, traces: Traces, attempts: tuple[Span, ...]) -> bool:
    match traces:
        case Traces.OFF:
            return False
        case Traces.ALL:
            return True
        case Traces.FAILURES:
            return bool(attempts) or report.result is Result.FAILED


def _tick(report: TickReport) -> Span:
    failed = report.result is Result.FAILED
    attributes: Attributes = {
        "probe.vantage": report.vantage,
        "probe.shard": report.shard,
        "probe.result": str(report.result),
    }
    if report.reason:
        attributes["probe.reason"] = report.reason
    return Span(
        name=catalogue.TICK_SPAN.name,
        started_at=report.started_at,
        ended_at=report.started_at + report.duration,
        attributes=attributes,
        error=(report.reason or "the tick failed") if failed else None,
    )


def _attempts(report: TickReport, traces: Traces) -> Iterator[Span]:
    if traces is Traces.OFF:
        return
    for target in report.targets:
        for reading in target.readings:
            if traces is Traces.ALL or not reading.ok:
                yield _attempt(report, target, reading)


def _attempt(report: TickReport, target: TargetReport, reading: Reading) -> Span:
    method = "PUT" if reading.purpose is Purpose.WRITE else "GET"
    ids = {
        "azure.service.request.id": reading.request_id,
        "probe.client_request.id": reading.client_request_id,
        "error.type": reading.error_type,
        "probe.error.type": reading.error_type,
        "probe.reason": reading.detail,
    }
    return Span(
        name=method,
        started_at=reading.started_at,
        ended_at=reading.ended_at,
        attributes={
            **_where(report, target, reading.location),
            "probe.purpose": str(reading.purpose),
            "probe.outcome": str(reading.outcome),
            "azure.resource_provider.namespace": "Microsoft.Storage",
            "http.request.method": method,
            "url.full": _url(target, reading),
            **_status(reading),
            **{name: value for name, value in ids.items() if value},
        },
        error=reading.detail or reading.error_type,
        measurements=_phases(reading),
    )


def _url(target: TargetReport, reading: Reading) -> str:
    if reading.purpose is Purpose.STATS:
        return f"{target.target.service_url(reading.location)}/"
    return target.target.blob_url(reading.location)


def _measure(metric: Metric, value: float, since: datetime, attributes: Attributes) -> Measurement:
    return Measurement(metric=metric, value=value, attributes=attributes, since=since)


def _spread(metric: Metric, value: Sum, since: datetime, attributes: Attributes) -> Measurement:
    total = value.total / MICROSECONDS
    return Measurement(metric=metric, value=total, attributes=attributes, since=since, sum=value)


def _who(report: TickReport, target: TargetReport) -> Attributes:
    return {"probe.target": target.target.name, "probe.vantage": report.vantage}


def _where(report: TickReport, target: TargetReport, location: Location) -> Attributes:
    host, port = target.target.address(location)
    return {
        **_who(report, target),
        "probe.location": str(location),
        "server.address": host,
        "server.port": port,
    }


def _judged(target: TargetReport, verdict: EndpointVerdict | TargetVerdict) -> Attributes:
    return {"probe.verdict": str(verdict), "probe.breaker.state_name": str(target.breaker.state)}


def _maintained(target: TargetReport) -> Attributes:
    until = target.maintenance_until
    return {"probe.maintenance.until": time_text(until)} if until else {}


def _status(reading: Reading) -> Attributes:
    return {} if reading.status_code is None else {"http.response.status_code": reading.status_code}


def _phases(reading: Reading) -> dict[str, float]:
    return _seconds(dict(_known(reading.phases)))


def _known(phases: Phases) -> Iterator[tuple[str, timedelta]]:
    return ((name, value) for name in PHASES if (value := getattr(phases, name)) is not None)


def _seconds(phases: Mapping[str, timedelta]) -> dict[str, float]:
    return {name: _s(phases[name]) for name in PHASES if name in phases}


def _canary_age(judged: EndpointJudgement) -> float | None:
    reading = judged.reading
    if reading is None or reading.canary is None:
        return None
    return max(_s(reading.ended_at - reading.canary.written_at), 0.0)


def _lag(value: timedelta | None, location: Location) -> float | None:
    return None if value is None or location is Location.PRIMARY else _s(value)


def _s(value: timedelta) -> float:
    return round(value.total_seconds(), 6)
