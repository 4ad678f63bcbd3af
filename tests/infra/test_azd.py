"""azd, its hooks and the workflow agree with the template; the package holds what runs and nothing else."""

import importlib.util
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from tests.infra import package
from tests.infra.judges import of_type
from tests.infra.snapshots import NAMES, ROOT, document, resources

AZURE = yaml.safe_load((ROOT / "azure.yaml").read_text())
PARAMETERS = json.loads((ROOT / "infra" / "main.parameters.json").read_text())["parameters"]
PUBLISH = ROOT / "infra" / "hooks" / "publish.py"
WORKFLOWS = ROOT / ".github" / "workflows"
WORKFLOW = WORKFLOWS / "azure-dev.yml"


def module():
    spec = importlib.util.spec_from_file_location("publish", PUBLISH)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_service_is_the_project_on_functions_built_remotely():
    assert AZURE["services"] == {
        "probe": {"project": ".", "language": "python", "host": "function", "remoteBuild": True}
    }
    assert AZURE["infra"] == {"provider": "bicep", "path": "infra", "module": "main"}
    assert (ROOT / "azure.yaml").read_text().startswith("# yaml-language-server: $schema=https://")


@pytest.mark.parametrize("name", NAMES)
def test_the_service_finds_its_app_by_tag_and_by_the_name_that_is_put_out(name):
    (tagged,) = [
        each for each in of_type(resources(name), "Microsoft.Web/sites") if "azd-service-name" in each["tags"]
    ]
    outputs = document(name)["outputs"]

    assert tagged["tags"]["azd-service-name"] in AZURE["services"]
    assert outputs["SERVICE_PROBE_NAME"] == outputs["PROBE_FUNCTION_APPS"][0] == tagged["name"]


@pytest.mark.parametrize("name", NAMES)
def test_every_output_that_the_hooks_read_is_put_out(name):
    read = set(re.findall(r'(?:listed|environ\.get)\("(\w+)"', PUBLISH.read_text())) - {
        "AZURE_SUBSCRIPTION_ID",
        "PROBE_MONITORED_ACCOUNT_ID",
    }

    assert read == {
        "APPLICATIONINSIGHTS_NAME",
        "AZURE_RESOURCE_GROUP",
        "PROBE_ACCOUNT_REGIONS",
        "PROBE_FUNCTION_APPS",
        "PROBE_HEALTH_URLS",
        "PROBE_HOST_ACCOUNTS",
        "PROBE_INTERVAL_MINUTES",
        "PROBE_MONITORED_ACCOUNTS",
        "PROBE_VANTAGES",
    }
    assert read <= document(name)["outputs"].keys()


def test_azd_asks_for_nothing_but_name_and_region():
    """Each parameter has a default in the template or in the parameters file, but for those two."""
    template = (ROOT / "infra" / "main.bicep").read_text()
    declared = re.findall(r"^param (\w+) [^=\n]+?( = .*)?$", template, re.MULTILINE)
    asked = {name for name, default in declared if not default}

    assert asked == {"environmentName", "location"}
    assert PARAMETERS.keys() <= {name for name, _ in declared}
    assert PARAMETERS["environmentName"]["value"] == "${AZURE_ENV_NAME}"
    assert PARAMETERS["location"]["value"] == "${AZURE_LOCATION}"


def test_what_azd_fills_in_by_itself_is_taken_for_nothing_else():
    """AZURE_PRINCIPAL_ID is always set: mapping it would grant rights to whoever deploys, unasked."""
    assert "AZURE_PRINCIPAL_ID" not in json.dumps(PARAMETERS)


HOOKS = {"postprovision": "sync", "predeploy": "wait", "postdeploy": "others", "predown": "down"}


