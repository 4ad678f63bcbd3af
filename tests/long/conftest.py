"""How much of a long test to run: all with ``make test-long``, a share in the gate (``SHARE=0.05``)."""

from collections.abc import Callable

import pytest

from tests.amounts import amount


@pytest.fixture(scope="session")
def part() -> Callable[[int], int]:
    """Return how many of so many rounds, ticks or seconds to run; at least one."""
    return lambda whole: amount(1, whole)
