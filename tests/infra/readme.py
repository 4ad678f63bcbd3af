"""Makes the generated parts of ``infra/README.md``, which ``make docs`` writes.

Rules kept here: a part stands between two comments that name it; it is made from the committed snapshots,
the queries, what the lab measures, and the prices below.
"""

import asyncio
import functools
import re
from dataclasses import dataclass

from probe.adapters.telemetry.settings import Traces
from probe.core.target import Policy
from probe.lab.telemetry import volume
from probe.lab.telemetry.tapes import Scene
from tests.infra import tiles, workbook
from tests.infra.judges import ALLOWED, ASSIGNED, of_type
from tests.infra.snapshots import NAMES, ROOT, resources

KINDS = {
    "Microsoft.Web/sites": "function app",
    "Microsoft.Storage/storageAccounts": "storage account",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "identity",
    "Microsoft.Insights/components": "Application Insights",
    "Microsoft.OperationalInsights/workspaces": "Log Analytics",
    "Microsoft.Insights/actionGroups": "action group",
    "Microsoft.Insights/workbooks": "workbook",
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
    component, workspace = of["Microsoft.Insights/components"], of["Microsoft.OperationalInsights/workspaces"]
    log_alerts = len(of_type(found, "Microsoft.Insights/scheduledQueryRules"))
    (watched,) = [
        each["id"]
        for each in of_type(found, "Microsoft.Storage/storageAccounts")
        if "/stprobed" in each["id"]
    ]
    return [
        f'  {ids[site]} -. "runs as" .-> {ids[of["Microsoft.ManagedIdentity/userAssignedIdentities"]]}',
        f"  {ids[component]} --> {ids[workspace]}",
        f'  {ids[workspace]} -- "{log_alerts} log alerts" --> {ids[group]}',
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


def alerts():
    """Return the alerts of the default deployment as a table."""
    rows = ["| alert | severity | looks back | what it says |", "|---|---|---|---|"]
    found = of_type(resources("default"), "Microsoft.Insights/scheduledQueryRules")
    (metric,) = of_type(resources("default"), "Microsoft.Insights/metricAlerts")
    named = [*((each["name"], each) for each in found), ("platform-availability", metric)]
    for name, each in named:
        held = each["properties"]
        what = held["description"].split(" Runbook:")[0]
        rows.append(f"| [{name}](runbook.md#{name}) | {held['severity']} | {held['windowSize']} | {what} |")
    return "\n".join(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A list price in US dollars, to be replaced by your own; ``source`` is where it is published."""

    dollars: float
    per: str
    source: str


PRICING = "https://azure.microsoft.com/pricing/details/"
PRICES = {
    "execution": Price(dollars=0.000026, per="GB-second on demand", source=PRICING + "functions/"),
    "free execution": Price(
        dollars=100_000, per="GB-seconds free a month and subscription", source=PRICING + "functions/"
    ),
    "call": Price(dollars=0.40, per="million executions", source=PRICING + "functions/"),
    "free calls": Price(
        dollars=250_000, per="executions free a month and subscription", source=PRICING + "functions/"
    ),
    "alert": Price(dollars=1.50, per="log alert at 5 minutes, a month", source=PRICING + "monitor/"),
    "slow alert": Price(
        dollars=0.50, per="log alert at 15 minutes or more, a month", source=PRICING + "monitor/"
    ),
    "further series": Price(
        dollars=0.15, per="each further time series of a log alert at 5 minutes", source=PRICING + "monitor/"
    ),
    "metric alert": Price(dollars=0.10, per="metric alert time series, a month", source=PRICING + "monitor/"),
    "ingestion": Price(dollars=volume.PRICE, per="GB taken in", source=PRICING + "monitor/"),
    "writes": Price(dollars=0.1125, per="10,000 writes, RA-GZRS hot", source=PRICING + "storage/blobs/"),
    "reads": Price(dollars=0.0052, per="10,000 reads, hot", source=PRICING + "storage/blobs/"),
    "host writes": Price(dollars=0.05, per="10,000 writes, LRS hot", source=PRICING + "storage/blobs/"),
}
MONTH_TICKS = 60 * 24 * 30
# Inputs that are measured elsewhere or estimated: change them as you change prices.
TICK_SECONDS = 1.0
MEMORY_GIGABYTES = 0.5
CALLS = MONTH_TICKS
HOST_WRITES = 6 * MONTH_TICKS
LOOKS, STATS = 2, 1
ATTEMPTS = LOOKS + Policy().reads + STATS
"""GETs of a tick in which all is well."""


@functools.cache
def gigabytes():
    """Return the month's telemetry of one target from one vantage, as measured on the wire, to a tenth."""
    hour = asyncio.run(volume.measure((Scene(),) * volume.HOUR, traces=Traces.FAILURES))
    return round(volume.monthly(hour.octets.total() * 24, volume.PRICE)[0], 1)


def costs():
    """Return the monthly cost of the default deployment: one target, one vantage, a tick a minute."""
    price = {name: each.dollars for name, each in PRICES.items()}
    found = of_type(resources("default"), "Microsoft.Insights/scheduledQueryRules")
    slow = [each for each in found if each["properties"]["evaluationFrequency"] != "PT5M"]
    billed = max(0, MONTH_TICKS * TICK_SECONDS * MEMORY_GIGABYTES - price["free execution"])
    quick = len(found) - len(slow)
    lines = [
        (
            "function app",
            f"{MONTH_TICKS:,} ticks of {TICK_SECONDS:g} s at {MEMORY_GIGABYTES:g} GB; within the free grant",
            billed * price["execution"] + max(0, CALLS - price["free calls"]) / 1e6 * price["call"],
        ),
        (
            "log alerts",
            f"{quick} at 5 minutes, {len(slow)} slower",
            quick * price["alert"] + len(slow) * price["slow alert"],
        ),
        ("metric alert", "2 series, primary and secondary", 2 * price["metric alert"]),
        ("telemetry", f"{gigabytes():g} GB taken in, measured on the wire", gigabytes() * price["ingestion"]),
        ("canary writes", f"{MONTH_TICKS:,} on the watched account", MONTH_TICKS / 10_000 * price["writes"]),
        ("canary reads", f"{ATTEMPTS} a tick", ATTEMPTS * MONTH_TICKS / 10_000 * price["reads"]),
        (
            "host account",
            f"about {HOST_WRITES:,} small writes: state, leases",
            HOST_WRITES / 10_000 * price["host writes"],
        ),
    ]
    rows = ["| what | how much | US$ a month |", "|---|---|---:|"]
    rows += [f"| {what} | {much} | {dollars:.2f} |" for what, much, dollars in lines]
    rows.append(f"| **together** | | **{sum(dollars for _, _, dollars in lines):.2f}** |")
    rows += ["", "| price | US$ | source |", "|---|---:|---|"]
    rows += [f"| {each.per} | {each.dollars:g} | {each.source} |" for each in PRICES.values()]
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
    "alerts": alerts,
    "costs": costs,
    "tiles": shown,
    "snapshots": counted,
}
