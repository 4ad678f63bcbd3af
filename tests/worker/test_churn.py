"""Instances that live for one tick: each tick in a new process, ended by SIGTERM or SIGKILL in turn."""

import asyncio
import json
import os
import signal
from datetime import UTC, datetime

import pytest

from probe.core.report import time_text
from probe.lab.run import instance
from tests.timing import PATIENCE
from tests.worker.test_function_app import get, settings

session_loop = pytest.mark.asyncio(loop_scope="session")
pytestmark = pytest.mark.platform
QUICK = {
    "PROBE_SCHEDULE": "* * * * * *",
    "PROBE_TICK_BUDGET": "0.9",
    "PROBE_DEADLINE": "0.8",
    "PROBE_CONNECT_TIMEOUT": "0.8",
    "PROBE_SLOW_AFTER": "0.8",
}


def churned(pair, name, **more):
    held = settings(pair, **{**QUICK, **more})
    return instance(name, held, churn=True, schedules=False, tell=lambda _: None)


def served(pair, **more):
    """Return the instance for HTTP; with a slow schedule, so that a busy machine's ticks are fresh to it."""
    held = settings(pair, **{**QUICK, **more, "PROBE_SCHEDULE": "0 * * * * *"})
    return instance("http", held, port=0, tell=lambda _: None)


async def target(http):
    return json.loads((await get(http.url("status")))[1])["targets"][0]


@session_loop
async def test_an_outage_is_routed_around_and_left_though_no_process_sees_two_ticks(pair):
    """The breaker, the canary's sequence, the history and the health are all in the saved state."""
    more = {"PROBE_VANTAGE": "churn", "PROBE_SECONDARY_READS": "5", "PROBE_CONTAINER": "churn"}
    pids, seen, sequences, healths = [], [], [], []
    async with churned(pair, "timer", **more) as timer, served(pair, **more) as http:
        for broken in (False, True, True, False, False, False):
            pair.heal()
            if broken:
                pair.primary.fault("status", code=503)
            pids.append(await timer.worker_pid())
            fired = await timer.fire("probe_tick")
            assert fired.succeeded
            found = await target(http)
            seen.append((found["verdict"], found["breaker"]["state"]))
            sequences.append(found["write"]["sequence"])
            healths.append((await get(http.url("health")))[0])
        ended, final = list(timer.churned), found

    assert len(set(pids)) == 6
    assert set(ended) == {signal.SIGTERM, signal.SIGKILL}
    assert seen[:2] == [("ok", "closed"), ("rerouted", "open")]
    assert seen[-1] == ("ok", "closed")
    assert healths == [200] * 6
    assert len(final["history"]) == 6
    assert sequences[-3:] == sorted(set(sequences[-3:])), "each tick goes on from the one before"
    assert sequences[-1] > sequences[0] == 1


@session_loop
async def test_a_fleet_goes_over_the_queue_to_workers_that_each_live_for_their_messages(pair):
    names = [f"account-{number}" for number in range(4)]
    fleet = [{"name": each, "connection": "ProbedStorage", "blob": f"{each}.png"} for each in names]
    more = {
        "PROBE_TARGETS": json.dumps(fleet),
        "PROBE_SHARD_SIZE": "2",
        "PROBE_VANTAGE": "churned-fleet",
        "PROBE_QUEUE": "churned-shards",
        "PROBE_CONTAINER": "churned-fleet",
        "PROBE_SCHEDULE": "0 0 0 1 1 *",
        "PROBE_TICK_BUDGET": "20",
        "PROBE_DEADLINE": "5",
    }
    async with churned(pair, "timer", **more) as timer, churned(pair, "queue", **more) as queue:
        assert (await timer.fire("probe_tick")).succeeded
        async with asyncio.timeout(PATIENCE), served(pair, **more) as http:
            body = {"shards": [{"ticks": 0}]}
            while [each["ticks"] for each in body["shards"]] != [1, 1]:
                await asyncio.sleep(0.1)
                body = json.loads((await get(http.url("status")))[1])
        ended = len(timer.churned), len(queue.churned)

    assert {each["verdict"] for each in body["targets"]} == {"ok"}
    assert ended[0] == 1
    assert ended[1] >= 1


@session_loop
async def test_a_worker_killed_in_the_middle_of_a_tick_loses_that_tick_and_no_other(pair):
    """SIGKILL while the canary's write hangs: nothing was saved, so the next tick does it all again."""
    more = {"PROBE_VANTAGE": "killed", "PROBE_CONTAINER": "killed"}
    async with churned(pair, "timer", **more) as timer, served(pair, **more) as http:
        await timer.fire("probe_tick")
        pair.primary.fault("black_hole")
        firing = asyncio.create_task(timer.fire("probe_tick"))
        pid = await timer.worker_pid()
        await asyncio.sleep(0.15)  # real time: the kill is to come while the tick waits for the primary
        os.kill(pid, signal.SIGKILL)
        killed = await firing
        pair.heal()
        before = time_text(datetime.now(UTC))
        after = await timer.fire("probe_tick")
        found = await target(http)

    assert "was ended by SIGKILL" in killed.failure.message
    assert after.succeeded
    assert (found["verdict"], found["write"]["sequence"]) == ("ok", 2)
    assert len(found["history"]) == 2
    assert found["at"] >= before
