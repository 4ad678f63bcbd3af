"""The app that is deployed, in a process of its own, which ticks when its standard input says so.

Every line is a tick: ``tick``, ``again`` (for the scheduled time of the tick before), ``maintained`` (in a
maintenance that the operator declared), or ``bug`` (the app has a bug in this tick). Each is answered by a
line: how it ended and what it says of redundancy, or the bug.
"""

import asyncio
import os
import sys
from dataclasses import replace
from datetime import timedelta

from probe import compose
from probe.core.target import Maintenance, Target
from probe.lab.account import names
from probe.tick import Firing


class Buggy:
    """Endpoints that cannot be opened, because somebody made a mistake."""

    def open(self, *_: object) -> object:
        raise RuntimeError("a bug that was put there")


def maintained(targets: tuple[Target, ...]) -> list[list[Target]]:
    """Return the only shard, with the maintenance that the operator declared for an hour from now."""
    now = compose.utc_now()
    declared = Maintenance(since=now, until=now + timedelta(hours=1))
    return [[replace(each, policy=replace(each.policy, maintenance=declared)) for each in targets]]


async def main() -> None:
    names.install(os.environ["LAB_NAMES"])
    app = compose.build(os.environ)
    targets = app.settings.targets
    sound, firing = app.world.endpoints, Firing(scheduled_at=compose.utc_now())
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = line.strip()
        app.world.endpoints = Buggy() if command == "bug" else sound
        app.shards = maintained(targets) if command == "maintained" else [targets]
        if command != "again":
            firing = replace(firing, scheduled_at=compose.utc_now())
        try:
            report = await app.fire(firing)
            told = " ".join([report.result, *(each.judgement.redundancy.verdict for each in report.targets)])
        except RuntimeError as bug:
            told = repr(bug)
        print(told, flush=True)  # noqa: T201 - that is how it answers
    await app.aclose()


if __name__ == "__main__":
    asyncio.run(main())
