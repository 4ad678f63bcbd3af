"""A tick and what it has to tell: each attempt is told exactly once, whichever process made it."""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from probe.core.errors import StateError
from probe.core.report import TickReport
from probe.core.sums import CALM_INTERVAL
from probe.lab.world import MINUTE, NOON, Store, Telemetry, World, run, target, world
from tests.amounts import amount

SEEDS = range(amount(4, 200))

pytestmark = pytest.mark.long
BEHAVIOURS = (("ok", "ok"),) * 6 + (("503", "ok"), ("ok", "refused"), ("503, 503, ok", "ok"), ("slow", "ok"))


def told(reports: list[TickReport]) -> Counter[str]:
    """Return how many values of each series some reports send."""
    found: Counter[str] = Counter()
    for report in reports:
        for each in report.targets:
            found.update({name: one.number for name, one in (each.told.sums if each.told else {}).items()})
    return found


def attempts(found: Counter[str]) -> int:
    return sum(count for name, count in found.items() if name.startswith("attempt/"))


def waiting(probe: World) -> int:
    unsent = [each.unsent for each in probe.store.records[0].targets.values()]
    return sum(
        one.number
        for each in unsent
        if each
        for name, one in each.sums.items()
        if name.startswith("attempt/")
    )


async def fresh(probe: World, number: int, *, behaviour: tuple[str, str] = ("ok", "ok")) -> list[TickReport]:
    """Run the tick of a minute in a process of its own, and return what that process sent."""
    process = world(*probe.targets, beside=probe)
    await process.until(NOON + number * MINUTE)
    for each in process.accounts.values():
        each.behave(*behaviour)
    await process.tick()
    return process.telemetry.reports


