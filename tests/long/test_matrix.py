"""The whole fault matrix, and outages that come and go; the short form is ``tests/faults/test_matrix.py``."""

import asyncio
import random

from tests.faults import matrix, unsteady


def test_every_fault_at_each_location_in_each_state_comes_out_as_it_must(part):
    cells = random.Random(1).sample(matrix.CELLS, part(len(matrix.CELLS)))  # noqa: S311 - no secret

    found = {str(each.cell): each.surprises() for each in asyncio.run(matrix.played(cells))}

    assert {cell: surprises for cell, surprises in found.items() if surprises} == {}


def test_outages_that_come_and_go_lose_no_read_that_a_location_could_serve(part):
    chosen = random.Random(1).sample(unsteady.SCENARIOS, part(len(unsteady.SCENARIOS)))  # noqa: S311

    found = asyncio.run(unsteady.played(chosen))

    assert [(each.scenario.name, each.surprises()) for each in found if each.surprises()] == []
