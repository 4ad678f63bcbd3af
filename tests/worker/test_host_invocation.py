"""Invocations in the real worker runtime: fired, told apart, and failing without harm."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from probe.lab.functions.timer import ScheduleStatus, StatusStore

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WHEN = datetime(2026, 11, 21, 12, 1, tzinfo=UTC)


async def test_a_timer_fires_by_its_schedule(stage):
    async with stage.host("tick", settings={"SCHEDULE": "* * * * * *"}):
        (first, *_) = await stage.until_seen("tick", 1)

    assert first["schedule"] == {"AdjustForDST": True}
    assert first["past_due"] is False
    assert first["status"] == {}


async def test_a_timer_does_not_run_on_startup(stage):
    """Runs follow each other, so one at startup would have been before the second by hand."""
    async with stage.host("tick") as host:
        await host.fire("tick")
        await host.fire("tick")

    assert len(stage.seen("tick")) == 2


async def test_a_timer_runs_on_startup_where_its_binding_says_so(stage):
    app = stage.app_with()
    code = (app / "function_app.py").read_text()
    (app / "function_app.py").write_text(code.replace("run_on_startup=False", "run_on_startup=True"))

    async with stage.host("tick", app=app):
        (told,) = await stage.until_seen("tick", 1)

    assert told["past_due"] is False


async def test_a_timer_fired_by_hand_is_told_its_scheduled_time(stage):
    async with stage.host("tick", schedules=False) as host:
        fired = await host.fire("tick", scheduled_at=WHEN, past_due=True)

    (told,) = stage.seen("tick")
    assert fired.succeeded
    assert told["past_due"] is True
    assert told["status"]["Next"] == "2026-11-21T12:01:00+00:00"


async def test_a_timer_missed_while_no_host_ran_is_past_due_at_start(stage):
    ran = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=3)
    stored = ScheduleStatus(last=ran, next=ran + timedelta(minutes=1), last_updated=ran)
    kept = stage.folder / "schedules"
    StatusStore(kept).save("tick", stored)

    async with stage.host("tick", settings={"SCHEDULE": "0 * * * * *"}, schedule_folder=kept):
        (told, *_) = await stage.until_seen("tick", 1)

    following = StatusStore(kept).load("tick")
    assert told["past_due"] is True
    assert told["status"] == stored.to_json()
    assert following is not None
    assert following.last > stored.next


async def test_the_runs_of_a_timer_never_overlap(stage):
    """The schedule asks for a run each second, each lasts longer, and one more is fired by hand."""
    stage.order(sleep=1.1)
    async with stage.host("tick", settings={"SCHEDULE": "* * * * * *"}) as host:
        await stage.until_seen("tick", 1)
        await host.fire("tick")
        runs = stage.seen("tick")

    assert len(runs) >= 2
    assert all(run["ended"] <= following["began"] for run, following in pairwise(runs))


async def test_an_exception_is_told_and_the_worker_lives_on(stage):
    async with stage.host("tick", schedules=False) as host:
        stage.order(fail="no luck")
        failed = await host.fire("tick")
        stage.order()
        after = await host.fire("tick")
        starts = host.worker_starts

    assert failed.failure.message == "ValueError: no luck"
    assert 'raise ValueError(told["fail"])' in failed.failure.stack_trace
    (line,) = [line for line in stage.lines if "'tick' failed" in line]
    assert 'raise ValueError(told["fail"])\nValueError: no luck' in line
    assert "azure_functions_runtime" not in line
    assert after.succeeded
    assert starts == 1


async def test_a_timer_function_that_returns_something_fails_as_in_azure(stage):
    stage.order(give="back")
    async with stage.host("tick", schedules=False) as host:
        failed = await host.fire("tick")

    assert "without a $return binding" in failed.failure.message


async def test_the_trace_context_reaches_the_function(stage):
    async with stage.host("tick", schedules=False) as host:
        fired = await host.fire("tick", trace_parent=TRACE)

    (told,) = stage.seen("tick")
    assert told["trace_parent"] == fired.trace_parent
    assert fired.trace_parent.split("-")[1] == TRACE.split("-")[1]
    assert fired.trace_parent.split("-")[2] != TRACE.split("-")[2]


async def test_each_invocation_has_a_trace_of_its_own(stage):
    async with stage.host("tick", schedules=False) as host:
        traces = [(await host.fire("tick")).trace_parent.split("-")[1] for _ in range(2)]

    assert traces[0] != traces[1]


@pytest.mark.azurite
async def test_the_logs_of_concurrent_invocations_are_told_apart(queue_stage):
    """Two messages run at once in one worker; each waits for the other between its two lines."""
    queue_stage.order(send=['{"meet": 2, "say": "north"}', '{"meet": 2, "say": "south"}'])
    async with queue_stage.host("tick", "shard", schedules=False) as host:
        await host.fire("tick")
        await queue_stage.until_told("north met")
        await queue_stage.until_told("south met")
        await queue_stage.until(lambda: len(host.invocations) == 3, "the end of both")

    logged = {
        tuple(line.message for line in invocation.logs if not line.system)
        for invocation in host.invocations
        if invocation.function == "shard"
    }
    assert logged == {("north", "north met"), ("south", "south met")}


async def test_a_print_corrupts_nothing_and_is_shown(stage):
    stage.order(print='{"type": "result"}\n\x00')
    async with stage.host("tick", schedules=False) as host:
        fired = await host.fire("tick")
        await stage.until_told('{"type": "result"}')

    assert fired.succeeded


@pytest.mark.parametrize("size", [100_000, 3_000_000])
async def test_a_long_log_line_passes_whole(stage, size):
    stage.order(say="x" * size)
    async with stage.host("tick", schedules=False) as host:
        fired = await host.fire("tick")

    assert len(fired.logs[-1].message) == size


async def test_the_app_sees_its_settings_and_a_minimal_base_only(stage, monkeypatch):
    monkeypatch.setenv("PROBE_OF_THE_LAB", "not for the app")
    async with stage.host("tick", schedules=False) as host:
        await host.fire("tick")

    (told,) = stage.seen("tick")
    base = {"PATH", "HOME", "VIRTUAL_ENV", "FUNCTIONS_WORKER_RUNTIME", "LC_CTYPE"}
    assert set(stage.settings) <= set(told["environment"])
    assert set(told["environment"]) <= base | set(stage.settings)
