"""A selection of the fault matrix; ``tests/long/test_matrix.py`` has the whole, ``make matrix`` its table."""

import asyncio

import pytest

from probe.core.breaker import State
from tests.faults.matrix import CASES, CELLS, SIDES, Kind, Outcome, P, played

WAITS = (Kind.CONNECT_DROP, Kind.LATENCY, Kind.HEADER_DRIP, Kind.BODY_DRIP)
"""They take deadlines, and differ from a black hole in the attempt alone, which has tests of its own."""
ALIKE = ("tls expired", "tls wrong_host", "tls plain", "status 500", "status 429", "status 401")
BUSY = next(each for each in CASES if each.name == "status 503")
SELECTED = {
    **{str(each): each for each in CELLS if each.sides == P and each.state is State.CLOSED},
    **{str(each): each for each in CELLS if each.case is BUSY},
}
CHOSEN = {
    name: each
    for name, each in SELECTED.items()
    if each.case.kind not in WAITS and each.case.name not in ALIKE
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return {str(each.cell): each for each in asyncio.run(played(list(CHOSEN.values())))}


@pytest.mark.parametrize("cell", CHOSEN)
def test_a_cell_comes_out_as_it_must(cell: str, outcomes: dict[str, Outcome]):
    assert outcomes[cell].surprises() == []


def test_the_matrix_has_every_fault_at_each_place_in_each_state():
    assert {each.kind for each in CASES} == set(Kind)
    assert len({(each.case.name, each.sides, each.state) for each in CELLS}) == len(CASES) * len(SIDES) * 3
