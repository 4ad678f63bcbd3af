"""The exchange judges what servers do as a client of another make does, or there is a reason why not."""

import pytest

from tests.faults import differential


@pytest.mark.parametrize("first", range(0, 300, 100))
async def test_seeded_servers_are_judged_alike_or_for_a_reason(first):
    used, unexplained = await differential.run(range(first, first + 100))

    assert unexplained == []
    assert used[""] > 70


def test_every_reason_is_about_something_that_the_grammar_makes():
    made = set().union(*(differential.behaviour(seed).tags for seed in range(2000)))

    assert made >= set(differential.REASONS)
