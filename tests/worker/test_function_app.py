"""The deployed function app in the real worker runtime, on two real Azurites and its own storage."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from azure.storage.queue import TextBase64EncodePolicy
from azure.storage.queue.aio import QueueClient

from probe.lab.functions.config import Trigger
from probe.lab.functions.host import Host
from probe.lab.run import APP
from tests.integration.probe_runs import environment
from tests.timing import PATIENCE

session_loop = pytest.mark.asyncio(loop_scope="session")
NEVER = "0 0 0 1 1 *"


def settings(pair, **more):
    """Return app settings as deployed: the state and the queue in the host's own account."""
    found = environment(pair, "AzureWebJobsStorage", **{"PROBE_SCHEDULE": NEVER, **more})
    return {"FUNCTIONS_WORKER_RUNTIME": "python", **found}


def host(pair, *functions, lines=None, **more):
    tell = (lines if lines is not None else []).append
    return Host(APP, settings(pair, **more), functions=functions or None, port=0, schedules=False, tell=tell)


async def get(url, **headers):
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.text(), answer.content_type


@pytest.mark.platform
@session_loop
async def test_the_functions_are_indexed_with_their_triggers_and_auth_levels(pair):
    async with host(pair, PROBE_VANTAGE="index") as running:
        found = {each.name: each for each in running.functions}

    assert {name: each.kind for name, each in found.items()} == {
        "probe_tick": Trigger.TIMER,
        "probe_shard": Trigger.QUEUE,
        "status": Trigger.HTTP,
        "health": Trigger.HTTP,
    }
    assert found["status"].auth_level.lower() == "function"
    assert found["health"].auth_level.lower() == "anonymous"
    assert found["probe_tick"].trigger.details["schedule"] == NEVER
    assert found["probe_tick"].trigger.details.get("runOnStartup", False) is False


@pytest.mark.platform
@session_loop
async def test_a_tick_by_the_timer_is_told_in_a_line_and_in_the_status(pair):
    lines = []
    patient = dict.fromkeys(("PROBE_DEADLINE", "PROBE_CONNECT_TIMEOUT", "PROBE_SLOW_AFTER"), "5")
    async with host(pair, lines=lines, PROBE_VANTAGE="tick", **patient) as running:
        before = await get(running.url("health"))
        fired = await running.fire("probe_tick")
        health = await get(running.url("health"))
        status = await get(running.url("status") + "?format=json")
    body = json.loads(status[1])

    assert fired.succeeded
    assert before[0] == 503, "nothing has ticked yet"
    assert (health[0], status[0], status[2]) == (200, 200, "application/json")
    assert any(
        re.search(r"devstoreaccount1 ok, redundancy \w+ \| primary healthy .* reads PPPPP", line)
        for line in lines
    )
    assert body["fresh"] is True
    assert body["targets"][0]["verdict"] == "ok"
    assert body["targets"][0]["history"][-1]["served"] == {"primary": 5, "secondary": 0, "none": 0}
    assert "devstoreaccount1" not in health[1], "the heartbeat tells no details"


@pytest.mark.platform
@pytest.mark.usefixtures("worker_loop")
@session_loop
async def test_an_outage_is_routed_around_and_left_in_the_real_worker(pair):
    async with host(
        pair,
        PROBE_VANTAGE=f"outage-{uuid.uuid4().hex[:6]}",  # a state of its own for each loop
        PROBE_SECONDARY_READS="5",
        PROBE_SCHEDULE="*/2 * * * * *",
        PROBE_TICK_BUDGET="1.9",
        PROBE_DEADLINE="1.8",
        PROBE_CONNECT_TIMEOUT="1.8",
        PROBE_SLOW_AFTER="1.8",
    ) as running:
        url = running.url("status") + "?format=json"
        verdicts = []
        for broken in (False, True, False, False):
            pair.heal()
            if broken:
                pair.primary.fault("status", code=503)
            await running.fire("probe_tick")
            target = json.loads((await get(url))[1])["targets"][0]
            verdicts.append((target["verdict"], target["breaker"]["state"]))
            await asyncio.sleep(2.05)  # real time: a tick of the same two seconds would be a duplicate

    assert verdicts == [("ok", "closed"), ("rerouted", "open"), ("rerouted", "closed"), ("ok", "closed")]


