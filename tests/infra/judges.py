"""What may and must stand in a deployment: each judge answers the problems in predicted resources, or none.

Judges take plain values and keep nothing, so that a test can seed a fault and see it told.
"""

import json
import re
from datetime import timedelta

from probe import settings as probe_settings
from probe.core.errors import ConfigurationError
from tests.infra import alerts
from tests.infra.snapshots import ROOT, settings

GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ASSIGNED = "/providers/Microsoft.Authorization/roleAssignments/"
HOST = r".*/storageAccounts/sthost\w+"
WATCHED = r".*/storageAccounts/(?!sthost)\w+"

# Every grant that may be made: role, the only scope it may have, to whom. Anything else is a problem.
ALLOWED = {
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": (
        "Blob Data Contributor",
        WATCHED + "/blobServices/default/containers/[\\w-]+",
        "probe",
    ),
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": ("Reader", WATCHED, "probe"),
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": ("Blob Data Owner", HOST, "probe"),
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": ("Queue Data Contributor", HOST, "probe"),
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": ("Table Data Contributor", HOST, "probe"),
    "3913510d-42f4-4e42-8a64-420c390055eb": (
        "Monitoring Metrics Publisher",
        ".*/Microsoft.Insights/components/[\\w-]+",
        "probe",
    ),
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": (
        "Blob Data Reader",
        ".*/blobServices/default/containers/[\\w-]+",
        "anybody",
    ),
}

HARDENED = {
    "allowBlobPublicAccess": False,
    "allowCrossTenantReplication": False,
    "allowSharedKeyAccess": False,
    "defaultToOAuthAuthentication": True,
    "minimumTlsVersion": "TLS1_2",
    "supportsHttpsTrafficOnly": True,
}

# Settings of the platform, the worker and the exporter; all others must be the probe's own.
FOREIGN = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    "PYTHON_ENABLE_OPENTELEMETRY",
}
ASSERTION = "OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID"
"""With it the platform signs in with the app's identity, where a client secret would be."""
OF_A_CONNECTION = ("blobServiceUri", "clientId", "credential", "secondaryBlobServiceUri")
SECRETIVE = re.compile(
    r"listKeys|listAccountSas|listServiceSas|AccountKey=|SharedAccessSignature|sig=|listConnection|getSecret",
    re.IGNORECASE,
)
SECRET_NAME = re.compile(r"key|secret|password|token|connection_?string|sas\b", re.IGNORECASE)

# All of siteConfig that is known to pass on the plan: it refuses a deployment that names ftpsState,
# linuxFxVersion, use32BitWorkerProcess and others, with error 51021, in more and more regions.
# https://github.com/Azure/terraform-azurerm-avm-res-web-site/issues/360
SITE_CONFIG = {"appSettings", "http20Enabled", "minTlsVersion", "scmMinTlsVersion"}

# What the rules' service takes: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-log-alert-rule
FREQUENCIES = {
    "PT1M",
    "PT5M",
    "PT10M",
    "PT15M",
    "PT30M",
    "PT45M",
    "PT1H",
    "PT2H",
    "PT3H",
    "PT4H",
    "PT5H",
    "PT6H",
    "P1D",
}
WINDOWS = FREQUENCIES | {"P2D"}
REGIONS = (ROOT / "infra" / "modules" / "shared.bicep").read_text()


def of_type(resources, type_):
    return [each for each in resources if each["type"].lower() == type_.lower()]


def rights(resources):
    """Every grant is one of those allowed, as narrow as allowed, to whom it is allowed; no role is made."""
    problems = [
        f"a role of its own: {each['name']}"
        for each in of_type(resources, "Microsoft.Authorization/roleDefinitions")
    ]
    for each in of_type(resources, "Microsoft.Authorization/roleAssignments"):
        held = each["properties"]
        role = held["roleDefinitionId"].rsplit("/", 1)[1]
        scope = each["id"].split(ASSIGNED)[0]
        if role not in ALLOWED:
            problems.append(f"role {role} on {scope}")
            continue
        name, allowed_scope, to = ALLOWED[role]
        if not re.fullmatch(allowed_scope, scope):
            problems.append(f"{name} on {scope}")
        problems += [f"{name} on {scope}: {problem}" for problem in grantee(held, scope, to)]
    return problems


