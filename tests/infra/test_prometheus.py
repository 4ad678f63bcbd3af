"""The Prometheus rules pass promtool, and fire on samples made of what the probe really sends over OTLP."""

import asyncio
import json
import re
import shutil
import subprocess
from collections import defaultdict
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from probe.adapters import telemetry
from probe.adapters.telemetry import catalogue
from probe.lab.telemetry import capture
from probe.lab.telemetry.ingestion import Ingestion
from probe.lab.telemetry.tapes import Scene, play
from tests.infra import prometheus, workbook
from tests.infra.alerts import CONDITIONS
from tests.infra.tapes import (
    ABSENT,
    BEHIND,
    BOTH_DOWN,
    CORRUPTED,
    CUT_OFF,
    MAINTAINED,
    OK,
    PRIMARY_DOWN,
    READ_ONLY,
    REFUSED_US,
    UNSAVED,
    UNWRITABLE,
)

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed: Debian has it in the package prometheus",
)
BEFORE = (OK,) * 12
BURNS = {"slo-burn-fast", "slo-burn-middle", "slo-burn-slow"}
SILENCE = 10
"""Minutes without a tick."""

# name: (the scenes, what fires a minute after the last)
TAPES = {
    "all is well": (BEFORE, set()),
    "silent": ((*BEFORE, *[None] * SILENCE), {"probe-silent"}),
    "the primary down": ((*BEFORE, *[PRIMARY_DOWN] * 9), {"endpoint-down", "rerouted"}),
    "both down": (
        (*BEFORE, *[BOTH_DOWN] * 9),
        {"endpoint-down", "reads-failing", "geo-redundancy-lost", *BURNS},
    ),
    "both down in a declared maintenance": ((*BEFORE, *[MAINTAINED] * 9), set()),
    "a part of the account behind": ((*BEFORE, *[BEHIND] * 4), {"lag-over-rpo"}),
    "the secondary's name gone": ((*BEFORE, *[ABSENT] * 7), {"geo-redundancy-lost"}),
    "the canary corrupt": ((*BEFORE, *[CORRUPTED] * 4), {"canary-bad"}),
    "writes fail": ((*BEFORE, *[UNWRITABLE] * 6), {"writes-failing"}),
    "writes are refused": ((*BEFORE, *[READ_ONLY] * 6), {"writes-denied"}),
    "denied": ((*BEFORE, *[REFUSED_US] * 7), {"denied"}),
    "cut off": ((*BEFORE, *[CUT_OFF] * 8), {"probe-blind", "state-unsaved"}),
    "the state store down": ((*BEFORE, *[UNSAVED] * 8), {"state-unsaved"}),
    "rows of telemetry lost": ((*BEFORE, Scene(lost=120), OK), {"telemetry-lost"}),
    "flapping": ((*[PRIMARY_DOWN, *[OK] * 9] * 4, OK), {"flapping"}),
}


def samples(scenes):
    """Return series in promtool's words: a sample a minute of all that the ticks sent, counters summed up."""
    ticking = [each for each in scenes if each is not None]
    bodies = asyncio.run(_bodies(asyncio.run(play(ticking))))
    at = [minute for minute, each in enumerate(scenes) if each is not None]
    series = defaultdict(dict)
    for minute, sent in zip(at, bodies, strict=True):
        for name, labels, value, adds in sent:
            before = max(series[name, labels].items(), default=(0, 0))[1] if adds else 0
            series[name, labels][minute] = before + value
    return [
        {"series": f"{name}{{{labels}}}", "values": _values(found, len(scenes))}
        for (name, labels), found in series.items()
    ]


def _values(found, length):
    return " ".join(str(found.get(minute, "_")) for minute in range(length))


async def _bodies(reports):
    """Return for each tick its points, as the real exporter sends them."""
    found = []
    with Ingestion() as ingestion:
        with capture.otlp_environment(ingestion.url):
            sending = telemetry.build(replace(capture.SETTINGS, otlp=True))
        for report in reports:
            before = len(ingestion.bodies("/v1/metrics"))
            sending.emit(report, None)
            await sending.flush()
            found.append(
                [point for body in ingestion.bodies("/v1/metrics")[before:] for point in _points(body)]
            )
        sending.close()
    return found


def _points(body):
    request = ExportMetricsServiceRequest.FromString(body)
    metrics = [m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics]
    for metric in metrics:
        kind = metric.WhichOneof("data")
        if kind == "histogram":
            continue
        adds = kind == "sum"
        name = prometheus.name_of(metric.name, metric.unit, "counter" if adds else "gauge")
        for point in getattr(metric, kind).data_points:
            value = getattr(point, point.WhichOneof("value"))
            yield name, _labels(point.attributes), value, adds


def _labels(attributes):
    found = {
        prometheus.underscored(each.key): getattr(each.value, each.value.WhichOneof("value"))
        for each in attributes
    }
    return ", ".join(f'{key}="{value}"' for key, value in sorted(found.items()))


def expected(scenes, fires):
    """Return a test of promtool's: what fires with the last of the scenes."""
    asked = {
        "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": f"{len(scenes) - 1}m",
        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(fires)],
    }
    return {"interval": "1m", "input_series": samples(scenes), "promql_expr_test": [asked]}


def run(folder, *words):
    return subprocess.run(  # noqa: S603 - our own words
        ["promtool", *words],  # noqa: S607 - found on the path
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@needs_promtool
def test_the_rules_are_rules():
    done = run(prometheus.RULES.parent, "check", "rules", prometheus.RULES.name)

    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_on_what_the_probe_sends_these_rules_fire_and_no_others(tmp_path):
    tests = [expected(*each) for each in TAPES.values()]
    file = tmp_path / "tests.json"
    file.write_text(
        json.dumps({"rule_files": [str(prometheus.RULES)], "evaluation_interval": "1m", "tests": tests})
    )

    done = run(tmp_path, "test", "rules", file.name)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_fires_on_some_tape():
    fires = set().union(*(fires for _, fires in TAPES.values()))
    made = {name for name, each in CONDITIONS.items() if each["prometheus"]}

    # Several vantages and a blackbox exporter are not on these tapes.
    assert fires == made - {"reads-failing-in-part", "heartbeat"}


@pytest.mark.parametrize("text", [prometheus.rules(), prometheus.dashboard()], ids=["rules", "dashboard"])
def test_only_metrics_are_named_that_the_probe_sends(text):
    named = set(re.findall(r"\bprobe_[a-z_]+?(?=[{\[) ]|\\|$|_bucket)", text))
    labels = {prometheus.underscored(each) for each in catalogue.ATTRIBUTES}

    assert {each for each in named if each not in labels} - {"probe_success"} <= prometheus.NAMES


def test_the_dashboard_has_a_panel_for_each_tab_of_the_workbook():
    document = json.loads(prometheus.dashboard())
    ids = [each["id"] for each in document["panels"]]
    places = [(each["gridPos"]["x"], each["gridPos"]["y"]) for each in document["panels"]]

    assert {each["title"].split(":")[0] for each in document["panels"]} == {
        label for label, _, _ in workbook.TABS.values()
    }
    assert len(set(ids)) == len(ids)
    assert len(set(places)) == len(places)
    assert all(each["targets"][0]["expr"] for each in document["panels"])
    assert document["templating"]["list"][0]["query"] == "prometheus"
