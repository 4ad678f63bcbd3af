"""The template builds and lints without a word, and the committed snapshots are what it would make."""

import json
import os
import re
import shutil
import subprocess

import pytest

from tests.infra import bicep
from tests.infra.judges import of_type
from tests.infra.snapshots import FOLDER, NAMES, ROOT, plain, resources

needs_bicep = pytest.mark.skipif(bicep.command() is None, reason=bicep.NONE)


@needs_bicep
def test_the_template_builds_and_lints_without_a_warning():
    assert bicep.check(bicep.MAIN) == ""


@needs_bicep
@pytest.mark.parametrize("name", NAMES)
def test_a_parameters_file_fits_the_template(name):
    assert bicep.check(FOLDER / f"{name}.bicepparam") == ""


@needs_bicep
@pytest.mark.parametrize("name", NAMES)
def test_a_snapshot_is_what_the_template_would_make(name):
    done = bicep.snapshot(FOLDER / f"{name}.bicepparam", "validate")

    assert done.returncode == 0, done.stdout + done.stderr


# A fault in the template, as (file, what stood there, what stands there now, what must be told).
FAULTS = {
    "a name that what-if cannot know beforehand": (
        "../main",
        """    workspaceId: resourceId(
      subscription().subscriptionId,
      groupName,
      'Microsoft.OperationalInsights/workspaces',
      workspaceName
    )
    rpoSeconds""",
        """    workspaceId: monitoring.outputs.workspaceId
    rpoSeconds""",
        "what-if-short-circuiting",
    ),
    "an id that only a loop's variable names": (
        "private-endpoints",
        "privateDnsZoneId: ways[i].zoneId",
        "privateDnsZoneId: way.zoneId",
        "use-resource-id-functions",
    ),
    "a property that does not exist": ("vantage", "httpsOnly: true", "httpOnly: true", "httpOnly"),
    "a value that the type does not list": ("monitored-account", "'TLS1_2'", "'TLS1_9'", "TLS1_9"),
    "a text where a number belongs": ("alerts", "threshold: 99", "threshold: '99'", "threshold"),
    "a parameter that nothing reads": (
        "workbook",
        "param rpoSeconds int",
        "param rpoSeconds int\nparam idle int",
        "idle",
    ),
    "a module's parameter left out": ("canary", "param readers", "param more string\nparam readers", "more"),
    "an address built by hand": (
        "canary",
        "account.properties.primaryEndpoints.blob",
        "'https://x.blob.core.windows.net'",
        "env-urls",
    ),
    "a query file that is not there": (
        "alerts",
        "queries/conditions.kql",
        "queries/fluttering.kql",
        "fluttering",
    ),
    "a secret with a default": (
        "monitoring",
        "param alertWebhookUri string",
        "param alertWebhookUri string = 'x'",
        "secure",
    ),
}


@pytest.fixture
def copied(tmp_path):
    """Return a copy of the template and its snapshots, that may be spoiled."""
    shutil.copytree(ROOT / "infra", tmp_path / "infra")
    shutil.copytree(FOLDER, tmp_path / "tests" / "infra" / "snapshots")
    return tmp_path


@needs_bicep
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_template_is_told(copied, fault):
    module, before, after, told = FAULTS[fault]
    file = copied / "infra" / "modules" / f"{module}.bicep"
    text = file.read_text()
    assert before in text, "the fault has nothing to spoil any more"

    file.write_text(text.replace(before, after, 1))

    assert told in bicep.check(copied / "infra" / "main.bicep")


@needs_bicep
def test_a_changed_template_no_longer_fits_its_snapshot(copied):
    file = copied / "infra" / "modules" / "monitored-account.bicep"
    file.write_text(file.read_text().replace("allowSharedKeyAccess: false", "allowSharedKeyAccess: true"))

    done = bicep.snapshot(copied / "tests" / "infra" / "snapshots" / "default.bicepparam", "validate")

    assert done.returncode == 1


