"""Each query binds, measures what its alert compares, and speaks of names that the probe sends."""

import pytest

from probe.adapters.telemetry import catalogue
from tests.infra.alerts import rules
from tests.infra.kql import FAULTS, LAG, NUMBERS, QUERIES, SEEDED, named, shipped
from tests.infra.rows import Workspace
from tests.infra.snapshots import NAMES, ROOT, resources
from tests.infra.tapes import BEHIND, NOW, OK, Seen, rows_of

EVENTS = {each.name for each in catalogue.EVENTS}
SENT = {each.name for each in catalogue.METRICS} | catalogue.ATTRIBUTES.keys() | EVENTS


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_binds_without_a_problem(name):
    assert shipped()[QUERIES[name]]["problems"] == []


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_names_only_what_the_probe_sends(name):
    assert named(QUERIES[name]) - SENT == set()


@pytest.mark.parametrize("snapshot", NAMES)
def test_a_deployed_alert_binds_and_its_columns_are_what_it_measures(snapshot):
    for name, rule in rules(snapshot).items():
        found = shipped()[rule.query]
        assert found["problems"] == [], name
        assert {found["columns"].get(dimension) for dimension in rule.dimensions} == {"string"}, name
        assert rule.measure is None or found["columns"].get(rule.measure) in NUMBERS, name


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


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "a measure left out"])
def test_the_binder_tells_a_seeded_fault(fault):
    before, after = FAULTS[fault]

    assert before in LAG
    assert any(after.strip("(> ") in problem for problem in shipped()[SEEDED[fault]]["problems"])


def test_the_binder_tells_a_measure_that_the_result_lacks():
    columns = shipped()[SEEDED["a measure left out"]]["columns"]

    assert rules("default")["lag-over-rpo"].measure not in columns


def test_a_renamed_metric_is_told_by_its_name_and_by_its_tape():
    query = LAG.replace('"probe.replication.lag"', '"probe.replication.delay_now"')
    workspace = Workspace(rows_of([Seen(segments=[(OK, *[BEHIND] * 20)])]))

    assert named(query) - SENT == {"probe.replication.delay_now"}
    assert {each["Measure"] for each in workspace.run(query, NOW)} == {"probe.replication.last_sync.age"}


def test_a_renamed_attribute_is_told():
    query = QUERIES["endpoint-verdict"].replace("probe.verdict", "probe.judgement")

    assert named(query) - SENT == {"probe.judgement"}


@pytest.mark.parametrize("word", ["search", "union", "take", "limit"])
def test_no_alert_uses_what_log_alerts_refuse(word):
    queries = {rule.query for rule in rules("default").values()}

    assert not any(f"| {word} " in query or query.startswith(word) for query in queries)