def test_there_are_no_hooks_but_these():
    assert AZURE["hooks"].keys() == HOOKS.keys()


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_runs_the_script_on_either_system(hook):
    script = f"infra/hooks/publish.py {HOOKS[hook]}"

    assert AZURE["hooks"][hook]["posix"]["run"] == f"python3 {script}"
    assert script in AZURE["hooks"][hook]["windows"]["run"]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_fails_in_powershell_stops_azd(hook):
    """A script that ends by itself has exit code 0 there, whatever its programs ended with, or were missing.

    Source: https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_pwsh (-File).
    """
    lines = AZURE["hooks"][hook]["windows"]["run"].splitlines()

    assert lines[0] == "$ErrorActionPreference = 'Stop'"
    assert lines[-1] == "exit $LASTEXITCODE"


@pytest.mark.parametrize("system", ["posix", "windows"])
@pytest.mark.parametrize("hook", HOOKS)
def test_what_a_hook_says_is_seen(hook, system):
    """In azd up only an interactive hook is heard: https://github.com/Azure/azure-dev/issues/9073."""
    assert AZURE["hooks"][hook][system]["interactive"] is True


def test_azd_is_asked_for_in_the_version_that_knows_every_key():
    """A function app's remoteBuild came with 1.23.5: https://github.com/Azure/azure-dev/pull/6748."""
    assert AZURE["requiredVersions"] == {"azd": ">= 1.23.5"}
    assert "1.23.5 or later" in (ROOT / "infra" / "README.md").read_text()


def test_the_package_holds_what_runs_and_nothing_else():
    names = package.files()

    assert {name for name in names if "/" not in name} == {"function_app.py", "host.json", "requirements.txt"}
    assert {name.split("/")[0] for name in names if "/" in name} == {"probe"}
    assert not [name for name in names if name.startswith("probe/lab/")]
    assert "probe/adapters/telemetry/otel.py" in names


@pytest.mark.parametrize("line", ["tests", "infra", "probe/lab", ".funcignore", "Makefile"])
def test_a_line_less_in_funcignore_lets_something_in(line):
    lines = [each for each in (ROOT / ".funcignore").read_text().splitlines() if each != line]

    assert set(package.files(lines)) > set(package.files())


@pytest.mark.parametrize(
    "name", [".git", ".github", ".venv", ".azure", ".ci", ".lab", "probe/lab/account/azurite/node_modules"]
)
def test_what_a_work_tree_gathers_stays_out(name):
    assert package.ignored().match_file(f"{name}/file")


GATHERED = (
    "__pycache__/function_app.cpython-313.pyc",
    "probe/__pycache__/tick.cpython-313.pyc",
    "probe/core/__pycache__/breaker.cpython-313.pyc",
    "probe/adapters/stray.pyc",
    "probe.egg-info/PKG-INFO",
    "probe/probe.egg-info/PKG-INFO",
    ".venv/lib/python3.13/site-packages/aiohttp/client.py",
    "probe/lab/account/azurite/node_modules/azurite/package.json",
    ".git/config",
    ".azure/probe/.env",
    "local.settings.json",
)


def everything():
    """Return every file of a work tree in use: what is committed, and what its use leaves behind."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return [*tracked.splitlines(), *GATHERED]


def test_core_tools_publish_what_azd_uploads():
    assert sorted(package.published(everything())) == package.files()


@pytest.mark.parametrize("line", ["**/*.pyc", "**/*.md", "**/*.egg-info", "tests", "probe/lab"])
def test_a_line_less_in_funcignore_lets_core_tools_publish_something_more(line):
    lines = [each for each in (ROOT / ".funcignore").read_text().splitlines() if each != line]

    assert set(package.published(everything(), lines)) > set(package.published(everything()))


def test_packages_that_were_built_here_go_with_the_app():
    """The way out where the platform's own build fails: the page's command puts them there."""
    built = ".python_packages/lib/site-packages/aiohttp/client.py"
    (command,) = re.findall(
        r"pip install --target (\S+) --python-version (\S+)", (ROOT / "infra/README.md").read_text()
    )

    assert command == (".python_packages/lib/site-packages", (ROOT / ".python-version").read_text().strip())
    assert package.published([built]) == [built]
    assert not package.ignored().match_file(built)


def test_no_pattern_takes_in_something_that_only_begins_like_it():
    """Core Tools would leave probe/labels.py out for probe/lab, and a build.py for build."""
    patterns = [
        line for line in (ROOT / ".funcignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    caught = {name for name in package.files() for each in patterns if name.startswith(each)}

    assert caught == set()


def test_the_package_is_whole_without_what_stays_out(tmp_path):
    """function_app.py imports from the package alone, in a process that knows no other path."""
    laid = package.laid_out(tmp_path)
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import sys; sys.path.insert(0, '.'); import function_app"],
        cwd=laid,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Return a folder of programs in place of az and azd, first on the path; each call is written down."""
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))

    def put(name, script):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "$CALLS"\n{script}\n')
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        return program

    put.calls = lambda: (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
    return put


def deployed(monkeypatch, *apps):
    monkeypatch.setenv("AZURE_RESOURCE_GROUP", "rg-probe")
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "0")
    monkeypatch.setenv("PROBE_FUNCTION_APPS", json.dumps(apps))
    monkeypatch.setenv("PROBE_HOST_ACCOUNTS", json.dumps([f"st{app}" for app in apps]))


