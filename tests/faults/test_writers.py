"""Several processes at once, on one state in a file or a blob, or each on a state of its own.

By hand, and with figures: ``python -m tests.faults.writers --help``.
"""

import pytest

from tests.amounts import amount
from tests.faults.writers import Plan, played

pytestmark = pytest.mark.long
MANY = amount(3, 8)


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(writers=MANY, ticks=amount(6, 200)), id="one state, a file"),
        pytest.param(Plan(writers=MANY, ticks=amount(5, 200), state="blob"), id="one state, a blob"),
        pytest.param(Plan(writers=2, ticks=amount(5, 50), own=True, flap=False, lag=1.5), id="two shells"),
    ],
)
async def test_each_tick_count_and_move_is_in_the_document_and_no_word_is_false(plan: Plan):
    outcome = await played(plan)

    assert outcome.problems == []
    assert outcome.ticks_told + outcome.ticks_skipped == plan.writers * plan.ticks
    assert outcome.reads == 5 * outcome.ticks_told > 0
