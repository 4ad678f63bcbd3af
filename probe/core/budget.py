"""How a tick's budget is shared: what the state store may take of it, before the measuring and after it.

Rule kept here: whatever the store does, half of the budget at least is left to measure in, and the whole of
it, saving included, bounds a tick; beside it comes only what telemetry may take, and its own losses' save.
"""

from datetime import timedelta

_SAVING = timedelta(seconds=4)
LOSSES = timedelta(seconds=0.8)
"""What the save may take by which a tick counts the telemetry that it has just lost."""


def loading(budget: timedelta) -> timedelta:
    """Return how long the state may take to be loaded."""
    return budget / 4


def saving(budget: timedelta) -> timedelta:
    """Return what is kept of the budget for the sign of life and for saving: nothing is measured then."""
    return min(budget / 4, _SAVING)
