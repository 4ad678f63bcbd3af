"""Long runs: flat memory, threads and files, counts that agree. Short forms: tests/faults, tests/worker."""

import pytest

from tests.faults import soak


def test_a_week_of_random_faults_costs_no_count_and_no_read_while_a_side_is_up(part):
    assert soak.simulated(part(10_000)).problems == []


@pytest.mark.azurite
async def test_a_worker_under_churn_stays_flat_and_tells_what_the_servers_logged(part):
    assert (await soak.worker(part(900))).problems == []


async def test_a_hundred_kills_lose_and_tear_nothing_that_was_acknowledged(part):
    outcome = await soak.kills(part(100))

    assert outcome.problems == []
    assert outcome.figures["file: SIGKILLs"] + outcome.figures["blob: SIGKILLs"] >= 1.6 * part(100)
