"""What each deployment would make keeps every rule; and each judge tells a fault when there is one."""

import copy
import json
import re

import pytest

from tests.infra import judges, wiring
from tests.infra.alerts import CONDITIONS, alarms
from tests.infra.snapshots import NAMES, ROOT, document, resources, settings

JUDGES = {
    each.__name__: each
    for each in (
        judges.rights,
        judges.hosts,
        judges.hardening,
        judges.regions,
        judges.app_settings,
        judges.rules,
        wiring.platform,
        wiring.networks,
        wiring.apps,
    )
}
PROPERTIES, METRIC = "properties", "Microsoft.Insights/metricAlerts"
SITE, ACCOUNT = "Microsoft.Web/sites", "Microsoft.Storage/storageAccounts"
DIAGNOSTICS = "Microsoft.Insights/diagnosticSettings"
ASSIGNMENT, RULE = "Microsoft.Authorization/roleAssignments", "Microsoft.Insights/scheduledQueryRules"
# https://learn.microsoft.com/azure/reliability/regions-paired: where the secondary of each region is.
PAIRS = {
    "australiaeast": "australiasoutheast",
    "brazilsouth": "southcentralus",
    "canadacentral": "canadaeast",
    "centralindia": "southindia",
    "centralus": "eastus2",
    "eastasia": "southeastasia",
    "eastus": "westus",
    "eastus2": "centralus",
    "francecentral": "francesouth",
    "germanywestcentral": "germanynorth",
    "japaneast": "japanwest",
    "koreacentral": "koreasouth",
    "northeurope": "westeurope",
    "norwayeast": "norwaywest",
    "southafricanorth": "southafricawest",
    "southcentralus": "northcentralus",
    "southeastasia": "eastasia",
    "swedencentral": "swedensouth",
    "uaenorth": "uaecentral",
    "uksouth": "ukwest",
    "westeurope": "northeurope",
    "westus2": "westcentralus",
    "westus3": "eastus",
}


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_deployment_keeps_the_rule(name, judge):
    assert JUDGES[judge](resources(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_key_is_fetched_and_no_output_is_a_secret(name):
    assert judges.secrets(resources(name), document(name)["outputs"]) == []


@pytest.mark.parametrize(("name", "sites"), [("default", 0), ("fleet", 3)])
def test_people_sign_in_where_they_are_given_something_to_sign_in_with(name, sites):
    found = resources(name)

    assert list(judges.sign_in(found)) == []
    assert sum(each["type"] == "Microsoft.Web/sites/config" for each in found) == sites


SIGN_IN_FAULTS = {
    "all of the app is open": (("globalValidation", "excludedPaths"), ["/*"]),
    "nobody is asked": (("globalValidation", "requireAuthentication"), False),
    "plain http": (("httpSettings", "requireHttps"), False),
    "tokens are kept": (("login", "tokenStore", "enabled"), True),
}


@pytest.mark.parametrize("fault", SIGN_IN_FAULTS)
def test_a_sign_in_that_lets_others_in_is_found(fault):
    found, (path, value) = copy.deepcopy(resources("fleet")), SIGN_IN_FAULTS[fault]
    (first, *_) = (each for each in found if each["type"] == "Microsoft.Web/sites/config")
    held = first[PROPERTIES]
    for step in path[:-1]:
        held = held[step]
    held[path[-1]] = value

    assert len(list(judges.sign_in(found))) == 1


def test_the_default_deployment_makes_one_of_each_and_nothing_else():
    kinds = [each["type"] for each in resources("default")]

    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "Microsoft.Authorization/roleAssignments": 6,
        "Microsoft.Insights/actionGroups": 1,
        "Microsoft.Insights/components": 1,
        "Microsoft.Insights/metricAlerts": 5,
        "Microsoft.Insights/scheduledQueryRules": 1,
        "Microsoft.Insights/workbooks": 1,
        "Microsoft.Logic/workflows": 1,
        "Microsoft.ManagedIdentity/userAssignedIdentities": 1,
        "Microsoft.OperationalInsights/workspaces": 1,
        "Microsoft.Resources/resourceGroups": 1,
        "Microsoft.Storage/storageAccounts": 2,
        "Microsoft.Storage/storageAccounts/blobServices": 2,
        "Microsoft.Storage/storageAccounts/blobServices/containers": 3,
        "Microsoft.Storage/storageAccounts/queueServices": 1,
        "Microsoft.Storage/storageAccounts/queueServices/queues": 2,
        "Microsoft.Web/serverfarms": 1,
        "Microsoft.Web/sites": 1,
        "Microsoft.Web/sites/basicPublishingCredentialsPolicies": 2,
    }


def test_an_existing_account_gets_a_container_and_grants_and_nothing_else():
    theirs = [
        each for each in resources("existing-account") if each["id"].startswith("/subscriptions/11111111")
    ]

    assert sorted(each["type"].rsplit("/", 1)[1] for each in theirs) == [
        "containers",
        "roleAssignments",
        "roleAssignments",
        "roleAssignments",
    ]


def on(name, account):
    """Return what a deployment makes on one account, as (type, role of a grant or None)."""
    return [
        (
            each["type"].rsplit("/", 1)[1],
            each["properties"].get("roleDefinitionId", "").rsplit("/", 1)[-1] or None,
        )
        for each in resources(name)
        if f"/storageAccounts/{account}/" in each["id"]
    ]


BLOB_READER, READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "acdd72a7-3385-48ef-bd42-f606fba81ae7"


def test_an_account_that_is_only_read_gets_readers_grants_and_nothing_is_made_on_it():
    """The fleet reads a blob of its owner's on one account, from three vantages."""
    assert sorted(on("fleet", "starchiveprod")) == sorted(
        3 * [("roleAssignments", BLOB_READER), ("roleAssignments", READER)]
    )


def test_an_account_that_is_only_read_is_told_so_with_the_blob_to_read():
    for app in judges.of_type(resources("fleet"), SITE):
        told = {each["name"]: each for each in json.loads(settings(app)["PROBE_TARGETS"])}

        assert told["archive"] == {
            "name": "archive",
            "connection": "ProbedStorage_archive",
            "container": "reports",
            "blob": "2026/first.pdf",
            "write": False,
        }
        assert "write" not in told["orders"]


def test_geo_priority_replication_is_sent_only_where_it_is_asked_for():
    made = {
        each["tags"].get("azd-env-name"): each["properties"]
        for name in ("default", "private-network")
        for each in judges.of_type(resources(name), ACCOUNT)
        if "/stprobed" in each["id"]
    }
    asked = [
        each["properties"].get("geoPriorityReplicationStatus")
        for each in judges.of_type(resources("fleet"), ACCOUNT)
        if "/stprobed" in each["id"]
    ]

    assert all("geoPriorityReplicationStatus" not in held for held in made.values())
    assert asked == [{"isBlobEnabled": True}, None]


def test_request_logs_are_sent_only_where_they_are_asked_for_and_metrics_never():
    """Azure Monitor keeps an account's metrics by itself, at no charge; nothing here reads a copy of them."""
    sent = {
        name: [each["properties"] for each in judges.of_type(resources(name), DIAGNOSTICS)] for name in NAMES
    }

    assert {name: len(held) for name, held in sent.items()} == {
        "default": 0,
        "existing-account": 0,
        "fleet": 2,
        "private-network": 0,
    }
    assert all("metrics" not in each for each in sent["fleet"])


def test_the_vantage_follows_the_accounts_own_region_rather_than_the_location():
    """The existing account is in germanywestcentral, the location is eastus2."""
    (app,) = judges.of_type(resources("existing-account"), SITE)

    assert app["location"] == default_vantages()["germanywestcentral"] != default_vantages()["eastus2"]


def test_nobody_is_granted_anything_unless_asked_for():
    people = [
        each
        for each in judges.of_type(resources("default"), ASSIGNMENT)
        if each["properties"]["principalType"] != "ServicePrincipal"
    ]

    assert people == []


def test_the_fleet_has_an_app_and_a_host_account_for_each_vantage_and_a_grant_for_each_pair():
    fleet = resources("fleet")
    users = [
        each
        for each in judges.of_type(fleet, ASSIGNMENT)
        if re.search("containers/(canaries|reports)", each["id"])
    ]

    assert [each["location"] for each in judges.of_type(fleet, SITE)] == [
        "uksouth",
        "swedencentral",
        "ukwest",
    ]
    assert len(users) == 3 * 3
    assert len({each["id"] for each in users}) == 9


def test_only_one_app_bears_the_tag_that_azd_looks_for():
    for name in NAMES:
        tags = [each["tags"].get("azd-service-name") for each in judges.of_type(resources(name), SITE)]
        assert tags == ["probe"] + [None] * (len(tags) - 1)


def test_choices_reach_the_app():
    app = judges.of_type(resources("fleet"), SITE)[0]
    held = settings(app)

    assert held["PROBE_SCHEDULE"] == "0 */5 * * * *"
    assert held["PROBE_RPO"] == "1800"
    assert held["PROBE_CONTAINER"] == "canaries"
    assert held["PROBE_TRACES"] == "off"
    assert (held["PROBE_READS"], held["PROBE_SECONDARY_READS"]) == ("3", "12")
    assert [each["name"] for each in json.loads(held["PROBE_TARGETS"])] == ["orders", "media-eu", "archive"]
    scale = app["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    assert scale == {"instanceMemoryMB": 2048, "maximumInstanceCount": 100}


# What each alert's query is told, by snapshot: its first lines, as deployed.
TOLD = {
    "default": {
        "expected": 'datatable(Target: string, Vantage: string) ["store", "francecentral"]',
        "deployed": "datetime(2026-01-01T00:00:00Z)",
        "rpo_seconds": "900",
        "slo_percent": "99.9",
        "times": ["10m", "15m", "1h", "2d", "30m", "330m", "40m", "4h", "6h", "6m"],
    },
    "fleet": {
        "expected": "datatable(Target: string, Vantage: string) ["
        '"orders", "uksouth", "orders", "swedencentral", "orders", "ukwest", '
        '"media-eu", "uksouth", "media-eu", "swedencentral", "media-eu", "ukwest", '
        '"archive", "uksouth", "archive", "swedencentral", "archive", "ukwest"]',
        "deployed": "datetime(2026-01-01T00:00:00Z)",
        "rpo_seconds": "1800",
        "slo_percent": "99.95",
        "times": ["18m", "1h", "2d", "30m", "330m", "35m", "4h", "60m", "6h"],
    },
}


@pytest.mark.parametrize("name", TOLD)
def test_choices_reach_the_query(name):
    """A line that the template means to set, but no longer finds, would keep its default unnoticed."""
    for each in judges.of_type(resources(name), RULE):
        query = each["properties"]["criteria"]["allOf"][0]["query"]
        told = dict(re.findall(r"^let (\w+) = (d.*|[\d.]+);$", query, re.MULTILINE))

        assert {**told, "times": sorted(set(re.findall(r"ago\((\w+)\)", query)))} == TOLD[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_condition_of_the_list_is_looked_for_once(name):
    queries = [
        each["properties"]["criteria"]["allOf"][0]["query"] for each in judges.of_type(resources(name), RULE)
    ]
    listed = "".join(
        re.findall(r"let conditions = datatable\(.*?\)\s+\[(.*)\];", each)[0] for each in queries
    )

    for each in CONDITIONS.values():
        assert listed.count(f'"{each["name"]}", "{each["severity"]}"') == int("query" in each["by"])


def test_a_fleet_that_asks_for_it_has_a_rule_for_each_severity():
    found = judges.of_type(resources("fleet"), RULE)

    assert [(each["name"], each["properties"]["severity"]) for each in found] == [
        ("conditions-0", 0),
        ("conditions-1", 1),
        ("conditions-2", 2),
    ]


def test_where_several_vantages_look_a_metric_alert_asks_most_of_them():
    more = {
        name: [each["properties"]["criteria"]["allOf"][1:] for each in alarms(name)]
        for name in ("default", "fleet")
    }

    found = {name: [one["threshold"] for each in those for one in each] for name, those in more.items()}
    assert found == {"default": [100] * 2, "fleet": [50] * 9}


def test_the_heartbeat_begins_when_there_is_an_app_to_ask():
    (workflow,) = judges.of_type(resources("default"), "Microsoft.Logic/workflows")
    (trigger,) = workflow["properties"]["definition"]["triggers"].values()
    (action,) = workflow["properties"]["definition"]["actions"].values()

    assert trigger["recurrence"] == {
        "frequency": "Minute",
        "interval": 10,
        "startTime": "2026-01-01T01:00:00Z",
    }
    assert "/api/health" in action["inputs"]["uri"]


@pytest.mark.parametrize("name", NAMES)
def test_each_heartbeat_that_is_put_out_is_a_route_of_the_app(name):
    urls = re.findall(r"https://\{0\}/api/(\w+)", str(document(name)["outputs"]["PROBE_HEALTH_URLS"]))
    anonymous = re.findall(r'route\("(\w+)".*ANONYMOUS', (ROOT / "function_app.py").read_text())

    assert set(urls) == set(anonymous)
    assert len(urls) == len(judges.of_type(resources(name), SITE))


def default_vantages():
    text = re.search(r"var defaultVantage = \{(.*?)\n\}", judges.REGIONS, re.DOTALL)[1]
    return dict(re.findall(r"(\w+): '(\w+)'", text))


def test_the_default_vantage_shares_the_fate_of_neither_location():
    vantages = default_vantages()
    gzrs, flex = judges.region_lists()

    assert vantages.keys() == gzrs == PAIRS.keys()
    assert set(vantages.values()) <= flex
    assert all(vantage not in (region, PAIRS[region]) for region, vantage in vantages.items())


def test_private_endpoints_reach_both_locations_of_each_account_from_each_vantage():
    found = judges.of_type(resources("private-network"), "Microsoft.Network/privateEndpoints")
    groups = sorted(wiring.connection(each)["groupIds"][0] for each in found)

    assert groups == sorted(2 * (["blob", "queue", "table"] + 3 * ["blob", "blob_secondary"]))


def test_an_endpoint_waits_for_the_owner_of_somebody_elses_account_alone():
    """Without the right to approve, any other endpoint fails: https://github.com/MicrosoftDocs/azure-docs/issues/96892."""
    found = judges.of_type(resources("private-network"), "Microsoft.Network/privateEndpoints")
    waiting = {
        wiring.connection(each)["privateLinkServiceId"].rsplit("/", 1)[1]: wiring.connection(each)
        for each in found
        if each["properties"]["manualPrivateLinkServiceConnections"]
    }

    assert waiting.keys() == {"stordersprod"}
    assert 0 < len(waiting["stordersprod"]["requestMessage"]) <= 140


# The newest version of each type in the type data of August 2026; diagnostic settings have no stable one.
VERSIONS = {
    "Microsoft.Authorization/locks": "2020-05-01",
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.Insights/actionGroups": "2023-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/diagnosticSettings": "2021-05-01-preview",
    "Microsoft.Insights/metricAlerts": "2026-01-01",
    "Microsoft.Insights/scheduledQueryRules": "2026-03-01",
    "Microsoft.Insights/workbooks": "2023-06-01",
    "Microsoft.Logic/workflows": "2019-05-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2024-11-30",
    "Microsoft.Network/networkSecurityGroups": "2025-09-01",
    "Microsoft.Network/privateDnsZones": "2024-06-01",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "2024-06-01",
    "Microsoft.Network/privateEndpoints": "2025-09-01",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": "2025-09-01",
    "Microsoft.Network/virtualNetworks": "2025-09-01",
    "Microsoft.OperationalInsights/workspaces": "2026-03-01",
    "Microsoft.Resources/resourceGroups": "2025-04-01",
    "Microsoft.Storage/storageAccounts": "2026-04-01",
    "Microsoft.Web/serverfarms": "2025-03-01",
    "Microsoft.Web/sites": "2025-03-01",
}


def test_every_type_is_at_its_newest_version():
    used = {(each["type"], each["apiVersion"]) for name in NAMES for each in resources(name)}
    parents = ("Microsoft.Storage/storageAccounts", "Microsoft.Web/sites")

    for type_, version in used:
        parent = next((each for each in parents if type_.startswith(f"{each}/")), type_)
        assert version == VERSIONS[parent], type_


def test_host_json_speaks_opentelemetry_as_the_settings_do():
    host = json.loads((ROOT / "host.json").read_text())
    held = settings(judges.of_type(resources("default"), SITE)[0])

    assert host["telemetryMode"] == "OpenTelemetry"
    assert held["PYTHON_ENABLE_OPENTELEMETRY"] == "true"
    assert held["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"].endswith("'2024-11-30').clientId)]")


def test_host_json_sets_no_level_that_is_never_looked_at():
    """With OpenTelemetry the host drops both, whatever level they have; Function shows in a local console.

    Source: AddDefaultOpenTelemetryFilters in OpenTelemetryConfigurationExtensions.cs of azure-functions-host.
    """
    levels = json.loads((ROOT / "host.json").read_text())["logging"]["logLevel"]

    assert not {"Host.Aggregator", "Host.Results"} & levels.keys()


def spoiled(type_, change, name="default", which=0):
    """Return a snapshot's resources with one of a type changed."""
    all_of_it = copy.deepcopy(resources(name))
    change(judges.of_type(all_of_it, type_)[which])
    return all_of_it


def put(*path, value):
    """Return a change that sets what stands at a path."""

    def change(resource):
        for step in path[:-1]:
            resource = resource[step]
        resource[path[-1]] = value

    return change


def setting(name, value):
    """Return a change of one app setting: ``None`` takes it out."""

    def change(site):
        held = site["properties"]["siteConfig"]["appSettings"]
        held[:] = [each for each in held if each["name"] != name]
        if value is not None:
            held.append({"name": name, "value": value})

    return change


def moved_up(resource):
    """Give a container's grant on the whole account."""
    resource["id"] = re.sub(r"/blobServices/default/containers/[\w-]+", "", resource["id"])


def asking(what):
    """Return a change that lets a rule's query ask for one thing more."""

    def change(rule):
        (criterion,) = rule["properties"]["criteria"]["allOf"]
        criterion["query"] += f"| where {what}\n"

    return change


def criterion(name, value):
    """Return a change of one field of an alert's only criterion."""
    return put(PROPERTIES, "criteria", "allOf", 0, name, value=value)


def replaced(name, before, after):
    """Return a change of a text wherever it stands in one of a resource's properties."""

    def change(resource):
        text = json.dumps(resource[PROPERTIES][name])
        assert before in text
        resource[PROPERTIES][name] = json.loads(text.replace(before, after))

    return change


ROLES = "/subscriptions/0/providers/Microsoft.Authorization/roleDefinitions/"
CONTRIBUTOR = ROLES + "b24988ac-6180-42a0-ab88-20f7382dd24c"
KEY_OPERATOR = ROLES + "81a9662b-bebf-436f-a333-f67b29880f12"
ACCOUNT_CONTRIBUTOR = ROLES + "17d1049b-9a84-46fb-8f53-869881c3d3ab"
STRANGER = "33333333-3333-3333-3333-333333333333"
CANARY_WRITER = 4

FAULTS = {
    "a wider role": ("rights", ASSIGNMENT, put(PROPERTIES, "roleDefinitionId", value=CONTRIBUTOR), 0),
    "a role that lists keys": (
        "rights",
        ASSIGNMENT,
        put(PROPERTIES, "roleDefinitionId", value=KEY_OPERATOR),
        5,
    ),
    "a role that fails an account over": (
        "rights",
        ASSIGNMENT,
        put(PROPERTIES, "roleDefinitionId", value=ACCOUNT_CONTRIBUTOR),
        5,
    ),
    "the canary's role on the whole account": ("rights", ASSIGNMENT, moved_up, CANARY_WRITER),
    "a grant to a stranger": (
        "rights",
        ASSIGNMENT,
        put(PROPERTIES, "principalId", value=STRANGER),
        CANARY_WRITER,
    ),
    "a grant without a reason": ("rights", ASSIGNMENT, put(PROPERTIES, "description", value=""), 0),
    "a geo-redundant host account": ("hosts", ACCOUNT, put("sku", "name", value="Standard_RAGZRS"), "sthost"),
    "a host account elsewhere": ("hosts", ACCOUNT, put("location", value="westeurope"), "sthost"),
    "shared keys on": ("hardening", ACCOUNT, put(PROPERTIES, "allowSharedKeyAccess", value=True), 0),
    "public blobs allowed": ("hardening", ACCOUNT, put(PROPERTIES, "allowBlobPublicAccess", value=True), 1),
    "an older TLS": ("hardening", ACCOUNT, put(PROPERTIES, "minimumTlsVersion", value="TLS1_0"), 0),
    "no secondary to read from": (
        "hardening",
        ACCOUNT,
        put("sku", "name", value="Standard_GZRS"),
        "stprobed",
    ),
    "a configuration that the plan refuses": (
        "hardening",
        SITE,
        put(PROPERTIES, "siteConfig", "ftpsState", value="Disabled"),
        0,
    ),
    "publishing with a password": (
        "hardening",
        "Microsoft.Web/sites/basicPublishingCredentialsPolicies",
        put(PROPERTIES, "allow", value=True),
        0,
    ),
    "an instrumentation key that opens": (
        "hardening",
        "Microsoft.Insights/components",
        put(PROPERTIES, "DisableLocalAuth", value=False),
        0,
    ),
    "an account outside the list": ("regions", ACCOUNT, put("location", value="italynorth"), "stprobed"),
    "an app outside the list": ("regions", SITE, put("location", value="mars"), 0),
    "a misspelt setting": ("app_settings", SITE, setting("PROBE_RPOS", "900"), 0),
    "a time zone, which the plan does not know": (
        "app_settings",
        SITE,
        setting("WEBSITE_TIME_ZONE", "Europe/Paris"),
        0,
    ),
    "a value that the probe refuses": ("app_settings", SITE, setting("PROBE_RPO", "soon"), 0),
    "a telemetry switch left out": (
        "app_settings",
        SITE,
        setting("APPLICATIONINSIGHTS_SDKSTATS_DISABLED", None),
        0,
    ),
    "a setting that is read, left out": (
        "app_settings",
        SITE,
        setting("ProbedStorage_store__blobServiceUri", None),
        0,
    ),
    "one canary for all vantages": ("app_settings", SITE, setting("PROBE_BLOB", "HelloWorld.png"), 0),
    "the state on the probed account": (
        "app_settings",
        SITE,
        setting("PROBE_STATE", "ProbedStorage_store"),
        0,
    ),
    "no runbook entry": ("rules", RULE, put(PROPERTIES, "description", value="runbook.md#unheard-of"), 0),
    "nobody told": ("rules", RULE, put(PROPERTIES, "actions", value={}), 0),
    "a window that does not exist": ("rules", RULE, put(PROPERTIES, "windowSize", value="PT7M"), 0),
    "a rule that looks away": ("rules", RULE, put(PROPERTIES, "evaluationFrequency", value="PT6H"), 0),
    "a query with ago() of a name": ("rules", RULE, asking("TimeGenerated > ago(short_window)"), 0),
    "a query that looks back further than the service": ("rules", RULE, asking("TimeGenerated > ago(3d)"), 0),
    "a metric that does not exist": ("platform", METRIC, criterion("metricName", "Availabilty"), 0),
    "a dimension that does not exist": (
        "platform",
        METRIC,
        criterion("dimensions", [{"name": "GeoTypes", "operator": "Include", "values": ["*"]}]),
        0,
    ),
    "an app as another vantage": (
        "apps",
        SITE,
        put("identity", "userAssignedIdentities", value={"/x/id-probe-uksouth-x": {}}),
        0,
    ),
    "a plan of another kind": (
        "apps",
        "Microsoft.Web/serverfarms",
        put("sku", value={"name": "Y1", "tier": "Dynamic"}),
        0,
    ),
    "a package where there is no container": (
        "apps",
        SITE,
        replaced("functionAppConfig", "{0}packages", "{0}package"),
        0,
    ),
    "a queue that nobody made": ("apps", SITE, setting("PROBE_QUEUE", "shards"), 0),
    "a target on an account that is not there": (
        "apps",
        SITE,
        replaced("siteConfig", "/storageAccounts/stprobed", "/storageAccounts/stranger"),
        0,
    ),
    "a rule that never resolves": ("rules", RULE, put(PROPERTIES, "autoMitigate", value=False), 0),
    "a rule that is off": ("rules", RULE, put(PROPERTIES, "enabled", value=False), 0),
}


# As above, in the deployments that have such things.
ELSEWHERE = {
    "a subnet for another plan": (
        "private-network",
        "networks",
        "Microsoft.Network/virtualNetworks",
        replaced("subnets", wiring.DELEGATION, "Microsoft.Web/serverFarms"),
    ),
    "an endpoint in another service's zone": (
        "private-network",
        "networks",
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
        replaced("privateDnsZoneConfigs", "privatelink.blob", "privatelink.queue"),
    ),
    "a category that does not exist": (
        "fleet",
        "platform",
        DIAGNOSTICS,
        put(PROPERTIES, "logs", 0, "categoryGroup", value="everything"),
    ),
    "a lock that stops writes too": (
        "fleet",
        "platform",
        "Microsoft.Authorization/locks",
        put(PROPERTIES, "level", value="ReadOnly"),
    ),
}


@pytest.mark.parametrize("fault", ELSEWHERE)
def test_a_judge_tells_a_seeded_fault_in_another_deployment(fault):
    name, judge, type_, change = ELSEWHERE[fault]

    assert JUDGES[judge](spoiled(type_, change, name)) != []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_judge_tells_a_seeded_fault(fault):
    judge, type_, change, which = FAULTS[fault]
    if isinstance(which, str):
        names = [each["name"] for each in judges.of_type(resources("default"), type_)]
        which = next(place for place, name in enumerate(names) if name.startswith(which))

    assert JUDGES[judge](spoiled(type_, change, which=which)) != []


def test_a_secret_in_a_setting_or_an_output_is_told():
    outputs = document("default")["outputs"]
    keyed = spoiled(SITE, setting("AzureWebJobsStorage", "[listKeys('sthost', '2026-04-01').keys[0].value]"))

    assert judges.secrets(keyed, outputs) != []
    assert judges.secrets(resources("default"), {**outputs, "STORAGE_CONNECTION_STRING": "x"}) != []


def test_a_role_of_our_own_is_told():
    role = {"type": "Microsoft.Authorization/roleDefinitions", "name": "more", "id": "/x", "properties": {}}

    assert judges.rights([*resources("default"), role]) != []
