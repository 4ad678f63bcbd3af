"""Each query binds, measures what its alert compares, and speaks of names that the probe sends."""

import json
import re

import pytest

from probe.adapters.telemetry import catalogue
from tests.infra.alerts import rules
from tests.infra.kql import FAULTS, LAG, NUMBERS, QUERIES, SEEDED, named, shipped
from tests.infra.rows import Workspace
from tests.infra.snapshots import NAMES, ROOT, resources
from tests.infra.tapes import BEHIND, NOW, OK, Seen, rows_of

EVENTS = {each.name for each in catalogue.EVENTS}
AZURES = {"OverQuota"}
SENT = {each.name for each in catalogue.METRICS} | catalogue.ATTRIBUTES.keys() | EVENTS


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_binds_without_a_problem(name):
    assert shipped()[QUERIES[name]]["problems"] == []


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_names_only_what_the_probe_sends(name):
    assert named(QUERIES[name]) - SENT - AZURES == set()


@pytest.mark.parametrize("snapshot", NAMES)
def test_a_deployed_alert_binds_and_its_columns_are_what_it_measures(snapshot):
    for rule in rules(snapshot).values():
        found = shipped()[rule.query]
        assert found["problems"] == []
        assert {found["columns"].get(dimension) for dimension in rule.dimensions} == {"string"}
        assert found["columns"].get(rule.measure) in NUMBERS
        assert (
            len(rule.dimensions) <= 6
        )  # https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-log-alert-rule


def test_every_query_begins_with_what_it_answers():
    """In a comment of its own: by it a query is found again where it is used."""
    openings = [text.splitlines()[0] for text in QUERIES.values()]

    assert [each for each in openings if not each.startswith("// ")] == []
    assert len(set(openings)) == len(openings)


def test_every_query_is_used_by_an_alert_or_the_workbook():
    alerts = (ROOT / "infra" / "modules" / "alerts.bicep").read_text()
    (workbook,) = resources("default", "Microsoft.Insights/workbooks")
    openings = {name: text.splitlines()[0] for name, text in QUERIES.items()}

    idle = {
        name
        for name, opening in openings.items()
        if f"queries/{name}.kql" not in alerts and opening not in workbook["properties"]["serializedData"]
    }

    assert idle == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_binder_tells_a_seeded_fault(fault):
    before, after = FAULTS[fault]

    assert before in LAG
    assert any(after.split()[-1].strip("(") in problem for problem in shipped()[SEEDED[fault]]["problems"])


def test_a_renamed_metric_is_told_by_its_name_and_by_its_tape():
    query = LAG.replace('"probe.replication.lag"', '"probe.replication.delay_now"')
    (row, *_) = Workspace(rows_of([Seen(segments=[(OK, *[BEHIND] * 20)])])).run(query, NOW)

    assert named(query) - SENT == {"probe.replication.delay_now"}
    assert row["LagSeconds"] is None
    assert row["LastSyncAgeSeconds"] is not None


def test_a_renamed_attribute_is_told():
    query = QUERIES["now"].replace("probe.verdict", "probe.judgement")

    assert named(query) - SENT == {"probe.judgement"}


# https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-log-alert-rule; no union at one minute.
@pytest.mark.parametrize(
    "word", ["search", "take", "limit", "bag_unpack", "pivot", "narrow", "AggregatedValue"]
)
def test_no_alert_uses_what_log_alerts_refuse(word):
    queries = {rule.query for name in NAMES for rule in rules(name).values()}

    assert not any(re.search(rf"\b{word}\b", query) for query in queries)


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_is_no_larger_than_the_service_takes(name):
    found = resources(name, "Microsoft.Insights/scheduledQueryRules")

    assert max(len(json.dumps(each["properties"])) for each in found) < 64 * 1024
