"""Names that only the service checks: a judge answers the problems in predicted resources, or none.

No compiler knows these, since the type data leave them open: a metric, a category, a delegation, a sku, and
what one resource calls another. Each is written down here with where it is documented.
"""

import re

from tests.infra.judges import of_type
from tests.infra.snapshots import settings

_METRICS = "https://learn.microsoft.com/azure/azure-monitor/reference/supported-metrics/"
# Each metric that is alerted on: namespace, name, aggregation and dimensions; and its page of the reference.
METRICS = {
    ("Microsoft.Storage/storageAccounts", "Availability", "Average", ("GeoType",)): _METRICS
    + "microsoft-storage-storageaccounts-metrics",
    (
        "microsoft.insights/components",
        "availabilityResults/count",
        "Count",
        ("availabilityResult/name",),
    ): _METRICS + "microsoft-insights-components-metrics",
    (
        "microsoft.insights/components",
        "availabilityResults/availabilityPercentage",
        "Average",
        ("availabilityResult/name",),
    ): _METRICS + "microsoft-insights-components-metrics",
    ("Microsoft.Logic/workflows", "RunsFailed", "Total", ()): _METRICS + "microsoft-logic-workflows-metrics",
}
# https://learn.microsoft.com/azure/azure-monitor/reference/supported-logs/microsoft-storage-storageaccounts-blobservices-logs
LOGS = {"allLogs", "audit"}
# https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan
DELEGATION = "Microsoft.App/environments"
PLAN = {"name": "FC1", "tier": "FlexConsumption"}
# https://learn.microsoft.com/azure/private-link/private-endpoint-dns
ZONES = {"blob": "blob", "blob_secondary": "blob", "queue": "queue", "table": "table"}


def platform(resources):
    """Metric alerts and diagnostic settings name what there is; a lock stops deletion and nothing else."""
    problems = []
    for each in of_type(resources, "Microsoft.Insights/metricAlerts"):
        for criterion in each["properties"]["criteria"]["allOf"]:
            dimensions = tuple(one["name"] for one in criterion.get("dimensions", []))
            names = [criterion[key] for key in ("metricNamespace", "metricName", "timeAggregation")]
            if (*names, dimensions) not in METRICS:
                problems.append(f"{each['name']}: no such metric: {names} by {dimensions}")
    for each in of_type(resources, "Microsoft.Insights/diagnosticSettings"):
        held = each["properties"]
        named = {one["categoryGroup"] for one in held["logs"]} - LOGS
        problems += [f"{each['name']}: no category {one}" for one in named]
    for each in of_type(resources, "Microsoft.Authorization/locks"):
        if each["properties"]["level"] != "CanNotDelete":
            problems.append(f"{each['name']}: {each['properties']['level']}")
    return problems


def networks(resources):
    """Subnets are delegated to the plan; each private endpoint is registered in the zone of its service."""
    problems = []
    for each in of_type(resources, "Microsoft.Network/virtualNetworks"):
        named = {
            subnet["name"]: [
                one["properties"]["serviceName"] for one in subnet["properties"].get("delegations", [])
            ]
            for subnet in each["properties"]["subnets"]
        }
        if named != {"app": [DELEGATION], "endpoints": []}:
            problems.append(f"{each['name']}: delegations {named}")
    groups = {
        each["id"]: connection(each)["groupIds"][0]
        for each in of_type(resources, "Microsoft.Network/privateEndpoints")
    }
    registered = of_type(resources, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    for each in registered:
        endpoint = each["id"].split("/privateDnsZoneGroups")[0]
        (config,) = each["properties"]["privateDnsZoneConfigs"]
        if f"privatelink.{ZONES[groups[endpoint]]}." not in config["properties"]["privateDnsZoneId"]:
            problems.append(f"{each['name']}: {groups[endpoint]} is registered elsewhere")
    if len(registered) != len(groups):
        problems.append("an endpoint that no name leads to")
    return problems


def connection(endpoint):
    """Return what an endpoint asks for: approved by making it, or by hand, never both."""
    held = endpoint["properties"]
    (found,) = [*held["privateLinkServiceConnections"], *held["manualPrivateLinkServiceConnections"]]
    return found["properties"]


def apps(resources):
    """Each app is its vantage's own identity, on the plan, with a package, a queue and a state to find."""
    problems = [
        f"{each['name']}: {each['sku']}"
        for each in of_type(resources, "Microsoft.Web/serverfarms")
        if each["sku"] != PLAN
    ]
    made = {each["id"] for each in resources}
    for site in of_type(resources, "Microsoft.Web/sites"):
        problems += [f"{site['name']}: {problem}" for problem in app(site, made)]
    return problems


def app(site, made):
    held, deployment = settings(site), site["properties"]["functionAppConfig"]["deployment"]["storage"]
    (identity,) = site["identity"]["userAssignedIdentities"]
    if f"/id-probe-{site['location']}-" not in identity:
        yield "runs as another vantage"
    if deployment["authentication"]["userAssignedIdentityResourceId"] != identity:
        yield "fetches its package as another"
    yield from (
        f"{name} is another's"
        for name, value in held.items()
        if ("clientId" in value and identity not in value)
        or ("storageAccounts" in value and not known(value, made))
    )
    (host,) = re.findall(r"'(/subscriptions/[^']+/storageAccounts/\w+)'", deployment["value"])
    (package,) = re.findall(r"\{0\}([\w-]+)'", deployment["value"])
    blobs, queues = f"{host}/blobServices/default/containers/", f"{host}/queueServices/default/queues/"
    needed = {blobs + package, blobs + held["PROBE_STATE_CONTAINER"], queues + held["PROBE_QUEUE"]}
    yield from (
        f"there is no {each}" for each in (needed | {queues + held["PROBE_QUEUE"] + "-poison"}) - made
    )


def known(value, made):
    """Return whether an endpoint is that of an account made here, or of one that gets a container here."""
    (account,) = re.findall(r"/subscriptions/[^']+/storageAccounts/\w+", value)
    return account in made or any(each.startswith(f"{account}/blobServices/") for each in made)
