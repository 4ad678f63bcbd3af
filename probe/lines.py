"""Lines: a tick as a person on call reads it in a log.

Rules kept here: one headline first, then one line a target, those that need somebody first; `ok` never stands
without the verdict on redundancy; it only reads finished values.
"""

import logging
from datetime import datetime

from probe.core.headline import Rank, Situation, fleet, headline, worst_first
from probe.core.report import TargetReport, TickReport, breaker_document, event_document
from probe.core.target import Location
from probe.core.times import lasting
from probe.core.verdict import TargetVerdict

LETTERS = {"primary": "P", "secondary": "S", "none": "-"}

type Line = tuple[int, str]
"""A line for the log, with its level."""


# -- a tick -------------------------------------------------------------------------------------------------


def situations(report: TickReport, unsaved: datetime | None = None) -> list[Situation]:
    """Return what a tick's targets are in; ``unsaved`` says since when nothing could be saved."""
    now = report.started_at + report.duration
    return [
        Situation.of(
            {**each.document, "recent_events": [event_document(event) for event in each.recent]},
            now=now,
            unsaved=unsaved,
        )
        for each in report.targets
    ]


def tick(report: TickReport, unsaved: datetime | None = None) -> list[Line]:
    """Return a tick as log lines, worst first; what changed, and what clients suffer from, is a warning."""
    known = {each.name: each for each in situations(report, unsaved)}
    targets = {each.target.name: each for each in report.targets}
    ordered = worst_first(list(known.values()))
    out: list[Line] = []
    if len(ordered) > 1:
        level = logging.WARNING if any(map(_has_changed, report.targets)) else logging.INFO
        out.append((level, fleet(ordered)))
    for each in ordered:
        target = targets[each.name]
        warns = _has_changed(target) or each.verdict == TargetVerdict.UNAVAILABLE
        level = logging.WARNING if warns else logging.INFO
        out.append((level, _log_line(report, target)))
        if warns:
            out.append((level, f"  {each.name}: {headline(each)}{_changed(each, target)}"))
        out += [(logging.WARNING, f"  {each.name}: breaker {moved}") for moved in _moves(target)]
    if report.reason or report.state_store != "ok" or not out:
        reason = f": {report.reason}" if report.reason else ""
        level = logging.INFO if report.state_store == "ok" else logging.WARNING
        out.append((level, f"tick {report.result}{reason}; state store {report.state_store}"))
    return out


def _has_changed(report: TargetReport) -> bool:
    """Return whether a verdict is another than in the tick before; the first, when it is not good."""
    if report.previous is None:
        return report.judgement.target.verdict is not TargetVerdict.OK
    known, now = report.previous_redundancy, report.judgement.redundancy
    return report.previous != report.verdicts or (
        known is not None and now is not None and now.verdict != known
    )


def _changed(known: Situation, report: TargetReport) -> str:
    """Return what changed, where the headline does not say it: all is well again."""
    if report.previous is None or known.rank is not Rank.QUIET:
        return ""
    names = ("reads", "primary", "secondary")
    moved = zip(names, report.previous, report.verdicts, strict=True)
    told = [f"{name} was {before}" for name, before, now in moved if before != now]
    judged = report.judgement.redundancy
    if judged and report.previous_redundancy not in (None, judged.verdict):
        told.append(f"redundancy was {report.previous_redundancy}")
    return f" Before: {', '.join(told)}." if told else ""


def _log_line(report: TickReport, each: TargetReport) -> str:
    judgement, point = each.judgement, each.replication
    letters = "".join(LETTERS[read.served_by or "none"] for read in each.reads)
    verdicts = [str(judgement.target.verdict), *_redundancy(each)]
    parts = [
        f"{report.scheduled_at:%H:%M:%S} {each.target.name} {', '.join(verdicts)}",
        f"primary {_word(each, Location.PRIMARY)}",
    ]
    if judgement.secondary:
        parts.append(f"secondary {_word(each, Location.SECONDARY)}")
    parts += [f"reads {letters or 'none'}", _breaker(each)]
    if each.write and not each.write.ok:
        parts.append(f"write failed ({each.write.error_type})")
    if each.unwritten:
        parts.append("not written")
    if each.maintenance_until:
        parts.append(f"maintenance until {each.maintenance_until:%H:%M} UTC")
    if point.recovery_point and point.recovery_point_age is not None:
        age = lasting(point.recovery_point_age)
        parts.append(f"recovery point {point.recovery_point:%H:%M:%S}, {age} old")
    if point.lag is not None:
        parts.append(f"lag {point.lag.total_seconds():.1f} s")
    return " | ".join((*parts, f"{report.duration.total_seconds():.2f} s"))


def _redundancy(each: TargetReport) -> list[str]:
    judged = each.judgement.redundancy
    return [] if judged is None else [f"redundancy {judged.verdict}"]


def _breaker(each: TargetReport) -> str:
    known = breaker_document(each.breaker, each.target, each.forced)
    told = f"breaker {each.breaker.state}"
    if known["reads_until_trial"]:
        told += f", trial after {known['reads_until_trial']} reads"
    return told


def _word(each: TargetReport, location: Location) -> str:
    judged = each.judged(location)
    assert judged is not None, "asked for a location that was judged"  # noqa: S101 - by _log_line
    error = judged.reading.error_type if judged.reading else None
    return f"{judged.verdict} ({error})" if error else str(judged.verdict)


def _moves(each: TargetReport) -> list[str]:
    return [f"{move.from_state} -> {move.to_state}: {move.reason}" for move in each.transitions]
