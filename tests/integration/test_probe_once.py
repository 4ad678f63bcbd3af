"""``python -m probe once`` as a user runs it: any pair of endpoints, the state in a file or in a blob."""

import asyncio
import json
import signal

import pytest

from probe.adapters.state import FileStateStore
from probe.adapters.state_blob import BlobStateStore
from probe.connections import resolve
from tests.integration.probe_runs import command, environment, start, ticked, ticks
from tests.timing import PATIENCE

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_twice_in_a_row_the_breakers_state_is_carried_over(pair, tmp_path):
    settings = environment(pair, f"file:{tmp_path / 'state.json'}")
    await ticked(settings, pair)

    pair.primary.fault("status", code=503)
    first = await command(settings, "once", "--json")
    second = await command(settings, "once", "--json")

    assert (first.code, second.code) == (0, 0)
    assert [move["to"] for move in first.target["transitions"]] == ["open"]
    assert second.target["transitions"] == []
    assert second.target["breaker"]["state"] == "open"
    assert second.target["breaker"]["since"] == first.target["breaker"]["since"]
    assert second.target["breaker"]["secondary_reads"] == first.target["breaker"]["secondary_reads"] + 5


async def test_the_document_has_the_promised_keys_and_no_secret(pair, tmp_path):
    settings = environment(pair, f"file:{tmp_path / 'state.json'}")

    ran = await command(settings, "once", "--json", "--debug")
    document = ran.document

    assert ran.code == 0
    assert set(document) == {"schema", "tick", "targets"}
    assert {"verdict", "endpoints", "reads", "breaker", "transitions", "replication", "write"} <= set(
        ran.target
    )
    assert set(ran.target["endpoints"]) == {"primary", "secondary"}
    assert "sig=" not in ran.out + ran.err
    assert "AccountKey" not in ran.out + ran.err
    assert "?" not in ran.target["endpoints"]["primary"]["url"]


@pytest.mark.parametrize(
    ("primary", "secondary", "code", "verdict"),
    [
        ({}, {}, 0, "ok"),
        ({"kind": "status", "code": 503}, {}, 0, "rerouted"),
        ({"kind": "status", "code": 503}, {"kind": "refuse"}, 1, "unavailable"),
        ({"kind": "corrupt"}, {}, 1, "rerouted"),
        ({"kind": "status", "code": 403}, {"kind": "status", "code": 403}, 3, "inconclusive"),
    ],
    ids=["ok", "rerouted", "unavailable", "corrupt", "denied"],
)
async def test_the_exit_code_says_what_was_found(pair, tmp_path, primary, secondary, code, verdict):
    settings = environment(pair, f"file:{tmp_path / 'state.json'}")
    await ticked(settings, pair)
    for proxy, fault in ((pair.primary, primary), (pair.secondary, secondary)):
        if fault:
            proxy.fault(**fault)

    ran = await command(settings, "once", "--json")

    assert (ran.code, ran.target["verdict"]) == (code, verdict)


async def test_a_state_store_that_is_down_is_reported_and_the_reads_decide_the_exit_code(pair):
    settings = environment(pair, "AzureWebJobsStorage")

    pair.host.fault("refuse")
    ran = await command(settings, "once", "--json")

    assert ran.code == 0
    assert ran.document["tick"]["state_store"] == "refused"
    assert ran.target["verdict"] == "ok"


async def test_two_processes_ticking_one_shard_lose_no_count_and_no_transition(pair, tmp_path):
    state = tmp_path / "state.json"
    settings = environment(pair, f"file:{state}")
    await ticked(settings, pair)
    pair.primary.fault("status", code=503)

    mine, yours = await asyncio.gather(ticks(settings, 12), ticks(settings, 12))
    record = (await FileStateStore(state).load(0)).record
    (target,) = record.targets.values()
    reports = [each for each in mine + yours if each["tick"]["result"] != "skipped"]
    attempts = [
        attempt for each in reports for read in each["targets"][0]["reads"] for attempt in read["attempts"]
    ]
    primary = [each for each in attempts if each["location"] == "primary"]
    moved = [move for each in reports for move in each["targets"][0]["transitions"]]

    assert record.ticks == 1 + len(reports)
    assert target.breaker.totals.primary_attempts == 5 + len(primary)
    assert target.breaker.totals.secondary_attempts == len(attempts) - len(primary)
    assert target.breaker.totals.transitions == len(moved) == len(target.transitions)
    assert all(each["tick"]["state_store"] == "ok" for each in reports)


async def test_killed_in_the_middle_of_a_tick_the_next_goes_on_from_the_last_saved_state(pair):
    settings = environment(pair, "AzureWebJobsStorage", PROBE_VANTAGE="killed")
    await ticked(settings, pair)
    pair.primary.fault("status", code=503)
    before = await command(settings, "once", "--json")

    pair.secondary.fault("black_hole")
    process = await start({**settings, "PROBE_DEADLINE": "20"}, "once")
    async with asyncio.timeout(PATIENCE):
        while not pair.secondary.connections:
            await asyncio.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    pair.heal()
    after = await command(settings, "once", "--json")

    assert before.target["breaker"]["state"] == "open"
    assert after.target["breaker"]["since"] == before.target["breaker"]["since"]
    assert after.target["breaker"]["secondary_reads"] == before.target["breaker"]["secondary_reads"] + 5
    assert after.target["write"]["sequence"] == 3, (
        "2 was tried while the primary failed, and is not used again"
    )
    assert after.document["tick"]["state_store"] == "ok"


async def test_the_state_of_a_vantage_lies_in_a_document_of_its_own(pair):
    settings = environment(pair, "AzureWebJobsStorage", PROBE_VANTAGE="Paris-1")

    await command(settings, "once")
    store = BlobStateStore(
        connection=resolve(settings, "AzureWebJobsStorage", print),
        container="probe-state",
        prefix="Paris-1",
        tokens=None,
    )
    loaded = await store.load(0)

    assert loaded.record.ticks == 1
    assert json.dumps(sorted(loaded.record.targets)) == '["devstoreaccount1"]'
