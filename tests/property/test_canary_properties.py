"""The canary's stamp, whatever is written, and whatever comes back."""

from datetime import UTC, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from probe.core import canary
from probe.core.reading import Fault, fault_of
from tests.property import strategies
from tests.unit.core_values import NOON

any_text = st.text(max_size=40)
any_zone = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
any_time = st.builds(
    lambda when, zone: when.astimezone(zone),
    st.datetimes(timezones=st.just(UTC)).filter(lambda each: 1970 < each.year < 9999),
    any_zone,
)
any_metadata = st.dictionaries(
    st.sampled_from(["sequence", "WrittenAt", "writtenat", "sha256", "writer", "Sequence"]) | any_text,
    any_text
    | st.sampled_from(
        ["7", "2026-03-01T12:00:00+00:00", "9999-12-31T24:00:00+00:00", "0001-01-01T00:00+00:00"]
    ),
)


@given(body=st.binary(), sequence=st.integers(0, canary.SEQUENCE_LIMIT), written_at=any_time, writer=any_text)
def test_a_stamp_survives_the_way_through_headers(body, sequence, written_at, writer):
    value = canary.stamp(body=body, sequence=sequence, written_at=written_at, writer=writer)
    metadata = canary.encode(value)

    assert canary.decode(metadata) == value
    assert all(each.isascii() and each.isprintable() and each == each.strip() for each in metadata.values())
    assert all(key.isalnum() and key.islower() for key in metadata)


@given(metadata=any_metadata)
def test_decoding_never_raises_and_answers_a_whole_stamp_or_none(metadata):
    found = canary.decode(metadata)

    assert found is None or (found.sequence >= 0 and found.written_at.utcoffset() == NOON.utcoffset())


@given(
    body=st.binary(),
    metadata=any_metadata,
    content_md5=st.none() | any_text,
    floor=st.none() | strategies.stamps,
    stamped=st.booleans(),
)
def test_verifying_never_raises_and_blames_the_content_alone(body, metadata, content_md5, floor, stamped):
    _, error = canary.verify(
        body=body, metadata=metadata, content_md5=content_md5, floor=floor, stamped=stamped
    )

    assert error is None or fault_of(error) is Fault.CONTENT


@given(body=st.binary(min_size=1), index=st.integers(0), flip=st.integers(1, 255))
def test_one_wrong_byte_anywhere_is_found(body, index, flip):
    metadata = canary.encode(canary.stamp(body=body, sequence=1, written_at=NOON, writer="here"))
    wrong = bytearray(body)
    wrong[index % len(body)] ^= flip

    _, error = canary.verify(body=bytes(wrong), metadata=metadata, content_md5=None, floor=None, stamped=True)
    assert error == "digest"
