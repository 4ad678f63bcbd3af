"""Telemetry from the deployed function app in the real worker runtime, to a backend on loopback."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from probe import fleet
from probe.fleet import Message
from probe.lab.functions.host import Host, Invocation
from probe.lab.functions.process import string
from probe.lab.run import APP
from probe.lab.telemetry.ingestion import Ingestion, Mode
from tests.integration.probe_runs import environment, seed

session_loop = pytest.mark.asyncio(loop_scope="session")
pytestmark = pytest.mark.platform
NEVER = "0 0 0 1 1 *"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SWITCHES = {
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "PYTHON_ENABLE_OPENTELEMETRY": "true",
}
"""As deployed."""


@contextlib.asynccontextmanager
async def host(pair, ingestion, *functions, **more):
    """Host the app on an account that has had its canary for a while, with a state of its own."""
    settings = environment(pair, "AzureWebJobsStorage", PROBE_SCHEDULE=NEVER)
    telemetry = {
        **SWITCHES,
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
        "NO_PROXY": "*",
    }
    chosen = {**settings, **telemetry, **more, "PROBE_VANTAGE": uuid.uuid4().hex[:12]}
    kept = {name: value for name, value in chosen.items() if value is not None}
    await seed(kept, pair)
    async with Host(
        APP, kept, functions=functions, port=None, schedules=False, tell=lambda _: None
    ) as running:
        yield running


def of_type(ingestion, base_type):
    return [each for each in ingestion.envelopes if each["data"]["baseType"] == base_type]


def metric(ingestion, name):
    sent = [each["data"]["baseData"] for each in of_type(ingestion, "MetricData")]
    return sum(each["metrics"][0]["value"] for each in sent if each["metrics"][0]["name"] == name)


@pytest.mark.usefixtures("worker_loop")
@session_loop
async def test_one_timer_invocation_yields_one_tick_s_telemetry_before_the_function_returns(pair):
    with Ingestion() as ingestion:
        async with host(pair, ingestion, "probe_tick", PROBE_TRACES="all") as running:
            fired = await running.fire("probe_tick", trace_parent=PARENT)
            kinds = Counter(each["data"]["baseType"] for each in ingestion.envelopes)
            names = {each["data"]["baseData"]["name"] for each in of_type(ingestion, "AvailabilityData")}

        assert fired.succeeded
        assert kinds["AvailabilityData"] == 3
        assert names == {f"devstoreaccount1 {what}" for what in ("primary", "secondary", "reads")}
        assert metric(ingestion, "probe.ticks") == 1
        assert metric(ingestion, "probe.reads") == 5
        assert kinds["RemoteDependencyData"] == 1 + 9, "the tick; a look at both, a write, 5 reads, the stats"


@session_loop
async def test_the_telemetry_continues_the_trace_parent_that_the_invocation_carried(pair):
    with Ingestion() as ingestion:
        async with host(pair, ingestion, "probe_tick", PROBE_TRACES="all") as running:
            fired = await running.fire("probe_tick", trace_parent=PARENT)

        tied = [each for each in ingestion.envelopes if each["data"]["baseType"] != "MetricData"]
        spans = {each["data"]["baseData"]["id"]: each for each in of_type(ingestion, "RemoteDependencyData")}
    (tick,) = [each for each in spans.values() if each["data"]["baseData"]["name"] == "probe tick"]
    _, trace, invocation, _ = fired.trace_parent.split("-")
    assert trace == TRACE
    assert {each["tags"]["ai.operation.id"] for each in tied} == {trace}
    assert tick["tags"]["ai.operation.parentId"] == invocation
    attempts = [each for each in spans.values() if each is not tick]
    assert {each["tags"]["ai.operation.parentId"] for each in attempts} == {tick["data"]["baseData"]["id"]}


@session_loop
@pytest.mark.parametrize(
    "switches",
    [
        pytest.param({}, id="as deployed"),
        pytest.param({"PYTHON_ENABLE_OPENTELEMETRY": None}, id="worker's OpenTelemetry off"),
        pytest.param(
            {"PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true"}, id="its own configuration asked for"
        ),
    ],
)
async def test_whatever_the_worker_s_switches_say_no_row_is_doubled_and_the_trace_is_kept(pair, switches):
    with Ingestion() as ingestion:
        async with host(pair, ingestion, "probe_tick", **switches) as running:
            fired = await running.fire("probe_tick", trace_parent=PARENT)

        results = of_type(ingestion, "AvailabilityData")
    assert fired.succeeded
    assert len(results) == 3
    assert {each["tags"]["ai.operation.id"] for each in results} == {TRACE}


def shard_message(number: int) -> str:
    """Return a message of the only shard, scheduled a second after the one before."""
    first = datetime.now(UTC) - timedelta(hours=1)
    return fleet.encode(Message(shard=0, shards=1, scheduled_at=first + timedelta(seconds=number)))


async def invoke(running: Host, number: int) -> Invocation:
    (function,) = [each for each in running.functions if each.name == "probe_shard"]
    return await running._invoke(function, string(shard_message(number)), trace_parent=PARENT)


def grown(pid: int) -> tuple[int, float]:
    """Return a process's threads and resident megabytes (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return int(values["Threads"]), int(values["VmRSS"].split()[0]) / 1024