def made(probe: World) -> int:
    return sum(len(each.calls) for each in probe.accounts.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_an_hour_of_processes_that_live_for_one_tick_tells_each_attempt_once(seed: int):
    chosen = random.Random(seed)  # noqa: S311 - a tape

    async def main():
        probe, sent = world(target("a"), target("b")), []
        for number in range(60):
            sent += await fresh(probe, number, behaviour=chosen.choice(BEHAVIOURS))
        return probe, sent

    probe, sent = run(main())

    assert attempts(told(sent)) + waiting(probe) == made(probe) > 60 * 2 * 7
    assert told(sent)["attempt/primary/read/503/503"] > 0


def test_while_all_is_well_one_tick_in_five_sends():
    async def main():
        probe = world()
        return [[each.targets[0].told for each in await fresh(probe, number)] for number in range(11)]

    sends = [number for number, (tally,) in enumerate(run(main())) if tally]

    assert sends == [0, 5, 10]


def test_of_two_ticks_at_once_just_one_sends_what_waited():
    async def main():
        probe, sent = world(), []
        for number in range(5):
            sent += await fresh(probe, number)

        async def quicker() -> None:
            sent.extend(await fresh(probe, 5))

        probe.store.meanwhile = [quicker]
        sent += await fresh(probe, 5)
        return probe, sent

    probe, sent = run(main())

    assert len(sent) == 7
    assert attempts(told(sent)) + waiting(probe) == made(probe)


@dataclass(slots=True)
class Unheard(Store):
    """A store that fails some saves by a plan, and has saved some of those that it fails."""

    plan: random.Random = field(default_factory=random.Random)
    fates: tuple[str, ...] = ("saved", "saved", "saved", "refused", "not saved", "unheard")

    async def save(self, shard, record, tag):
        fate = self.plan.choice(self.fates)
        if fate == "saved":
            return await Store.save(self, shard, record, tag)
        if fate == "unheard":
            await Store.save(self, shard, record, tag)
        raise StateError("no answer", error_type="refused" if fate == "refused" else "timeout")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_process_that_lives_tells_each_attempt_once_though_saves_fail(seed: int):
    chosen = random.Random(seed)  # noqa: S311 - a tape

    async def main():
        probe = world(target("a"), target("b"))
        failing = Unheard(plan=chosen, fates=("saved", "refused", "not saved"))
        probe.inner.store = probe.store = failing
        for number in range(60):
            await probe.until(NOON + number * MINUTE)
            for each in probe.accounts.values():
                each.behave(*chosen.choice(BEHAVIOURS))
            await probe.tick()
        probe.inner.store = probe.store = Store(records=probe.store.records, versions=probe.store.versions)
        for number in range(60, 70):
            await probe.until(NOON + number * MINUTE)
            await probe.tick()
        return probe

    probe = run(main())

    assert attempts(told(probe.telemetry.reports)) + waiting(probe) == made(probe)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_becomes_of_saves_and_processes_no_attempt_is_told_twice(seed: int):
    chosen = random.Random(seed)  # noqa: S311 - a tape

    async def main():
        probe, sent = world(), []
        probe.store = Unheard(plan=chosen)
        for number in range(60):
            sent += await fresh(probe, number, behaviour=chosen.choice(BEHAVIOURS))
        return probe, sent

    probe, sent = run(main())

    assert attempts(told(sent)) + waiting(probe) <= made(probe)
    assert attempts(told(sent)) + waiting(probe) > 0.8 * made(probe)


@pytest.mark.parametrize("failing", [("load", "save"), ("load",), ("save",)], ids="+".join)
def test_without_a_store_each_tick_tells_its_own_at_once(failing: tuple[str, ...]):
    async def main():
        probe, sent = world(), []
        for number in range(3):
            sent += await fresh(probe, number)
        waited = waiting(probe)
        probe.store.trouble = dict.fromkeys(failing, "403")
        for number in range(3, 6):
            sent += await fresh(probe, number)
        return probe, sent, waited

    probe, sent, waited = run(main())

    assert [attempts(told([each])) for each in sent] == [9, 0, 0, 9, 9, 9]
    assert waiting(probe) == waited == 18


def test_a_store_that_is_back_gives_what_waited_in_it():
    async def main():
        probe, sent = world(), []
        for number in range(9):
            probe.store.trouble = dict.fromkeys(("load", "save"), "timeout") if 3 <= number < 6 else {}
            sent += await fresh(probe, number)
        return probe, sent

    probe, sent = run(main())

    assert attempts(told(sent)) + waiting(probe) == made(probe) == 9 * 9


@dataclass(slots=True)
class Losing(Telemetry):
    """A telemetry whose backend takes nothing: 20 rows a tick, and those that it was to tell of."""

    dead: bool = True
    unclaimed: Counter[str] = field(default_factory=Counter)

    async def flush(self) -> None:
        if self.dead:
            self.unclaimed["otlp"] += 20 + self.reports[-1].lost.get("otlp", 0)

    def claim_losses(self) -> dict[str, int]:
        claimed, self.unclaimed = dict(self.unclaimed), Counter()
        return claimed


def test_what_was_lost_outlives_the_process_and_is_told_once():
    async def main():
        probe, lost = world(), []
        for number in range(5):
            process = world(beside=probe)
            process.inner.telemetry = telemetry = Losing(dead=number < 3)
            await process.until(NOON + number * MINUTE)
            lost.append((await process.tick()).lost)
            assert telemetry.claim_losses() == {}
        return probe, lost

    probe, lost = run(main())

    assert lost == [{}, {"otlp": 20}, {"otlp": 40}, {"otlp": 60}, {}]
    assert probe.store.records[0].lost == {}


def test_while_nothing_is_lost_a_tick_saves_once():
    async def main():
        probe = world()
        probe.inner.telemetry = Losing(dead=False)
        await probe.tick()
        return probe

    assert run(main()).store.saves == 1


def test_what_was_lost_while_the_store_is_down_is_counted_when_it_is_back():
    async def main():
        probe = world()
        probe.inner.telemetry = telemetry = Losing()
        probe.store.down()
        await probe.tick()
        probe.store.trouble = {}
        await probe.until(NOON + MINUTE)
        telemetry.dead = False
        return await probe.tick()

    assert run(main()).lost == {"otlp": 20}


def test_losses_are_counted_on_what_another_tick_saved_meanwhile():
    async def main():
        probe = world()
        process = world(beside=probe)
        process.inner.telemetry = Losing()

        async def nothing() -> None:
            pass

        async def quicker() -> None:
            await probe.tick(NOON + MINUTE)

        probe.store.meanwhile = [nothing, quicker]
        await process.tick()
        return probe

    probe = run(main())

    assert probe.store.records[0].lost == {"otlp": 20}
    assert probe.store.records[0].ticks == 2


def test_sums_wait_no_longer_than_the_interval_though_ticks_are_rare():
    async def main():
        probe = world()
        first = await fresh(probe, 0)
        return first + await fresh(probe, round((CALM_INTERVAL + timedelta(minutes=1)) / MINUTE))

    assert [attempts(told([each])) for each in run(main())] == [9, 9]
