"""Queue messages through the host: on a real Azurite, at least once, and never lost."""

import base64
import json
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from probe.lab.functions.config import HostError, QueueOptions
from probe.lab.functions.queue import messages

pytestmark = pytest.mark.azurite


async def put(stage, *told, raw=False):
    """Put messages on the queue as another program would, in base64."""
    async with stage.queue() as queue:
        await queue.create_queue()
        for one in told:
            await queue.send_message(one if raw else base64.b64encode(json.dumps(one).encode()).decode())


async def held(stage, suffix=""):
    async with stage.queue(suffix) as queue:
        return [message.content async for message in queue.receive_messages(visibility_timeout=1)]


async def remaining(stage):
    async with stage.queue() as queue:
        return (await queue.get_queue_properties()).approximate_message_count


async def test_an_output_binding_reaches_the_queue_function(queue_stage):
    """The timer's list becomes one message each, on a queue that did not exist."""
    queue_stage.order(send=['{"n": 1}', '{"n": 2}'])
    async with queue_stage.host("tick", "shard", schedules=False) as host:
        fired = await host.fire("tick")
        received = await queue_stage.until_seen("shard", 2)

    assert fired.succeeded
    assert sorted(message["told"]["n"] for message in received) == [1, 2]
    assert [message["count"] for message in received] == [1, 1]
    assert await remaining(queue_stage) == 0


async def test_timer_queue_and_http_run_in_three_hosts_over_one_storage(queue_stage):
    queue_stage.order(send=['{"n": 1}'])
    async with AsyncExitStack() as hosts:
        timer, queue, http = [
            await hosts.enter_async_context(queue_stage.host(name, schedules=False, port=0))
            for name in ("tick", "shard", "health")
        ]
        pids = {await host.worker_pid() for host in (timer, queue, http)}
        await timer.fire("tick")
        (received,) = await queue_stage.until_seen("shard", 1)

    assert len(pids) == 3
    assert received["told"] == {"n": 1}


async def test_nothing_is_sent_by_a_function_that_fails(queue_stage):
    queue_stage.order(send=['{"n": 1}'], fail="after all")
    await put(queue_stage)
    async with queue_stage.host("tick", schedules=False) as host:
        await host.fire("tick")

    assert await remaining(queue_stage) == 0


async def test_a_message_fails_max_dequeue_count_times_and_is_poison(queue_stage):
    """The app's host.json says 3."""
    await put(queue_stage, {"fail": "always"})
    async with queue_stage.host("shard"):
        await queue_stage.until_told("was moved to")

    assert [message["count"] for message in queue_stage.seen("shard")] == [1, 2, 3]
    assert [json.loads(base64.b64decode(content)) for content in await held(queue_stage, "-poison")] == [
        {"fail": "always"}
    ]
    assert await remaining(queue_stage) == 0


async def test_a_message_that_is_not_base64_is_poison_at_once(queue_stage):
    await put(queue_stage, '{"plain": true}', raw=True)
    async with queue_stage.host("shard"):
        await queue_stage.until_told("it is not base64")

    assert queue_stage.seen("shard") == []
    assert await held(queue_stage, "-poison") == ['{"plain": true}']


async def test_a_message_comes_back_when_its_worker_crashes(queue_stage):
    await put(queue_stage, {"exit_once": True})
    async with queue_stage.host("shard") as host:
        received = await queue_stage.until_seen("shard", 2)
        await queue_stage.until_told("exited with code 3")
        starts = host.worker_starts

    assert [message["count"] for message in received] == [1, 2]
    assert starts == 2
    assert await remaining(queue_stage) == 0


async def test_a_message_whose_host_leaves_is_given_back_at_once(queue_stage):
    await put(queue_stage, {"sleep": 30})
    async with queue_stage.host("shard"):
        await queue_stage.until_seen("shard", 1)

    assert len(await held(queue_stage)) == 1


async def test_a_lease_is_renewed_while_its_function_runs(queue_stage):
    """The function outlasts the lease; had it not been renewed, the message would have come twice."""
    await put(queue_stage, {"sleep": 2.5})
    async with queue_stage.host("shard", queue_lease=timedelta(seconds=1)) as host:
        await queue_stage.until_seen("shard", 1)
        await queue_stage.until(lambda: host.invocations, "the end of the invocation")

    assert len(queue_stage.seen("shard")) == 1
    assert await remaining(queue_stage) == 0


async def test_a_batch_size_of_one_runs_one_message_at_a_time(queue_stage):
    app = queue_stage.app_with(extensions={"queues": {"batchSize": 1, "maxPollingInterval": 200}})
    await put(queue_stage, {"sleep": 0.4}, {"sleep": 0.4})
    async with queue_stage.host("shard", app=app):
        first, second = await queue_stage.until_seen("shard", 2)

    assert second["at"] - first["at"] >= 0.4


async def test_a_message_that_failed_comes_back_after_the_visibility_timeout(queue_stage):
    queues = {"visibilityTimeout": "00:00:01", "maxPollingInterval": 100}
    await put(queue_stage, {"fail": "always"})
    async with queue_stage.host("shard", app=queue_stage.app_with(extensions={"queues": queues})):
        first, second = await queue_stage.until_seen("shard", 2)

    assert (first["count"], second["count"]) == (1, 2)
    assert 0.9 < second["at"] - first["at"] < 3


async def test_a_storage_service_that_is_away_is_told_once(stage):
    async with stage.host("tick", "shard", schedules=False) as host:
        await stage.until_told("The queue of 'shard' cannot be read")
        stage.order(send=["{}"])
        failed = await host.fire("tick")

    assert sum("cannot be read" in line for line in stage.lines) == 1
    assert "ServiceRequestError" in failed.failure.message


@pytest.mark.parametrize(
    ("output", "sent"),
    [
        ({"string": "one"}, [b"one"]),
        ({"bytes": base64.b64encode(b"\x00").decode()}, [b"\x00"]),
        ({"json": '["one", "two"]'}, [b"one", b"two"]),
        ({"json": "[]"}, []),
    ],
    ids=["string", "bytes", "list", "empty list"],
)
def test_an_output_is_one_message_or_a_list(output, sent):
    assert messages(output) == sent


def test_an_output_of_objects_is_refused():
    with pytest.raises(HostError, match="str, bytes or a list of str"):
        messages({"json": '[{"id": null, "body": "one"}]'})


async def test_a_message_that_is_too_large_fails_its_invocation(queue_stage):
    assert QueueOptions().base64
    queue_stage.order(send=["x" * 49_153])
    async with queue_stage.host("tick", schedules=False) as host:
        failed = await host.fire("tick")

    assert "65540 bytes; 65536 are allowed" in failed.failure.message
