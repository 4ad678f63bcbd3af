"""The state's document: what is read back is what was kept; what cannot be trusted is refused, and why."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from pydantic import TypeAdapter

from probe.adapters import state
from probe.adapters.state import SIZE_LIMIT, Encoder, UnreadableError, aside_name, decode
from probe.adapters.state_blob import safe
from probe.core.breaker import Breaker, State
from probe.core.brief import Brief, brief
from probe.core.record import HistoryEntry, ShardRecord, TargetRecord
from probe.core.replication import Ledger
from probe.lab.world import MINUTE, run, target, world
from probe.lab.world import NOON as NOON_THERE
from tests.unit.state_values import NOON, record, records

encode = Encoder().encode
"""One for all: what it kept of one document must do no harm to the next."""


@settings(max_examples=60, deadline=None)
@given(records)
def test_a_record_comes_back_from_its_document_as_it_was(kept):
    assert decode(encode(kept)) == kept


@settings(max_examples=30, deadline=None)
@given(records)
def test_a_document_is_what_the_record_holds_however_much_of_it_was_encoded_before(kept):
    known = Encoder()
    known.encode(kept)
    found = json.loads(known.encode(kept))

    assert found.pop("brief") == json.loads(TypeAdapter(Brief).dump_json(brief(kept)))
    assert found == json.loads(TypeAdapter(ShardRecord).dump_json(kept))


def test_an_entry_of_a_history_is_encoded_once(monkeypatch):
    entries = [
        HistoryEntry(
            at=NOON + minute * MINUTE,
            verdict="ok",
            primary="healthy",
            secondary=None,
            served_primary=5,
            served_secondary=0,
            served_none=0,
            worst_read=0.1,
            lag=None,
            last_sync_age=None,
        )
        for minute in range(4)
    ]
    fresh, known, seen = TargetRecord.fresh(NOON), Encoder(), []
    known.encode(ShardRecord(targets={"a": replace(fresh, history=tuple(entries[:3]))}))
    adapter = TypeAdapter(HistoryEntry)
    monkeypatch.setattr(adapter, "dump_json", lambda each: seen.append(each) or b"{}")
    there = {HistoryEntry: adapter}
    real = state._adapter
    monkeypatch.setattr(state, "_adapter", lambda kind: there.get(kind) or real(kind))

    known.encode(ShardRecord(targets={"a": replace(fresh, history=tuple(entries[1:]))}))

    assert seen == entries[3:]


def test_times_are_kept_as_rfc_3339_in_utc():
    document = json.loads(encode(record()))

    assert document["last_completed_at"] == "2026-03-01T12:00:00Z"


def test_a_field_of_a_later_version_is_passed_over():
    document = json.loads(encode(record(ticks=3)))
    document["new"] = {"anything": 1}
    document["targets"]["orders"]["breaker"]["new"] = True

    assert decode(json.dumps(document).encode()) == record(ticks=3)


def test_a_field_that_an_earlier_version_did_not_keep_has_its_default():
    document = json.loads(encode(record(ticks=3)))
    del document["clamped"], document["targets"]["orders"]["history"]

    assert decode(json.dumps(document).encode()) == record(ticks=3)


def test_a_time_of_another_zone_is_the_same_instant():
    document = json.loads(encode(record()))
    document["last_completed_at"] = "2026-03-01T14:00:00+02:00"

    assert decode(json.dumps(document).encode()).last_completed_at == NOON


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param(b"", "EOF", id="empty"),
        pytest.param(b"\x00\xff\xfe junk", "JSON", id="binary junk"),
        pytest.param(encode(record())[:-20], "EOF", id="truncated"),
        pytest.param(b"[]", "should be an object", id="another shape"),
        pytest.param(b'{"schema": 2}', "targets", id="no targets"),
        pytest.param(b'{"schema": 99, "targets": {}}', "schema 99", id="schema of a later version"),
        pytest.param(b'{"schema": 99, "shards": []}', "schema 99", id="schema and shape of a later version"),
        pytest.param(
            b'{"schema": 2, "targets": {}, "last_scheduled_at": "2026-03-01T12:00:00"}',
            "timezone",
            id="a time without its zone",
        ),
        pytest.param(b"[" * 100_000, "recursion", id="nested too deep"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused_with_the_reason(document, reason):
    with pytest.raises(UnreadableError, match=reason):
        decode(document)


def test_the_reason_for_a_refusal_does_not_repeat_what_the_document_holds():
    with pytest.raises(UnreadableError) as caught:
        decode(b'{"schema": 1, "targets": {"orders": "AccountKey=hunter2"}}')

    assert "hunter2" not in str(caught.value)


def test_a_version_is_kept_aside_under_the_utc_time_at_which_it_was_written():
    changed_at = datetime(2026, 3, 1, 14, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))

    assert aside_name("shard-0.json", changed_at) == "shard-0.json.unreadable-20260301T120000.250000Z"


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        pytest.param("northeurope", "northeurope", id="a region's name"),
        pytest.param("North Europe", "North-Europe-", id="its display name"),
        pytest.param("../../x", "x-", id="a way out"),
        pytest.param("", "e3b0c442", id="nothing"),
        pytest.param("Zürich", "Z-rich-", id="beyond ASCII"),
        pytest.param("x" * 300, "x" * 60 + "-", id="too long"),
    ],
)
def test_a_vantage_is_one_safe_segment_of_a_blobs_name(prefix, name):
    assert safe(prefix).startswith(name)
    assert "/" not in safe(prefix)
    assert len(safe(prefix)) <= 70


def test_two_vantages_that_look_alike_keep_their_state_apart():
    assert safe("west europe") != safe("west-europe") != safe("west.europe") != safe("west europe")


def test_a_breaker_that_was_saved_before_it_told_when_it_moved_is_read():
    """Then ``since`` was when it last moved; the cooldown goes on from there."""
    breaker = Breaker(state=State.OPEN, since=NOON, epoch=1, secondary_reads=7)
    record = ShardRecord(targets={"orders": TargetRecord(breaker=breaker, ledger=Ledger())})
    old = json.loads(encode(record))
    for name in ("moved_at", "good_checks"):
        del old["targets"]["orders"]["breaker"][name]

    assert decode(json.dumps(old).encode()) == record


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00"])
@pytest.mark.parametrize("place", ["since", "moved_at"])
def test_a_time_that_utc_does_not_have_is_refused(place, time):
    """It would end every tick, and the status, that tells it."""
    document = json.loads(encode(record()))
    document["targets"]["orders"]["breaker"][place] = time

    with pytest.raises(UnreadableError, match=place):
        decode(json.dumps(document).encode())


@pytest.mark.parametrize("sequence", [10**17, 10**18, 10**40])
@pytest.mark.parametrize("place", ["tried", "newest", "primary_shown", "secondary_shown"])
def test_a_sequence_that_no_probe_can_have_come_to_is_refused(place, sequence):
    """It would be a floor that nothing reaches, or be written into the blob, which nobody could read then."""
    document = json.loads(encode(record()))
    shown = {"sequence": sequence, "written_at": "2026-03-01T12:00:00Z", "sha256": "", "writer": "here"}
    document["targets"]["orders"]["ledger"][place] = sequence if place == "tried" else shown

    with pytest.raises(UnreadableError, match=r"no probe can have come to|less than or equal to"):
        decode(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("ticks",), "-1"),
        (("ticks",), "true"),
        (("targets", "orders", "ledger", "tried"), "-10"),
        (("targets", "orders", "breaker", "multiplier"), "1e30"),
        (("targets", "orders", "breaker", "multiplier"), "9"),
        (("targets", "orders", "breaker", "multiplier"), "0"),
        (("targets", "orders", "breaker", "epoch"), "-1"),
        (("targets", "orders", "breaker", "totals", "primary_attempts"), "1e3"),
        (("targets", "orders", "history", 0, "lag"), "NaN"),
        (("targets", "orders", "history", 0, "worst_read"), "Infinity"),
        (("targets", "orders", "history", 0, "last_sync_age"), "1e300"),
        (("targets", "orders", "history", 0, "at"), '"0001-01-01T00:00:00+12:00"'),
    ],
    ids=str,
)
def test_a_value_that_no_probe_writes_is_refused_wherever_it_stands(place, value):
    whole = record()
    entry = HistoryEntry(
        at=NOON, verdict="ok", primary="healthy", secondary=None, served_primary=5, served_secondary=0,
        served_none=0, worst_read=0.1, lag=None, last_sync_age=None,
    )  # fmt: skip
    target = replace(whole.targets["orders"], history=(entry,))
    document = json.loads(encode(replace(whole, targets={"orders": target})))
    holder = document
    for each in place[:-1]:
        holder = holder[each]
    holder[place[-1]] = "here"

    with pytest.raises(UnreadableError):
        decode(json.dumps(document).replace('"here"', value).encode())


def test_of_a_name_that_comes_twice_the_last_is_checked_as_any_other():
    with pytest.raises(UnreadableError, match="ticks"):
        decode(b'{"schema": 2, "targets": {}, "ticks": 1, "ticks": -1}')


SHARE = SIZE_LIMIT // 500
"""The bytes of a target in the biggest shard (``PROBE_SHARD_SIZE``)."""


async def outage(reads: int = 5, ticks: int = 150) -> TargetRecord:
    """Let replication be stuck and the primary flap for two hours and more: all that is kept is full."""
    probe = world(target(reads=reads, rpo=150 * MINUTE))
    for number in range(ticks):
        await probe.until(NOON_THERE + number * MINUTE)
        probe.account.behave("503" if number // 6 % 2 else "ok", "stale" if number else "ok")
        await probe.tick()
    return probe.store.records[0].targets["contoso"]


@pytest.mark.parametrize(("reads", "ticks"), [(5, 150), (40, 70)])
def test_the_fullest_shard_is_loaded_again_with_the_newer_part_of_what_it_tells(reads, ticks, monkeypatch):
    """500 such targets had 40 MB, and 16 MiB are read: from the 78th tick on nothing was loaded again."""
    monkeypatch.setattr(state, "SIZE_LIMIT", 10 * SHARE)
    full = run(outage(reads, ticks))
    everyone = ShardRecord(targets={f"target-{number}": full for number in range(10)})

    found = decode(encode(everyone))

    seen = found.targets["target-0"]
    assert len(encode(everyone)) <= 10 * SHARE
    assert list(found.targets) == list(everyone.targets)
    assert (seen.breaker, seen.standings, seen.incident) == (full.breaker, full.standings, full.incident)
    assert seen.ledger.unseen[0] == full.ledger.unseen[0], "the lag is as it was"
    assert seen.ledger.unseen[-1] == full.ledger.unseen[-1]
    for name in ("history", "events", "transitions"):
        kept, all_of_it = getattr(seen, name), getattr(full, name)
        assert len(all_of_it) // 4 <= len(kept) < len(all_of_it)
        assert kept == all_of_it[-len(kept) :]
    assert len(seen.last["reads"]) == reads
    assert decode(encode(found)) == found


def test_a_shard_that_holds_more_than_was_ever_set_forgets_who_was_probed_longest_ago(monkeypatch):
    monkeypatch.setattr(state, "SIZE_LIMIT", 10 * SHARE)
    full = run(outage())
    late = replace(full, history=(replace(full.history[-1], at=full.history[-1].at + MINUTE),))
    targets = {"late": late, **{f"gone-{number}": full for number in range(100)}}

    found = decode(encode(ShardRecord(targets=targets)))

    assert "late" in found.targets
    assert len(found.targets) < len(targets)
