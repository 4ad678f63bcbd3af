"""The strip of the last ticks: a column for each, in which an outage can be seen, and the same in words."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from probe.core.headline import meets
from probe.core.times import lasting

HEIGHT = 40
"""Of the drawing of the recovery point's age, in its own units; a column is 1 wide."""
_GAP = 2.5
"""So many times the usual distance of two ticks is a gap: nothing was measured in it."""
_SHAPES = {
    **dict.fromkeys(("healthy", "primary"), "low"),
    **dict.fromkeys(("degraded", "stale", "secondary", "both"), "mid"),
    **dict.fromkeys(("inconclusive",), "open"),
}
"""How high a cell is drawn, by its word; what is not here is full."""
_LEAST_TOP = 60.0
"""Seconds that the drawing's upper edge stands for at least, so that noise is not drawn as a mountain."""
_FEWEST_BETWEEN = 7
"""Columns between two times that are written below the strip."""


def strip(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the strip of a target's document; ``None`` without a history."""
    history = document["history"]
    if not history:
        return None
    times = [datetime.fromisoformat(each["at"]) for each in history]
    marks = _marks(document, times)
    usual = _usual(times)
    columns = []
    for number, entry in enumerate(history):
        gap = number > 0 and times[number] - times[number - 1] > usual * _GAP
        columns.append(_column(entry, times[number], marks.get(number, []), gap=gap))
    _label(columns, history)
    return {
        "columns": columns,
        "first": f"{times[0].astimezone(UTC):%H:%M}",
        "last": f"{times[-1].astimezone(UTC):%H:%M}",
        "words": _words(history, times),
        "has_secondary": any(each["secondary"] for each in history),
        "lines": _lines(history),
        "height": HEIGHT,
        "width": len(history),
    }


def _column(entry: Mapping[str, Any], at: datetime, marks: Sequence[str], *, gap: bool) -> dict[str, Any]:
    who = _served(entry["served"])
    told = [f"reads {entry['verdict']}, served by {who}", f"primary {_end(entry, 'primary')}"]
    if entry["secondary"]:
        told.append(f"secondary {_end(entry, 'secondary')}")
    if entry["recovery_point_age_seconds"] is not None:
        told.append(f"recovery point {lasting(timedelta(seconds=entry['recovery_point_age_seconds']))} old")
    if entry["lag_seconds"]:
        told.append(f"canary {lasting(timedelta(seconds=entry['lag_seconds']))} behind")
    if gap:
        told.append("no tick for long before it")
    return {
        "at": f"{at.astimezone(UTC):%H:%M:%S} UTC",
        "primary": _shape(entry["primary"]),
        "secondary": _shape(entry["secondary"]) if entry["secondary"] else None,
        "served": _shape({"nobody": "none"}.get(who, who)),
        "marks": list(marks),
        "gap": gap,
        "told": "; ".join((*told, *marks)),
        "label": None,
    }


def _shape(word: str) -> dict[str, str]:
    return {"word": word, "shape": _SHAPES.get(word, "full")}


def _end(entry: Mapping[str, Any], location: str) -> str:
    """Return what a location was found to do; the verdict alone where the tick did not keep the error."""
    error = entry.get(f"{location}_error")
    return f"{meets(error)} ({entry[location]})" if error else str(entry[location])


def _served(served: Mapping[str, int]) -> str:
    who = [name for name, count in served.items() if count]
    if served["none"] or not who:
        return "nobody"
    return who[0] if len(who) == 1 else "both"


def _marks(document: Mapping[str, Any], times: Sequence[datetime]) -> dict[int, list[str]]:
    """Return what happened, by the number of the first tick that had ended when it had."""
    found: dict[int, list[str]] = {}
    happened = [
        (each["at"], f"breaker {each['from']} → {each['to']}") for each in document["recent_transitions"]
    ]
    happened += [(each["at"], each["kind"].replace("_", " ")) for each in document["recent_events"]]
    for at, what in sorted(happened):
        moment = datetime.fromisoformat(at)
        number = next((each for each, ended in enumerate(times) if ended >= moment), None)
        if number is not None and (number or times[0] - moment < timedelta(minutes=1)):
            found.setdefault(number, []).append(what)
    return found


def _usual(times: Sequence[datetime]) -> timedelta:
    between = sorted(after - before for before, after in pairwise(times))
    return between[len(between) // 2] if between else timedelta(0)


def _label(columns: list[dict[str, Any]], history: Sequence[Mapping[str, Any]]) -> None:
    """Write the time below each column in which the reads' verdict changed, where there is room."""
    last = 0
    for number, entry in enumerate(history[1:], start=1):
        changed = entry["verdict"] != history[number - 1]["verdict"]
        room = min(number - last, len(history) - 1 - number)
        if changed and room >= _FEWEST_BETWEEN:
            columns[number]["label"] = columns[number]["at"][:5]
            last = number


def _words(history: Sequence[Mapping[str, Any]], times: Sequence[datetime]) -> str:
    """Return what the strip shows, for who does not see it."""
    total = len(history)
    told = [f"{total} ticks from {times[0].astimezone(UTC):%H:%M} to {times[-1].astimezone(UTC):%H:%M} UTC"]
    for location in ("primary", "secondary"):
        bad = [at for each, at in zip(history, times, strict=True) if each[location] not in ("healthy", None)]
        if bad:
            span = f"from {bad[0].astimezone(UTC):%H:%M} to {bad[-1].astimezone(UTC):%H:%M}"
            told.append(f"{location} not healthy in {len(bad)}, {span}")
    for who, word in (("secondary", "the secondary"), ("none", "nobody")):
        count = sum(1 for each in history if each["served"][who])
        if count:
            told.append(f"reads served by {word} in {count}")
    if len(told) == 1:
        told.append("both endpoints healthy and all reads served by the primary in each")
    return f"{'; '.join(told)}."


def _lines(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the age of the recovery point and the lag as lines, and what the upper edge stands for."""
    drawn = {"point": "recovery_point_age_seconds", "lag": "lag_seconds"}
    known = [each[key] for each in history for key in drawn.values() if each[key] is not None]
    top = max((*known, _LEAST_TOP))
    return {
        "top": lasting(timedelta(seconds=top)) if known else None,
        **{name: _pieces([each[key] for each in history], top) for name, key in drawn.items()},
    }


def _pieces(values: Sequence[float | None], top: float) -> list[str]:
    """Return a line's pieces as points; it is broken where nothing is known."""
    pieces: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            pieces.append([])
            continue
        height = f"{HEIGHT - 1 - value / top * (HEIGHT - 2):.1f}"
        pieces[-1] += [f"{number},{height}", f"{number + 1},{height}"]
    return [" ".join(each) for each in pieces if each]
