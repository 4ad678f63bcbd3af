"""What a user of a deployed app finds when it cannot work: which line, and where."""

import json
import logging

import pytest

from probe.lab.functions.process import CONSOLE, console_level
from tests.worker.test_function_app import get, host

session_loop = pytest.mark.asyncio(loop_scope="session")
pytestmark = pytest.mark.platform
SWITCH = {"PYTHON_ENABLE_OPENTELEMETRY": "true"}
"""As deployed: with it the host exports no log line of a function."""


def exported(running, text):
    """Return the lines with a text that Azure's host would send to Application Insights."""
    return [line for line in running.exported if text in line.message]


@session_loop
async def test_a_wrong_setting_is_an_error_in_the_host_s_own_stream_before_any_tick(pair, until):
    wrong = {"PROBE_READS": "many", "PROBE_RPO": "-1", "PROBE_SCHEDULE": "every minute"}
    async with host(pair, **wrong, **SWITCH) as running:
        await until(lambda: exported(running, "PROBE_RPO"), "the problem in the host's stream")
        found = [exported(running, name) for name in wrong]
        status = await get(running.url("status"))
        health = await get(running.url("health"))

    assert [len(lines) for lines in found] == [1, 1, 1], "each is told once"
    assert {(line.category, line.level) for lines in found for line in lines} == {(CONSOLE, logging.ERROR)}
    assert "every minute" in found[2][0].message
    assert status[0] == 500
    assert [problem.split(":")[0] for problem in json.loads(status[1])["problems"]] == list(wrong)
    assert health[:2] == (503, "stale"), "anybody may ask, and learns nothing"


@session_loop
async def test_a_bad_schedule_leaves_the_timer_out_and_the_status_tells_why(pair):
    lines = []
    async with host(pair, lines=lines, PROBE_SCHEDULE="every minute") as running:
        status = await get(running.url("status"))
        served = {each.name for each in running.served}

    assert "probe_tick" not in served
    assert any("The 'probe_tick' function is in error: 'every minute'" in line for line in lines)
    assert "PROBE_SCHEDULE" in json.loads(status[1])["problems"][0]


@session_loop
async def test_an_error_of_an_http_function_leaves_its_instance_by_the_error_stream(pair, until):
    """The health says only that it is not known; why is in the stream, once however often it is asked."""
    pair.host.fault("status", code=503)
    more = {"PROBE_VANTAGE": "told", **SWITCH}
    async with host(pair, "health", **more) as running:
        answers = {(await get(running.url("health")))[:2] for _ in range(3)}
        await until(lambda: exported(running, "cannot be read"), "the reason")
        (line,) = exported(running, "cannot be read")

    assert answers == {(503, "unknown")}
    assert (line.category, line.level) == (CONSOLE, logging.ERROR)
    assert "the state of shard 0" in line.message


@session_loop
async def test_a_tick_that_fails_is_told_in_the_error_stream(pair, until):
    """The invocation's own failure is a log line of the function, which the host does not export."""
    async with host(pair, "probe_shard", PROBE_QUEUE="told-shards", **SWITCH) as running:
        assert running._run_by_name("probe_shard", "not a shard")
        await until(lambda: exported(running, "is not a shard's"), "the reason")
        (line,) = exported(running, "is not a shard's")

    assert line.category == CONSOLE


@session_loop
async def test_without_the_worker_s_switch_the_host_exports_what_functions_log(pair):
    """The counterpart, so that the line that it leaves out with the switch is known to be there."""
    async with host(pair, "probe_tick", PROBE_VANTAGE="unswitched") as running:
        await running.fire("probe_tick")
        plain = exported(running, "reads PPPPP")
    async with host(pair, "probe_tick", PROBE_VANTAGE="switched", **SWITCH) as running:
        await running.fire("probe_tick")
        switched = exported(running, "reads PPPPP")

    assert len(plain) == 1
    assert switched == []


@pytest.mark.parametrize(
    ("line", "error", "level"),
    [
        ("probe error: PROBE_READS: …", True, logging.ERROR),
        ("it FAILED", True, logging.ERROR),
        ("an error, and a warning", True, logging.WARNING),
        ("all is well", True, logging.INFO),
        ("an error", False, logging.INFO),
    ],
)
def test_a_printed_line_has_the_level_that_azure_s_host_gives_it(line, error, level):
    """Source: azure-functions-host, WorkerProcess.cs, ParseErrorMessageAndLog."""
    assert console_level(line, error=error) == level
