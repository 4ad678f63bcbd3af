"""The page tells what the snapshots, the queries and the prices say, and its links lead somewhere."""

import json
import re

import pytest

from tests.docs import pages
from tests.infra import kql, readme
from tests.infra.alerts import CONDITIONS
from tests.infra.judges import of_type
from tests.infra.snapshots import ROOT, resources

PAGE = "infra/README.md"
TEXT = (ROOT / PAGE).read_text()
RUNBOOK = (ROOT / "infra" / "runbook.md").read_text()


def part(name):
    return re.search(rf"<!-- {name}:begin -->.*?<!-- {name}:end -->", TEXT, re.DOTALL)[0]


def test_a_grant_that_is_not_in_the_picture_is_told():
    without = TEXT.replace(' == "Reader" ==> ', " --> ")

    assert pages.renewed(PAGE, without) == TEXT != without


def test_the_picture_shows_every_grant_and_every_place():
    grants = of_type(resources("default"), "Microsoft.Authorization/roleAssignments")
    places = {each["location"] for each in resources("default") if each.get("location")}

    assert part("picture").count("==>") == len(grants)
    assert all(f'subgraph {place}["' in part("picture") for place in places)


def test_the_whole_costs_at_most_six_dollars_and_four_with_what_is_free():
    lines = readme.billed()
    listed, free = (sum(each[place] for each in lines) for place in (2, 3))

    assert listed <= 6
    assert free <= 4
    assert f"| **{listed:.2f}** | **{free:.2f}** |" in part("costs")


def test_what_is_worst_is_told_within_five_minutes_and_the_rest_within_ten():
    """But the burns, which have a table; what Azure itself counts; and the second channel."""
    found = {name: readme.worst(each) for name, each in CONDITIONS.items()}
    minutes = {name: int(each.split()[0]) for name, each in found.items() if each.endswith(" min")}
    later = {"heartbeat", "platform-availability", "slo-burn-fast", "slo-burn-middle", "slo-burn-slow"}

    assert minutes["reads-failing"] <= 5 >= minutes["endpoint-down"]
    assert all(each <= 10 for name, each in minutes.items() if name not in later)
    assert minutes.keys() >= CONDITIONS.keys() - later


@pytest.mark.parametrize("page", ["README.md", "runbook.md"])
def test_every_link_leads_somewhere(page):
    text = (ROOT / "infra" / page).read_text()
    targets = re.findall(r"\]\((?!https?:)([^)]+)\)", text)

    lost = [each for each in targets if not leads(each, page)]

    assert targets
    assert lost == []


def leads(link, page):
    path, _, anchor = link.partition("#")
    there = ROOT / "infra" / (path or page)
    return there.exists() and (not anchor or anchor in anchors(there.read_text()))


def anchors(text):
    return {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }


def test_every_runbook_entry_belongs_to_an_alert_and_says_four_things():
    entries = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.DOTALL | re.MULTILINE))
    assert entries.keys() == CONDITIONS.keys()
    assert all(
        re.findall(r"\*\*(Means|Look at|Be sure|Do)\*\*", text) == ["Means", "Look at", "Be sure", "Do"]
        for text in entries.values()
    )


def test_every_parameter_that_the_page_names_exists():
    template = (ROOT / "infra" / "main.bicep").read_text() + (
        ROOT / "infra" / "modules" / "shared.bicep"
    ).read_text()
    named = set(re.findall(r"`([a-z]+[A-Z]\w+)`", TEXT))

    assert {name for name in named if not re.search(rf"\b{name}\b", template)} == set()


def test_every_azd_variable_that_the_page_names_is_mapped():
    named = set(re.findall(r"azd env set (\w+)", TEXT))

    assert named
    assert all(f"${{{name}=" in (ROOT / "infra" / "main.parameters.json").read_text() for name in named)


def test_what_a_private_network_costs_follows_from_what_it_makes():
    """At list prices, from memory as in the table: an endpoint $0.01 an hour, a zone $0.50 a month."""
    found = resources("private-network")
    vantages = len(of_type(found, "Microsoft.Web/sites"))
    accounts = len(of_type(found, "Microsoft.Storage/storageAccounts")) - vantages + 2
    endpoints = len(of_type(found, "Microsoft.Network/privateEndpoints")) / vantages
    zones = len(of_type(found, "Microsoft.Network/privateDnsZones")) / vantages
    endpoint = 0.01 * 730

    assert (endpoints, zones) == (3 + 2 * accounts, 3)
    assert f"${(3 + 2) * endpoint + zones * 0.5:.0f} a month for each vantage" in TEXT
    assert f"each further account adds ${2 * endpoint:.2f}" in TEXT


def test_what_old_canaries_take_up_follows_from_the_canary():
    octets = (ROOT / "probe" / "HelloWorld.png").stat().st_size
    month, week = 60 * 24 * 30, 60 * 24 * 7

    assert f"{month:,} a month from each vantage,\n  about {round(month * octets / 1e6, -1):.0f} MB" in TEXT
    assert f"after seven days ({5 * round(week * octets / 5e6):.0f} MB a vantage)" in TEXT


def test_what_is_to_be_pasted_is_json_and_fits():
    pasted = [json.loads(each) for each in re.findall(r"`(\{ ?\"[^`]+\})`", TEXT)]
    accounts = [each for each in pasted if "existingAccountId" in each]
    (read_only,) = [each["readOnly"] for each in accounts if "readOnly" in each]
    (rule,) = [each for each in pasted if "definition" in each]
    types = (ROOT / "infra" / "modules" / "shared.bicep").read_text()

    assert all(re.search(rf"^  {name}: ", types, re.MULTILINE) for name in {*read_only}.union(*accounts))
    assert rule["definition"]["filters"]["prefixMatch"] == ["health-probe/"]


def test_every_query_on_the_page_binds():
    """As it stands in a table's cell, where a bar is written with a backslash."""
    queries = [each.replace("\\|", "|") for each in re.findall(r"`([A-Z]\w+ \\\| [^`]+)`", TEXT)]

    found = kql.bound(queries)

    assert len(queries) == 6
    assert [found[each]["problems"] for each in queries] == [[]] * 6
