"""The probe where the clients run: the wheel, the image's steps, the CronJob and the systemd units.

What it stands on: the steps of the Containerfile run in an empty folder, without an engine; the manifest
is held against the probe's own settings and commands, without a cluster.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from uuid import UUID

import pytest
import yaml

from probe.settings.model import Environment
from tests.infra.snapshots import ROOT

ELSEWHERE = ROOT / "infra" / "elsewhere"
CLOSED = (
    "DefaultEndpointsProtocol=http;AccountName=closed;AccountKey=AAAA;BlobEndpoint=http://127.0.0.1:9/closed"
)
"""A port at which nobody listens: the probe finds that out in milliseconds."""


def run(command, folder, **settings):
    """Run a command with nothing of this environment but what finds programs and packages; python is ours."""
    kept = {
        name: text for name, text in os.environ.items() if name in {"HOME", "LANG"} or name.startswith("PIP_")
    }
    kept["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(  # noqa: S603 - our own command
        command, cwd=folder, env=kept | settings, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Copy what a clone holds of the package: building in place would leave files behind."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copytree(
        ROOT / "probe", folder / "probe", ignore=shutil.ignore_patterns("node_modules", "__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    made = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    built = run([*pip, "--wheel-dir", made, source], made)
    assert built.returncode == 0, built.stderr
    return next(made.glob("*.whl"))


def test_the_wheel_holds_the_package_and_nothing_beside_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"probe"}


def test_the_wheel_holds_every_file_of_the_package_but_the_lab_and_the_pages(wheel, source):
    there = {each.relative_to(source).as_posix() for each in (source / "probe").rglob("*") if each.is_file()}

    wanted = {name for name in there if not name.startswith("probe/lab/") and not name.endswith(".md")}
    assert wanted == {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("probe/")}


def test_the_wheels_command_runs_a_tick(wheel, tmp_path):
    venv = tmp_path / "venv"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--prefix",
        venv,
        wheel,
    ]
    assert run(pip, tmp_path).returncode == 0
    (library,) = venv.glob("lib/python*/site-packages")

    told = run(
        [venv / "bin" / "geo-storage-probe", "once", "--json"],
        tmp_path,
        PYTHONPATH=str(library),
        PROBE_STATE="file:state.json",
        ProbedStorage=CLOSED,
    )

    assert told.returncode in {1, 3}, told.stderr
    assert [each["name"] for each in json.loads(told.stdout)["targets"]] == ["closed"]
    assert (tmp_path / "state.json").exists()


def steps():
    """Return the Containerfile's instructions as (word, argument)."""
    lines = (ELSEWHERE / "Containerfile").read_text().splitlines()
    return [tuple(line.split(" ", 1)) for line in lines if line and not line.startswith("#")]


def build_steps():
    """Return those of the stage that builds."""
    found = steps()
    (_, second) = [place for place, (word, _) in enumerate(found) if word == "FROM"]
    return found[1:second]


def built(source, app, *, install):
    """Do the build stage's steps in an empty folder, which stands for the image's own."""
    for word, argument in build_steps():
        match word:
            case "WORKDIR":
                app.mkdir()
            case "COPY":
                name, _ = argument.split()
                copy = shutil.copytree if (source / name).is_dir() else shutil.copy
                copy(source / name, app / name)
            case "RUN" if install or ("-m venv" not in argument and "-m pip" not in argument):
                done = run(["sh", "-c", argument], app)
                assert done.returncode == 0, (argument, done.stderr)
            case "RUN" if "-m venv" in argument:
                (app / ".venv").symlink_to(ROOT / ".venv")
    return app


def test_what_the_images_steps_leave_behind_makes_a_tick(source, tmp_path):
    app = built(source, tmp_path / "app", install=False)
    instructions = dict(steps())
    command = json.loads(instructions["ENTRYPOINT"]) + json.loads(instructions["CMD"])
    interpreter = command.pop(0).replace("/app", str(app))

    told = run(
        [interpreter, *command, "--json"], app, PROBE_STATE=f"file:{tmp_path}/state", ProbedStorage=CLOSED
    )

    assert not (app / "probe" / "lab").exists()
    assert told.returncode in {1, 3}, told.stderr
    assert [each["name"] for each in json.loads(told.stdout)["targets"]] == ["closed"]


