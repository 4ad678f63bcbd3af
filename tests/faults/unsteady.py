"""Outages that come and go, on real sockets: by requests, by ticks, within a read; and a failover.

Each play has an account and an app of its own, as the cells of ``matrix`` have. ``surprises`` names what came
out as it must not; what nobody can promise, as when both locations fail at times, is only counted.
"""

import asyncio
import logging
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from probe.core.breaker import State
from probe.core.report import TargetReport
from probe.core.target import Location
from tests.faults.matrix import PRIMARY, SECONDARY, SIDES, Play, Stage, stage
from tests.faults.other_account import Asked, refusal
from tests.reliability import results

SEEDS = range(5)
AT_ONCE = 10

type Before = Callable[[Play, int], None]
"""What happens before a tick, by its number."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens in so many ticks; ``safe``: one location is up all the time, so that no read is lost."""

    name: str
    where: str
    ticks: int
    before: Before
    safe: bool = True
    heals: bool = True


@dataclass(slots=True)
class Played:
    scenario: Scenario
    reports: list[TargetReport]
    after: list[TargetReport] = field(default_factory=list)

    def served(self, location: Location | None) -> int:
        return sum(read.served_by is location for each in self.reports for read in each.reads)

    @property
    def worst(self) -> timedelta:
        return max(read.duration for each in self.reports for read in each.reads)

    def surprises(self) -> list[str]:
        found = []
        if self.scenario.safe and self.served(None):
            found.append(f"{self.served(None)} reads were lost")
        if self.scenario.safe and any(each.verdicts[0] == "unavailable" for each in self.reports):
            found.append("it was called unavailable")
        for location, side in ((PRIMARY, 1), (SECONDARY, 2)):
            false = {each.verdicts[side] for each in self.reports} - {"healthy", "degraded"}
            if str(location) not in self.scenario.where and false:
                found.append(f"the {location} was called {', '.join(map(str, false))}")
        if self.scenario.heals and self.after[-1].breaker.state is not State.CLOSED:
            found.append("the breaker did not come home")
        return found


def partly(share: float, sides: Sequence[Location], seed: int) -> Scenario:
    """Return a scenario in which each request has that chance to meet a 503."""
    chance = random.Random(seed)  # noqa: S311 - no secret

    def answer(_: Asked):
        return refusal(503, "ServerBusy") if chance.random() < share else None

    def before(play: Play, number: int) -> None:
        if number == 0:
            play.account.plays = dict.fromkeys(map(str, sides), answer)

    where = " and ".join(sides)
    return Scenario(f"{share:.0%} of the requests fail", where, 12, before, safe=len(sides) == 1)


def by_ticks(period: int) -> Scenario:
    """Return a scenario in which the primary is down and up in turn, for so many ticks each."""

    def before(play: Play, number: int) -> None:
        play.proxies[PRIMARY].heal()
        if number // period % 2 == 0:
            play.proxies[PRIMARY].fault("status", code=503)

    return Scenario(f"down and up in turn, {period} ticks each", "primary", 40, before)


def in_turns(seconds: float) -> Scenario:
    """Return a scenario in which just one location is up, each in turn, for so many seconds."""

    def answer(up: int):
        return lambda _: None if int(time.monotonic() / seconds) % 2 == up else refusal(503, "ServerBusy")

    def before(play: Play, number: int) -> None:
        if number == 0:
            play.account.plays = {str(PRIMARY): answer(0), str(SECONDARY): answer(1)}

    name = f"just one is up, in turns of {seconds * 1000:g} ms"
    return Scenario(name, "primary and secondary", 30, before, safe=False)


def failover() -> Scenario:
    """Return an account failover: replication stops, the primary falls silent, its name leads elsewhere."""

    def before(play: Play, number: int) -> None:
        account, primary, secondary = play.account, play.proxies[PRIMARY], play.proxies[SECONDARY]
        if number == 0:
            account.lag = None
        elif number == 2:
            primary.fault("black_hole")
        elif number == 3:
            primary.heal()
            account.fail_over_unplanned()
            secondary.fault("dns")

    return Scenario("account failover", "primary and secondary", 6, before, heals=False)


SCENARIOS = (
    *(partly(share, sides, seed) for sides in SIDES for share in (0.2, 0.5, 0.8) for seed in SEEDS),
    *(by_ticks(period) for period in (1, 3, 10)),
    *(in_turns(seconds) for seconds in (0.005, 0.02, 0.5)),
    failover(),
)


async def play(scenario: Scenario, on: Stage) -> Played:
    async with on.account(PROBE_SECONDARY_READS="20") as app:
        found = Played(scenario, [])
        for number in range(scenario.ticks):
            scenario.before(app, number)
            found.reports.append(await app.tick())
        if scenario.heals:
            app.account.plays = {}
            app.heal()
            found.after = await app.until_well()
        return found


async def played(scenarios: Sequence[Scenario]) -> list[Played]:
    free = asyncio.Semaphore(AT_ONCE)

    async def one(scenario: Scenario, on: Stage) -> Played:
        async with free:
            return await play(scenario, on)

    with stage() as on:
        return await asyncio.gather(*(one(each, on) for each in scenarios))


def result(found: Sequence[Played]) -> results.Result:
    by_name: dict[tuple[str, str], list[Played]] = {}
    for each in found:
        by_name.setdefault((each.scenario.name, each.scenario.where), []).append(each)
    rows: list[list[results.Cell]] = []
    for (name, where), runs in by_name.items():
        said = {word for one in runs for each in one.reports for word in (each.verdicts[0],)}
        reads = sum(len(each.reads) for one in runs for each in one.reports)
        moves = sum(len(each.transitions) for one in runs for each in one.reports)
        back = [len(one.after) for one in runs if one.after]
        rows.append(
            [
                name,
                where,
                ", ".join(sorted(map(str, said))),
                reads,
                sum(one.served(SECONDARY) for one in runs),
                sum(one.served(None) for one in runs),
                f"{max(one.worst for one in runs).total_seconds():.2f} s",
                f"{moves} in {sum(len(one.reports) for one in runs)} ticks",
                max(back) if back else None,
            ]
        )
    return results.Result(
        title="Partial outages, flapping, and an account failover",
        command="make matrix",
        says=f"""As above, with 20 reads from the secondary before a trial; partial outages with
{len(SEEDS)} fixed seeds, 12 ticks each ([faults/unsteady.py](faults/unsteady.py)). Where just one
location fails, no read is lost. Where both do, a read is lost when it meets a failure each time that it
asks. Where they take turns it may be lost when the two requests of the last look, sent at one instant,
arrive on either side of a change. *Back* is the tick after the healing in which the primary served
every read again, at the latest.""",
        columns=(
            "what happens",
            "where",
            "said of the reads",
            "reads",
            "from the secondary",
            "lost",
            "worst read",
            "moves",
            "back",
        ),
        rows=rows,
    )


def main() -> int:
    logging.disable(logging.ERROR)
    found = asyncio.run(played(SCENARIOS))
    wrong = [f"{each.scenario.name}: {'; '.join(each.surprises())}" for each in found if each.surprises()]
    print("\n".join([*wrong, f"{len(found) - len(wrong)} of {len(found)} plays came out as they must"]))
    results.save("unsteady", result(found))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