@session_loop
async def test_fifty_invocations_yield_fifty_ticks_and_no_growth_of_threads_or_memory(pair):
    with Ingestion() as ingestion:
        async with host(pair, ingestion, "probe_shard", PROBE_TRACES="all") as running:
            pid = await running.worker_pid()
            ended = [await invoke(running, number) for number in range(20)]
            before = grown(pid)
            ended += [await invoke(running, number) for number in range(20, 50)]
            after = grown(pid)

        ticks = [
            each
            for each in of_type(ingestion, "RemoteDependencyData")
            if each["data"]["baseData"]["name"] == "probe tick"
        ]
        assert all(each.succeeded for each in ended)
        assert metric(ingestion, "probe.ticks") == 50
        assert len(of_type(ingestion, "AvailabilityData")) == 150
        assert len(ticks) == 50
    assert after[0] <= before[0]
    assert after[1] - before[1] < 3, "megabytes in 30 ticks"


@pytest.mark.usefixtures("worker_loop")
@session_loop
@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.UNAVAILABLE], ids=["silent", "503"])
async def test_a_dead_backend_neither_fails_an_invocation_nor_holds_it_longer_than_the_bound(pair, mode):
    with Ingestion(mode=mode) as ingestion:
        more = {"PROBE_FLUSH": "0.3"}
        async with host(pair, ingestion, "probe_shard", **more) as running:
            first = await invoke(running, 0)
            ended = [await invoke(running, number) for number in range(1, 4)]
            said = [
                each.message for one in (first, *ended) for each in one.logs if "elemetry" in each.message
            ]

    assert all(each.succeeded for each in (first, *ended))
    # Without the bound the silent one would hold each tick for 10 s; a busy machine delays some of them.
    assert min(each.duration.total_seconds() for each in ended) < 1.0
    assert len(said) <= 1


@pytest.mark.usefixtures("worker_loop")
@session_loop
async def test_what_is_still_on_its_way_is_sent_when_the_worker_is_terminated(pair, until):
    """In the middle of a flush, which waits no longer for it: the spans go as the third of three requests."""
    pair.primary.fault("status", code=503)
    with Ingestion(mode=Mode.SLOW, delay=0.5) as ingestion:
        async with host(pair, ingestion, "probe_shard", PROBE_FLUSH="10") as running:
            pid = await running.worker_pid()
            invoked = asyncio.create_task(invoke(running, 0))
            await until(lambda: ingestion.requests, "the first request")
            before = [each["data"]["baseType"] for each in ingestion.envelopes]
            os.kill(pid, signal.SIGTERM)
            await until(lambda: _ended(pid), "the worker's end")
            ended = await invoked

    assert not ended.succeeded
    assert "RemoteDependencyData" not in before
    assert of_type(ingestion, "RemoteDependencyData")


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize(("switch", "declared"), [("true", "true"), ("", "None")], ids=["on", "off"])
def test_the_worker_tells_the_host_to_pass_no_log_lines_on_where_its_switch_says_so(switch, declared):
    """Why the switch is on as deployed: our own warnings are sent by us, once, in their tick's trace."""
    text = """
import asyncio, sys
import azure_functions_runtime as runtime
from probe.lab.functions.worker import PROTOS, Message
async def init():
    message = Message(capabilities={}, function_app_directory=sys.argv[1])
    properties = {"protos": PROTOS, "host": "127.0.0.1"}
    request = Message(request=Message(worker_init_request=message), properties=properties)
    return await runtime.worker_init_request(request)
print(asyncio.run(init()).capabilities.get("WorkerOpenTelemetryEnabled"))
"""
    ran = subprocess.run(  # noqa: S603 - our own text
        [sys.executable, "-c", text, str(APP)],
        cwd=APP,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(APP), "PYTHON_ENABLE_OPENTELEMETRY": switch},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert ran.stdout.strip() == declared
