"""Sums: exact in whatever order they are added, and handed over for sending at most once."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from probe.adapters import state
from probe.core import record as records
from probe.core.reading import Phases, Purpose
from probe.core.record import ShardRecord, TargetRecord
from probe.core.replication import Delay
from probe.core.sums import (
    BUCKETS,
    CALM_INTERVAL,
    PHASES,
    Sum,
    Tally,
    added,
    measured,
    settled,
    single,
    with_losses,
)
from tests.unit.core_values import NOON, PRIMARY, SECONDARY, read, reading, s

OWN = {"read/primary": Sum(5, 50_000, 10_000, 10_000)}
WAITED = Tally(since=NOON, sums={"read/primary": Sum(10, 100_000, 5_000, 20_000)})
MINUTE = timedelta(minutes=1)


def test_each_attempt_is_summed_by_place_purpose_error_and_status():
    readings = [
        reading(PRIMARY, took=0.01, status_code=200),
        reading(PRIMARY, took=0.03, status_code=200),
        reading(PRIMARY, "503", took=0.2, status_code=503),
        reading(SECONDARY, "timeout", took=5, purpose=Purpose.CHECK),
    ]

    assert measured(readings, [], []) == {
        "attempt/primary/read//200": Sum(2, 40_000, 10_000, 30_000, (0, 0, 1, 0, 1)),
        "attempt/primary/read/503/503": Sum(1, 200_000, 200_000, 200_000, (0, 0, 0, 0, 0, 0, 1)),
        "attempt/secondary/check/timeout/": Sum(
            1, 5_000_000, 5_000_000, 5_000_000, (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
        ),
    }


def test_phases_reads_and_delays_are_summed_and_what_did_not_happen_is_absent():
    one = reading(PRIMARY, phases=Phases(dns=s(0.001), ttfb=s(0.004)))
    delays = [Delay(sequence=7, delay=s(60), error=s(1))]

    found = measured([one], [read(one), read(reading(PRIMARY, "503"))], delays)

    assert set(found) == {
        "attempt/primary/read//",
        "phase/primary/dns",
        "phase/primary/ttfb",
        "read/primary",
        "read/none",
        "delay/secondary",
    }
    assert found["delay/secondary"].total == 60_000_000


@pytest.mark.parametrize("measure", [each for each, bounds in BUCKETS.items() if bounds])
def test_a_duration_falls_into_the_bucket_up_to_whose_bound_it_is(measure: str):
    bounds = BUCKETS[measure]
    on, above = single(measure, s(bounds[3])), single(measure, s(bounds[3]) + timedelta(microseconds=1))

    assert (len(on.buckets), len(above.buckets)) == (4, 5)
    assert len(single(measure, s(bounds[-1] + 1)).buckets) == len(bounds) + 1


def test_the_phases_are_those_of_a_reading():
    assert set(PHASES) == set(Phases.__dataclass_fields__)


def test_sums_add_up_to_the_same_in_whatever_order():
    parts = [{"attempt/primary/read//200": single("attempt", s(each / 7))} for each in range(1, 50)]
    forth, back = {}, {}
    for each in parts:
        forth = added(forth, each)
    for each in reversed(parts):
        back = added(each, back)

    assert forth == back
    assert forth["attempt/primary/read//200"].number == 49


def test_the_first_tick_sends_at_once():
    told, waits = settled(None, OWN, at=NOON, calm=True)

    assert (told, waits) == (Tally(since=NOON, sums=OWN), Tally(since=NOON))


def test_a_calm_tick_waits_until_five_minutes_are_over():
    at = NOON + CALM_INTERVAL

    told, waits = settled(WAITED, OWN, at=at - timedelta(microseconds=1), calm=True)
    assert told is None
    assert waits == Tally(since=NOON, sums=added(WAITED.sums, OWN))

    told, waits = settled(WAITED, OWN, at=at, calm=True)
    assert told == Tally(since=NOON, sums={"read/primary": Sum(15, 150_000, 5_000, 20_000)})
    assert waits == Tally(since=at)


def test_a_tick_that_is_not_calm_sends_all_at_once():
    told, waits = settled(WAITED, OWN, at=NOON + MINUTE, calm=False)

    assert told is not None
    assert told.sums["read/primary"].number == 15
    assert waits == Tally(since=NOON + MINUTE)


def test_a_clock_that_went_back_makes_nobody_wait_for_ever():
    told, _ = settled(WAITED, OWN, at=NOON - MINUTE, calm=True)

    assert told is not None


def test_what_waits_in_a_store_that_did_not_save_is_not_sent_beside_it():
    told, waits = settled(WAITED, OWN, at=NOON + MINUTE, calm=False, saved=False)

    assert (told, waits) == (Tally(since=NOON + MINUTE, sums=OWN), WAITED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("read/nobody", OWN["read/primary"], id="a name that no tick gives"),
        pytest.param("attempt/primary/read/503/503", single("attempt", s(1)), id="a failure never waits"),
        pytest.param("attempt/primary/read//9e9", single("attempt", s(1)), id="a status that is none"),
        pytest.param("phase/primary/lunch", single("phase", s(1)), id="a phase that is none"),
        pytest.param("delay/primary", single("delay", s(1)), id="a delay of the primary"),
        pytest.param("", OWN["read/primary"], id="no name"),
        pytest.param("read/primary", Sum(0, 0, 0, 0), id="nothing measured"),
        pytest.param("read/primary", Sum(-5, 1, 1, 1), id="less than nothing"),
        pytest.param("read/primary", Sum(2**60, 1, 1, 1), id="more than a backend can count"),
        pytest.param("read/primary", Sum(1, 1, 2, 1), id="least above most"),
        pytest.param("phase/primary/dns", Sum(1, 1, 1, 1, (0,) * 20 + (1,)), id="too many buckets"),
        pytest.param("phase/primary/dns", Sum(2, 1, 1, 1, (-1, 3)), id="a bucket below nothing"),
        pytest.param("phase/primary/dns", Sum(9, 1, 1, 1, (1,)), id="buckets that do not add up"),
    ],
)
def test_what_nobody_can_have_measured_is_not_sent_and_the_rest_is(name: str, value: Sum):
    poisoned = Tally(since=NOON, sums={name: value, "read/secondary": OWN["read/primary"]})

    told, _ = settled(poisoned, OWN, at=NOON + MINUTE, calm=False)

    assert told is not None
    assert told.sums == {"read/primary": OWN["read/primary"], "read/secondary": OWN["read/primary"]}


def test_losses_add_up_and_are_taken_back_where_rows_arrived_after_all():
    assert with_losses({"a": 30, "b": 2}, {"a": -30, "b": 5, "c": 1}) == {"b": 7, "c": 1}
    assert with_losses({}, {"a": -30}) == {}


def test_what_waits_outlasts_the_process_in_the_document():
    record = TargetRecord.fresh(NOON)
    tally = Tally(since=NOON, sums=measured([reading(PRIMARY, phases=Phases(dns=s(0.001)))], [], []))
    shard = ShardRecord(targets={"a": replace(record, unsent=tally)}, lost={"otlp": 3})

    found = state.decode(state.Encoder().encode(shard))

    assert found == shard
    assert isinstance(found.targets["a"].unsent.sums["phase/primary/dns"], Sum)


def test_a_document_of_before_there_were_sums_is_read():
    document = json.loads(state.Encoder().encode(ShardRecord(targets={"a": TargetRecord.fresh(NOON)})))
    del document["lost"], document["targets"]["a"]["unsent"]

    assert state.decode(json.dumps(document).encode()).targets["a"].unsent is None


def test_a_time_from_the_future_is_clamped():
    ahead = Tally(since=NOON + timedelta(days=1))
    shard = ShardRecord(targets={"a": replace(TargetRecord.fresh(NOON), unsent=ahead)})

    found = records.clamped(shard, NOON)

    assert found.clamped == 1
    assert found.targets["a"].unsent == Tally(since=NOON)
