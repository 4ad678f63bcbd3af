"""Long runs: flat memory, threads and files, counts that agree. Short forms: tests/faults, tests/worker."""

import pytest

from tests.faults import soak
from tests.faults.writers import Plan, played


def test_a_week_of_random_faults_costs_no_count_and_no_read_while_a_side_is_up(part):
    assert soak.simulated(part(10_000)).problems == []


@pytest.mark.azurite
async def test_a_worker_under_churn_stays_flat_and_tells_what_the_servers_logged(part):
    assert (await soak.worker(part(900))).problems == []


@pytest.mark.parametrize("state", ["file", "blob"])
async def test_a_hundred_kills_lose_and_tear_nothing_that_was_acknowledged(state: str, part):
    outcome = await played(Plan(writers=2, ticks=part(150), kills=part(100), state=state))

    assert outcome.problems == []
    assert outcome.kills >= 0.8 * part(100)
