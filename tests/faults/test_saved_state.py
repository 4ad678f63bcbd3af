"""What a saved state can do to the probe, whoever wrote it: it is refused, or the next ticks go on from it.

A real document, after an outage, has one of its values after the other replaced by what a hand, a disk or
another program may leave there. ``last``, which is only told, is left out: the next tick replaces it.
"""

import copy
import json
import random
from collections.abc import Iterator

from probe.adapters.state import Encoder, UnreadableError, decode
from probe.core.record import ShardRecord
from probe.lab.world import MINUTE, NOON, World, clock, run, target, world
from probe.status import Memory, document
from tests.amounts import amount
from tests.unit.test_status import page

encode = Encoder().encode
JUNK = (
    -1, -10, 0, 7, 10**16, 10**18, 1e30, -1e14, 0.5, float("nan"), float("inf"), "", "ok", "x" * 5000,
    "\u0667", None, True, [], {}, [[]], {"a": 1}, "0001-01-01T00:00:00+12:00", "1970-01-01T00:00:00Z",
    "2026-03-01T12:00:00", "2026-03-01T12:00:00Z", "2999-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z",
)  # fmt: skip


async def after_an_outage() -> World:
    probe = world(target(rpo=150 * MINUTE / 60))
    for number, (primary, secondary) in enumerate(
        [("ok", "ok"), ("ok", "stale"), ("503", "stale"), ("503", "stale"), ("lost", "ok"), ("ok", "404")]
    ):
        await probe.until(NOON + number * MINUTE)
        probe.account.behave(primary, secondary)
        await probe.tick()
    return probe


def places(value, *way) -> Iterator[tuple]:
    """Yield the way to each value in a document; of a list only to the first, which stands for all."""
    match value:
        case dict():
            found = list(value.items())
        case list():
            found = list(enumerate(value))[:1]
        case _:
            found = []
    for key, each in found:
        if key != "last":
            yield (*way, key)
            yield from places(each, *way, key)


def put(whole, way: tuple, junk):
    found = copy.deepcopy(whole)
    holder = found
    for each in way[:-1]:
        holder = holder[each]
    holder[way[-1]] = junk
    return found


async def goes_on_from(record: ShardRecord) -> None:
    """Tick three times on a saved record, and tell its status before and after."""
    probe = world(target(rpo=150 * MINUTE / 60, cooldown=MINUTE))
    probe.account.begin(100)
    probe.store.records[0], probe.store.versions[0] = record, 1
    await probe.until(NOON + 10 * MINUTE)
    await document(probe.store, page(probe.targets), Memory(), clock())
    for number in range(3):
        probe.account.behave("503" if number == 0 else "ok", "ok")
        report = await probe.tick()
        assert report.result != "failed"
        await probe.until(clock() + MINUTE)
    await document(probe.store, page(probe.targets), Memory(), clock())
    saved = probe.store.records[0]
    assert decode(encode(saved)) == saved
    assert report.targets[0].judgement.target.verdict in ("ok", "rerouted")
    assert report.targets[0].written_sequence


def test_whatever_one_value_of_a_saved_state_becomes_it_is_refused_or_gone_on_from():
    whole = json.loads(encode(run(after_an_outage()).store.records[0]))
    everything = [(way, junk) for way in places(whole) for junk in JUNK]
    some = random.Random(7).sample(everything, min(amount(250, 10_000), len(everything)))  # noqa: S311 - no secret
    taken = 0

    for way, junk in some:
        try:
            record = decode(json.dumps(put(whole, way, junk)).encode())
        except UnreadableError:
            continue
        taken += 1
        try:
            run(goes_on_from(record))
        except Exception as error:
            raise AssertionError(f"{way} = {junk!r}") from error

    assert 0 < taken < len(some)
