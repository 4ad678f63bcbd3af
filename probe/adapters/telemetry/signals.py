"""Signals: what a finished tick has to tell, derived from its report and from nothing else.

Rules kept here: pure functions and values, no OpenTelemetry; an inconclusive verdict claims neither an outage
nor health, so it sends no availability result and no ``probe.endpoint.up``; what is unknown is absent and
never 0; a URL never carries a query.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from probe.adapters.telemetry import catalogue
from probe.adapters.telemetry.catalogue import Metric
from probe.adapters.telemetry.settings import Traces
from probe.core.breaker import State
from probe.core.reading import Fault, Purpose, Reading
from probe.core.report import Result, TargetReport, TickReport
from probe.core.target import Location
from probe.core.verdict import EndpointJudgement, EndpointVerdict, TargetVerdict

type Value = str | int | float | bool
type Attributes = dict[str, Value]

BREAKER_STATES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}
_PHASES = ("dns", "connect", "tls", "ttfb", "transfer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    metric: Metric
    value: float
    attributes: Attributes


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
    """All of one tick. ``tick`` is ``None`` when the tick is not traced, and then there are no attempts.

    ``calm`` says that nothing happened in it that anybody would look for.
    """

    at: datetime
    calm: bool

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
        calm=_calm(report),
        measurements=tuple(_measurements(report)),
        results=tuple(each for target in report.targets for each in _results(report, target)),
        events=tuple(each for target in report.targets for each in _events(report, target)),
        tick=_tick(report) if _traced(report, traces, attempts) else None,
        attempts=attempts,
    )


def rows(found: Signals) -> int:
    """Return how many rows a tick's signals are at most."""
    series = {(each.metric.name, *each.attributes.items()) for each in found.measurements}
    spans = len(found.attempts) + (found.tick is not None)
    return len(series) + len(found.results) + len(found.events) + spans


def _calm(report: TickReport) -> bool:
    if report.result is not Result.COMPLETED or report.state_problems:
        return False
    return all(_calm_target(each) for each in report.targets)


def _calm_target(target: TargetReport) -> bool:
    judged = [target.judged(location) for location in target.target.locations]
    return (
        target.judgement.target.verdict is TargetVerdict.OK
        and all(each is None or each.verdict is EndpointVerdict.HEALTHY for each in judged)
        and all(each.ok for each in target.readings)
        and not target.transitions
    )


def _measurements(report: TickReport) -> Iterator[Measurement]:
    vantage: Attributes = {"probe.vantage": report.vantage}
    yield _measure(catalogue.TICKS, 1, vantage, {"probe.result": str(report.result)})
    if report.result in (Result.COMPLETED, Result.CUT_SHORT):
        shard: Attributes = {"probe.shard": report.shard}
        yield _measure(catalogue.TICK_DURATION, _s(report.duration), vantage, shard)
        yield _measure(catalogue.TICK_LATENESS, _s(report.lateness), vantage, shard)
    for each in report.state_problems:
        what: Attributes = {"probe.operation": each.operation, "error.type": each.error_type}
        yield _measure(catalogue.STATE_ERRORS, 1, vantage, what)
    for target in report.targets:
        yield from _of_target(report, target)


def _of_target(report: TickReport, target: TargetReport) -> Iterator[Measurement]:
    who = _who(report, target)
    for reading in target.readings:
        yield from _of_reading(_where(report, target, reading.location), reading)
    for read in target.reads:
        yield _measure(catalogue.READS, 1, who, {"probe.served_by": str(read.served_by or "none")})
    if target.judgement.target.verdict is TargetVerdict.INCONCLUSIVE:
        yield _measure(catalogue.INCONCLUSIVE, 1, who)
    state = target.breaker.state
    yield _measure(
        catalogue.BREAKER_STATE, BREAKER_STATES[state], who, {"probe.breaker.state_name": str(state)}
    )
    for move in target.transitions:
        way: Attributes = {"probe.from": str(move.from_state), "probe.to": str(move.to_state)}
        yield _measure(catalogue.BREAKER_TRANSITIONS, 1, who, way)
    for location in target.target.locations:
        yield from _of_endpoint(_where(report, target, location), target, location)
    if target.target.secondary:
        yield from _of_replication(_where(report, target, Location.SECONDARY), target)


