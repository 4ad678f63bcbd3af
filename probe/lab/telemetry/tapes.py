"""Tapes: ticks that are really run, in the lab's world, a scene for each.

Telemetry is captured, counted and checked on tapes, since no real outage comes when it is wanted.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from probe.core.report import TickReport
from probe.core.target import Forced, Location, Maintenance, Policy, Target
from probe.lab.world import MINUTE, Account, World, run, world

START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
TARGET = Target(
    name="orders",
    primary="https://orders.blob.core.windows.net",
    secondary="https://orders-secondary.blob.core.windows.net",
)
MAINTENANCE = Maintenance(since=START - timedelta(hours=1), until=START + timedelta(days=1))
LATENESS = timedelta(milliseconds=200)
"""How long after its time a timer fires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One tick's circumstances: what each location does, in the words of ``probe.lab.world``.

    ``lag`` is how far the secondary is behind.
    """

    primary: str = "ok"
    secondary: str = "ok"
    lag: timedelta = timedelta(seconds=20)
    stats: str = "live"
    store: bool = True
    happened: Literal["failover", "second writer", "gone"] | None = None
    """What was done to the account before the tick: the secondary took over, with what it had in the
    tick before; somebody else wrote; or the canary was deleted."""
    maintenance: bool = False
    """The operator has declared it for the day."""
    forced: Location | None = None
    """Where the operator forces the reads to, for the day."""
    lost: int = 0
    """Rows of telemetry that did not arrive before this tick."""
    again: bool = False
    """The timer fires a second time for the scheduled time of the scene before."""

    def act(self, account: Account) -> None:
        """Let an account be so."""
        account.lag, account.stats = self.lag, self.stats
        account.behave("lost" if self.happened == "failover" else self.primary, self.secondary)
        if self.happened == "second writer":
            account.write_as("a laptop")
        if self.happened == "gone":
            account.delete()


def _ticks(count: int, **circumstances: object) -> tuple[Scene, ...]:
    return (Scene(**circumstances),) * count  # type: ignore[arg-type]  # the names are Scene's own


TAPES: dict[str, tuple[Scene, ...]] = {
    "healthy": _ticks(2),
    "failing_primary": (*_ticks(2), *_ticks(2, primary="503")),
    "recovery": (*_ticks(1), *_ticks(1, primary="refused"), *_ticks(6)),
    "silent_primary": (*_ticks(1), *_ticks(1, primary="timeout")),
    "corrupt_canary": (*_ticks(1), *_ticks(1, primary="corrupt")),
    "lagging_secondary": (*_ticks(2), *_ticks(17, lag=timedelta(hours=2))),
    "lost_secondary": (*_ticks(1), *_ticks(1, secondary="dns")),
    "denied": (*_ticks(1), *_ticks(1, primary="403", secondary="403")),
    "both_down": (*_ticks(1), *_ticks(1, primary="503", secondary="503")),
    "blind": (*_ticks(1), *_ticks(1, primary="refused", secondary="refused", store=False)),
    "slow_primary": (*_ticks(1), *_ticks(1, primary="slow")),
    "failover": (*_ticks(4), *_ticks(1, happened="failover")),
    "second_writer": (*_ticks(2), *_ticks(1, happened="second writer")),
    "canary_gone": (*_ticks(2), *_ticks(1, happened="gone")),
    "maintained": (*_ticks(1), *_ticks(1, primary="503", secondary="503", maintenance=True)),
    "twice": (*_ticks(1), Scene(again=True)),
}
"""What can happen, by name. Most begin with healthy ticks, so that there is something to differ from."""


async def play(
    scenes: Sequence[Scene], *, targets: Sequence[Target] = (TARGET,), vantage: str = "francecentral"
) -> list[TickReport]:
    """Run a tick for each scene, a minute apart, and return their reports."""
    return await asyncio.to_thread(run, _play(scenes, world(*targets, vantage=vantage)), began=START)


async def _play(scenes: Sequence[Scene], probe: World) -> list[TickReport]:
    for account in probe.accounts.values():
        account.begin(sequence=1)
    due = START
    for number, scene in enumerate(scenes):
        due = due if scene.again else START + number * MINUTE
        await play_one(scene, due, probe)
    return probe.telemetry.reports


async def play_one(scene: Scene, due: datetime, probe: World) -> TickReport:
    """Run the tick of one scene when it is due, or as soon as the one before is over."""
    await probe.until(due)
    await asyncio.sleep(LATENESS / timedelta(seconds=1))
    probe.store.trouble = {} if scene.store else {"load": "refused", "save": "refused"}
    for account in probe.accounts.values():
        scene.act(account)
    willed = {
        "maintenance": MAINTENANCE if scene.maintenance else None,
        "forced": Forced(location=scene.forced, until=MAINTENANCE.until) if scene.forced else None,
    }
    probe.targets = tuple(
        replace(each, policy=replace(each.policy, **willed))  # type: ignore[arg-type]  # the policy's own names
        for each in probe.targets
    )
    if scene.lost:
        probe.telemetry.losses = dict.fromkeys(("azure_monitor", "otlp"), scene.lost)
    return await probe.tick(due)


def fleet(count: int) -> list[Target]:
    """Return so many targets with names of their own."""
    return [
        replace(
            TARGET,
            name=f"orders{number:03}",
            primary=f"https://orders{number:03}.blob.core.windows.net",
            secondary=f"https://orders{number:03}-secondary.blob.core.windows.net",
            policy=Policy(),
        )
        for number in range(count)
    ]
