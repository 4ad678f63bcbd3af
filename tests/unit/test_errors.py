"""The error tree: what is raised when the probe itself cannot do its job."""

import inspect
import re

import pytest

from probe.core import errors
from probe.core.errors import ConfigurationError, IllegalTransition, ProbeError, StateConflict, StateError

TREE = {
    ProbeError: Exception,
    ConfigurationError: ProbeError,
    StateError: ProbeError,
    StateConflict: StateError,
    IllegalTransition: ProbeError,
}


def test_the_tree_is_the_one_that_the_module_prints():
    classes = {each for _, each in inspect.getmembers(errors, inspect.isclass)}
    printed = re.findall(r"^\W*([A-Z]\w+Error|State\w+|Illegal\w+)(?:  |$)", errors.__doc__, re.MULTILINE)

    assert classes == set(TREE)
    assert {each.__name__ for each in classes} == set(printed)
    assert all(issubclass(each, base) for each, base in TREE.items())


def test_a_configuration_error_has_a_line_for_every_problem():
    error = ConfigurationError(("PROBE_READS: not a number", "PROBE_RPO: too short"))

    assert str(error) == "PROBE_READS: not a number\nPROBE_RPO: too short"
    assert error.problems == ("PROBE_READS: not a number", "PROBE_RPO: too short")


@pytest.mark.parametrize(
    ("error", "error_type"),
    [(StateError("store down", error_type="timeout"), "timeout"), (StateConflict(), "conflict")],
    ids=["failed", "conflict"],
)
def test_a_state_error_carries_its_type_as_data(error, error_type):
    assert error.error_type == error_type
    assert str(error)
