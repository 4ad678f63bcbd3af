"""Envelopes become rows as Application Insights makes them; a column that does not exist is an error."""

import json

import pytest

from tests.infra import rows
from tests.infra.snapshots import ROOT

GOLDEN = {
    each.stem: json.loads(each.read_text())
    for each in sorted((ROOT / "tests" / "telemetry" / "golden").glob("*.json"))
}
HEALTHY = GOLDEN["healthy"]


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


@pytest.mark.parametrize("kind", GOLDEN)
def test_every_captured_envelope_has_a_table_and_known_columns(kind):
    found = [rows.row(each) for each in GOLDEN[kind]]

    assert all(cells.keys() <= rows.TABLES[table].keys() for table, cells in found)


def test_the_capture_fills_all_four_tables():
    assert {rows.row(each)[0] for envelopes in GOLDEN.values() for each in envelopes} == set(rows.CONVERTED)


def test_an_unknown_base_type_is_an_error():
    envelope = {**HEALTHY[0], "data": {"baseType": "PageViewData", "baseData": {}}}

    with pytest.raises(KeyError, match="PageViewData"):
        rows.row(envelope)


def test_a_column_that_the_reference_does_not_list_is_an_error(monkeypatch):
    monkeypatch.setitem(rows.TABLES, "AppMetrics", {"Name": "string"})
    metric = next(each for each in HEALTHY if each["data"]["baseType"] == "MetricData")

    with pytest.raises(KeyError, match="ItemCount"):
        rows.row(metric)


def test_a_histogram_keeps_its_sum_count_and_extremes():
    metrics = [rows.row(each)[1] for each in HEALTHY if each["data"]["baseType"] == "MetricData"]

    durations = [each for each in metrics if each["Name"] == "probe.attempt.duration"]

    assert any(each["ItemCount"] > 1 for each in durations)
    assert all(each["Min"] <= each["Sum"] / each["ItemCount"] <= each["Max"] for each in durations)
