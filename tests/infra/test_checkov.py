"""Checkov, offline, on what each deployment would make: nothing fails but what is let pass, with its reason.

It reads the evaluated resources, not the Bicep: its own Bicep parser knows none of the language's newer parts
and would find nothing wrong because it could read nothing. Secrets are searched for in the files as they are.
All in one run, since it takes seconds to begin.
"""

import copy
import functools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.infra.judges import of_type
from tests.infra.snapshots import NAMES, ROOT, resources

CHECKOV = Path(__file__).parent / "checkov" / ".venv" / "bin" / "checkov"
TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
}
ACCOUNT, SITE, PLAN = "Microsoft.Storage/storageAccounts", "Microsoft.Web/sites", "Microsoft.Web/serverfarms"
SIGN_IN = "Microsoft.Web/sites/config"

# What may fail: the check, on which kind of resource (a part of its id), and why that is right here.
LET_PASS = {
    ("CKV_AZURE_17", SITE): "the heartbeat is asked for by monitors that hold no client certificate",
    ("CKV_AZURE_35", ACCOUNT): "the probe measures what a client outside sees; privateNetwork closes it",
    (
        "CKV_AZURE_36",
        ACCOUNT,
    ): "no service of Azure's has business in these accounts; the endpoints are the only way in",
    ("CKV_AZURE_59", ACCOUNT): "as CKV_AZURE_35; no blob is public in any case",
    (
        "CKV_AZURE_206",
        ACCOUNT + ".sthost",
    ): "the watcher's own store stays in its region, apart from the watched",
    (
        "CKV_AZURE_212",
        SITE,
    ): "scaling to zero between ticks is what makes it cheap; the alert probe-silent watches over it",
    (
        "CKV_AZURE_213",
        SITE,
    ): "the Flex Consumption plan has no health check; /api/health is for outside monitors",
    (
        "CKV_AZURE_222",
        SITE,
    ): "the heartbeat is public by design and tells nothing; the status page wants a key",
    ("CKV_AZURE_78", SITE): "the plan has no FTP, and refuses a deployment that says so",
    ("CKV_AZURE_225", PLAN): "a second vantage is the redundancy, and not every region has zones",
    **dict.fromkeys(
        [(f"CKV_AZURE_{number}", SIGN_IN) for number in (13, 63, 65, 66, 80, 88)],
        "checkov takes every config of a site for its web settings; authsettingsV2 has none of these",
    ),
}
OPEN_ONLY = {"CKV_AZURE_35", "CKV_AZURE_59"}
CLOSED_ONLY = {"CKV_AZURE_36"}


def spoiled():
    """Return the default deployment with faults that checkov knows."""
    all_of_it = copy.deepcopy(resources("default"))
    account, site = of_type(all_of_it, ACCOUNT)[0], of_type(all_of_it, SITE)[0]
    account["properties"]["minimumTlsVersion"] = "TLS1_0"
    account["properties"]["supportsHttpsTrafficOnly"] = False
    site["properties"]["httpsOnly"] = False
    site["properties"]["siteConfig"]["minTlsVersion"] = "1.0"
    return all_of_it


SEEDED = "var connection = 'AccountKey=" + "Zm9vYmFy" * 10 + "Zm9vYg=='\n"


@functools.cache
def checked():
    """Return what checkov tells, by framework: of each deployment, our files, and a file with a secret."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "infra", folder / "infra")
        (folder / "seeded.bicep").write_text(SEEDED)
        for deployment, found in {**{each: resources(each) for each in NAMES}, "spoiled": spoiled()}.items():
            (folder / f"{deployment}.json").write_text(json.dumps({**TEMPLATE, "resources": found}))
        words = [str(CHECKOV), "-d", name, "--framework", "arm", "secrets", "--output", "json"]
        done = subprocess.run(  # noqa: S603 - our own words
            [*words, "--skip-download", "--quiet"], capture_output=True, text=True, check=False
        )
    assert done.stdout.strip(), f"checkov said nothing; run tests/infra/setup first. {done.stderr}"
    return {each["check_type"]: each for each in json.loads(done.stdout)}


@functools.cache
def failed():
    """Return for each deployment the (check, resource) that fail, and how many checks there were."""
    told = checked()["arm"]
    by_name = {name: set() for name in (*NAMES, "spoiled")}
    for each in told["results"]["failed_checks"]:
        by_name[Path(each["file_path"]).stem].add((each["check_id"], each["resource"]))
    return by_name, told["summary"]


def reason(check, resource):
    return next(
        (why for (id_, kind), why in LET_PASS.items() if id_ == check and resource.startswith(kind)), None
    )


def test_checkov_read_every_deployment_and_checked_much():
    _, summary = failed()

    assert summary["parsing_errors"] == 0
    assert summary["passed"] > 150


@pytest.mark.parametrize("name", NAMES)
def test_nothing_fails_without_a_reason(name):
    assert {each for each in failed()[0][name] if reason(*each) is None} == set()


def test_what_is_let_pass_does_fail_and_is_closed_where_it_can_be():
    """A reason that is no longer needed goes away, and privateNetwork closes what it says."""
    found, _ = failed()
    everywhere = {check for name in NAMES for check, _ in found[name]}

    assert everywhere == {check for check, _ in LET_PASS}
    assert not OPEN_ONLY & {check for check, _ in found["private-network"]}
    assert not CLOSED_ONLY & {
        check for name in NAMES if name != "private-network" for check, _ in found[name]
    }


def test_seeded_faults_are_told():
    found, _ = failed()
    new = {check for check, _ in found["spoiled"] - found["default"]}

    assert {"CKV_AZURE_44", "CKV_AZURE_3", "CKV_AZURE_14", "CKV_AZURE_15"} <= new


def test_no_file_of_the_infrastructure_holds_a_secret_but_the_one_that_was_put_there():
    found = checked()["secrets"]["results"]["failed_checks"]

    assert [each["file_path"] for each in found] == ["/seeded.bicep"]