def grantee(held, scope, to):
    principal = held["principalId"]
    vantage = re.search(
        r"userAssignedIdentities/id-probe-([a-z0-9]+)-\w+', '[\d-]+'\)\.principalId\]", principal
    )
    is_probe = vantage and held["principalType"] == "ServicePrincipal"
    if not is_probe and (to == "probe" or not GUID.fullmatch(principal)):
        yield f"given to {principal}"
    if not held.get("description"):
        yield f"no reason on {scope}"


def hosts(resources):
    """Tell a vantage that may use another host account than its own, which is in its own region."""
    problems = []
    accounts = {each["id"]: each for each in of_type(resources, "Microsoft.Storage/storageAccounts")}
    for each in of_type(resources, "Microsoft.Authorization/roleAssignments"):
        account = each["id"].split("/blobServices")[0].split(ASSIGNED)[0]
        vantage = re.search(r"id-probe-([a-z0-9]+)-", each["properties"]["principalId"])
        if "/sthost" in account and vantage and accounts[account]["location"] != vantage[1]:
            problems.append(f"{vantage[1]} may use the host account of {accounts[account]['location']}")
    for site in of_type(resources, "Microsoft.Web/sites"):
        found = re.search(
            r"storageAccounts/(sthost\w+)'", settings(site)["AzureWebJobsStorage__blobServiceUri"]
        )
        named = [each for each in accounts.values() if found and each["name"] == found[1]]
        if not named or named[0]["location"] != site["location"]:
            problems.append(f"{site['name']} keeps its things elsewhere")
        if named and named[0]["sku"]["name"] not in ("Standard_LRS", "Standard_ZRS"):
            problems.append(f"the host account of {site['name']} is geo-redundant")
    return problems


def hardening(resources):
    """Accounts, containers, apps and telemetry take no keys, show nothing and speak TLS 1.2."""
    problems = []
    closed = bool(of_type(resources, "Microsoft.Network/virtualNetworks"))
    for each in of_type(resources, "Microsoft.Storage/storageAccounts"):
        held = each["properties"]
        problems += [f"{each['name']}: {name}" for name, value in HARDENED.items() if held.get(name) != value]
        expected = ("Disabled", "Deny") if closed else ("Enabled", "Allow")
        if (held["publicNetworkAccess"], held["networkAcls"]["defaultAction"]) != expected:
            problems.append(f"{each['name']}: network {held['publicNetworkAccess']}")
        if not each["name"].startswith("sthost") and each["sku"]["name"] != "Standard_RAGZRS":
            problems.append(f"{each['name']}: {each['sku']['name']}")
    for each in of_type(resources, "Microsoft.Storage/storageAccounts/blobServices/containers"):
        if each["properties"].get("publicAccess") != "None":
            problems.append(f"{each['name']}: public")
    for each in of_type(resources, "Microsoft.Web/sites"):
        problems += site_hardening(each, resources, closed=closed)
    return problems + [f"{name}: takes keys" for name in keyed(resources)]


def keyed(resources):
    """Return the names of where telemetry can be sent with a key."""
    components = of_type(resources, "Microsoft.Insights/components")
    workspaces = of_type(resources, "Microsoft.OperationalInsights/workspaces")
    shut = {each["name"]: each["properties"].get("DisableLocalAuth") for each in components}
    shut |= {each["name"]: each["properties"]["features"].get("disableLocalAuth") for each in workspaces}
    return [name for name, off in shut.items() if off is not True]


