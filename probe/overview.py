"""The overview: a tick, or the saved status, as a person on call reads it at a terminal.

Rules kept here: one headline first, then one row a target, those that need somebody first; `ok` never stands
without the verdict on redundancy; it only reads finished values.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from probe.core.headline import (
    Rank,
    Situation,
    breaker_told,
    fleet,
    headline,
    status_situations,
    worst_first,
)
from probe.core.report import TickReport
from probe.core.times import lasting, spoken_moment
from probe.core.verdict import TargetVerdict
from probe.lines import LETTERS, situations
from probe.terminal import BAD, GOOD, Fitting, Part, Words, indented, stacked, styled, table, verdict

_HEAD = ("target", "reads", "redundancy", "since", "at risk", "served")
"""``at risk``: a failover now may lose the writes of so long, the age of the recovery point."""
_UNKNOWN = "-"


# -- a table of targets --------------------------------------------------------------------------------------


def overview(known: Sequence[Situation]) -> list[Part]:
    """Return the headline over all, a row for each target, and the headline of each that needs somebody."""
    ordered = worst_first(known)
    if not ordered:
        return [(fleet(ordered))]
    if len(ordered) == 1:
        return [_told(ordered[0]), "", _table(ordered)]
    needing = [each for each in ordered if each.rank is not Rank.QUIET]
    told = [part for each in needing for part in ("", _told(each))]
    return [styled((fleet(ordered), "bold")), "", _table(ordered), *told]


def _told(known: Situation) -> Part:
    return styled((f"{known.name}: ", "bold"), (headline(known), GOOD if known.rank is Rank.QUIET else ""))


def _table(ordered: Sequence[Situation]) -> Part:
    rows = list(map(_row, ordered))
    wide = table(*_HEAD)
    for each in rows:
        wide.add_row(*each)
    narrow = stacked(*(styled(name, *_named(cells)) for name, *cells in rows))
    widest = (max(map(len, column)) for column in zip(_HEAD, *rows, strict=True))
    return Fitting(wide, narrow, sum(widest) + 2 * len(_HEAD))


def _named(cells: Sequence[Words]) -> Iterator[Words]:
    """Yield a row's cells with the names of their columns, for a terminal too narrow for a table."""
    for head, cell in zip(_HEAD[1:], cells, strict=True):
        yield f"; {head} "
        yield cell


def _row(known: Situation) -> tuple[Words, ...]:
    served = " ".join(f"{count}{LETTERS[who]}" for who, count in known.served.items() if count)
    return (
        known.name,
        verdict(known.verdict or "unknown"),
        verdict(known.redundancy or _UNKNOWN),
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


# -- a tick, and the status document -------------------------------------------------------------------------


def once(report: TickReport, unsaved: datetime | None = None) -> list[Part]:
    """Return a tick: the overview, and what the tick itself has to say."""
    out = overview(situations(report, unsaved))
    if report.reason or report.state_store != "ok":
        reason = f": {report.reason}" if report.reason else ""
        out += ["", (f"Tick {report.result}{reason}; state store {report.state_store}.")]
        out += [indented(f"state store, {each.operation}: {each.message}") for each in report.state_problems]
    return out


def status(body: Mapping[str, Any], *, target: str | None = None) -> list[Part]:
    """Return the status document: an overview, and the details of one target where that is asked."""
    known = status_situations(body, target)
    out: list[Part] = overview(known) if known else ["No target is on record."]
    fresh = ("fresh", GOOD) if body["fresh"] else ("NOT fresh", BAD)
    seen = f"Seen from {body['vantage']} at {spoken_moment(body['generated_at'])}; ticks are "
    out += ["", styled(seen, fresh, ".")]
    for shard in sorted(body["shards"], key=lambda each: int(each["shard"])):
        if shard["error"]:
            out.append(f"Shard {shard['shard']}: {shard['error']}")
        elif not shard["fresh"]:
            last = spoken_moment(shard["last_completed_at"]) if shard["last_completed_at"] else "never"
            out.append(f"Shard {shard['shard']}: last completed tick: {last}.")
    if len(known) == 1:
        (one,) = [each for each in body["targets"] if each["name"] == known[0].name]
        out += _details(one)
    return out


def _details(each: Mapping[str, Any]) -> list[Part]:
    """Return what stands behind a target's headline: endpoints, breaker, and what happened last."""
    if each["verdict"] is None:
        return []
    out: list[Part] = [_judged("reads", each)]
    if each["redundancy"]:
        out.append(_judged("redundancy", each["redundancy"]))
    out += [_judged(name, end) for name, end in each["endpoints"].items()]
    lag = each["replication"]["lag_seconds"]
    told = [breaker_told(each["breaker"])]
    told.append(f"lag at the last look: {'unknown' if lag is None else f'{lag:.1f} s'}")
    moves, events = each.get("recent_transitions", []), each.get("recent_events", [])
    happened = [(move["at"], f"breaker {move['from']} -> {move['to']}: {move['reason']}") for move in moves]
    happened += [(event["at"], f"{event['kind']}: {event['reason']}") for event in events]
    told += [f"{spoken_moment(at)}: {what}" for at, what in sorted(happened)[-5:]]
    return [*out, *map(indented, told)]


def _judged(name: str, each: Mapping[str, Any]) -> Part:
    return indented(styled(f"{name}: ", verdict(each["verdict"]), f": {each['reason']}"))


def exit_code(body: Mapping[str, Any], *, target: str | None = None) -> int:
    """Return the exit code of a status: 0 all served and sound, 1 unavailable or corrupt, 3 not known."""
    shown = [each for each in body["targets"] if target in (None, each["name"])]
    verdicts = {each["verdict"] for each in shown}
    corrupt = any(end["verdict"] == "corrupt" for each in shown for end in each.get("endpoints", {}).values())
    if any(each["error"] for each in body["shards"]):
        return 3
    if corrupt or TargetVerdict.UNAVAILABLE in verdicts:
        return 1
    known = bool(shown) and body["fresh"] is True and verdicts <= {TargetVerdict.OK, TargetVerdict.REROUTED}
    return 0 if known else 3
