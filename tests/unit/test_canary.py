"""The canary's stamp: written, read back, verified; a stamp is whole or it is none."""

import base64
import hashlib
from datetime import datetime, timedelta, timezone

import pytest

from probe.core import canary
from tests.unit.core_values import BODY, NOON, at, stamped

WHOLE = canary.encode(stamped(7))


def check(body=BODY, metadata=WHOLE, content_md5=None, floor=None, *, stamped=True):
    return canary.verify(body=body, metadata=metadata, content_md5=content_md5, floor=floor, stamped=stamped)


def test_the_metadata_is_what_other_clients_can_read():
    assert {
        "sequence": "7",
        "writtenat": "2026-03-01T12:00:00.000000+00:00",
        "sha256": hashlib.sha256(BODY).hexdigest(),
        "writer": "here",
    } == WHOLE


def test_metadata_keys_survive_any_clients_idea_of_case():
    shouted = {key.upper(): value for key, value in WHOLE.items()}

    assert canary.decode(shouted) == stamped(7)


@pytest.mark.parametrize(
    ("writer", "kept"),
    [
        pytest.param("westeurope", "westeurope", id="plain"),
        pytest.param("Zürich", "Z-rich", id="beyond-ascii"),
        pytest.param("a\r\nx-ms-evil: 1", "a--x-ms-evil: 1", id="header-injection"),
        pytest.param("  padded ", "padded", id="padding"),
        pytest.param("", "-", id="empty"),
        pytest.param("\t", "-", id="control"),
    ],
)
def test_a_writer_is_kept_as_a_header_can_carry_it_from_the_start(writer, kept):
    """Else the ledger's copy of a stamp would name another writer than the one read back."""
    value = stamped(1, writer=writer)

    assert value.writer == kept
    assert canary.decode(canary.encode(value)) == value


def test_a_time_in_another_zone_is_stamped_in_utc():
    value = canary.stamp(
        body=BODY, sequence=1, written_at=NOON.astimezone(timezone(timedelta(hours=2))), writer="here"
    )

    assert canary.encode(value)["writtenat"] == "2026-03-01T12:00:00.000000+00:00"


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"sequence": None}, id="no-sequence"),
        pytest.param({"writtenat": None}, id="no-time"),
        pytest.param({"sha256": None}, id="no-digest"),
        pytest.param({"writer": None}, id="no-writer"),
    ],
)
def test_a_stamp_that_is_not_whole_is_none(broken):
    metadata = {key: value for key, value in (WHOLE | broken).items() if value is not None}

    assert canary.decode(metadata) is None


@pytest.mark.parametrize(
    "absurd",
    [
        pytest.param({"sequence": ""}, id="empty-sequence"),
        pytest.param({"sequence": "-1"}, id="negative-sequence"),
        pytest.param({"sequence": "7.0"}, id="fractional-sequence"),
        pytest.param({"sequence": "\u0667"}, id="sequence-in-other-digits"),
        pytest.param({"sequence": "\u00b2"}, id="superscript-sequence"),
        pytest.param({"sequence": "1" * 5000}, id="sequence-without-end"),
        pytest.param({"writtenat": "yesterday"}, id="no-timestamp"),
        pytest.param({"writtenat": "2026-03-01T12:00:00"}, id="naive-time"),
        pytest.param({"writtenat": "2026-03-01T12:00:00+02:00"}, id="time-not-in-utc"),
        pytest.param({"sequence": "-10"}, id="far-below"),
        pytest.param({"sequence": "9" * 18}, id="18-digits"),
        pytest.param({"writtenat": "0001-01-01T00:00:00+00:00"}, id="before-1970"),
    ],
)
def test_what_no_probe_writes_is_read_as_a_limit_so_that_it_can_be_replaced(absurd):
    found = canary.decode(WHOLE | absurd)

    assert found.writer == "here"
    assert (found.sequence, found.written_at) in [(canary.SEQUENCE_LIMIT, NOON), (7, canary.EPOCH)]


@pytest.mark.parametrize("sequence", [canary.SEQUENCE_LIMIT, canary.SEQUENCE_LIMIT + 1, 10**18, 10**40])
def test_a_sequence_beyond_the_highest_is_read_as_that_and_is_not_plausible(sequence):
    """The stamp is whole, so that one in our own name can be replaced."""
    found = canary.decode(WHOLE | {"sequence": str(sequence)})

    assert found.sequence == canary.SEQUENCE_LIMIT
    assert not found.is_plausible


def test_a_time_before_1970_is_read_as_1970():
    found = canary.decode(WHOLE | {"writtenat": "0001-01-01T00:00:00.000000+00:00"})

    assert found.written_at == canary.EPOCH


