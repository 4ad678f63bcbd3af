"""Run the app on every runtime that Azure may bring along, on both event loops, and print what passed.

``make test-runtimes``. A runtime is a file of this folder's ``runtimes`` with its version and hashes; it is
installed into a folder of its own, which goes before all others on the worker's path, as the platform's does.
The newest is the one of the project's own environment, which all other tests use.

Why these: the platform decides the runtime, not requirements.txt. 1.1.1 is the one that the worker's sources
name (workers/pyproject.toml of azure-functions-python-worker), 1.2.1 the last one with the defect that
``probe.hosted.complete_runtime`` makes good.
"""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PINNED = sorted((HERE / "runtimes").glob("*.txt"))
LOOPS = ("asyncio", "uvloop")
PROCESSES = os.environ.get("PROCESSES", "3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run of the tests came to."""

    passed: int
    failed: int
    seconds: float
    output: str

    @property
    def ok(self) -> bool:
        return self.passed > 0 and self.failed == 0

    def __str__(self) -> str:
        return f"{self.passed} passed" + (f", {self.failed} FAILED" if self.failed else "")


def installed(pinned: Path) -> Path:
    """Return the folder of a runtime, installed where it is not there or older than its file."""
    folder = pinned.with_suffix("")
    stamp = folder / ".done"
    if not stamp.exists() or stamp.stat().st_mtime < pinned.stat().st_mtime:
        told = ["--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade", "--require-hashes"]
        command = [sys.executable, "-m", "pip", "install", *told, "-r", str(pinned), "--target", str(folder)]
        subprocess.run(command, check=True)  # noqa: S603 - our own words
        stamp.touch()
    return folder


def tested(runtime: str, loop: str) -> Result:
    """Run the tests that depend on the platform, on one runtime and one loop."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        ran = subprocess.run(  # noqa: S603 - our own words
            [
                *(sys.executable, "-m", "pytest", "-q", "-m", "platform", f"--junitxml={report}"),
                *("-n", PROCESSES),
                *("tests/worker", "tests/infra/test_deployed_app.py"),
            ],
            cwd=ROOT,
            env={**os.environ, "LAB_RUNTIME": runtime, "LAB_LOOP": loop},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        cases = list(ET.parse(report).iter("testcase")) if report.exists() else []  # noqa: S314 - pytest's own
    bad = [each for each in cases if each.find("failure") is not None or each.find("error") is not None]
    skipped = [each for each in cases if each.find("skipped") is not None]
    return Result(
        passed=len(cases) - len(bad) - len(skipped),
        failed=len(bad) or int(ran.returncode != 0),
        seconds=time.monotonic() - began,
        output=ran.stdout,
    )


def table(results: dict[tuple[str, str], Result]) -> str:
    """Return the results, a row for each runtime and a column for each loop."""
    rows = [["azure-functions-runtime", *LOOPS]]
    rows += [
        [name, *(f"{results[name, loop]} in {results[name, loop].seconds:.0f} s" for loop in LOOPS)]
        for name in dict.fromkeys(name for name, _ in results)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def main() -> int:
    runtimes = {each.stem: str(installed(each)) for each in PINNED}
    runtimes[version("azure-functions-runtime")] = ""
    results = {}
    for name, folder in runtimes.items():
        for loop in LOOPS:
            results[name, loop] = found = tested(folder, loop)
            print(f"azure-functions-runtime {name} on {loop}: {found} in {found.seconds:.0f} s", flush=True)  # noqa: T201
            if not found.ok:
                print(found.output, flush=True)  # noqa: T201
    print(f"\n{table(results)}")  # noqa: T201
    return 0 if all(each.ok for each in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
