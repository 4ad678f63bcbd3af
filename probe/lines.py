"""Lines: a tick and the saved status as a person on call reads them, in a log or at a terminal of 80 columns.

Rules kept here: one headline first, then one line a target, those that need somebody first; `ok` never stands
without the verdict on redundancy; what was cut off is marked; it only reads finished values.
"""

import logging
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from probe.core.breaker import State
from probe.core.headline import Rank, Situation, fleet, headline, worst_first
from probe.core.report import TargetReport, TickReport, breaker_document, event_document, target_document
from probe.core.target import Location
from probe.core.times import lasting
from probe.core.verdict import TargetVerdict

WIDTH = 80
_LETTERS = {"primary": "P", "secondary": "S", "none": "-"}
_NAME_WIDTH = 22
_HEAD = ("target", "reads", "redundancy", "since", "at risk", "served")
"""``at risk``: a failover now may lose the writes of so long, the age of the recovery point."""
_UNKNOWN = "-"

type Line = tuple[int, str]
"""A line for the log, with its level."""


# -- a tick -------------------------------------------------------------------------------------------------


def situations(report: TickReport, unsaved: datetime | None = None) -> list[Situation]:
    """Return what a tick's targets are in; ``unsaved`` says since when nothing could be saved."""
    now = report.started_at + report.duration
    return [
        Situation.of(
            {**target_document(each), "recent_events": [event_document(event) for event in each.recent]},
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
    letters = "".join(_LETTERS[read.served_by or "none"] for read in each.reads)
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


# -- a table of targets --------------------------------------------------------------------------------------


def overview(known: Sequence[Situation]) -> list[str]:
    """Return the headline over all, a line for each target, and the headline of each that needs somebody."""
    ordered = worst_first(known)
    if not ordered:
        return [fleet(ordered)]
    if len(ordered) == 1:
        return [*_told(ordered[0]), "", *_table(ordered)]
    needing = [each for each in ordered if each.rank is not Rank.QUIET]
    told = [line for each in needing for line in ("", *_told(each))]
    return [*_wrapped(fleet(ordered)), "", *_table(ordered), *told]


def _told(known: Situation) -> list[str]:
    return _wrapped(f"{known.name}: {headline(known)}", indent="  ")


def _table(ordered: Sequence[Situation]) -> list[str]:
    rows = [_HEAD, *map(_row, ordered)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _row(known: Situation) -> tuple[str, ...]:
    served = " ".join(f"{count}{_LETTERS[who]}" for who, count in known.served.items() if count)
    return (
        _elided(known.name),
        known.verdict or "unknown",
        known.redundancy or _UNKNOWN,
        _since(known),
        lasting(known.now - known.recovery_point) if known.recovery_point else _UNKNOWN,
        served or _UNKNOWN,
    )


def _since(known: Situation) -> str:
    """Return since when what the row tells has held: the reads' verdict, else redundancy's."""
    fine = known.verdict == TargetVerdict.OK and known.rank is not Rank.QUIET
    value = (known.redundancy_since if fine else None) or known.since
    if value is None:
        return _UNKNOWN
    value = value.astimezone(UTC)
    same_day = value.date() == known.now.astimezone(UTC).date()
    return f"{value:%H:%M}" if same_day else f"{value:%b %d}"


def _elided(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 1]}…"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [text]


# -- the status document -------------------------------------------------------------------------------------


def status(body: Mapping[str, Any], *, target: str | None = None) -> list[str]:
    """Return the status document in words: an overview, and the details of one target where that is asked."""
    known = status_situations(body, target)
    shards = {each["shard"]: each for each in body["shards"]}
    out = overview(known) if known else ["No target is on record."]
    fresh = "fresh" if body["fresh"] else "NOT fresh"
    out += ["", f"Seen from {body['vantage']} at {_spoken_time(body['generated_at'])}; ticks are {fresh}."]
    for shard in shards.values():
        if shard["error"]:
            out += _wrapped(f"Shard {shard['shard']}: {shard['error']}", indent="  ")
        elif not shard["fresh"]:
            last = _spoken_time(shard["last_completed_at"]) if shard["last_completed_at"] else "never"
            out.append(f"Shard {shard['shard']}: last completed tick: {last}.")
    if len(known) == 1:
        (one,) = [each for each in body["targets"] if each["name"] == known[0].name]
        out += details(one)
    return out


def status_situations(body: Mapping[str, Any], target: str | None = None) -> list[Situation]:
    """Return what the targets of a status document are in, or the one that is named."""
    now = datetime.fromisoformat(body["generated_at"])
    shards = {each["shard"]: each for each in body["shards"]}
    return [
        _situation(each, shards[each["shard"]], now)
        for each in body["targets"]
        if target in (None, each["name"])
    ]


def _situation(document: Mapping[str, Any], shard: Mapping[str, Any], now: datetime) -> Situation:
    since = shard.get("unsaved_since")
    unsaved = datetime.fromisoformat(since) if since else None
    return Situation.of(document, now=now, fresh=bool(shard["fresh"]), unsaved=unsaved)


def details(each: Mapping[str, Any]) -> list[str]:
    """Return what stands behind a target's headline: endpoints, breaker, and what happened last."""
    if each["verdict"] is None:
        return []
    out = [f"  reads: {each['verdict']}: {each['reason']}"]
    if each["redundancy"]:
        out.append(f"  redundancy: {each['redundancy']['verdict']}: {each['redundancy']['reason']}")
    out += [f"  {name}: {end['verdict']}: {end['reason']}" for name, end in each["endpoints"].items()]
    out.append(f"  {_breaker_told(each['breaker'])}")
    lag = each["replication"]["lag_seconds"]
    out.append(f"  lag at the last look: {'unknown' if lag is None else f'{lag:.1f} s'}")
    moves, events = each.get("recent_transitions", []), each.get("recent_events", [])
    happened = [(move["at"], f"breaker {move['from']} -> {move['to']}: {move['reason']}") for move in moves]
    happened += [(event["at"], f"{event['kind']}: {event['reason']}") for event in events]
    out += [f"  {_spoken_time(at)}: {what}" for at, what in sorted(happened)[-5:]]
    return [line for long in out for line in _wrapped(long, indent="    ")]


def _breaker_told(breaker: Mapping[str, Any]) -> str:
    since = f"breaker: {breaker['state']} since {_spoken_time(breaker['since'])}"
    if breaker["forced"]:
        return f"{since}, forced to the {breaker['forced']['location']} until {breaker['forced']['until']}"
    if breaker["state"] == State.OPEN and breaker["reads_until_trial"]:
        return f"{since}; the primary is tried after {breaker['reads_until_trial']} more reads, or sooner"
    return since


def _spoken_time(value: str) -> str:
    return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def once(report: TickReport, unsaved: datetime | None = None) -> list[str]:
    """Return a tick for a terminal: the overview, and what the tick itself has to say."""
    out = overview(situations(report, unsaved))
    if report.reason or report.state_store != "ok":
        reason = f": {report.reason}" if report.reason else ""
        out += ["", *_wrapped(f"Tick {report.result}{reason}; state store {report.state_store}.")]
        out += [f"  state store, {each.operation}: {each.message}" for each in report.state_problems]
    return out


def exit_code(body: Mapping[str, Any], *, target: str | None = None) -> int:
    """Return the exit code of a status: 0 all served and sound, 1 unavailable or corrupt, 3 not known."""
    shown = [each for each in body["targets"] if target in (None, each["name"])]
    verdicts = {each["verdict"] for each in shown}
    corrupt = any(end["verdict"] == "corrupt" for each in shown for end in each.get("endpoints", {}).values())
    if any(each["error"] for each in body["shards"]):
        return 3
    if corrupt or TargetVerdict.UNAVAILABLE in verdicts:
        return 1
    known = bool(shown) and body["fresh"] and not verdicts & {None, TargetVerdict.INCONCLUSIVE}
    return 0 if known else 3
