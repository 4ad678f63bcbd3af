"""A steady burn of any speed is told at its severity before too much of the budget is gone, as deployed."""

import json
from datetime import timedelta

import pytest

from tests.infra import burns

KEPT = {each["speed"]: timedelta(minutes=each["minutes"]) for each in json.loads(burns.FILE.read_text())}


@pytest.mark.parametrize("speed", burns.SPEEDS)
def test_a_burn_is_told_before_too_much_of_the_budget_is_gone(speed):
    _, share = burns.wanted(speed)

    assert burns.spent(speed, KEPT[speed]) < share


def test_what_the_page_says_is_what_the_query_tells():
    """When the table says that it is told, it is; and long before, it is not."""
    then = burns.told([(speed, KEPT[speed]) for speed in burns.SPEEDS])
    before = burns.told([(speed, KEPT[speed] / 10) for speed in burns.SPEEDS])

    assert all(burns.wanted(speed)[0] in told for speed, told in zip(burns.SPEEDS, then, strict=True))
    assert not any(burns.wanted(speed)[0] in told for speed, told in zip(burns.SPEEDS, before, strict=True))


def test_a_burn_slower_than_allowed_wakes_nobody():
    assert burns.told([(0.9, timedelta(days=2))]) == [set()]


def test_an_outage_of_one_tick_wakes_nobody():
    assert burns.told([(200 * 5, timedelta(minutes=1 + burns.LATE))])[0] <= {"reads-failing"}
