"""Servers that answer anything, by the thousand: the short forms are in tests/faults."""

import asyncio
import json
import subprocess
import sys

import pytest
import uvloop

from tests.faults import differential, memory

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS)
def test_seeded_servers_are_judged_as_another_client_does_or_for_a_reason(loop, part):
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        _, unexplained = runner.run(differential.run(range(part(10_000))))

    assert unexplained == []


def test_hostile_answers_take_no_memory_that_the_first_ones_did_not(part):
    words = [sys.executable, "-m", "tests.faults.hostile", "0", str(part(400))]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - our own script

    assert ran.returncode == 0, ran.stderr[-2000:]
    assert json.loads(ran.stdout)["peak_above_idle"] <= 32 * 2**20


async def test_no_answer_to_any_request_takes_the_probe_far_above_its_idle_memory():
    found = await memory.measured([*memory.ALLOWED], [*memory.answers()])

    assert not [kind for kind, most in memory.ALLOWED.items() if max(found[kind].values()) > most], found
