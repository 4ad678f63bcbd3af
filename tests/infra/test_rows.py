"""Envelopes become rows as Application Insights makes them; a column that does not exist is an error."""

import pytest

from tests.infra import rows
from tests.infra.tapes import TICKS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("00:00:00.0210000", 21.0, id="milliseconds"),
        pytest.param("00:01:05.5000000", 65500.0, id="minutes"),
        pytest.param("1.00:00:00.0000000", 86400000.0, id="a day"),
        pytest.param("00:00:05", 5000.0, id="no fraction"),
    ],
)
def test_a_duration_is_read_in_milliseconds(text, expected):
    assert rows.milliseconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("kind", TICKS)
def test_every_captured_envelope_has_a_table_and_known_columns(kind):
    tables = {rows.row(each)[0] for each in TICKS[kind]}

    assert {"AppAvailabilityResults", "AppMetrics"} <= tables


def test_an_unknown_base_type_is_an_error():
    envelope = {**TICKS["healthy"][0], "data": {"baseType": "PageViewData", "baseData": {}}}

    with pytest.raises(KeyError, match="PageViewData"):
        rows.row(envelope)


def test_a_column_that_the_reference_does_not_list_is_an_error(monkeypatch):
    monkeypatch.setitem(rows.TABLES, "AppMetrics", {"Name": "string"})
    metric = next(each for each in TICKS["healthy"] if each["data"]["baseType"] == "MetricData")

    with pytest.raises(KeyError, match="ItemCount"):
        rows.row(metric)


def test_a_histogram_keeps_its_sum_count_and_extremes():
    (envelope,) = (
        each
        for each in TICKS["healthy"]
        if each["data"]["baseType"] == "MetricData" and each["data"]["baseData"]["metrics"][0]["name"] == "probe.tick.duration"
    )

    table, cells = rows.row(envelope)

    assert table == "AppMetrics"
    assert (cells["Sum"], cells["ItemCount"], cells["Min"], cells["Max"]) == (0.4, 1, 0.4, 0.4)
