"""The bench runs, each row of it, and says what is missing."""

import os
import shutil
import statistics

import pytest

from tests.amounts import amount
from tests.bench import table
from tests.bench.__main__ import run
from tests.bench.measure import BLACKBOX, ROWS, Sizes

TINY = Sizes(samples=1, targets=2, minutes=6, attempts=32, answers=2)
FEW = ROWS[: amount(1, len(ROWS))]
"""Each row has processes of its own, up to five."""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the bench needs Linux")
def test_each_row_is_measured_and_told():
    said = []

    found = run(TINY, said.append, rows=FEW, with_outages=False)

    assert [line.split(" | ")[0] for line in said] == [f"| {row.name}" for row in FEW]
    for row in FEW:
        samples = found["rows"][row.name]
        assert all(each >= 0 for each in samples["here"] + samples["there"])
        assert len(samples["here"]) == 1
        expected = row.beside and (row.beside != BLACKBOX or shutil.which(BLACKBOX))
        assert len(samples["there"]) == bool(expected)
    assert table.speed(found).count("\n|") == len(FEW) + 1


def test_what_is_not_installed_is_said():
    row = next(each for each in ROWS if each.beside == BLACKBOX)

    assert f"{BLACKBOX}: not installed" in table.speed_line(row, {"here": [1.0, 3.0, 2.0], "there": []})


def test_a_row_tells_medians_and_their_ratio():
    line = table.speed_line(ROWS[0], {"here": [1.0, 9.0, 2.0], "there": [4.0, 1.0, 5.0]})

    assert "| 2 ms | 4 ms: bare aiohttp, the same requests | 0.50 |" in line


def test_the_page_shows_a_whole_run():
    found = table.kept()

    for row in ROWS:
        assert len(found["rows"][row.name]["here"]) == found["samples"]
        assert statistics.median(found["rows"][row.name]["here"]) > 0
