"""A tick ends within its budget, what telemetry may take and a second, whatever is silent."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest

from probe import tick
from probe.core import budget
from probe.core.errors import StateConflict, StateError
from probe.core.report import Result
from probe.lab.world import MINUTE, NOON, Store, Telemetry, World, run, world
from tests.unit.app_values import app_on

FLUSH = 2.0
EVER = 3600.0


@dataclass(slots=True)
class SilentStore(Store):
    """A store that answers nothing, and gives up after ``bound`` seconds, if it has one."""

    bound: float = EVER

    async def load(self, *_):
        await asyncio.sleep(self.bound)
        raise StateError("no answer in time", error_type="timeout")

    async def save(self, *_):
        await self.load()


@dataclass(slots=True)
class BusyStore(Store):
    """A store in which somebody else is always quicker."""

    async def save(self, *_):
        await asyncio.sleep(0.2)
        raise StateConflict


@dataclass(slots=True)
class SilentTelemetry(Telemetry):
    """A backend that takes nothing: each flush takes all its bound, and there is always a loss to save."""

    async def flush(self) -> None:
        await asyncio.sleep(FLUSH)

    def claim_losses(self):
        return {"otlp": 5}


async def no_life() -> bool:
    await asyncio.sleep(3)
    return False


def silence(probe: World, what: set[str]) -> None:
    """Make these silent; ``hang`` is an attempt without any bound of its own."""
    for part in what:
        match part:
            case "store":
                probe.inner.store = SilentStore(bound=3)
            case "store without a bound":
                probe.inner.store = SilentStore()
            case "store in conflict":
                probe.inner.store = BusyStore()
            case "telemetry":
                probe.inner.telemetry = SilentTelemetry()
            case "life":
                probe.inner.alive, probe.inner.store_is_remote = no_life, False
            case endpoints:
                probe.account.behave(*endpoints.split("/"))


PARTS = [
    "store",
    "store without a bound",
    "store in conflict",
    "telemetry",
    "timeout/timeout",
    "hang/ok",
    "ok/hang",
    "hang/hang",
]
ALL = [
    {"store", "telemetry", "life", "timeout/timeout"},
    {"store without a bound", "telemetry", "life", "hang/hang"},
    {"store in conflict", "telemetry", "life", "hang/hang"},
]


@pytest.mark.parametrize("seconds", [1, 2.9, 8, 9.9, 45])
@pytest.mark.parametrize(
    "what", [*({each} for each in PARTS), *ALL], ids=lambda what: ", ".join(sorted(what))
)
def test_a_tick_ends_within_its_budget_whatever_is_silent(seconds: float, what: set[str]):
    async def main() -> tuple[float, list]:
        probe = world(budget=seconds)
        await probe.tick()
        await probe.until(NOON + MINUTE)
        silence(probe, what)
        began = asyncio.get_running_loop().time()
        report = await probe.tick()
        return asyncio.get_running_loop().time() - began, report.targets

    took, targets = run(main())

    assert took <= seconds + FLUSH + 1
    assert len(targets) == 1, "it is judged and told all the same"


def test_half_of_the_budget_at_least_is_measured_in_though_the_store_is_silent():
    async def main():
        probe = world(budget=8)
        probe.account.begin()
        silence(probe, {"store without a bound", "hang/ok"})
        return await probe.tick()

    (target,) = run(main()).targets

    secondary = [each for each in target.readings if each.location == "secondary"]
    assert secondary
    assert target.skipped


def test_everything_silent_is_told_as_inconclusive_and_not_as_an_outage():
    async def main():
        probe = world(budget=8)
        await probe.tick()
        await probe.until(NOON + MINUTE)
        silence(probe, ALL[0])
        return await probe.tick()

    report = run(main())

    assert report.targets[0].judgement.target.verdict == "inconclusive"
    assert report.state_store == "timeout"


@pytest.mark.parametrize("seconds", [0.5, 1, 8, 45, 600])
def test_what_is_kept_for_the_store_leaves_half_of_any_budget(seconds: float):
    whole = timedelta(seconds=seconds)

    assert whole - budget.loading(whole) - budget.saving(whole) >= whole / 2


def test_ticks_never_overlap_though_the_timer_fires_late_and_then_on_time(monkeypatch):
    """With everything silent, a tick of 9.9 s with its flush takes longer than an interval of 10 s."""
    under_way, most, runs = 0, 0, tick.run

    async def counted(*given):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await runs(*given)
        finally:
            under_way -= 1

    async def main() -> World:
        probe = world(budget=9.9)
        app = app_on(probe, schedule="*/10 * * * * *", interval=timedelta(seconds=10))
        silence(probe, {"telemetry", "store", "hang/hang"})
        fired = []
        for delay in (0, 9.5, 0.5, 10, 10, 10):  # late, then on time
            await asyncio.sleep(delay)
            fired.append(asyncio.create_task(app.timer(past_due=False, parent=None)))
        await asyncio.gather(*fired)
        assert app.running == set()
        return probe

    monkeypatch.setattr(tick, "run", counted)
    reports = run(main()).inner.telemetry.reports

    assert most == 1
    assert len(reports) == 6
    skipped = [each.reason for each in reports if each.result is Result.SKIPPED]
    assert len(skipped) == 3
    assert set(skipped) == {"the tick before it is still running in this process"}


def test_a_tick_that_fails_does_not_keep_the_next_from_running():
    async def main():
        probe = world()
        app = app_on(probe)
        probe.account.behave("bug", "ok")
        with pytest.raises(RuntimeError):
            await app.timer(past_due=False, parent=None)
        await probe.until(NOON + MINUTE)
        probe.account.behave("ok", "ok")
        await app.timer(past_due=False, parent=None)
        return probe

    assert run(main()).telemetry.reports[-1].result == Result.COMPLETED
