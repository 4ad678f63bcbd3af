"""Explanations: a tick and the saved status in words, for a person at a terminal.

Rules kept here: it only reads finished values; every line stands for something measured.
"""

from datetime import timedelta

from probe.core.breaker import GOOD_CHECKS, State
from probe.core.reading import Reading
from probe.core.report import TargetReport, TickReport
from probe.core.target import Location
from probe.core.times import seconds, time_text


def reasons(report: TickReport) -> list[str]:
    """Return why each verdict is what it is: a line for each target, endpoint and its redundancy."""
    out = []
    for each in report.targets:
        out.append(f"  {each.target.name}: {each.judgement.target.verdict}: {each.judgement.target.reason}")
        for location in each.target.locations:
            judged = each.judged(location)
            if judged:
                out.append(f"    {location}: {judged.verdict}: {judged.reason}")
        if kept := each.judgement.redundancy:
            out.append(f"    redundancy: {kept.verdict}: {kept.reason}")
        out += [f"    {line}" for line in (*_maintenance(each), *_write(each), *_routing(each))]
    return out


def _maintenance(report: TargetReport) -> list[str]:
    until = report.maintenance_until
    return (
        [f"maintenance: declared until {time_text(until)}; nobody is paged for this target"] if until else []
    )


def _write(report: TargetReport) -> list[str]:
    write = report.write
    if write is None or write.ok:
        return []
    return [f"write: the canary could not be written: {write.detail or write.error_type}"]


def _routing(report: TargetReport) -> list[str]:
    """Return why reads go where they go, and what must happen before they go elsewhere."""
    breaker, policy = report.breaker, report.target.policy
    if report.forced:
        until = time_text(report.forced.until)
        return [f"breaker: reads are forced to the {report.forced.location} until {until}"]
    if report.target.secondary is None or breaker.state is State.CLOSED:
        return []
    if breaker.state is State.HALF_OPEN:
        missing = policy.success_threshold - breaker.good_trials
        return [f"breaker: half-open: reads try the primary; {missing} more good trials close it"]
    waits = [f"after {breaker.reads_until_trial(policy)} more reads from the secondary"]
    if trial_at := breaker.trial_at(policy):
        waits.append(f"at {trial_at:%H:%M:%S} UTC")
    waits.append(
        f"after {max(GOOD_CHECKS - breaker.good_checks, 1)} more good checks of the primary in a row"
    )
    told = f"breaker: open since {breaker.since:%H:%M:%S} UTC: reads go to the secondary"
    return [f"{told}, and the primary is tried {', or '.join(waits)}"]


def lines(report: TickReport) -> list[str]:
    """Return a whole tick: every attempt with its phases, what the breaker made of it, and the verdicts."""
    head = (
        f"tick scheduled {report.scheduled_at:%Y-%m-%dT%H:%M:%S.%fZ}, started {seconds(report.lateness)} s "
        f"late, took {seconds(report.duration)} s, state store {report.state_store}"
    )
    out = [head]
    out += [
        f"  state store, {each.operation}: {each.error_type}: {each.message}"
        for each in report.state_problems
    ]
    for each in report.targets:
        out += _target(each)
    return out


def _target(report: TargetReport) -> list[str]:
    out = [f"target {report.target.name}"]
    out += [f"  {_location(report, each)}" for each in report.target.locations]
    out += [f"  {_attempt(each, report)}" for each in report.readings]
    served = " ".join(f"{number + 1}:{each.served_by or 'none'}" for number, each in enumerate(report.reads))
    out.append(f"  reads served by: {served or 'none was finished'}")
    out += [
        f"  breaker {each.from_state} -> {each.to_state}: {each.reason} {_figures(each.figures)}"
        for each in report.transitions
    ]
    out.append(f"  {_breaker(report)}")
    known = report.replication
    out.append(
        f"  replication: status {known.status or 'unknown'}, lag {_seconds(known.lag)}, recovery point age "
        f"{_seconds(known.recovery_point_age)}, within RPO: {known.within_rpo}"
    )
    if report.skipped:
        out.append(f"  cut off by the budget: {', '.join(report.skipped)}")
    return [*out, *reasons_of(report)]


def _breaker(report: TargetReport) -> str:
    now = report.breaker
    forced = f", forced to {report.forced.location}" if report.forced else ""
    return (
        f"breaker is {now.state} since {now.since:%H:%M:%S}, {now.consecutive_failures} failures in a row, "
        f"{sum(now.recent)} of {len(now.recent)} samples bad, {now.secondary_reads} reads to the secondary, "
        f"dwell x{now.multiplier}{forced}"
    )


def reasons_of(report: TargetReport) -> list[str]:
    out = [f"  verdict {report.judgement.target.verdict}: {report.judgement.target.reason}"]
    for location in report.target.locations:
        judged = report.judged(location)
        if judged:
            out.append(f"  {location} {judged.verdict}: {judged.reason}")
    return out


def _location(report: TargetReport, location: Location) -> str:
    return f"{location}: {report.target.blob_url(location)}"


def _attempt(reading: Reading, report: TargetReport) -> str:
    result = reading.error_type or "ok"
    status = f" HTTP {reading.status_code}" if reading.status_code else ""
    fault = f" [{reading.fault} fault]" if reading.fault else ""
    slow = " SLOW" if reading.duration > report.target.policy.slow_after else ""
    canary = f" sequence {reading.canary.sequence}" if reading.canary else ""
    phases = reading.phases
    named = {
        "dns": phases.dns,
        "connect": phases.connect,
        "tls": phases.tls,
        "ttfb": phases.ttfb,
        "transfer": phases.transfer,
    }
    spent = " ".join(f"{name} {_ms(each)}" for name, each in named.items() if each is not None)
    detail = f"; {reading.detail}" if reading.detail else ""
    return (
        f"{reading.started_at:%H:%M:%S.%f} {reading.purpose:<5} {reading.location:<9} "
        f"{result}{status}{fault}{slow}{canary} {_ms(reading.duration)} ({spent or 'no phase ended'}){detail}"
    )


def _ms(value: timedelta) -> str:
    return f"{value.total_seconds() * 1000:.1f} ms"


def _seconds(value: timedelta | None) -> str:
    return "unknown" if value is None else f"{value.total_seconds():.1f} s"


def _figures(figures: dict[str, float]) -> str:
    shown = ", ".join(f"{name}={value:g}" for name, value in figures.items())
    return f"({shown})" if shown else ""
