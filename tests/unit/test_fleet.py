"""The fleet: how targets become shards, what a message says, and which messages are not run."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe import fleet
from probe.core.errors import ProbeError
from probe.fleet import Message
from probe.lab.world import MINUTE, NOON, target

GOOD = {
    "schema": 1,
    "shard": 1,
    "shards": 3,
    "scheduled_at": "2026-03-01T12:00:00.000000Z",
    "past_due": True,
}


@pytest.mark.parametrize(
    ("targets", "size", "sizes"), [(1, 100, [1]), (100, 100, [100]), (101, 100, [100, 1]), (5, 2, [2, 2, 1])]
)
def test_targets_are_cut_in_their_order(targets: int, size: int, sizes: list[int]):
    fleet_targets = [target(f"t{each}") for each in range(targets)]

    shards = fleet.shards(fleet_targets, size)

    assert [len(each) for each in shards] == sizes
    assert [each for shard in shards for each in shard] == fleet_targets


@given(
    st.integers(0, 10_000),
    st.integers(1, 10_000),
    st.datetimes(timezones=st.just(NOON.tzinfo)),
    st.booleans(),
)
def test_a_message_arrives_as_it_was_sent(shard, shards, at, past_due):
    message = Message(shard=shard, shards=shards, scheduled_at=at, past_due=past_due)

    assert fleet.decode(fleet.encode(message)) == message


def test_a_message_is_what_it_is_documented_to_be():
    message = Message(shard=1, shards=3, scheduled_at=NOON, past_due=True)

    assert json.loads(fleet.encode(message)) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "null",
        "[]",
        "{}",
        '"schema"',
        json.dumps({**GOOD, "shard": None}),
        json.dumps({**GOOD, "shard": "first"}),
        json.dumps({**GOOD, "scheduled_at": "noon"}),
        json.dumps({**GOOD, "scheduled_at": 5}),
        json.dumps({**GOOD, "scheduled_at": "2026-03-01T12:00:00"}),
        json.dumps({key: value for key, value in GOOD.items() if key != "past_due"}),
    ],
)
def test_a_message_that_is_not_ours_is_told(text: str):
    with pytest.raises(ProbeError, match="a message on the queue is not a shard's"):
        fleet.decode(text)


@pytest.mark.parametrize("schema", [2, "1", None])
def test_a_message_of_another_version_is_told_as_such(schema: object):
    with pytest.raises(ProbeError, match="this version reads 1"):
        fleet.decode(json.dumps({"schema": schema}))


@pytest.mark.parametrize(
    ("message", "late", "why"),
    [
        ({}, 0, None),
        ({}, 60, None),
        ({}, 61, "it was scheduled 61 s ago, and the next tick is due already"),
        ({}, -1, None),
        ({"shards": 4}, 0, "it is shard 1 of 4, but there are 3 now"),
        ({"shard": 3}, 0, "it is shard 3 of 3, but there are 3 now"),
        ({"shard": -1}, 0, "it is shard -1 of 3, but there are 3 now"),
    ],
)
def test_a_message_that_is_late_or_of_another_cut_is_not_run(message: dict[str, int], late: int, why: str):
    sent = Message(**{"shard": 1, "shards": 3, "scheduled_at": NOON, **message})

    now = NOON + timedelta(seconds=late)
    assert fleet.dropped(sent, now=now, interval=MINUTE, shards=3) == why
