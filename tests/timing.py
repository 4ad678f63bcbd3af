"""Bounds on time that hold on a busy machine: it delays a try or two, a broken bound delays them all."""

import time
from collections.abc import Awaitable, Callable
from math import inf

PATIENCE = 90
"""Seconds to wait for what must come: only what hangs takes so long, on whatever machine."""
TRIES = 10


async def soonest(work: Callable[[], Awaitable[object]], *, within: float) -> float:
    """Return the seconds of the quickest of a few tries; the first that is within the bound is the last."""
    best = inf
    for _ in range(TRIES):
        begun = time.monotonic()
        await work()
        best = min(best, time.monotonic() - begun)
        if best < within:
            break
    return best
