"""How much a test does: little in ``make test``, much in ``make test-long``, a share of it in the gate."""

import math
import os

SHARE = float(os.environ.get("SHARE") or 0)
"""The share of the long form that was asked for; ``make test`` asks for none."""


def amount(short: int, long: int) -> int:
    """Return how many rounds, seeds or steps to run: the short form's, or the share of the long form's."""
    return max(short, math.ceil(long * SHARE))
