"""The measured results that the page shows: one JSON file each, beside this module.

A command that measures ends with ``save``; ``make docs`` makes the page of what is there. So a result is
renewed by running its command again, and whoever measures something new adds it to ``page.SECTIONS``.
"""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).parent

type Cell = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A table with the command that made it, and what to know when reading it.

    ``says`` is Markdown, a paragraph or more, above the table. ``on`` is the machine and the day.
    """

    title: str
    command: str
    says: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    on: str = ""

    def markdown(self) -> str:
        """Return the section of the page."""
        lines = [f"| {' | '.join(map(_shown, each))} |" for each in (self.columns, *self.rows)]
        lines.insert(1, "|---" * len(self.columns) + "|")
        made = f"Made by `{self.command}`, {self.on}."
        return "\n".join([f"## {self.title}", "", self.says.strip(), "", made, "", *lines])


def save(name: str, result: Result) -> None:
    """Write a result, with today's date and this machine; in the same form each time."""
    day = f"{datetime.now(UTC):%-d %B %Y}"
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}"  # times beside other work are longer
    on = f"{day}, {load}, {platform.system()}, Python {platform.python_version()}"
    text = json.dumps({**asdict(result), "on": on}, indent=1, ensure_ascii=False)
    (FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def load(name: str) -> Result:
    """Return a saved result."""
    return Result(**json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def _shown(cell: Cell) -> str:
    return "" if cell is None else str(cell).replace("|", "\\|")
