"""How much of a long test to run: all with ``make test-long``, a share in the gate (``SHARE=0.05``)."""

import math
import os
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def part() -> Callable[[int], int]:
    """Return how many of so many rounds, ticks or seconds to run; at least one."""
    share = float(os.environ.get("SHARE") or 1)
    return lambda whole: max(1, math.ceil(whole * share))
