"""The template builds and lints without a word, and the committed snapshots are what it would make."""

import json
import re
import shutil

import pytest

from tests.infra import bicep
from tests.infra.snapshots import FOLDER, NAMES, ROOT

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
        "queries/flapping.kql",
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
    """Answer a copy of the template and its snapshots, that may be spoiled."""
    shutil.copytree(ROOT / "infra", tmp_path / "infra")
    shutil.copytree(FOLDER, tmp_path / "tests" / "infra" / "snapshots")
    return tmp_path


@needs_bicep
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_template_is_told(copied, fault):
    module, before, after, told = FAULTS[fault]
    file = copied / "infra" / "modules" / f"{module}.bicep"
    text = file.read_text()
    assert before in text

    file.write_text(text.replace(before, after, 1))

    assert told in bicep.check(copied / "infra" / "main.bicep")


@needs_bicep
def test_a_changed_template_no_longer_fits_its_snapshot(copied):
    file = copied / "infra" / "modules" / "monitored-account.bicep"
    file.write_text(file.read_text().replace("allowSharedKeyAccess: false", "allowSharedKeyAccess: true"))

    done = bicep.snapshot(copied / "tests" / "infra" / "snapshots" / "default.bicepparam", "validate")

    assert done.returncode == 1


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


def test_no_parameters_file_keeps_azd_from_asking():
    """For azd prefers a main.bicepparam to main.parameters.json and then never prompts."""
    assert not (ROOT / "infra" / "main.bicepparam").exists()


def test_every_lint_rule_is_an_error_unless_it_is_off_for_a_reason():
    """use-recent-api-versions counts days from today: it would turn a finished tree red by itself."""
    rules = json.loads((ROOT / "infra" / "bicepconfig.json").read_text())["analyzers"]["core"]["rules"]

    assert {name for name, rule in rules.items() if rule["level"] != "error"} == {"use-recent-api-versions"}
