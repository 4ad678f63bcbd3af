"""The play: the app ticks through all scenes once, and what it sent is kept for the tests to look at."""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from probe.lab.account.pair import Pair
from probe.lab.account.replicator import Status
from probe.lab.telemetry.ingestion import Ingestion, Mode
from tests.contract.scenes import RPO, SCENES, Scene, Stage
from tests.timing import PATIENCE

ROOT = Path(__file__).parents[2]
APP_NAME = "func-probe-paris"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What was sent: by scene to Azure Monitor, and all of it as OTLP."""

    by_scene: dict[str, list[dict[str, Any]]]
    told: dict[str, str]
    rest: list[dict[str, Any]]
    logs: list[bytes]
    traces: list[bytes]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return all rows that Azure Monitor was sent."""
        return [row for rows in (*self.by_scene.values(), self.rest) for row in rows]

    def of(self, base_type: str) -> list[dict[str, Any]]:
        """Return the data of the rows of this type."""
        return [row["data"]["baseData"] for row in self.rows if row["data"]["baseType"] == base_type]

    def resources(self) -> list[Any]:
        """Return the resource of each request for spans, as OTLP has it."""
        requests = [ExportTraceServiceRequest.FromString(each) for each in self.traces]
        return [held.resource for each in requests for held in each.resource_spans]

    def spans(self) -> list[Any]:
        """Return the spans, as OTLP has them."""
        requests = [ExportTraceServiceRequest.FromString(each) for each in self.traces]
        scopes = [scope for each in requests for held in each.resource_spans for scope in held.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    def lines(self) -> list[Any]:
        """Return the log records that are neither results nor events, as OTLP has them."""
        requests = [ExportLogsServiceRequest.FromString(each) for each in self.logs]
        scopes = [scope for each in requests for held in each.resource_logs for scope in held.scope_logs]
        return [record for scope in scopes for record in scope.log_records if not record.event_name]


def settings(pair: Pair, ingestion: Ingestion) -> dict[str, str]:
    assert pair.names
    assert pair.certificates
    return {
        "ProbedStorage": pair.connection_string,
        "AzureWebJobsStorage": pair.host_connection_string,
        "LAB_NAMES": str(pair.names.file),
        "SSL_CERT_FILE": str(pair.certificates.ca),
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
        "OTEL_EXPORTER_OTLP_ENDPOINT": ingestion.url,
        "PROBE_TRACES": "all",
        "PROBE_CONTAINER": "contract",
        "PROBE_READS": "3",
        "PROBE_ATTEMPTS": "1",
        "PROBE_CONNECT_TIMEOUT": "0.8",
        "PROBE_DEADLINE": "1",
        "PROBE_SLOW_AFTER": "0.4",
        "PROBE_TICK_BUDGET": "5",
        "PROBE_FLUSH": "10",
        "PROBE_RPO": str(RPO),
        "PROBE_FAILURE_THRESHOLD": "1",
        "PROBE_SECONDARY_READS": "1",
        "PROBE_SUCCESS_THRESHOLD": "1",
        "PROBE_VANTAGE": "here",
        # What the platform sets.
        "WEBSITE_SITE_NAME": APP_NAME,
        "WEBSITE_INSTANCE_ID": "instance-1",
        "REGION_NAME": "France Central",
        "NO_PROXY": "*",
    }


class App:
    """The process that ticks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, command: str) -> str:
        """Let it tick, and return what it tells of the tick."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{command}\n".encode())
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        assert line, "the app ended"
        return line.decode().strip()

    async def end(self) -> None:
        """Let it send what is left, and end."""
        assert self._process.stdin
        self._process.stdin.close()
        assert await asyncio.wait_for(self._process.wait(), PATIENCE) == 0


async def start(environment: dict[str, str]) -> asyncio.subprocess.Process:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.contract.app",
        cwd=ROOT,
        env={**kept, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def play(scene: Scene, stage: Stage, app: App) -> str:
    """Let one scene happen, and put everything right after it."""
    pair = stage.pair
    pair.replicator.status = scene.replication
    pair.replicator.lag = scene.lag
    stage.ingestion.mode = scene.backend
    if scene.before:
        await scene.before(stage)
    for proxy, faults in zip((pair.primary, pair.secondary, pair.host), scene.faults, strict=True):
        for each in faults:
            proxy.fault(each, also=True)
    told = await app.ask(scene.command)
    stage.ingestion.mode = Mode.OK
    pair.heal()
    if scene.lag == 0 and scene.replication is Status.LIVE:
        await pair.replicator.caught_up()
    return told


@pytest.fixture(scope="session")
def played() -> Played:
    """Play all scenes, in order, against one app."""
    return asyncio.run(_played())


async def _played() -> Played:
    async with AsyncExitStack() as stack:
        ingestion = stack.enter_context(Ingestion())
        pair = await stack.enter_async_context(Pair(https=True, names=True, host=True))
        process = await start(settings(pair, ingestion))
        stack.callback(lambda: process.returncode is None and process.kill())
        app, stage = App(process), Stage(pair=pair, ingestion=ingestion)
        by_scene, told = {}, {}
        for scene in SCENES:
            before = len(ingestion.envelopes)
            told[scene.name] = await play(scene, stage, app)
            by_scene[scene.name] = ingestion.envelopes[before:]
        before = len(ingestion.envelopes)
        await app.end()
        return Played(
            by_scene=by_scene,
            told=told,
            rest=ingestion.envelopes[before:],
            logs=ingestion.bodies("/v1/logs"),
            traces=ingestion.bodies("/v1/traces"),
        )
