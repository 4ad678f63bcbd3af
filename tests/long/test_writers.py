"""Several processes on one state, some of them killed as they go, some with another clock."""

import pytest

from tests.faults.writers import Plan, played


@pytest.mark.parametrize("what", ["kills", "clocks"])
async def test_neither_a_kill_nor_a_clock_that_differs_costs_a_tick_or_a_false_word(what: str, part):
    kills, skew = (part(20), 0) if what == "kills" else (0, 4)
    plan = Plan(writers=4, ticks=part(100), kills=kills, skew=skew)

    outcome = await played(plan)

    assert outcome.problems == []
    assert outcome.ticks_told + outcome.ticks_skipped == plan.writers * plan.ticks
    assert outcome.ticks_killed <= kills
