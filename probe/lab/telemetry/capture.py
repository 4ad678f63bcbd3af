"""The capture: what the real exporters put on the wire for a tape, taken by the lab's ingestion endpoint.

Rules kept here: nothing is made up here; the volatile (ids, clocks, versions, this machine) is only replaced
where it is asked for, by ``settled``, and always by the same words.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from probe.adapters import telemetry
from probe.adapters.telemetry.settings import TelemetrySettings, Traces
from probe.core.report import TickReport
from probe.core.times import time_text
from probe.lab.telemetry.ingestion import Ingestion
from probe.lab.telemetry.tapes import TAPES, play
from probe.ports import TraceParent

SETTINGS = TelemetrySettings(
    vantage="francecentral",
    region="francecentral",
    service_name="probe-francecentral",
    service_version="1.0.0",
    faas_name="probe-francecentral",
    faas_instance="0--instance",
    flush_seconds=10,
    on_sigterm=False,
)
type Envelope = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one tick put on the wire."""

    report: TickReport
    envelopes: list[Envelope]


def parent(number: int) -> TraceParent:
    """Return the trace parent of the tape's tick with this number, from 0."""
    return TraceParent(traceparent=f"00-{0xABCDEF0000 + number:032x}-{0x1000 + number:016x}-01")


async def azure_monitor(
    reports: Sequence[TickReport], *, traces: Traces = Traces.FAILURES, parents: bool = True
) -> list[Taken]:
    """Send each report by the real Azure Monitor exporter, and return what arrived for it."""
    taken = []
    with Ingestion() as ingestion:
        settings = replace(SETTINGS, connection_string=ingestion.connection_string, traces=traces)
        sending = telemetry.build(settings)
        for number, report in enumerate(reports):
            before = len(ingestion.envelopes)
            sending.emit(report, parent(number) if parents else None)
            await sending.flush()
            taken.append(Taken(report=report, envelopes=ingestion.envelopes[before:]))
        sending.close()
    return taken


@contextmanager
def otlp_environment(url: str) -> Iterator[None]:
    """Set the standard variable that the OTLP exporters read, for as long as they are made."""
    name = "OTEL_EXPORTER_OTLP_ENDPOINT"
    before = os.environ.get(name)
    os.environ[name] = url
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


async def otlp(reports: Sequence[TickReport], *, traces: Traces = Traces.FAILURES) -> dict[str, list[bytes]]:
    """Send the reports by the real OTLP exporters, and return the bodies that arrived, by path."""
    with Ingestion() as ingestion:
        with otlp_environment(ingestion.url):
            sending = telemetry.build(replace(SETTINGS, otlp=True, traces=traces))
        for number, report in enumerate(reports):
            sending.emit(report, parent(number))
            await sending.flush()
        sending.close()
        return {path: ingestion.bodies(path) for path in ("/v1/logs", "/v1/metrics", "/v1/traces")}


async def tape(name: str, *, traces: Traces = Traces.FAILURES) -> list[Taken]:
    """Play a tape and return what each of its ticks put on the wire."""
    return await azure_monitor(await play(TAPES[name]), traces=traces)


GOLDEN = {
    "healthy": (0, 1),
    "failing_primary": (2, 3),
    "recovery": (5,),
    "corrupt_canary": (1,),
    "lagging_secondary": (18,),
    "lost_secondary": (1,),
    "denied": (1,),
    "both_down": (1,),
    "blind": (1,),
    "twice": (1,),
}
"""The ticks of each tape, from 0, that are kept as golden files."""

_VOLATILE_TAGS = (
    "ai.device.id",
    "ai.device.locale",
    "ai.internal.sdkVersion",
)


def settled(taken: Taken) -> list[Envelope]:
    """Return a tick's envelopes with what differs from run to run, or between machines, replaced.

    Ids keep their identity within the tick: the same id becomes the same word. A metric's time, which is that
    of its collection, becomes the end of the tick.
    """
    names: dict[str, str] = {}
    end = time_text(taken.report.started_at + taken.report.duration)
    return [_settled(each, names, end) for each in taken.envelopes]


def _settled(envelope: Envelope, names: dict[str, str], end: str) -> Envelope:
    kind = envelope["data"]["baseType"]
    tags = {key: "…" if key in _VOLATILE_TAGS else value for key, value in envelope["tags"].items()}
    data = dict(envelope["data"]["baseData"])
    for where, key in ((tags, "ai.operation.id"), (tags, "ai.operation.parentId"), (data, "id")):
        if key in where and not _is_parents(where[key]):
            where[key] = names.setdefault(where[key], f"<id {len(names) + 1}>")
    return {
        **envelope,
        "tags": tags,
        "time": end if kind == "MetricData" else envelope["time"],
        "data": {"baseType": kind, "baseData": data},
    }


def _is_parents(value: str) -> bool:
    """Return whether an id is one that ``parent`` gave: those are the same in every run."""
    return value.startswith("0000000000")


async def golden() -> dict[str, list[Envelope]]:
    """Return the golden files' contents, by name."""
    found = {}
    for name, ticks in GOLDEN.items():
        taken = await tape(name)
        found[name] = [envelope for tick in ticks for envelope in settled(taken[tick])]
    return found


def text(envelopes: Sequence[Envelope]) -> str:
    """Return envelopes as the golden files have them: JSON, a line for each thing to look at."""
    return "[\n" + ",\n".join(map(_lines, envelopes)) + "\n]\n"


def _lines(envelope: Envelope) -> str:
    head = ", ".join(f'"{key}": {_json(envelope[key])}' for key in ("name", "time", "iKey"))
    base = envelope["data"]["baseData"]
    data = ",\n    ".join(f'"{key}": {_json(value)}' for key, value in base.items())
    kind = _json(envelope["data"]["baseType"])
    tags = _json(envelope["tags"])
    return f' {{{head},\n  "tags": {tags},\n  "data": {{"baseType": {kind}, "baseData": {{\n    {data}}}}}}}'


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Capture what the real exporter sends for each scene, and write it into a folder."""
    parser = argparse.ArgumentParser(prog="python -m probe.lab.telemetry.capture", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("tests/telemetry/golden"))
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, envelopes in asyncio.run(golden()).items():
        path = folder / f"{name}.json"
        path.write_text(text(envelopes), encoding="utf-8")
        print(f"{path}: {len(envelopes)} rows")


if __name__ == "__main__":
    main()