def site_hardening(site, resources, *, closed):
    held, config = site["properties"], site["properties"]["siteConfig"]
    wanted = {
        "httpsOnly": held["httpsOnly"] is True,
        "a configuration that the plan refuses": config.keys() <= SITE_CONFIG,
        "TLS": config["minTlsVersion"] == config["scmMinTlsVersion"] == "1.2",
        "identity": site["identity"]["type"] == "UserAssigned"
        and len(site["identity"]["userAssignedIdentities"]) == 1,
        "deployment": held["functionAppConfig"]["deployment"]["storage"]["authentication"]["type"]
        == "UserAssignedIdentity",
        "network": bool(held.get("virtualNetworkSubnetId")) == closed,
        "runtime": held["functionAppConfig"]["runtime"] == {"name": "python", "version": "3.13"},
    }
    policies = of_type(resources, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    shut = {
        each["id"].rsplit("/", 1)[1]
        for each in policies
        if each["id"].startswith(site["id"] + "/") and each["properties"]["allow"] is False
    }
    wanted["publishing credentials"] = shut == {"ftp", "scm"}
    return [f"{site['name']}: {name}" for name, right in wanted.items() if not right]


def of_site(site, resources):
    """Return the configuration of who signs in to a site, where it has one."""
    found = of_type(resources, "Microsoft.Web/sites/config")
    return [each for each in found if each["id"] == f"{site['id']}/config/authsettingsV2"]


def sign_in_settings(site, resources):
    return {ASSERTION} if of_site(site, resources) else set()


def sign_in(resources):
    """Where people sign in, nothing but the health is open, by the app's identity and over https."""
    for site in of_type(resources, "Microsoft.Web/sites"):
        for each in of_site(site, resources):
            held = each["properties"]
            asked, provider = held["globalValidation"], held["identityProviders"]["azureActiveDirectory"]
            right = {
                "on": held["platform"]["enabled"]
                is asked["requireAuthentication"]
                is provider["enabled"]
                is True,
                "what is open": asked["excludedPaths"] == ["/api/health"],
                "https": held["httpSettings"]["requireHttps"] is True,
                "no secret": provider["registration"]["clientSecretSettingName"] == ASSERTION,
                "no tokens kept": held["login"]["tokenStore"]["enabled"] is False,
                "the app's own identity": settings(site).get(ASSERTION)
                == settings(site)["AzureWebJobsStorage__clientId"],
            }
            yield from (f"{site['name']}: {name}" for name, fine in right.items() if not fine)


def secrets(resources, outputs):
    """Nothing fetches a key, and no output or setting looks like a secret.

    The connection string of Application Insights names an address: with local authentication off, its key
    opens nothing.
    """
    text = json.dumps([resources, outputs])
    problems = [f"{found} in the template" for found in set(SECRETIVE.findall(text))]
    problems += [f"output {name}" for name in outputs if SECRET_NAME.search(name)]
    for site in of_type(resources, "Microsoft.Web/sites"):
        names = settings(site).keys() - {
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
        }
        problems += [f"setting {name}" for name in names if SECRET_NAME.search(name)]
    return problems


def regions(resources):
    """Every location is in its list: GZRS for watched accounts, the plan's for all else."""
    gzrs, flex = region_lists()
    placed = [each for each in resources if each.get("location") not in (None, "global")]
    watched = [each for each in placed if each.get("sku", {}).get("name") == "Standard_RAGZRS"]
    lost = [each for each in placed if each["location"] not in flex]
    lost += [each for each in watched if each["location"] not in gzrs]
    return [f"{each['name']} in {each['location']}" for each in lost]


def region_lists():
    gzrs = set(re.findall(r"'(\w+)'", re.search(r"type gzrsRegion =(.*?)\n\n", REGIONS, re.DOTALL)[1]))
    return gzrs, gzrs | set(
        re.findall(r"'(\w+)'", re.search(r"type flexRegion =(.*?)\n\n", REGIONS, re.DOTALL)[1])
    )


def concrete(value, name):
    """Return a setting with a plausible value in place of what only a deployment knows."""
    if not value.startswith("[") or value.startswith("[{"):
        return value
    if account := re.search(r"storageAccounts/(\w+)'.*?(blob|queue|table)", value):
        suffix = "-secondary" if "secondary" in name else ""
        return f"https://{account[1]}{suffix}.{account[2]}.core.windows.net/"
    if name == "APPLICATIONINSIGHTS_CONNECTION_STRING":
        return "InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint=https://westeurope-5.in.applicationinsights.azure.com/"
    client = "00000000-0000-0000-0000-000000000002"
    return f"ClientId={client};Authorization=AAD" if name.endswith("AUTHENTICATION_STRING") else client


def app_settings(resources):
    """Each app has exactly settings that something reads, all that are needed; the probe takes them."""
    problems = []
    for site in of_type(resources, "Microsoft.Web/sites"):
        held = {name: concrete(value, name) for name, value in settings(site).items()}
        if len(held) != len(site["properties"]["siteConfig"]["appSettings"]):
            problems.append(f"{site['name']}: a setting twice")
        prefixes = {each["connection"] for each in json.loads(held["PROBE_TARGETS"])}
        connections = {f"{prefix}__{part}" for prefix in prefixes for part in OF_A_CONNECTION}
        known = FOREIGN | connections | probe_settings.FIELDS.keys() | sign_in_settings(site, resources)
        problems += [f"{site['name']}: nothing reads {name}" for name in held.keys() - known]
        problems += [f"{site['name']}: {name} is missing" for name in (FOREIGN | connections) - held.keys()]
        problems += [f"{site['name']}: {problem}" for problem in as_read(held, site)]
    return problems


def as_read(held, site):
    try:
        found = probe_settings.load(held)
    except ConfigurationError as error:
        yield str(error)
        return
    yield from found.warnings
    if found.vantage != site["location"]:
        yield f"its vantage is {found.vantage}"
    for target in found.targets:
        if target.write and not target.blob.startswith(f"{found.vantage}/"):
            yield f"{target.name}: two vantages would write {target.blob}"
        if target.secondary is None:
            yield f"{target.name}: no secondary"


def rules(resources):
    """Each alert has a window and a frequency that exist and fit, a runbook entry, and somebody to tell."""
    problems = []
    runbook = (ROOT / "infra" / "runbook.md").read_text()
    headings = {line.removeprefix("## ").strip() for line in runbook.splitlines() if line.startswith("## ")}
    for each in of_type(resources, "Microsoft.Insights/scheduledQueryRules"):
        held = each["properties"]
        if held["windowSize"] not in WINDOWS or held["evaluationFrequency"] not in FREQUENCIES:
            problems.append(f"{each['name']}: no such window or frequency")
        if alerts.duration(held["evaluationFrequency"]) > alerts.duration(held["windowSize"]):
            problems.append(f"{each['name']}: looks away between two evaluations")
        if alerts.duration(held["windowSize"]) > timedelta(days=2):
            problems.append(f"{each['name']}: looks back too far")
        if "muteActionsDuration" in held:
            problems.append(f"{each['name']}: mutes and mitigates")
        if not held["autoMitigate"] or alerts.duration(held["evaluationFrequency"]) > timedelta(hours=12):
            problems.append(f"{each['name']}: never resolves")
        problems += [f"{each['name']}: {problem}" for problem in looking_back(held)]
        problems += [f"{each['name']}: {problem}" for problem in told(held, headings)]
    for each in of_type(resources, "Microsoft.Insights/metricAlerts"):
        problems += [f"{each['name']}: {problem}" for problem in told(each["properties"], headings)]
    return problems


def looking_back(held):
    """Tell a query whose own times the service would not take, or that sees another window than its rule.

    A rule's query may ask ago() of literals only, and with one the rows in sight may be those of two days.
    Source: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-log-alert-rule
    """
    (criterion,) = held["criteria"]["allOf"]
    code = re.sub(r"^\s*//.*$", "", criterion["query"], flags=re.MULTILINE)
    asked = re.findall(r"\bago\(([^)]*)\)", code)
    if not all(re.fullmatch(r"\d+[mhd]", each) for each in asked):
        yield "ago() of something other than a literal"
    literal = [each for each in asked if re.fullmatch(r"\d+[mhd]", each)]
    spans = [
        alerts.duration(f"P{each.upper()}" if each[-1] == "d" else f"PT{each.upper()}") for each in literal
    ]
    if max(spans, default=timedelta(0)) > alerts.duration(held["overrideQueryTimeRange"]):
        yield "its query looks back further than the service does"
    if re.search(r"\bnow\(\)", code):
        yield "now(), where ago() of a literal would do"


def told(held, headings):
    """Tell a page that would lead nowhere, or reach nobody."""
    entries = set(re.findall(r"runbook\.md#([\w-]+)", json.dumps(held)))
    yield from (f"no entry {each} in the runbook" for each in entries - headings)
    if not entries:
        yield "no link to the runbook"
    if "/actionGroups/" not in json.dumps(held["actions"]):
        yield "nobody is told"
    if not held["enabled"]:
        yield "off"