PACKS = 'for word; do last=$next; next=$word; [ "$last" = --output-path ] && touch "$word"; done; exit 0'


def test_one_vantage_needs_nothing_after_azd(tools, monkeypatch):
    deployed(monkeypatch, "first")

    module().publish(sleep=pytest.fail)

    assert tools.calls() == []


def test_the_other_vantages_get_the_same_package(tools, monkeypatch):
    deployed(monkeypatch, "first", "second", "third")
    tools("azd", PACKS)
    tools("az", "exit 0")

    module().publish(sleep=pytest.fail)

    packed, *published = tools.calls()
    assert packed.startswith("azd package probe --output-path ")
    assert [re.search(r"--name (\w+)", each)[1] for each in published] == ["second", "third"]
    assert len({re.search(r"--src (\S+)", each)[1] for each in published}) == 1
    assert all("--build-remote true" in each for each in published)
    assert all("--subscription 0 " in each for each in published)


@pytest.mark.parametrize("built", ["true", "false"])
def test_further_vantages_are_built_where_the_first_one_is(tools, monkeypatch, tmp_path, built):
    deployed(monkeypatch, "first", "second")
    tools("azd", PACKS)
    tools("az", "exit 0")
    publish = module()
    text = publish.PROJECT.read_text()
    monkeypatch.setattr(publish, "PROJECT", tmp_path / "azure.yaml")
    publish.PROJECT.write_text(text.replace("remoteBuild: true", f"remoteBuild: {built}"))

    publish.publish(sleep=pytest.fail)

    assert f"--build-remote {built}" in tools.calls()[-1]


def test_a_grant_that_has_not_spread_is_waited_for(tools, monkeypatch, tmp_path):
    deployed(monkeypatch, "first", "second")
    tools("azd", PACKS)
    tools(
        "az",
        f'[ -e "{tmp_path}/again" ] && exit 0; touch "{tmp_path}/again"; '
        'echo "InaccessibleStorageException: 403" >&2; exit 1',
    )
    pauses = []

    module().publish(sleep=pauses.append)

    assert pauses == [30]
    assert len(tools.calls()) == 3


def test_the_retries_end_and_the_app_is_named(tools, monkeypatch):
    deployed(monkeypatch, "first", "second")
    tools("azd", PACKS)
    tools("az", 'echo "403 Forbidden" >&2; exit 1')
    pauses = []

    with pytest.raises(SystemExit, match="Not published: second"):
        module().publish(sleep=pauses.append)

    assert len(pauses) == 4