@pytest.mark.platform
@session_loop
async def test_a_fleet_goes_over_the_queue_to_other_instances(pair):
    """The timer, the queue and HTTP run in three processes, as on a Flex plan."""
    names = [f"account-{number}" for number in range(5)]
    fleet = [{"name": each, "connection": "ProbedStorage", "blob": f"{each}.png"} for each in names]
    more = {"PROBE_TARGETS": json.dumps(fleet), "PROBE_SHARD_SIZE": "2", "PROBE_VANTAGE": "fleet"}
    shared = settings(pair, **more, PROBE_QUEUE="fleet-shards")

    def instance(*functions):
        return Host(APP, shared, functions=functions, port=0, schedules=False, tell=lambda _: None)

    async with instance("probe_tick") as timer, instance("probe_shard") as queue, instance("status") as http:
        fired = await timer.fire("probe_tick")
        async with asyncio.timeout(PATIENCE):
            while sum(each.succeeded for each in queue.invocations) < 3:
                await asyncio.sleep(0.05)
        body = json.loads((await get(http.url("status") + "?format=json"))[1])

    assert fired.succeeded
    assert len(timer.invocations) == 1
    assert [each["name"] for each in body["targets"]] == names
    assert {each["verdict"] for each in body["targets"]} == {"ok"}
    assert [each["ticks"] for each in body["shards"]] == [1, 1, 1]


@pytest.mark.platform
@session_loop
async def test_a_late_message_is_dropped_and_a_foreign_one_fails(pair):
    lines = []
    late = {
        "schema": 1,
        "shard": 0,
        "shards": 1,
        "scheduled_at": (datetime.now(UTC) - timedelta(days=400)).isoformat(),
        "past_due": False,
    }
    async with host(pair, lines=lines, PROBE_VANTAGE="late", PROBE_QUEUE="late-shards") as running:
        queue = QueueClient.from_connection_string(
            pair.host_connection_string, "late-shards", message_encode_policy=TextBase64EncodePolicy()
        )
        async with queue:
            await queue.create_queue()
            await queue.send_message(json.dumps(late))
            await queue.send_message("not a shard")
        async with asyncio.timeout(PATIENCE):
            while len(running.invocations) < 2:
                await asyncio.sleep(0.05)
        outcomes = sorted(each.succeeded for each in running.invocations)
        status = json.loads((await get(running.url("status")))[1])

    assert outcomes[0] is False
    assert True in outcomes
    assert any("was skipped: it was scheduled" in line for line in lines)
    assert any("is not a shard's" in line for line in lines)
    assert status["shards"][0]["ticks"] == 0


@session_loop
async def test_settings_that_cannot_be_used_fail_the_tick_with_every_problem(pair):
    lines = []
    async with host(pair, lines=lines, PROBE_READS="many", PROBE_RPO="-1") as running:
        fired = await running.fire("probe_tick")
        health = await get(running.url("health"))

    assert not fired.succeeded
    assert "PROBE_READS" in fired.failure.message
    assert "PROBE_RPO" in fired.failure.message
    assert health[:2] == (503, "stale")
    assert "AccountKey" not in "".join(lines)


@pytest.mark.parametrize(
    ("more", "number"),
    [
        pytest.param([], signal.SIGINT, id="until Ctrl-C"),
        pytest.param(["--churn"], signal.SIGTERM, id="process after process, until terminated"),
    ],
)
def test_make_run_ticks_by_the_schedule_until_it_is_ended(tmp_path, more, number):
    """The command behind ``make run``, by the clock: real time is what is tested."""
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "probe.lab", "run", "--port", "0", "--admin-port", "0", *more],
            cwd=APP,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                **os.environ,
                "PROBE_SCHEDULE": "* * * * * *",
                "PROBE_TICK_BUDGET": "0.9",
                "PROBE_DEADLINE": "0.5",
            },
        )
        try:
            text = _until(tmp_path / "out", r"reads PPPPP(.|\n)*reads PPPPP")
            url = re.search(r"(http://\S+)/api/status\?format=json", text)[1]
            with urllib.request.urlopen(f"{url}/api/health") as answer:  # noqa: S310 - our own address
                health = answer.status
        finally:
            process.send_signal(number)
            code = process.wait(20)  # 3 s are promised, on a machine that has nothing else to do

    assert health == 200
    assert code == 0
    assert _group(process.pid) == []


def _until(path: Path, pattern: str) -> str:
    deadline = time.monotonic() + 40
    while not re.search(pattern, text := path.read_text()):
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    return text


def _group(leader: int) -> list[str]:
    """Return the processes of a session that are still there (Linux)."""
    left = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            left.append(entry.parent.name)
    return left
