"""The state's document: what is read back is what was kept; what cannot be trusted is refused, and why."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings

from probe.adapters.state import UnreadableError, aside_name, decode, encode
from probe.adapters.state_blob import safe
from probe.core.breaker import Breaker, State
from probe.core.record import ShardRecord, TargetRecord
from probe.core.replication import Ledger
from tests.unit.state_values import NOON, record, records


@settings(max_examples=60, deadline=None)
@given(records)
def test_a_record_comes_back_from_its_document_as_it_was(kept):
    assert decode(encode(kept)) == kept


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

    with pytest.raises(UnreadableError, match="no probe can have come to"):
        decode(json.dumps(document).encode())