def test_a_writers_name_is_bounded_and_still_read_back_as_it_was_written():
    written = canary.stamp(body=BODY, sequence=7, written_at=NOON, writer="w" * 7000)

    assert len(written.writer) == canary.WRITER_LIMIT
    assert canary.decode(canary.encode(written)) == written
    assert canary.decode(WHOLE | {"writer": "w" * 7000}).writer == written.writer


def test_a_digest_in_capitals_is_the_same_digest():
    assert check(metadata=WHOLE | {"sha256": WHOLE["sha256"].upper()}) == (stamped(7), None)


@pytest.mark.parametrize(
    ("case", "error"),
    [
        pytest.param({}, None, id="sound"),
        pytest.param({"body": BODY + b"!"}, "digest", id="a-byte-more"),
        pytest.param({"body": BODY[:-1]}, "digest", id="a-byte-less"),
        pytest.param({"body": b""}, "digest", id="nothing"),
        pytest.param({"metadata": {}}, None, id="no-stamp-where-none-was"),
        pytest.param({"metadata": {}, "floor": stamped(6)}, "unreadable", id="no-stamp-where-one-was"),
        pytest.param({"floor": stamped(6)}, None, id="newer-than-shown"),
        pytest.param({"floor": stamped(7)}, None, id="the-same-again"),
        pytest.param({"floor": stamped(8)}, "rollback", id="older-than-shown"),
        pytest.param({"floor": stamped(8, writer="there")}, None, id="another-writers-floor"),
        pytest.param({"floor": stamped(8), "body": b"x"}, "digest", id="a-digest-outranks-a-rollback"),
        pytest.param({"stamped": False}, None, id="a-stamp-nobody-asked-for"),
        pytest.param({"stamped": False, "body": b"x"}, "digest", id="which-is-verified-nevertheless"),
        pytest.param({"stamped": False, "metadata": {}}, None, id="read-only-without-md5"),
    ],
)
def test_a_body_is_verified_by_its_stamp(case, error):
    assert check(**case)[1] == error


@pytest.mark.parametrize(
    ("body", "error"), [(BODY, None), (BODY + b"!", "digest")], ids=["the-same-bytes", "other-bytes"]
)
def test_a_blob_without_a_stamp_is_verified_by_its_md5(body, error):
    md5 = base64.b64encode(hashlib.md5(BODY, usedforsecurity=False).digest()).decode()

    assert check(body=body, metadata={}, content_md5=md5, stamped=False) == (None, error)


def test_a_blob_that_must_be_stamped_is_not_excused_by_its_md5():
    md5 = base64.b64encode(hashlib.md5(BODY, usedforsecurity=False).digest()).decode()

    assert check(metadata={}, content_md5=md5, floor=stamped(6)) == (None, "unreadable")


@pytest.mark.parametrize(
    ("body", "floor", "error"),
    [
        pytest.param(BODY, None, None, id="as-it-was-stored"),
        pytest.param(BODY + b"!", None, "digest", id="not-as-it-was-stored"),
        pytest.param(BODY, stamped(6), "digest", id="where-a-sound-one-was"),
    ],
)
def test_a_digest_that_nobody_vouches_for_is_weighed_against_the_md5(body, floor, error):
    """A stranger's stamp may say what it likes of bytes that the account gives back as they were stored."""
    md5 = base64.b64encode(hashlib.md5(BODY, usedforsecurity=False).digest()).decode()

    _, found = check(body=body, metadata=WHOLE | {"sha256": "0" * 64}, content_md5=md5, floor=floor)

    assert found == error


def test_what_was_found_is_told_though_it_is_wrong():
    assert check(floor=stamped(8)) == (stamped(7), "rollback")
    assert check(body=b"x") == (stamped(7), "digest")


@pytest.mark.parametrize(
    ("newer", "older", "covers"),
    [
        pytest.param(stamped(2), stamped(1), True, id="later-sequence"),
        pytest.param(stamped(1), stamped(1), True, id="itself"),
        pytest.param(stamped(1), stamped(2), False, id="earlier-sequence"),
        pytest.param(stamped(2, 0), stamped(1, 60), True, id="own-clock-jumped-back"),
        pytest.param(stamped(1, 60), stamped(9, 0, "there"), True, id="two-writers-by-time"),
        pytest.param(stamped(9, 0), stamped(1, 60, "there"), False, id="two-writers-by-time-not-sequence"),
        pytest.param(stamped(1, 60), stamped(9, 60, "there"), True, id="two-writers-at-once"),
    ],
)
def test_a_stamp_covers_what_its_reader_must_have_seen(newer, older, covers):
    assert newer.covers(older) is covers


def test_a_stamp_holds_microseconds():
    value = stamped(1, written=0.000001)

    assert (
        canary.decode(canary.encode(value)).written_at
        == at(0.000001)
        != datetime.fromisoformat("2026-03-01T12:00:00+00:00")
    )