def test_the_image_holds_no_secret_and_runs_as_nobody():
    words = [word for word, _ in steps()]

    assert "ARG" not in words
    assert {argument for word, argument in steps() if word == "ENV"} == {"PYTHONUNBUFFERED=1"}
    assert [argument for word, argument in steps() if word == "USER"] == ["65532:65532"]
    assert words.index("USER") > max(place for place, word in enumerate(words) if word in {"COPY", "RUN"})


def test_the_builder_is_given_what_the_steps_copy_and_no_more():
    told = (ELSEWHERE / "Containerfile.dockerignore").read_text().splitlines()
    copied = {argument.split()[0] for word, argument in build_steps() if word == "COPY"}

    assert {line.removeprefix("!") for line in told if line.startswith("!")} == copied
    assert "*" in told
    assert "probe/lab" in told


CRON = yaml.safe_load((ELSEWHERE / "cronjob.yaml").read_text())["spec"]
JOB = CRON["jobTemplate"]["spec"]
(POD,) = JOB["template"]["spec"]["containers"]


def test_a_job_of_the_cluster_outlives_its_tick_and_ends_before_the_next():
    own = Environment()

    assert CRON["schedule"] == "* * * * *"
    assert CRON["concurrencyPolicy"] == "Forbid"
    assert own.tick_budget + own.flush < JOB["activeDeadlineSeconds"] < 60


def test_a_tick_that_failed_is_not_run_again():
    assert JOB["backoffLimit"] == 0
    assert JOB["template"]["spec"]["restartPolicy"] == "Never"


def test_the_settings_of_the_cluster_are_settings_of_the_probe(tmp_path):
    """Told by the probe's own check, with the capitals put in: it contacts nobody."""
    given = {each["name"]: each.get("value", f"InstrumentationKey={UUID(int=7)}") for each in POD["env"]}
    given = {
        name: re.sub(r"\b(PROBED|STATE|CLUSTER)\b", lambda found: found[0].lower(), text)
        for name, text in given.items()
    }

    told = run([sys.executable, "-m", "probe", "check"], tmp_path, PYTHONPATH=str(ROOT), **given)

    assert told.returncode == 0, told.stderr
    assert "https://probed-secondary.blob.core.windows.net" in told.stdout
    assert "cluster" in told.stdout


def test_the_cluster_runs_the_images_command_without_any_right():
    assert POD["args"] == [*json.loads(dict(steps())["CMD"]), "--json"]
    assert POD["securityContext"]["readOnlyRootFilesystem"]
    assert POD["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert JOB["template"]["spec"]["securityContext"]["runAsNonRoot"]


def test_systemd_takes_the_units(tmp_path):
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not here: the units are not verified")
    for name in ("geo-storage-probe.service", "geo-storage-probe.timer"):
        text = (ELSEWHERE / name).read_text()
        (tmp_path / name).write_text(
            text.replace("/opt/geo-storage-probe/bin/geo-storage-probe", sys.executable)
        )

    told = run([verify, "verify", *sorted(map(str, tmp_path.iterdir()))], tmp_path)

    assert (told.returncode, told.stderr) == (0, "")


def test_a_tick_of_the_unit_is_ended_before_the_next():
    (bound,) = re.findall(
        r"^TimeoutStartSec=(\d+)$", (ELSEWHERE / "geo-storage-probe.service").read_text(), re.MULTILINE
    )
    own = Environment()

    assert own.tick_budget + own.flush < int(bound) < 60


def test_the_wheels_command_is_the_one_that_the_unit_and_the_page_name(wheel):
    (told,) = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("entry_points.txt")]
    commands = re.findall(r"^(\S+) = ", zipfile.ZipFile(wheel).read(told).decode(), re.MULTILINE)

    assert commands == ["geo-storage-probe"]
    assert "/bin/geo-storage-probe once" in (ELSEWHERE / "geo-storage-probe.service").read_text()
    assert "geo-storage-probe" in Path(ELSEWHERE / "README.md").read_text()
