"""``make bench``: what a tick costs beside what others do for the same, and what an outage costs a reader.

A whole run writes ``results.json`` with all samples, from which ``make docs`` makes the tables of the page. A
shorter one (``SAMPLES=1``) prints its tables and keeps nothing.
"""

import asyncio
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench import table
from tests.bench.measure import BLACKBOX, ROWS, Bench, Row, Sizes, measure, version_of_blackbox
from tests.bench.outage import outages

PACKAGES = ("httptools", "pydantic", "aiohttp")


def machine() -> str:
    """Return what the figures were measured on."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    cores, model = len(os.sched_getaffinity(0)), models[0] if models else platform.machine()
    return f"{cores} cores ({model}), {platform.system()}"


def versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), **{each: version(each) for each in PACKAGES}}
    blackbox = version_of_blackbox()
    return found | ({BLACKBOX: blackbox} if blackbox else {})


def run(
    sizes: Sizes, say: Callable[[str], None], *, rows: Sequence[Row] = ROWS, with_outages: bool = True
) -> dict[str, Any]:
    """Measure the rows, saying each as it is there, and return what was found."""
    found: dict[str, Any] = {
        "when": f"{datetime.now(UTC):%B %Y}",
        "machine": machine(),
        "versions": versions(),
        "samples": sizes.samples,
        "sizes": asdict(sizes),
        "rows": {},
        "outage": [],
    }
    bench = Bench(sizes)
    with bench.account():
        for row in rows:
            here, there = measure(row, bench, sizes)
            found["rows"][row.name] = {"unit": row.unit, "here": here, "there": there}
            say(table.speed_line(row, found["rows"][row.name]))
    if with_outages:
        asyncio.run(_outages(found, say))
    return found


async def _outages(found: dict[str, Any], say: Callable[[str], None]) -> None:
    async for each in outages():
        found["outage"].append(each._asdict())
        say(table.outage_line(found["outage"][-1]))


def main() -> int:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else Sizes().samples
    found = run(Sizes(samples=samples), lambda line: print(line, file=sys.stderr, flush=True))
    print(f"\n{table.speed(found)}\n\n{table.outage(found)}")
    if samples >= Sizes().samples:
        table.RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 1 if any(each["lost"] for each in found["outage"]) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
