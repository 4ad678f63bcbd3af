"""Makes ``infra/workbook/workbook.json`` from the queries; ``make docs`` writes it.

Rules kept here: a tile's query is a file of ``infra/queries`` with the workbook's parameters in its first
lines, and nothing else; ids follow from names, so that making it anew changes nothing by itself.
"""

import json
import uuid
from dataclasses import dataclass, field

from tests.infra.snapshots import ROOT

FILE = ROOT / "infra" / "workbook" / "workbook.json"
QUERIES = ROOT / "infra" / "queries"
RESOURCE_TYPE = "microsoft.operationalinsights/workspaces"
HOUR = 3_600_000
# What the workbook puts in place of a query's own default.
PARAMETERS = {
    'let targets = dynamic(["*"]);': "let targets = dynamic([{Target}]);",
    'let vantages = dynamic(["*"]);': "let vantages = dynamic([{Vantage}]);",
    "let grain = 5m;": "let grain = {TimeRange:grain};",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One query and how it is shown. ``chart`` names its x and y columns and what splits it."""

    query: str
    title: str
    kind: str = "table"
    chart: tuple = ()
    marks: dict = field(default_factory=dict)
    width: str = "100"


GOOD = {"served": "success", "healthy": "success", "closed": "success", "protected": "success"}
BAD = {
    "failing": "failed",
    "down": "failed",
    "corrupt": "failed",
    "missing": "failed",
    "absent": "failed",
    "open": "failed",
    "unprotected": "failed",
    "behind": "failed",
}
MARKS = {**GOOD, **BAD}

TABS = {
    "now": (
        "Now",
        "The newest word of each vantage on each target. A pair that is missing below has stopped reporting.",
        [
            Tile(query="now", title="Can it be read, is it safe, from where, and why", kind="tiles"),
            Tile(
                query="now",
                title="The same as a table",
                marks=dict.fromkeys(("Reads", "Redundancy", "Primary", "Secondary", "Breaker"), MARKS),
            ),
            Tile(query="probe-silent", title="Expected when deployed, but silent in the whole time range"),
        ],
    ),
    "availability": (
        "Availability and latency",
        "Every tick measures both endpoints, whatever the breaker does; *reads* is what a client gets.",
        [
            Tile(
                query="availability",
                title="Good results, percent",
                kind="linechart",
                chart=("TimeGenerated", "Percent", "What"),
            ),
            Tile(query="latency", title="Milliseconds until an endpoint answered", width="50"),
            Tile(
                query="phases",
                title="Mean milliseconds of each phase",
                kind="linechart",
                chart=("TimeGenerated", "Milliseconds", "Phase"),
                width="50",
            ),
        ],
    ),
    "breaker": (
        "Breaker",
        "0 closed (reads go to the primary), 1 half-open (trials), 2 open (reads go to the secondary).",
        [
            Tile(
                query="breaker", title="State", kind="linechart", chart=("TimeGenerated", "State", "Breaker")
            ),
            Tile(query="transitions", title="What changed, and why"),
        ],
    ),
    "replication": (
        "Replication",
        "Lag is what the canary shows, last sync age what Azure guarantees: either may exceed the RPO.",
        [
            Tile(
                query="replication",
                title="Seconds behind, against the RPO",
                kind="linechart",
                chart=("TimeGenerated", ("LagSeconds", "LastSyncAgeSeconds", "RpoSeconds"), ""),
            ),
        ],
    ),
    "errors": (
        "Errors",
        "By *error.type*: path or endpoint (dns, timeout, 5xx), content (digest, 404), ours (401, 403).",
        [Tile(query="errors", title="Failed attempts")],
    ),
    "probe": (
        "The probe itself",
        "A vantage without a row here has been silent in the whole time range.",
        [
            Tile(query="probe-health", title="Ticks, by vantage"),
            Tile(query="cost", title="What the telemetry costs in a month, at the price in the query"),
        ],
    ),
}


def identity(name):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"storage-probe/workbook/{name}"))


def query(name):
    """Return a query's text with the workbook's parameters in place of its defaults."""
    text = (QUERIES / f"{name}.kql").read_text()
    for default, parameter in PARAMETERS.items():
        text = text.replace(default, parameter)
    return text


def as_run(name):
    """Return a tile's query as the workbook sends it with nothing filtered: its parameters filled in."""
    text = query(name)
    for parameter, value in {"{Target}": '"*"', "{Vantage}": '"*"', "{TimeRange:grain}": "5m"}.items():
        text = text.replace(parameter, value)
    return text


def every_tile():
    return [tile for _, _, tiles in TABS.values() for tile in tiles]


def marked(column, marks):
    rows = [
        {"operator": "==", "thresholdValue": value, "representation": icon, "text": "{0}{1}"}
        for value, icon in marks.items()
    ]
    rows.append({"operator": "Default", "representation": "2", "text": "{0}{1}"})
    return {
        "columnMatch": column,
        "formatter": 18,
        "formatOptions": {"thresholdsOptions": "icons", "thresholdsGrid": rows},
    }


def settings(tile):
    if tile.kind == "tiles":
        return {
            "tileSettings": {
                "titleContent": {"columnMatch": "Target", "formatter": 1},
                "subtitleContent": {"columnMatch": "Vantage", "formatter": 1},
                "leftContent": marked("Reads", MARKS),
                "rightContent": marked("Redundancy", MARKS),
                "secondaryContent": {"columnMatch": "Why", "formatter": 1},
                "showBorder": True,
            }
        }
    if tile.chart:
        x, y, group = tile.chart
        chart = {"xAxis": x, "yAxis": [y] if isinstance(y, str) else list(y)}
        return {"chartSettings": {**chart, **({"group": group} if group else {}), "showLegend": True}}
    return {
        "gridSettings": {
            "formatters": [marked(column, marks) for column, marks in tile.marks.items()],
            "filter": True,
        }
    }


def shown(tab, tile):
    return {
        "type": 3,
        "content": {
            "version": "KqlItem/1.0",
            "query": query(tile.query),
            "size": 0,
            "title": tile.title,
            "noDataMessage": "Nothing in this time range.",
            "timeContextFromParameter": "TimeRange",
            "queryType": 0,
            "resourceType": RESOURCE_TYPE,
            "visualization": tile.kind,
            **settings(tile),
        },
        "customWidth": tile.width,
        "name": f"{tab} {tile.query} {tile.kind}",
    }


def choice(name, label, query_name):
    return {
        "id": identity(name),
        "version": "KqlParameterItem/1.0",
        "name": name,
        "label": label,
        "type": 2,
        "isRequired": True,
        "multiSelect": True,
        "quote": '"',
        "delimiter": ",",
        "query": query(query_name),
        "typeSettings": {
            "additionalResourceOptions": ["value::all"],
            "selectAllValue": "*",
            "showDefault": False,
        },
        "defaultValue": "value::all",
        "value": ["value::all"],
        "timeContextFromParameter": "TimeRange",
        "queryType": 0,
        "resourceType": RESOURCE_TYPE,
    }


def parameters():
    time = {
        "id": identity("TimeRange"),
        "version": "KqlParameterItem/1.0",
        "name": "TimeRange",
        "label": "Time range",
        "type": 4,
        "isRequired": True,
        "value": {"durationMs": 4 * HOUR},
        "typeSettings": {
            "selectableValues": [{"durationMs": hours * HOUR} for hours in (1, 4, 12, 24, 48, 168, 720)],
            "allowCustom": True,
        },
    }
    every = [time, choice("Target", "Target", "target-names"), choice("Vantage", "Vantage", "vantage-names")]
    content = {
        "version": "KqlParameterItem/1.0",
        "parameters": every,
        "style": "pills",
        "queryType": 0,
        "resourceType": RESOURCE_TYPE,
    }
    return {"type": 9, "content": content, "name": "parameters"}


def tabs():
    links = [
        {
            "id": identity(f"tab {tab}"),
            "cellValue": "tab",
            "linkTarget": "parameter",
            "linkLabel": label,
            "subTarget": tab,
            "style": "link",
            **({"preText": label} if tab == "now" else {}),
        }
        for tab, (label, _, _) in TABS.items()
    ]
    return {
        "type": 11,
        "content": {"version": "LinkItem/1.0", "style": "tabs", "links": links},
        "name": "tabs",
    }


def group(tab, text, tiles):
    return {
        "type": 12,
        "content": {
            "version": "NotebookGroup/1.0",
            "groupType": "editable",
            "items": [
                {"type": 1, "content": {"json": text}, "name": f"{tab} text"},
                *(shown(tab, tile) for tile in tiles),
            ],
        },
        "conditionalVisibility": {"parameterName": "tab", "comparison": "isEqualTo", "value": tab},
        "name": tab,
    }


def document():
    """Return the workbook. The id of the workspace is put in when it is deployed."""
    return {
        "version": "Notebook/1.0",
        "items": [parameters(), tabs(), *(group(tab, text, tiles) for tab, (_, text, tiles) in TABS.items())],
        "fallbackResourceIds": ["WORKSPACE-RESOURCE-ID"],
        "$schema": "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json",
    }


def text():
    return json.dumps(document(), indent=2) + "\n"
