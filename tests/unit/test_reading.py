"""What one attempt showed: the closed list of errors, and whose fault each is."""

import pytest

from probe.core.reading import CONTENT_ERRORS, PATH_ERRORS, Fault, Outcome, error_of_status, fault_of
from tests.unit.core_values import at, reading, s


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        *((each, Fault.PATH) for each in PATH_ERRORS),
        *((each, Fault.PATH) for each in ("408", "429", "500", "502", "503", "504", "507", "599")),
        *((each, Fault.CONTENT) for each in CONTENT_ERRORS),
        *((each, Fault.OURS) for each in ("400", "401", "403", "405", "409", "412", "416", "499")),
    ],
)
def test_every_error_has_exactly_one_fault(error, fault):
    assert fault_of(error) is fault


@pytest.mark.parametrize(
    "error",
    ["", "200", "302", "600", "0503", "0404", "-503", "5", "Timeout", "dns ", "503.0", "conflict"],
)
def test_nothing_else_is_an_error_type(error):
    with pytest.raises(ValueError, match=r"not an error\.type"):
        fault_of(error)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, None), (206, "protocol"), (204, "protocol"), (302, "protocol"), (304, "protocol"),
        (399, "protocol"), (400, "400"), (403, "403"), (404, "404"), (429, "429"), (499, "499"), (500, "500"),
        (503, "503"), (599, "599"), (600, "protocol"), (999, "protocol"), (101, "protocol"),
    ],
)  # fmt: skip
def test_only_a_plain_200_is_good(status, error):
    assert error_of_status(status) == error


def test_the_error_of_every_status_is_in_the_list():
    faults = {fault_of(error) for status in range(100, 1000) if (error := error_of_status(status))}

    assert faults == set(Fault)


def test_a_reading_without_an_error_is_a_success():
    good = reading(took=0.5, started=10)

    assert (good.ok, good.outcome, good.fault, good.ended_at) == (True, Outcome.SUCCESS, None, at(10.5))


def test_a_reading_with_an_error_is_a_failure_though_the_status_was_200():
    bad = reading(error="truncated", status_code=200)

    assert (bad.ok, bad.outcome, bad.fault) == (False, Outcome.FAILURE, Fault.PATH)
    assert bad.duration == s(0.01)
