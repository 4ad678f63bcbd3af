"""The churned hour: ticks in processes that are killed lose nothing that a query, an alert or a tile uses."""

from collections import Counter
from pathlib import Path

from probe.adapters.telemetry import catalogue
from probe.lab.telemetry import churn

QUERIES = Path(__file__).parents[2] / "infra" / "queries"


def test_what_was_made_in_processes_that_are_killed_arrives_to_the_unit(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")

    hour = churn.run(churn.SHORT, tmp_path)

    assert hour.arrived == hour.made
    assert hour.made["probe.ticks completed"] == len(churn.SHORT)
    assert hour.made["probe.attempts primary check failure"] == 2
    assert hour.made["probe.reads secondary"] == 10


def test_every_number_that_the_queries_use_is_compared():
    text = "".join(path.read_text() for path in QUERIES.glob("*.kql"))
    used = {each.name for each in catalogue.METRICS if f'"{each.name}"' in text}

    assert used
    assert used <= set(churn.LABELS)


def test_the_hour_has_every_scene_and_ends_with_nothing_left_to_tell():
    assert len(churn.HOUR) == 60
    assert set(churn.HOUR) == set(churn.SCENES)
    assert churn.HOUR[-1] != "ok"


def test_a_difference_is_told_with_what_differs():
    made = Counter({"probe.reads primary": 5, "probe.ticks completed": 1})
    hour = churn.Hour(made=made, arrived=made - Counter({"probe.reads primary": 1}), rows=2, octets=10)

    text = churn.table(hour)

    assert "| `probe.reads` | 5 | 4 |" in text
    assert "2 series compared, 1 differ" in text
    assert "differs: probe.reads primary: 5 made, 4 arrived" in text
