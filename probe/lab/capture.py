"""The capture: what the real exporters put on the wire for a tape, taken by the lab's ingestion endpoint.

Rules kept here: nothing is made up here; the volatile (ids, clocks, versions, this machine) is only replaced
where it is asked for, by ``settled``, and always by the same words.
"""

import asyncio
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from probe.adapters import telemetry
from probe.adapters.telemetry.settings import TelemetrySettings, Traces
from probe.core.report import TickReport, time_text
from probe.lab.ingestion import Ingestion
from probe.lab.tapes import TAPES, play
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
    """Answer the trace parent of the tape's tick with this number, from 0."""
    return TraceParent(traceparent=f"00-{0xABCDEF0000 + number:032x}-{0x1000 + number:016x}-01")


async def azure_monitor(
    reports: Sequence[TickReport], *, traces: Traces = Traces.FAILURES, parents: bool = True
) -> list[Taken]:
    """Send each report by the real Azure Monitor exporter, and answer what arrived for it."""
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
    """Send the reports by the real OTLP exporters, and answer the bodies that arrived, by path."""
    with Ingestion() as ingestion:
        with otlp_environment(ingestion.url):
            sending = telemetry.build(replace(SETTINGS, otlp=True, traces=traces))
        for number, report in enumerate(reports):
            sending.emit(report, parent(number))
            await sending.flush()
        sending.close()
        return {path: ingestion.bodies(path) for path in ("/v1/logs", "/v1/metrics", "/v1/traces")}
