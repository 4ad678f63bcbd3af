"""Makes the Prometheus rules and the Grafana dashboard, which ``make docs`` writes.

Metric names are those that Prometheus makes of OTLP's: dots become underscores, a gauge of unit 1 ends in
``_ratio``, seconds in ``_seconds``, a counter in ``_total``; a unit in braces adds nothing.
Source: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

import json
import re

from probe.adapters.telemetry import catalogue
from tests.infra.alerts import CONDITIONS
from tests.infra.snapshots import ROOT

RULES = ROOT / "infra" / "prometheus" / "rules.yml"
DASHBOARD = ROOT / "infra" / "grafana" / "dashboard.json"
RUNBOOK = "https://github.com/OWNER/NAME/blob/main/infra/runbook.md"
MAINTAINED = "max by (probe_target) (max_over_time(probe_maintenance_ratio[15m])) > 0"
UNITS = {"s": "_seconds", "1": "_ratio"}


def underscored(text):
    return re.sub(r"\W", "_", text)


def name_of(metric, unit, kind):
    """Return the name that a metric of OTLP has in Prometheus."""
    suffix = UNITS.get(unit, "") if unit != "1" or kind == "gauge" else ""
    return underscored(metric) + suffix + ("_total" if kind == "counter" else "")


NAMES = {name_of(each.name, each.unit, each.kind) for each in catalogue.METRICS}


def expression(condition):
    """Return a condition's expression; nobody is paged for a target in a declared maintenance."""
    found = condition["prometheus"]
    if "probe_target" not in found or condition["name"] == "probe-silent":
        return found
    return f"({found}) unless on (probe_target) ({MAINTAINED})"


def rules():
    """Return the rules as YAML, whose texts are written as JSON's are."""
    lines = [
        "# Made by `make docs` from infra/conditions.json. The limits are the defaults': an RPO of 900 s,",
        "# an objective of 99.9 %, a tick a minute.",
        "groups:",
        "  - name: storage-probe",
        "    rules:",
    ]
    for each in CONDITIONS.values():
        if not each["prometheus"]:
            lines.append(f"      # {each['name']}: {each['notInPrometheus']}.")
            continue
        lines += [
            f"      - alert: {each['name']}",
            f"        expr: {json.dumps(expression(each))}",
            f'        labels: {{severity: "{each["severity"]}"}}',
            "        annotations:",
            f"          summary: {json.dumps(each['summary'])}",
            f"          description: {json.dumps('First: ' + each['first'])}",
            f"          runbook_url: {RUNBOOK}#{each['name']}",
        ]
    return "\n".join(lines) + "\n"


PANELS = (
    (
        "Now",
        "Endpoints that serve",
        "stat",
        "1",
        "min by (probe_target, probe_location) (probe_endpoint_up_ratio)",
    ),
    ("Now", "The second copy protects", "stat", "1", "min by (probe_target) (probe_redundancy_ratio)"),
    ("Now", "Alerts", "table", "short", 'ALERTS{alertstate="firing"}'),
    (
        "Availability and latency",
        "Reads served, by whom",
        "timeseries",
        "reqps",
        "sum by (probe_target, probe_served_by) (rate(probe_reads_total[$__rate_interval]))",
    ),
    (
        "Availability and latency",
        "Seconds of an attempt, 95 of 100",
        "timeseries",
        "s",
        (
            "histogram_quantile(0.95, sum by (le, probe_target, probe_location) "
            "(rate(probe_attempt_duration_seconds_bucket[$__rate_interval])))"
        ),
    ),
    (
        "Breaker",
        "State: 0 closed, 1 half-open, 2 open",
        "timeseries",
        "short",
        "max by (probe_target, probe_vantage) (probe_breaker_state_ratio)",
    ),
    (
        "Replication",
        "Seconds behind: the canary's lag",
        "timeseries",
        "s",
        "max by (probe_target) (probe_replication_lag_seconds)",
    ),
    (
        "Replication",
        "Age of the recovery point",
        "timeseries",
        "s",
        "max by (probe_target) (probe_replication_last_sync_age_seconds)",
    ),
    (
        "Errors",
        "Failed attempts, by error.type",
        "timeseries",
        "short",
        (
            "sum by (probe_target, probe_location, error_type) "
            '(increase(probe_attempts_total{probe_outcome="failure"}[$__rate_interval]))'
        ),
    ),
    (
        "The probe itself",
        "Ticks, by how they ended",
        "timeseries",
        "short",
        "sum by (probe_vantage, probe_result) (increase(probe_ticks_total[$__rate_interval]))",
    ),
    (
        "The probe itself",
        "Failures of the state store, rows lost",
        "timeseries",
        "short",
        (
            "sum by (probe_vantage) (increase(probe_state_errors_total[$__rate_interval])) or "
            "sum by (probe_vantage) (increase(probe_telemetry_lost_total[$__rate_interval]))"
        ),
    ),
)
"""The workbook's tiles: its tab, a title, how it is shown, the unit, and the expression."""


def panel(number, tab, title, kind, unit, expr):
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number + 1,
        "type": kind,
        "title": f"{tab}: {title}",
        "datasource": source,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [{"refId": "A", "datasource": source, "expr": expr, "instant": kind != "timeseries"}],
    }


def dashboard():
    """Return the dashboard as JSON, to be imported; it asks for a Prometheus data source."""
    document = {
        "title": "Storage probe",
        "uid": "storage-probe",
        "schemaVersion": 39,
        "tags": ["storage-probe"],
        "time": {"from": "now-4h", "to": "now"},
        "refresh": "1m",
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
            ]
        },
        "panels": [panel(number, *each) for number, each in enumerate(PANELS)],
    }
    return json.dumps(document, indent=2) + "\n"


FILES = {RULES: rules, DASHBOARD: dashboard}
"""Each file that is made here, and by what."""