def test_a_fault_that_does_not_pass_is_not_retried(tools, monkeypatch):
    deployed(monkeypatch, "first", "second")
    tools("azd", PACKS)
    tools("az", 'echo "Please run az login" >&2; exit 1')

    with pytest.raises(SystemExit, match="Not published: second"):
        module().publish(sleep=pytest.fail)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(30, [90], id="a fresh grant: what is left of two minutes"),
        pytest.param(600, [], id="an old one: nothing"),
    ],
)
def test_a_fresh_grant_delays_the_deployment_by_what_is_left(tools, monkeypatch, age, expected):
    deployed(monkeypatch, "first")
    made = datetime.now(UTC) - timedelta(seconds=age)
    tools("az", f'echo \'["{(made - timedelta(days=1)).isoformat()}", "{made.isoformat()}"]\'')
    pauses = []

    module().wait(sleep=pauses.append)

    assert pauses == pytest.approx(expected, abs=2)


def test_without_the_azure_cli_nothing_is_waited_for(monkeypatch, tmp_path):
    deployed(monkeypatch, "first")
    monkeypatch.setenv("PATH", str(tmp_path))

    module().wait(sleep=pytest.fail)


@pytest.mark.parametrize("name", NAMES)
def test_azd_down_is_refused_for_exactly_the_accounts_that_were_there_before(name, monkeypatch):
    outputs = document(name)["outputs"]
    made = {each["id"] for each in of_type(resources(name), "Microsoft.Storage/storageAccounts")}
    theirs = set(outputs["PROBE_MONITORED_ACCOUNTS"]) - made
    monkeypatch.setenv("AZURE_RESOURCE_GROUP", outputs["AZURE_RESOURCE_GROUP"])
    monkeypatch.setenv("PROBE_MONITORED_ACCOUNTS", json.dumps(outputs["PROBE_MONITORED_ACCOUNTS"]))
    monkeypatch.delenv("PROBE_MONITORED_ACCOUNT_ID", raising=False)

    assert set(module().accounts_of_others()) == theirs
    assert bool(theirs) == (name != "default")


