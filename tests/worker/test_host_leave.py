"""How workers and hosts end: in time, in every case, with nothing left behind."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from probe.lab.functions.config import HostError
from tests.timing import PATIENCE

ROOT = Path(__file__).parents[2]
LEAVING = 20.0
"""Seconds: 3 are promised, on a machine that has nothing else to do. What must not be waited for takes 60."""

HANGING = [
    pytest.param({"sleep": 60}, id="it sleeps"),
    pytest.param({"stubborn": 60}, id="it refuses to be cancelled"),
    pytest.param({"block": 60}, id="it blocks the event loop"),
]


def alive(pid):
    """Tell whether a process runs; one that has ended and only waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def started(stage, host):
    """Fire a timer that says so and hangs; wait until it does."""
    firing = asyncio.create_task(host.fire("tick"))
    await stage.until_told("under way")
    return firing


@pytest.mark.parametrize("hang", HANGING)
async def test_a_function_past_its_timeout_fails_and_its_worker_is_replaced(stage, hang):
    stage.order(**hang)
    async with stage.host(
        "tick", schedules=False, app=stage.app_with(functionTimeout="00:00:00.500")
    ) as host:
        before = await host.worker_pid()
        failed = await host.fire("tick")
        stage.order()
        after = await host.fire("tick")
        pid = await host.worker_pid()

    assert "FunctionTimeout" in failed.failure.message
    assert after.succeeded
    assert pid != before
    assert not alive(before)


@pytest.mark.parametrize("hang", HANGING)
async def test_a_host_leaves_in_time_while_an_invocation_hangs(stage, hang):
    stage.order(say="under way", **hang)
    async with stage.host("tick", schedules=False) as host:
        worker = await host.worker_pid()
        firing = await started(stage, host)
        leaving = time.monotonic()
    took = time.monotonic() - leaving
    firing.cancel()

    assert took < LEAVING
    assert not alive(worker)


async def test_a_running_invocation_gets_a_short_grace(stage):
    stage.order(say="under way", sleep=0.2)
    async with stage.host("tick", schedules=False) as host:
        firing = await started(stage, host)

    assert (await firing).succeeded


class Served:
    """`python -m probe.lab.functions.host` as a user starts it."""

    def __init__(self, stage):
        self.stage = stage

    async def __aenter__(self):
        settings = self.stage.folder / "settings.json"
        told = {**self.stage.settings, "SCHEDULE": "* * * * * *"}
        settings.write_text(json.dumps({"IsEncrypted": False, "Values": told}))
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "probe.lab.functions.host", "--app", str(self.stage.app), "--port", "0"),
            *("--settings", str(settings), "--functions", "tick"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=ROOT,
        )
        self.worker = int((await self.line("Worker process")).split("Worker process ")[1].split()[0])
        return self

    async def line(self, text):
        async with asyncio.timeout(PATIENCE):
            while text not in (line := (await self.process.stdout.readline()).decode()):
                assert line, f"ended without {text!r}"
        return line

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_a_signal_ends_the_command_in_time_while_an_invocation_hangs(stage, number):
    stage.order(say="under way", block=60)
    async with Served(stage) as served:
        await served.line("under way")
        sent = time.monotonic()
        served.process.send_signal(number)
        code = await served.process.wait()
        took = time.monotonic() - sent

    assert code == 0
    assert took < LEAVING
    assert not alive(served.worker)


@pytest.mark.parametrize("order", [{}, {"say": "under way", "block": 60}], ids=["idle", "blocked"])
async def test_nothing_is_left_when_the_host_is_killed(stage, order):
    stage.order(**order)
    async with Served(stage) as served:
        if order:
            await served.line("under way")
        os.kill(served.process.pid, signal.SIGKILL)
        await served.process.wait()

        await stage.until(lambda: not alive(served.worker), "the worker's end")


@pytest.mark.parametrize("ending", [{"sleep": 60}, {"exit_once": True}], ids=["it hangs", "it crashes"])
async def test_what_an_app_started_does_not_outlive_its_worker(stage, ending):
    """Though it has the worker's output and sockets open, which look like the worker's own."""
    stage.order(spawn="60", **ending)
    async with stage.host("tick", schedules=False) as host:
        firing = asyncio.create_task(host.fire("tick"))
        started = int((await stage.until_told("spawned")).split()[-1])
        assert alive(started)
        if "exit_once" in ending:
            assert "exited with code 3" in (await firing).failure.message
    firing.cancel()

    await stage.until(lambda: not alive(started), "the end of what the app started")


async def test_a_host_that_has_left_fires_nothing(stage):
    async with stage.host("tick", schedules=False) as host:
        pass

    with pytest.raises(HostError, match="its host is leaving"):
        await host.fire("tick")


async def test_a_worker_that_is_killed_is_replaced(stage):
    async with stage.host("tick", schedules=False) as host:
        before = await host.worker_pid()
        os.kill(before, signal.SIGKILL)
        await stage.until_told("was ended by SIGKILL")
        fired = await host.fire("tick")

    assert fired.succeeded