@needs_bicep
def test_an_account_of_ours_that_is_handed_over_keeps_all_but_itself(copied):
    """What the page tells after a failover: the template asks for no redundancy, and renames nothing."""
    before = resources("default")
    (account,) = [
        each
        for each in of_type(before, "Microsoft.Storage/storageAccounts")
        if each["sku"]["name"] == "Standard_RAGZRS"
    ]
    file = copied / "tests" / "infra" / "snapshots" / "default.bicepparam"
    handed = f"{{ name: 'store', existingAccountId: '{account['id']}' }}"
    file.write_text(f"{file.read_text()}param monitoredAccounts = [{handed}]\n")

    bicep.snapshot(file, "overwrite")

    after = json.loads(file.with_name("default.snapshot.json").read_text())["predictedResources"]
    own = (account["id"], f"{account['id']}/blobServices/default")
    assert plain(after) == [each for each in before if each["id"] not in own]


@pytest.mark.parametrize(
    ("module", "after"),
    [
        # The canaries' grants name the identities, which come with the grants on their host accounts.
        ("canaries", "identities[i].outputs.principalId"),
        ("apps", "canaries[j].outputs.primaryEndpoint"),
        ("apps", "dependsOn: [hostEndpoints, targetEndpoints]"),
        ("identities", "dependsOn: [monitoring]"),
    ],
)
def test_a_site_stands_only_after_what_it_needs(module, after):
    """Snapshots hold no order, so the template's own words are read: grants and ways first, then the site."""
    template = (ROOT / "infra" / "main.bicep").read_text()

    (block,) = re.findall(rf"^module {module} .*?^(?:\]|\}})$", template, re.MULTILINE | re.DOTALL)

    assert after in block


def test_a_container_that_is_there_is_not_changed():
    """Snapshots do not show it: on somebody's account the name may be that of a public container."""
    text = (ROOT / "infra" / "modules" / "canary.bicep").read_text()
    made = re.findall(r"^(@.*)\nresource \w+ '[^']+/containers@[\d-]+' = ", text, re.MULTILINE)

    assert made == ["@onlyIfNotExists()"]


def test_nothing_is_looked_for_in_the_module_that_makes_it():
    """The deployment may look before it makes, and end there: https://github.com/Azure/bicep/issues/16664."""
    declared = re.compile(r"^ *resource \w+ '([^'@]+)@?[\d-]*' (existing )?= (if \(!?\w+\))?", re.MULTILINE)
    for file in (ROOT / "infra" / "modules").glob("*.bicep"):
        found = declared.findall(file.read_text())
        made = {(type_, condition) for type_, existing, condition in found if not existing}
        sought = {(type_, condition) for type_, existing, condition in found if existing}
        at_once = {
            type_
            for type_, condition in sought
            for other, when in made
            if type_ == other and (condition == when or not condition or not when)
        }

        assert at_once == set(), file.name


def test_the_gate_runs_these_tests_with_the_stand_in_where_there_is_one(tmp_path):
    """A gate that forgets to name the command would leave every test above out, and stay green."""
    project, stand_in = tmp_path / "project", tmp_path / "shared" / "bicep"
    (project / ".ci").mkdir(parents=True)
    stand_in.mkdir(parents=True)
    (stand_in / "__main__.py").touch()
    shutil.copy(ROOT / ".ci" / "run", project / ".ci" / "run")
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "$* with $BICEP"\n')
    make.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "BICEP"}
    environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(  # noqa: S603 - our own words
        [str(project / ".ci" / "run")], env=environment, capture_output=True, text=True, check=True
    )

    assert f"test with python3 {stand_in}" in done.stdout.splitlines()


def test_no_parameters_file_keeps_azd_from_asking():
    """For azd prefers a main.bicepparam to main.parameters.json and then never prompts."""
    assert not (ROOT / "infra" / "main.bicepparam").exists()


def test_every_lint_rule_is_an_error_unless_it_is_off_for_a_reason():
    """use-recent-api-versions counts days from today: it would turn a finished tree red by itself.

    An error cannot be waived for one line, and the workflow's type data are not everywhere; a warning, which
    use-secure-value-for-secure-inputs is, is not let pass either.
    """
    rules = json.loads((ROOT / "infra" / "bicepconfig.json").read_text())["analyzers"]["core"]["rules"]

    assert {name for name, rule in rules.items() if rule["level"] != "error"} == {
        "use-recent-api-versions",
        "use-secure-value-for-secure-inputs",
    }