THEIRS = "/subscriptions/0/resourceGroups/orders/providers/Microsoft.Storage/storageAccounts/stordersprod"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("PROBE_MONITORED_ACCOUNTS", json.dumps([THEIRS]), id="put out by a deployment"),
        pytest.param("PROBE_MONITORED_ACCOUNT_ID", THEIRS, id="wished for, and never put out"),
    ],
)
def test_azd_down_is_refused_and_says_what_to_delete_instead(monkeypatch, variable, value):
    for each in ("PROBE_MONITORED_ACCOUNTS", "PROBE_MONITORED_ACCOUNT_ID"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("AZURE_RESOURCE_GROUP", "rg-probe")
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(SystemExit, match=r"stordersprod(?s:.)*az group delete --name rg-probe"):
        module().down()


def test_azd_down_is_refused_for_an_account_in_the_parameters_file(monkeypatch, tmp_path):
    publish = module()
    monkeypatch.setattr(publish, "PARAMETERS", tmp_path / "main.parameters.json")
    publish.PARAMETERS.write_text(json.dumps({"existingAccountId": THEIRS}))

    assert publish.accounts_of_others() == [THEIRS]


@pytest.mark.parametrize(
    ("version", "command", "spared"),
    [
        pytest.param(
            "1.24.1", "/usr/local/bin/azd down", True, id="the first that tells its own from others"
        ),
        pytest.param("1.28.0", "azd down --purge", True, id="a later one"),
        pytest.param("1.24.0", "azd down", False, id="the last that deletes every group"),
        pytest.param("1.9.3", "azd down", False, id="numbers, not texts, are compared"),
        pytest.param("1.24.1", "azd down --force --purge", False, id="told not to ask"),
        pytest.param("1.24.1", "azd down --force=true", False, id="told so with a value"),
        pytest.param("1.24.1", "azd down --force=false", True, id="told to ask"),
        pytest.param("1.24.1", None, False, id="a command that cannot be seen"),
        pytest.param("nonsense", "azd down", False, id="a version that cannot be read"),
    ],
)
def test_azd_down_is_let_through_only_where_azd_itself_asks(monkeypatch, tools, version, command, spared):
    publish = module()
    monkeypatch.setenv("AZURE_RESOURCE_GROUP", "rg-probe")
    monkeypatch.setenv("PROBE_MONITORED_ACCOUNT_ID", THEIRS)
    monkeypatch.setattr(publish, "command_of_azd", lambda: command)
    tools("azd", f'echo \'{{"azd": {{"version": "{version}", "commit": "0"}}}}\'')

    if spared:
        publish.down()
        return
    with pytest.raises(SystemExit, match="stordersprod"):
        publish.down()


@pytest.mark.parametrize("shell", ["python3 {script} down", "{python} {script} down; exit $?"])
@pytest.mark.parametrize(("flag", "code"), [("", 0), ("--force", 1)])
def test_the_guard_sees_how_azd_was_called(tmp_path, tools, shell, flag, code):
    """A script in azd's place runs the hook as azd does: by sh, from a temporary script of that name."""
    hook = tmp_path / "azd-predown-1.sh"
    hook.write_text("#!/bin/sh\n" + shell.format(python=sys.executable, script=PUBLISH))
    azd = tools("azd", f'[ "$1" = version ] && echo \'{{"azd": {{"version": "1.24.1"}}}}\' || sh {hook}')
    copied = tmp_path / "bin" / "azd"
    copied.parent.mkdir()
    copied.symlink_to(sys.executable)
    calls = "import subprocess, sys; sys.exit(subprocess.run(['sh', sys.argv[1]]).returncode)"
    done = subprocess.run(  # noqa: S603 - our own words
        [str(copied), "-c", calls, str(hook), *flag.split()],
        env={
            "PATH": f"{azd.parent}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(tmp_path / "calls"),
            "AZURE_RESOURCE_GROUP": "rg-probe",
            "PROBE_MONITORED_ACCOUNT_ID": THEIRS,
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code, done.stderr


@pytest.mark.parametrize(
    ("command", "is_azd"),
    [
        ("azd down --force", True),
        ("/usr/local/bin/azd-linux-amd64 down", True),
        ('"C:\\Program Files\\Azure Dev CLI\\azd.exe" down --force', True),
        ("C:\\azd\\azd.exe down", True),
        ("/bin/sh /tmp/azd-predown-12.sh", False),
        ("pwsh C:\\Temp\\azd-predown-12.ps1", False),
        ("bash -c azd down", False),
    ],
)
def test_only_the_program_is_taken_for_azd(monkeypatch, command, is_azd):
    publish = module()
    monkeypatch.setattr(publish, "commands_above", lambda: iter([command]))

    assert (publish.command_of_azd() is not None) == is_azd


def test_azd_down_goes_ahead_where_everything_was_made_here(monkeypatch):
    outputs = document("default")["outputs"]
    monkeypatch.setenv("AZURE_RESOURCE_GROUP", outputs["AZURE_RESOURCE_GROUP"].upper())
    monkeypatch.setenv("PROBE_MONITORED_ACCOUNTS", json.dumps(outputs["PROBE_MONITORED_ACCOUNTS"]))

    module().down()


def test_an_unknown_action_is_told():
    words = [sys.executable, str(PUBLISH), "fly"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - our own words

    assert done.returncode == 1
    assert "publish.py wait" in done.stderr


def test_the_workflow_holds_no_secret_and_signs_in_by_oidc():
    text = WORKFLOW.read_text()
    jobs = yaml.safe_load(text)["jobs"]
    used = set(re.findall(r"secrets\.(\w+)", text))

    assert used <= {"PROBE_ALERT_WEBHOOK_URI"}
    for name in ("preview", "deploy"):
        assert jobs[name]["permissions"]["id-token"] == "write"
    assert "id-token" not in jobs["check"].get("permissions", {})


def test_the_workflow_signs_in_as_a_subject_that_azd_makes_credentials_for():
    """Those are pull_request, the branch that was current, and main; an environment is a subject of its own.

    Sources: credentialOptions in azd's github_provider.go; https://github.com/Azure/azure-dev/issues/5473.
    """
    workflow = yaml.safe_load(WORKFLOW.read_text())

    assert [name for name, job in workflow["jobs"].items() if "environment" in job] == []
    # PyYAML takes the key for a truth value.
    assert workflow[True].keys() == {"workflow_dispatch", "pull_request"}


def test_azd_sets_every_variable_and_secret_that_the_workflow_reads():
    """By itself azd sets the AZURE_ ones: setPipelineVariables in github_provider.go."""
    text = WORKFLOW.read_text()
    read = set(re.findall(r"vars\.(\w+)", text)) - {
        f"AZURE_{each}" for each in ("CLIENT_ID", "TENANT_ID", "SUBSCRIPTION_ID", "ENV_NAME", "LOCATION")
    }

    assert set(AZURE["pipeline"]["variables"]) == read
    assert set(AZURE["pipeline"]["secrets"]) == set(re.findall(r"secrets\.(\w+)", text))
    assert read | set(AZURE["pipeline"]["secrets"]) <= mapped().keys()


@pytest.mark.parametrize("name", ["ci.yml", "azure-dev.yml"])
def test_every_action_is_pinned_to_a_commit_and_says_which_release_it_is(name):
    """A tag can be moved to other code, which would run with the right to sign in."""
    used = re.findall(r"uses: (.*)", (WORKFLOWS / name).read_text())

    assert used
    assert [
        each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)
    ] == []


def mapped():
    """Return the parameter that each environment variable of azd's is mapped to."""
    return {
        re.match(r"\$\{(\w+)", str(each["value"]))[1]: name
        for name, each in PARAMETERS.items()
        if str(each["value"]).startswith("${")
    }


def test_the_workflow_gives_azd_an_environment_before_anything_that_has_hooks():
    """Without one azd runs no hook. Source: https://github.com/Azure/azure-dev/issues/3920."""
    steps = [step.get("run", "") for step in yaml.safe_load(WORKFLOW.read_text())["jobs"]["deploy"]["steps"]]
    azd = [each.split()[1] for each in steps if each.startswith("azd ") and "auth" not in each]

    assert azd == ["env", "up"]


def previewed():
    """Return the preview's parameters as the Azure CLI takes them: in order, a later one over an earlier."""
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["preview"]["steps"]
    (run,) = [each["run"] for each in steps if "what-if" in each.get("run", "")]
    held = {}
    for word in shlex.split(run.split("--parameters", 1)[1].split(">>")[0]):
        if word.startswith("@"):
            held |= {
                name: each["value"]
                for name, each in json.loads((ROOT / word[1:]).read_text())["parameters"].items()
            }
        else:
            name, _, value = word.partition("=")
            held[name] = value
    return held


def test_the_preview_is_told_what_the_deployment_is_told():
    """All but the webhook: what would change must not be that somebody's own account is forgotten."""
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    told = {mapped()[name] for name in jobs["deploy"]["env"] if name in mapped()} - {"alertWebhookUri"}

    assert {name for name, value in previewed().items() if str(value).startswith("$")} == told


def test_the_preview_is_of_the_fleet_that_the_parameters_file_lists():
    """Vantages and accounts stand there alone. Its variables are filled in by azd, not by the Azure CLI."""
    held = previewed()

    assert held.keys() == PARAMETERS.keys()
    assert {name: held[name] for name in ("probeLocations", "monitoredAccounts")} == {
        name: PARAMETERS[name]["value"] for name in ("probeLocations", "monitoredAccounts")
    }
    assert [name for name, value in held.items() if str(value).startswith("${")] == []
    assert held["alertWebhookUri"] == ""


def test_a_pull_request_does_not_push_a_deployment_out_of_the_queue():
    workflow = yaml.safe_load(WORKFLOW.read_text())

    assert "concurrency" not in workflow
    assert [name for name, job in workflow["jobs"].items() if "concurrency" in job] == ["deploy"]


def test_the_workflow_checks_before_it_touches_anything():
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]

    assert jobs["preview"]["needs"] == jobs["deploy"]["needs"] == "check"
    steps = " ".join(step.get("run", "") for step in jobs["check"]["steps"])
    assert all(word in steps for word in ("az bicep build", "az bicep lint", "tests/infra"))
