"""The watch as a user runs it: a process on real storage, an outage, Ctrl-C, and what is left behind."""

import asyncio
import json
import signal

import pytest
from azure.storage.blob.aio import BlobServiceClient

from tests.integration.probe_runs import environment, running
from tests.timing import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.azurite]


async def containers(pair) -> set[str]:
    async with BlobServiceClient.from_connection_string(
        pair.connection_string, api_version="2023-11-03"
    ) as service:
        return {each.name async for each in service.list_containers()}


async def test_an_interrupted_watch_sums_up_takes_away_what_it_made_and_leaves_no_read_lost(pair):
    settings = environment(pair, "memory")
    reads = []
    async with running(settings, "watch", "--interval", "0.02", "--json", "--cleanup") as watching:

        async def until(served_by: str, breaker: str) -> None:
            while not reads or (reads[-1]["served_by"], reads[-1]["breaker"]) != (served_by, breaker):
                reads.append(json.loads(await asyncio.wait_for(watching.stdout.readline(), PATIENCE)))

        await until("primary", "closed")
        pair.primary.fault("status", code=503)
        await until("secondary", "open")
        pair.heal()
        made = settings["PROBE_CONTAINER"] in await containers(pair)
        await until("primary", "closed")
        watching.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(watching.communicate(), PATIENCE)

    *rest, last = (json.loads(each) for each in out.decode().splitlines())
    summary = last["summary"]
    assert made
    assert summary["interrupted"]
    assert summary["reads"] == len(reads) + len(rest)
    assert (summary["failed"], watching.returncode) == (0, 0)
    assert [each["to"] for each in summary["transitions"]] == ["open", "half-open", "closed"]
    assert settings["PROBE_CONTAINER"] not in await containers(pair)
    assert b"Cleaned up: the blob and its container deleted" in err
    assert b"Traceback" not in err


async def test_a_canary_that_replication_holds_back_is_told_as_not_arrived(pair):
    pair.replicator.lag = None

    async with running(environment(pair, "memory"), "watch", "--reads", "3", "--wait", "1") as watching:
        out, err = await asyncio.wait_for(watching.communicate(), PATIENCE)

    text = out.decode()
    assert "The canary did NOT arrive at the secondary within 1 s" in text
    assert "P0 P1 P2" in text
    assert (watching.returncode, err) == (0, b"")
