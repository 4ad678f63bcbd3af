"""The brief of a shard: every headline made of it is that of the whole, and a fleet's page is made of it."""

import json
from dataclasses import replace
from typing import ClassVar

import pytest

from probe import page, status
from probe.adapters.state import Encoder, decode, glanced
from probe.core.brief import brief
from probe.core.headline import headline, status_situations
from probe.core.target import Forced, Location
from probe.lab.world import MINUTE, NOON, Store, clock, run, target, world
from probe.ports import Loaded
from probe.status import Memory
from tests.browser import staged
from tests.unit.test_status import page as page_of


@pytest.mark.parametrize("name", staged.BY_NAME)
def test_what_is_told_of_a_brief_is_what_is_told_of_the_whole(name: str):
    async def main():
        probe = await staged.played(staged.BY_NAME[name])
        given = (probe.store, page_of(probe.targets), Memory(ticks=probe.inner.last_known), clock())
        return await status.document(*given), await status.overview(*given)

    whole, little = run(main())

    assert [headline(each) for each in status_situations(little)] == [
        headline(each) for each in status_situations(whole)
    ]
    assert little["shards"] == whole["shards"]


def test_what_the_settings_will_is_told_as_it_is_now():
    forced = Forced(location=Location.SECONDARY, until=NOON + MINUTE)
    probe = world(target(forced=forced))

    async def main():
        probe.account.begin()
        await probe.tick()
        given = (probe.store, page_of(probe.targets), Memory())
        return [await status.overview(*given, NOON + after * MINUTE) for after in (0, 2)]

    now, later = run(main())

    assert now["targets"][0]["breaker"]["forced"]["location"] == "secondary"
    assert later["targets"][0]["breaker"]["forced"] is None


def record():
    async def main():
        return (await staged.played(staged.BY_NAME["recovered"])).store.records[0]

    return run(main())


def test_a_document_begins_with_its_brief_and_is_read_as_before():
    known = record()
    document = Encoder().encode(known)

    assert decode(document) == known
    assert glanced(document) == brief(known)
    assert len(json.dumps(json.loads(document)["brief"])) < len(document) / 8


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b'{"schema":2}',
        b'{"brief":{"sch',
        b'{"brief":7,',
        b'{"brief":{"schema":1,"targets":{}},',
        b"\xff",
    ],
    ids=["nothing", "none", "cut off", "another", "an earlier one", "no text"],
)
def test_what_begins_with_no_brief_is_no_brief(beginning: bytes):
    assert glanced(beginning) is None


def test_a_shard_of_a_hundred_targets_has_its_brief_within_a_glance():
    known = record()
    (one,) = known.targets.values()
    many = replace(known, targets={f"store-{number:05}": one for number in range(100)})

    assert glanced(Encoder().encode(many)[: 256 * 1024]) == brief(many)


class Counted(Store):
    """A store that says which shards were loaded whole."""

    loads: ClassVar[list[int]] = []

    async def load(self, shard: int) -> Loaded:
        self.loads.append(shard)
        return await Store.load(self, shard)


def test_a_fleets_page_is_made_of_briefs_and_a_targets_page_of_its_shard_alone():
    async def main():
        probe = world(*(target(each) for each in "abcd"))
        await probe.tick()
        store = Counted(records={0: probe.store.records[0], 1: probe.store.records[0]})
        given = (store, page_of(probe.targets[:2], probe.targets[2:]), Memory(), clock())
        fleet = await status.overview(*given)
        assert store.loads == []
        return fleet, await status.document(*given, only="c"), await status.document(*given, only="x")

    fleet, one, none = run(main())

    assert Counted.loads == [1]
    assert [each["name"] for each in fleet["targets"]] == list("abcd")
    assert [each["name"] for each in one["targets"]] == ["c"]
    assert "There is no target of the name x." in page.html(none, page.Asked(target="x"))


def test_a_state_that_somebody_else_wrote_is_saved_and_has_a_brief_without_it():
    known = record()
    ((name, one),) = known.targets.items()
    strange = replace(known, targets={name: replace(one, last={"verdict": 7})})

    assert glanced(Encoder().encode(strange)).targets == {}