def _of_reading(where: Attributes, reading: Reading) -> Iterator[Measurement]:
    why: Attributes = {"probe.purpose": str(reading.purpose), "probe.outcome": str(reading.outcome)}
    if reading.error_type:
        why["error.type"] = reading.error_type
    yield _measure(catalogue.ATTEMPTS, 1, where, why, _status(reading))
    yield _measure(catalogue.ATTEMPT_DURATION, _s(reading.duration), where, why)
    for phase, duration in _phases(reading).items():
        yield _measure(catalogue.PHASE_DURATION, duration, where, {"probe.phase": phase})


def _of_endpoint(where: Attributes, target: TargetReport, location: Location) -> Iterator[Measurement]:
    judged = target.judged(location)
    if judged is None:
        return
    if judged.verdict is EndpointVerdict.INCONCLUSIVE:
        yield _measure(catalogue.INCONCLUSIVE, 1, where)
    else:
        up = int(judged.verdict.up)
        yield _measure(catalogue.ENDPOINT_UP, up, where, {"probe.verdict": str(judged.verdict)})
    age = _canary_age(judged)
    if age is not None:
        yield _measure(catalogue.CANARY_AGE, age, where)
    for reading in target.at(location):
        if _is_canary_failure(reading, judged):
            yield _measure(catalogue.CANARY_FAILURES, 1, where, {"error.type": str(reading.error_type)})


def _is_canary_failure(reading: Reading, judged: EndpointJudgement) -> bool:
    """Return whether the wrong canary was shown; one that is lawfully not replicated yet is none."""
    lawful = judged.verdict is EndpointVerdict.INCONCLUSIVE and reading.error_type == "404"
    return reading.fault is Fault.CONTENT and not lawful


def _of_replication(where: Attributes, target: TargetReport) -> Iterator[Measurement]:
    known = target.replication
    status: Attributes = {"probe.replication.status": str(known.status)} if known.status else {}
    if known.lag is not None:
        yield _measure(catalogue.REPLICATION_LAG, _s(known.lag), where, status)
    if known.recovery_point_age is not None:
        yield _measure(catalogue.LAST_SYNC_AGE, _s(known.recovery_point_age), where, status)
    for each in known.delays:
        yield _measure(catalogue.REPLICATION_DELAY, _s(each.delay), where)


def _results(report: TickReport, target: TargetReport) -> Iterator[Availability]:
    for location in target.target.locations:
        judged = target.judged(location)
        if judged and judged.verdict is not EndpointVerdict.INCONCLUSIVE:
            yield _endpoint_result(report, target, location, judged)
    if target.judgement.target.verdict is not TargetVerdict.INCONCLUSIVE:
        yield _reads_result(report, target)


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
    found: dict[str, float] = {}
    for each in (*target.at(location), *([reading] if reading else [])):
        found |= _phases(each)
    return {name: found[name] for name in _PHASES if name in found}


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
        attributes={**_who(report, target), **_judged(target, verdict.verdict)},
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


def _measure(metric: Metric, value: float, *attributes: Attributes) -> Measurement:
    return Measurement(
        metric=metric,
        value=value,
        attributes={key: each for part in attributes for key, each in part.items()},
    )


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


def _status(reading: Reading) -> Attributes:
    return {} if reading.status_code is None else {"http.response.status_code": reading.status_code}


def _phases(reading: Reading) -> dict[str, float]:
    phases = {name: getattr(reading.phases, name) for name in _PHASES}
    return {name: _s(value) for name, value in phases.items() if value is not None}


def _canary_age(judged: EndpointJudgement) -> float | None:
    reading = judged.reading
    if reading is None or reading.canary is None:
        return None
    return max(_s(reading.ended_at - reading.canary.written_at), 0.0)


def _lag(value: timedelta | None, location: Location) -> float | None:
    return None if value is None or location is Location.PRIMARY else _s(value)


def _s(value: timedelta) -> float:
    return round(value.total_seconds(), 6)
