"""The contract from the wire to the row: whatever is promised is produced by something that really happens.

The app ticks in a process of its own through ``scenes``: real connections to two real Azurites, whose proxies
really refuse, reset, truncate and lie; what it makes of that, its real exporters send to the lab's ingestion
endpoint. What is promised is read from the code. A promise that nothing here produces fails by its name.
"""

from enum import StrEnum
from typing import Any

import pytest

from probe.adapters.telemetry import catalogue
from probe.adapters.telemetry.catalogue import Entry, Metric
from probe.core.breaker import State
from probe.core.reading import CONTENT_ERRORS, PATH_ERRORS, Fault, Outcome, Purpose, fault_of
from probe.core.replication import SyncStatus
from probe.core.report import Result
from probe.core.verdict import EndpointVerdict, RedundancyVerdict, TargetVerdict
from probe.lab.account.faults import Kind
from tests.contract.conftest import APP_NAME, Played
from tests.contract.scenes import SCENES, Scene

DENIED = ("401", "403")
CLIENT_ERRORS = [str(code) for code in range(400, 500)]
STATUSES = {
    **{each: {each} for each in (*DENIED, *(code for code in CLIENT_ERRORS if fault_of(code) is Fault.PATH))},
    "another 4xx": {each for each in CLIENT_ERRORS if fault_of(each) is Fault.OURS} - set(DENIED),
    "a 5xx": {str(code) for code in range(500, 600)},
}
"""What an ``error.type`` that is a status may be: these by name, and of the two ranges any one."""
ERRORS = {**{each: {each} for each in (*PATH_ERRORS, *CONTENT_ERRORS)}, **STATUSES}


def metric_of(row: dict[str, Any]) -> str:
    return row["metrics"][0]["name"]


def values(played: Played, key: str) -> set[str]:
    """Return the values that an attribute had, on whatever row."""
    return {
        row["data"]["baseData"]["properties"][key]
        for row in played.rows
        if key in row["data"]["baseData"].get("properties", {})
    }


@pytest.mark.parametrize("scene", [each for each in SCENES if each.error], ids=lambda scene: scene.name)
def test_what_an_endpoint_really_does_is_told_by_the_right_error_type(played: Played, scene: Scene):
    sent = [
        row["data"]["baseData"]["properties"]
        for row in played.by_scene[scene.name]
        if row["data"]["baseType"] == "MetricData"
        and metric_of(row["data"]["baseData"]) == catalogue.ATTEMPTS.name
    ]

    assert scene.error in {each.get("error.type") for each in sent if each["probe.location"] == "primary"}, (
        played.told[scene.name]
    )


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_type_of_the_closed_list_has_a_scene_in_which_an_endpoint_does_it(error: str):
    assert ERRORS[error] & {each.error for each in SCENES}, f"no scene of tests/contract/scenes.py: {error}"


@pytest.mark.parametrize("kind", Kind)
def test_every_fault_of_the_lab_has_a_scene_in_which_it_strikes_the_app(kind: Kind):
    struck = {each.kind for scene in SCENES for faults in scene.faults for each in faults}

    assert kind in struck


@pytest.mark.parametrize("metric", catalogue.METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_sent_with_each_of_its_attributes(played: Played, metric: Metric):
    sent = [each["properties"] for each in played.of("MetricData") if metric_of(each) == metric.name]

    assert sent
    assert set(metric.attributes) - {key for each in sent for key in each} == set()


def results(played: Played, entry: Entry) -> list[dict[str, Any]]:
    return [each for each in played.of("AvailabilityData") if catalogue.result_of(each["name"]) is entry]


@pytest.mark.parametrize("entry", catalogue.AVAILABILITY, ids=lambda entry: entry.name)
def test_every_availability_result_is_sent_with_all_that_it_has(played: Played, entry: Entry):
    sent = results(played, entry)

    assert set(entry.attributes) - {key for each in sent for key in each["properties"]} == set()
    assert set(entry.measurements) - {key for each in sent for key in each["measurements"]} == set()


@pytest.mark.parametrize("entry", catalogue.EVENTS, ids=lambda entry: entry.name)
def test_every_event_is_sent_with_each_of_its_attributes(played: Played, entry: Entry):
    sent = [each for each in played.of("EventData") if each["name"] == entry.name]

    assert sent
    assert set(entry.attributes) - {key for each in sent for key in each["properties"]} == set()
    assert all(bool(each["measurements"]) == bool(entry.measurements) for each in sent)


def keys(told: list[Any]) -> set[str]:
    return {each.key for one in told for each in one.attributes}


@pytest.mark.parametrize("entry", catalogue.SPANS, ids=lambda entry: entry.name)
def test_every_span_is_sent_with_each_of_its_attributes(played: Played, entry: Entry):
    names = entry.name.split(", ")  # an attempt's is its method, and the path
    sent = [each for each in played.spans() if each.name in names or each.name.split()[0] in names]

    assert set(entry.attributes) - keys(sent) == set()


@pytest.mark.parametrize("entry", catalogue.LINES, ids=lambda entry: entry.name)
def test_every_log_line_is_sent_with_each_of_its_attributes(played: Played, entry: Entry):
    assert set(entry.attributes) - keys(played.lines()) == set()


def test_every_row_says_which_app_it_is_from(played: Played):
    assert {row["tags"]["ai.cloud.role"] for row in played.rows} == {APP_NAME}


@pytest.mark.parametrize("key", catalogue.RESOURCE)
def test_every_attribute_of_the_resource_is_sent(played: Played, key: str):
    assert all(key in keys([each]) for each in played.resources())


@pytest.mark.parametrize(
    ("key", "promised"),
    [
        ("probe.verdict", EndpointVerdict),
        ("probe.verdict", TargetVerdict),
        ("probe.result", Result),
        ("probe.purpose", Purpose),
        ("probe.outcome", Outcome),
        ("probe.replication.status", SyncStatus),
        ("probe.breaker.state_name", State),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else value,
)
def test_every_value_of_a_closed_list_is_sent(played: Played, key: str, promised: type[StrEnum]):
    silent = SILENT.get(promised, set())

    assert set(promised) - values(played, key) == silent


@pytest.mark.parametrize("word", RedundancyVerdict)
def test_every_verdict_on_redundancy_is_reached(played: Played, word: RedundancyVerdict):
    assert word in {each.split()[-1] for each in played.told.values()}


SILENT: dict[type[StrEnum], set[StrEnum]] = {
    EndpointVerdict: {EndpointVerdict.INCONCLUSIVE},
    TargetVerdict: {TargetVerdict.INCONCLUSIVE},
}
"""What sends no row with its name: an inconclusive verdict claims nothing, and is counted by a metric."""
