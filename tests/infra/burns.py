"""Steady burns of the error budget, played through the deployed query: after which time which speed is told.

``python -m tests.infra.burns`` plays them and writes ``burns.json``, of which the page's table is made. Rows
are those of a real tick's result for the reads, with some reads of five lost, as evenly as a speed has it;
they arrive three minutes late.
"""

import functools
import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests.infra.alerts import rules
from tests.infra.rows import Workspace
from tests.infra.tapes import BOTH_DOWN, MINUTE, NOW, OK, played

FILE = Path(__file__).parent / "burns.json"
BUDGET = 0.001
MONTH = timedelta(days=30)
READS = 5
SIGHT = timedelta(days=2)
STEP = 5 * MINUTE
LATE = 3
"""Minutes that rows arrive late."""
SPEEDS = (1.5, 2, 3, 4, 6, 8, 10, 13, 14.4, 20, 50, 100)
# From which speed on a burn has to be told as which, before which share of the month's budget is gone.
WANTED = ((14.4, "slo-burn-fast", 0.10), (6, "slo-burn-middle", 0.15), (1.5, "slo-burn-slow", 1.0))


WINDOWS = {
    "slo-burn-fast": timedelta(hours=1),
    "slo-burn-middle": timedelta(hours=6),
    "slo-burn-slow": SIGHT,
}


def wanted(speed):
    """Return how a burn of a speed has to be told, and before which share of the budget is gone."""
    return next((name, share) for least, name, share in WANTED if speed >= least)


def needed(speed):
    """Return how long a burn must last until it has spent what its window may."""
    name, _ = wanted(speed)
    least = next(least for least, each, _ in WANTED if each == name)
    return WINDOWS[name] * (least / speed)


def spent(speed, elapsed):
    """Return the share of the month's budget that is gone."""
    return speed * (elapsed / MONTH)


@functools.cache
def mould(lost):
    """Return a tick's result for the reads, with so many of five lost."""
    scene = BOTH_DOWN if lost else OK
    *_, rows = played((OK, scene), "store", "francecentral")
    (cells,) = [
        each
        for table, each, _ in rows
        if table == "AppAvailabilityResults" and each["Name"].endswith(" reads")
    ]
    served = {
        "reads": READS,
        "served_by_primary": READS - lost,
        "served_by_secondary": 0,
        "served_by_none": lost,
    }
    return {**cells, "Measurements": served, "Success": not lost}


def rows(speed, elapsed, target):
    """Return two days of ticks up to now, of which the last so long burned at a speed."""
    ticks = int(SIGHT / MINUTE)
    began = ticks - int(elapsed / MINUTE)
    per_tick = speed * BUDGET * READS
    before = int(max(0, -began) * per_tick)
    for place in range(ticks - LATE):
        due = int(max(0, place + 1 - began) * per_tick)
        at = (NOW - (ticks - place) * MINUTE).replace(tzinfo=None)
        yield (
            "AppAvailabilityResults",
            {**mould(due - before), "Name": f"{target} reads", "TimeGenerated": at},
        )
        before = due


def told(burns):
    """Return the conditions that the query tells of each burn: a speed, and how long it has lasted."""
    every = [
        row for number, (speed, elapsed) in enumerate(burns) for row in rows(speed, elapsed, f"t{number}")
    ]
    rule = rules("default")["conditions"].expecting([("none", "none")]).deployed(NOW)
    found = {}
    for each in rule.told(Workspace(every)):
        found.setdefault(each["Target"], set()).add(each["Condition"])
    return [found.get(f"t{number}", set()) for number in range(len(burns))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """When a burn was told as it has to be."""

    speed: float
    minutes: int


def caught(speeds=SPEEDS):
    """Return within which time each speed is told rightly.

    First by trying some times from the least that its window needs on, since at its very limit a burn is told
    in some windows and not in others. Then by halving.
    """
    low, high = dict.fromkeys(speeds, 0), {}
    for share in (1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10):
        left = [each for each in speeds if each not in high]
        tried = [(each, int(share * needed(each) / STEP) + 1) for each in left]
        names = told([(each, steps * STEP) for each, steps in tried])
        for (each, steps), told_as in zip(tried, names, strict=True):
            if wanted(each)[0] in told_as:
                high[each] = steps
        if len(high) == len(speeds):
            break
    while any(high[each] - low[each] > 1 for each in speeds):
        middle = {each: (low[each] + high[each]) // 2 for each in speeds}
        for speed, names in zip(speeds, told([(each, middle[each] * STEP) for each in speeds]), strict=True):
            (high if wanted(speed)[0] in names else low)[speed] = middle[speed]
    return [Caught(speed=each, minutes=int(high[each] * STEP / MINUTE)) for each in speeds]


def main():
    found = [{"speed": each.speed, "minutes": each.minutes} for each in caught()]
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
