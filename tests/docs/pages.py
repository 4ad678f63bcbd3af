"""The pages' generated parts, and the files that are generated whole: the one place that makes them.

A part stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->`` and is made from the code's own
tables; everything else on a page is written by hand. ``make docs`` renews all; a test says what is stale.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from probe import settings
from probe.adapters.telemetry import catalogue
from probe.core import breaker
from probe.lab.account import faults
from tests.bench import table as bench
from tests.browser import answers
from tests.faults import situations
from tests.infra import prometheus, workbook
from tests.infra import readme as infra
from tests.reliability import page as reliability

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"<!-- ([\w-]+):begin -->")


def diagram() -> str:
    """Return the breaker's state diagram, from its table."""
    return f"```mermaid\n{breaker.diagram()}\n```"


def settings_table() -> str:
    """Return the table of our settings, from the model that parses them."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, (field, info) in settings.FIELDS.items():
        default = (
            ""
            if info.default is None
            else f"`{str(info.default).lower() if isinstance(info.default, bool) else info.default}`"
        )
        each = " ¹" if field in settings.PER_TARGET else ""
        rows.append(f"| `{name}`{each} | {default} | {info.description} |")
    return "\n".join(rows)


def faults_table() -> str:
    """Return the lab's faults and their options with their defaults, from the table that strikes them."""
    rows = ["| fault | key | what it does | options |", "|---|---|---|---|"]
    for kind, spec in faults.KINDS.items():
        blank = faults.Fault(kind=kind)
        options = ", ".join(f"`{name}={getattr(blank, name)}`" for name in spec.options)
        rows.append(f"| `{kind}` | {spec.key} | {spec.summary} | {options} |")
    return "\n".join(rows)


type Parts = Mapping[str, Callable[[], str]]

PAGES: Mapping[str, Parts] = {
    "README.md": {"settings": settings_table},
    "infra/README.md": infra.PARTS,
    "probe/adapters/telemetry/README.md": {"telemetry": catalogue.markdown},
    "probe/README.md": {"breaker": diagram, "faults": faults_table},
    "tests/README.md": {
        "speed": lambda: bench.speed(bench.kept()),
        "outage": lambda: bench.outage(bench.kept()),
    },
    "tests/browser/README.md": {"answers": answers.table},
}
"""The parts of each page, by name, and what makes them."""
FILES: Mapping[str, Callable[[], str]] = {
    "infra/workbook/workbook.json": workbook.text,
    "infra/prometheus/rules.yml": prometheus.rules,
    "infra/grafana/dashboard.json": prometheus.dashboard,
    "tests/RELIABILITY.md": reliability.text,
    "tests/faults/situations.md": situations.text,
}
"""The files that are made whole. They come first: a page may show them."""


def renewed(page: str, text: str) -> str:
    """Return a page's text with its parts made anew. Raises ``ValueError`` when one has no place."""
    for name, make in PAGES[page].items():
        pattern = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"{page} needs one part <!-- {name}:begin --> … <!-- {name}:end -->")
        text = pattern.sub(lambda found, make=make: f"{found[1]}{make()}\n{found[2]}", text)
    return text
