"""The tables of the bench, made from what its last run wrote: ``make docs`` puts them on the page."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.measure import ROWS, Row

RESULTS = Path(__file__).with_name("results.json")
ANCESTOR = (
    "| the ancestor, 503 | 1 in 21 | 11.3 s, and it fails | 12.9 s | 0 | 20 | "
    "never looks again without losing a read |"
)
"""Its figures are from running its 2019 code against a primary that answers 503."""

type Results = Mapping[str, Any]
"""What a run of the bench has found; see ``__main__``."""


def kept() -> Results:
    """Return what the last whole run has found."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def speed(found: Results) -> str:
    """Return the table of the goals, and what it was measured on."""
    lines = [
        "| what | the probe | beside it | ratio | goal |",
        "|---|---|---|---|---|",
        *(speed_line(row, found["rows"][row.name]) for row in ROWS if row.name in found["rows"]),
    ]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    sizes = found["sizes"]
    much = f"{sizes['targets']} targets with {sizes['minutes']} minutes of ticks behind them"
    told = f"Medians of {found['samples']}; {much}; {found['when']}, {found['machine']}; {versions}."
    return "\n".join([*lines, "", told])


def speed_line(row: Row, samples: Mapping[str, list[float]]) -> str:
    """Return a row of the table, from its samples."""
    here = statistics.median(samples["here"])
    cells = [row.name, f"{_rounded(here)} {row.unit}", "", "", _goal(row)]
    if samples["there"]:
        there = statistics.median(samples["there"])
        cells[2], cells[3] = f"{_rounded(there)} {row.unit}: {row.beside}", f"{here / there:.2f}"
    elif row.beside:
        cells[2] = f"{row.beside}: not installed"
    return f"| {' | '.join(cells)} |"


def _goal(row: Row) -> str:
    goals = [f"≤ {row.share:g}"] if row.share else []
    return " and ".join([*goals, *([f"≤ {row.most:g} {row.unit}"] if row.most else [])])


def _rounded(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def outage(found: Results) -> str:
    """Return the table of what an outage costs a reader."""
    lines = [
        "| primary | lost | first read | worst read | from P | from S | back to P |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [outage_line(each) for each in found["outage"]]
    return "\n".join([*lines, ANCESTOR])


def outage_line(row: Mapping[str, Any]) -> str:
    took = (f"{row[each]:.2f} s" if row[each] < 1 else f"{row[each]:.1f} s" for each in ("first", "worst"))
    cells = (
        row["fault"],
        row["lost"],
        *took,
        row["primary"],
        row["secondary"],
        "yes" if row["closed"] else "no",
    )
    return f"| {' | '.join(map(str, cells))} |"
