"""Backends that fail, each in its way, and what each adds to a tick: measured with the real exporter.

Rules kept here: loopback only (and a name that nobody has); every backend is a real socket that behaves so.
"""

import asyncio
import logging
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

from probe.adapters import telemetry
from probe.adapters.telemetry.library_logs import THREADS
from probe.core.report import TickReport
from probe.lab.telemetry import capture, tapes
from probe.lab.telemetry.ingestion import BlackHole, Ingestion, Mode, connection_string, refusing_url

TICKS = 4
TARGETS = 100
CYCLE = 6
"""Ticks from one that sends what was summed up to the next, both included, while all is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A backend that fails. ``waits``: it may still answer, so that a tick waits for it as long as it may."""

    name: str
    mode: Mode | None = None
    hole: bool = False
    url: str | None = None
    waits: bool = False


HEALTHY = Backend(name="healthy", mode=Mode.OK)
FAILING = (
    Backend(name="refusing"),
    Backend(name="name that does not resolve", url="http://telemetry.invalid"),
    Backend(name="unreachable", hole=True, waits=True),
    Backend(name="silent", mode=Mode.SILENT, waits=True),
    Backend(name="slow: 3 s", mode=Mode.SLOW, waits=True),
    Backend(name="closing without an answer", mode=Mode.ABRUPT),
    Backend(name="308: a redirect elsewhere", mode=Mode.MOVED),
    Backend(name="400", mode=Mode.BAD_REQUEST),
    Backend(name="401", mode=Mode.UNAUTHORIZED),
    Backend(name="403", mode=Mode.FORBIDDEN),
    Backend(name="429", mode=Mode.THROTTLED),
    Backend(name="500", mode=Mode.ERROR),
    Backend(name="503", mode=Mode.UNAVAILABLE),
    Backend(name="206: one row refused", mode=Mode.PARTIAL),
    Backend(name="no answer that is one", mode=Mode.GARBAGE),
)


@contextmanager
def running(backend: Backend) -> Iterator[str]:
    """Run a backend, and return its URL."""
    if backend.hole:
        with BlackHole() as hole:
            yield hole.url
    elif backend.mode:
        with Ingestion(mode=backend.mode) as ingestion:
            yield ingestion.url
    else:
        yield backend.url or refusing_url()


async def added(reports: Sequence[TickReport], url: str) -> list[float]:
    """Return the seconds that telling each report added, at the flush bound that is the default."""
    bound = telemetry.TelemetrySettings().flush_seconds
    settings = replace(capture.SETTINGS, connection_string=connection_string(url), flush_seconds=bound)
    made = telemetry.build(settings)
    took = []
    for number, report in enumerate(reports):
        begun = time.perf_counter()
        made.emit(report, capture.parent(number))
        await made.flush()
        took.append(time.perf_counter() - begun)
    made.close()
    return took


async def cpu(reports: Sequence[TickReport], url: str) -> list[float]:
    """Return the seconds of CPU that telling each report took, on the thread that does it."""
    made = telemetry.build(replace(capture.SETTINGS, connection_string=connection_string(url)))
    spent = [0.0]
    for report in reports:
        made.emit(report, None)
        await made.flush()
        (sending,) = (each for each in threading.enumerate() if each.name.startswith(THREADS))
        spent.append(time.clock_gettime(time.pthread_getcpuclockid(sending.ident or 0)))
    made.close()
    return [after - before for before, after in pairwise(spent)]


def main() -> None:
    """Print what telling a tick adds to it, for each backend: median and worst; and what CPU it takes."""
    logging.disable()
    healthy, failing = asyncio.run(tapes.play((tapes.Scene(), tapes.Scene(primary="503"))))
    print("| backend | added to a tick, ms: median, worst |\n| --- | --- |")
    for backend in (HEALTHY, *FAILING):
        with running(backend) as url:
            took = asyncio.run(added([healthy, failing] * (TICKS // 2), url))
        print(
            f"| {backend.name} | {statistics.median(took) * 1000:,.0f}, {max(took) * 1000:,.0f} |", flush=True
        )
    fleet = asyncio.run(tapes.play((tapes.Scene(),) * CYCLE, targets=tapes.fleet(TARGETS)))
    with running(HEALTHY) as url:
        _, *warm = asyncio.run(cpu([fleet[0], *fleet], url))
    each = ", ".join(f"{seconds / TARGETS * 1000:.2f}" for seconds in warm)
    print(f"\nms of CPU for each of {TARGETS} targets, by tick: {each}")


if __name__ == "__main__":
    main()
