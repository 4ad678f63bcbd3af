"""A fault as a value: what can be asked for, how it is refused, what it strikes and when."""

import pytest

from probe.lab.account.faults import Fault, Kind, Only, fault
from probe.lab.errors import FaultError


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("explode", {}, "the kinds are: dns, refuse, black_hole"),
        ("status", {"code": 99}, "from 200 to 599"),
        ("status", {"code": "many"}, "a number"),
        ("latency", {"seconds": "nan"}, "out of bounds"),
        ("latency", {"code": 503}, "its options are: seconds, only, path"),
        ("tls", {"mode": "weird"}, "untrusted, expired, wrong_host, plain"),
        ("refuse", {"only": "reads"}, "cannot be limited"),
        ("flap", {"of": "refuse", "every": 2}, "cannot be limited"),
        ("flap", {"of": "flap"}, "cannot alternate with a flap"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_what_can(kind, options, told):
    with pytest.raises(FaultError, match=told):
        fault(kind, **options)


def test_a_fault_reads_as_it_was_asked_for():
    assert str(fault("status", code="404", path="Hello")) == "status code=404 path=Hello"
    assert fault("black-hole") == Fault(kind=Kind.BLACK_HOLE)


@pytest.mark.parametrize(
    ("only", "method", "struck"),
    [
        (Only.ALL, "PUT", True),
        (Only.READS, "GET", True),
        (Only.READS, "HEAD", True),
        (Only.READS, "DELETE", False),
        (Only.WRITES, "POST", True),
        (Only.WRITES, "GET", False),
    ],
)
def test_a_scope_tells_reads_from_writes(only, method, struck):
    assert Fault(kind=Kind.RESET, only=only).strikes(method, "/account/container/blob") is struck


def test_a_flap_begins_with_its_fault_and_alternates():
    flap = fault("flap", of="reset", period=2)

    assert [flap.on_at(elapsed) for elapsed in (0, 1.9, 2, 3.9, 4)] == [True, True, False, False, True]
