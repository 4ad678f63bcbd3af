"""The command line: help, exit codes, JSON alone on stdout, and problems in one clear line each."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from probe import __version__, cli, compose, overview
from probe.core.errors import ConfigurationError, StateError
from probe.lab.world import MINUTE, NOON, World, run, target, world
from tests.unit.app_values import app_on
from tests.unit.settings_values import KEY, STRING, WORKING

ROOT = Path(__file__).parents[2]


def command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, with these settings and no other."""
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "probe", *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def here(monkeypatch, tmp_path):
    """Stand in an empty folder, with the settings that work and no other."""
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith(("PROBE_", "Probed", "AzureWeb", "OTEL"))]:
        monkeypatch.delenv(name)
    for name, value in WORKING.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def simulated(monkeypatch, here):  # noqa: ARG001 - the folder and the settings to stand in
    """Return the exit code of a command on a simulated world."""

    def given(probe: World, *arguments: str, **settings: object) -> int:
        monkeypatch.setattr(compose, "build", lambda *_, **__: app_on(probe, **settings))
        monkeypatch.setattr(asyncio, "run", run)
        return cli.main(arguments)

    return given


def behaving(primary: str, secondary: str) -> World:
    """Return a world that has ticked once in peace, and from now on behaves so."""
    probe = world()

    async def main() -> None:
        await probe.tick(NOON - MINUTE)

    run(main())
    probe.account.behave(primary, secondary)
    return probe


# -- help and usage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["check", "once", "watch", "status", "doctor", "Exit codes: 0", "local.settings.json"]),
        (["check", "--help"], ["--json"]),
        (["once", "--help"], ["--json", "--debug"]),
        (["watch", "--help"], ["--reads", "--interval", "--wait", "--json", "--cleanup", "--target", "999"]),
        (["status", "--help"], ["--json"]),
        (["doctor", "--help"], ["--json", "--settings", "--verbose"]),
    ],
    ids=lambda value: value[0] if value[-1:] == ["--help"] else "",
)
def test_help_names_what_there_is(capsys, arguments: list[str], words: list[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert not [each for each in words if each not in out]


@pytest.mark.parametrize("name", ["check", "once", "watch", "status", "doctor"])
def test_the_example_in_a_commands_help_is_a_command_line_that_is_taken(capsys, name: str):
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    _, _, example = " ".join(capsys.readouterr().out.split()).partition("For example: python -m probe ")

    assert cli._parser().parse_args(example.split()).command


@pytest.mark.parametrize(
    "arguments",
    [
        ["--verbose", "--settings", "a", "once"],
        ["once", "--verbose", "--settings", "a"],
        ["--settings", "a", "once", "--verbose"],
        ["--verbose", "once", "--settings", "a"],
    ],
    ids=" ".join,
)
def test_the_options_of_every_command_stand_before_or_after_it(arguments: list[str]):
    options = cli._parser().parse_args(arguments)

    assert (options.verbose, options.settings) == (True, Path("a"))


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])

    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["frob"], "invalid choice: 'frob'"),
        ([], "COMMAND"),
        (["watch", "--reads", "0"], "'0' is not a whole number of 1 or more"),
        (["watch", "--reads", "many"], "'many' is not a whole number"),
        (["watch", "--interval", "-1"], "'-1' is not a number of seconds"),
        (["watch", "--wait", "nan"], "'nan' is not a number of seconds"),
        (["watch", "--wait", "inf"], "'inf' is not a number of seconds"),
        (["once", "--frob"], "--frob"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told_and_exits_2(capsys, arguments: list[str], part: str):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    assert ended.value.code == 2
    assert part in capsys.readouterr().err


# -- settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["check"], ["once"], ["once", "--json"], ["watch"], ["status"]], ids=" ".join
)
def test_bad_settings_are_all_told_without_traceback_or_secret_and_exit_2(tmp_path, arguments: list[str]):
    ran = command(*arguments, cwd=tmp_path, **WORKING, PROBE_READS="x", PROBE_RPO="-1", PROBE_FORCE=STRING)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[0] == "The settings cannot be used:"
    assert [each.split(":")[0].strip() for each in ran.stderr.splitlines()[1:4]] == [
        "PROBE_READS",
        "PROBE_FORCE",
        "PROBE_RPO",
    ]
    assert ("python -m probe status --url https://" in ran.stderr) is (arguments == ["status"])
    assert "Traceback" not in ran.stderr
    assert KEY not in ran.stderr


@pytest.mark.usefixtures("here")
def test_check_prints_every_setting_and_target_and_no_secret(capsys):
    assert cli.main(["check"]) == 0

    out = capsys.readouterr().out
    assert "PROBE_READS                                default  5" in out
    assert "  secondary  https://contoso-secondary.blob.core.windows.net/health-probe/HelloWorld.png" in out
    assert out.splitlines()[-1].startswith(
        "The settings are valid. Nothing was contacted: python -m probe doctor"
    )
    assert KEY not in out


@pytest.mark.usefixtures("here")
def test_check_as_json_is_json_alone(capsys):
    assert cli.main(["check", "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"settings", "targets", "warnings"}
    assert found["settings"]["PROBE_READS"] == {"value": "5", "source": "default"}


@pytest.mark.usefixtures("here")
def test_check_tells_warnings_once(monkeypatch, capsys):
    monkeypatch.setenv("PROBE_REEDS", "5")

    assert cli.main(["check"]) == 0

    out, err = capsys.readouterr()
    assert (out + err).count("did you mean PROBE_READS?") == 1


def test_settings_come_from_the_local_settings_file_beneath_the_environment(here, monkeypatch, capsys):
    values = {"PROBE_READS": "7", "PROBE_RPO": 60, "PROBE_VANTAGE": None, "PROBE_ATTEMPTS": "9"}
    (here / "local.settings.json").write_text(json.dumps({"Values": values}))
    monkeypatch.setenv("PROBE_ATTEMPTS", "3")

    assert cli.main(["check", "--json"]) == 0

    held = json.loads(capsys.readouterr().out)["settings"]
    assert [held[each]["value"] for each in ("PROBE_READS", "PROBE_RPO", "PROBE_ATTEMPTS")] == [
        "7",
        "60",
        "3",
    ]
    assert held["PROBE_VANTAGE"]["source"] == "default"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"Values": 5}', None], ids=repr)
def test_a_settings_file_that_cannot_be_used_is_told_and_exits_2(here, capsys, text: str | None):
    if text is not None:
        (here / "mine.json").write_text(text)

    assert cli.main(["--settings", "mine.json", "check"]) == 2

    assert "  mine.json: " in capsys.readouterr().err


# -- once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("primary", "secondary", "code"),
    [
        ("ok", "ok", 0),
        ("503", "ok", 0),
        ("ok", "503", 0),
        ("503", "503", 1),
        ("corrupt", "ok", 1),
        ("ok", "corrupt", 1),
        ("403", "403", 3),
        ("hang", "ok", 3),
    ],
)
def test_the_exit_code_of_once_says_what_was_found(simulated, primary: str, secondary: str, code: int):
    assert simulated(behaving(primary, secondary), "once") == code


@pytest.mark.parametrize("primary", ["ok", "503", "hang"])
def test_once_as_json_is_one_document_alone(simulated, capsys, primary: str):
    simulated(behaving(primary, "ok"), "once", "--json", "--debug")

    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["schema"], found["targets"][0]["name"]) == (2, "contoso")
    assert "verdict" in err


def test_once_says_what_it_found_and_why(simulated, capsys):
    simulated(behaving("503", "ok"), "once")

    shown, logged = capsys.readouterr()
    found = shown.splitlines()
    assert found[0].startswith("contoso: Reads from the SECONDARY since 12:00 UTC: primary answers 503.")
    assert any(each.split()[:3] == ["contoso", "rerouted", "protected"] for each in found)
    assert any("primary: down: 503" in each for each in found)
    assert any("breaker: open since" in each for each in found)
    assert "rerouted" not in logged


def test_once_runs_every_shard_and_answers_them_as_one(simulated, capsys):
    probe = world(target("a"), target("b"), target("c"))
    probe.accounts["c"].behave("404", "404")

    assert simulated(probe, "once", "--json", shard_size=2) == 1

    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["targets"]] == ["a", "b", "c"]
    assert set(probe.store.records) == {0, 1}


def test_a_skipped_tick_is_told_and_exits_3(simulated, capsys):
    probe = world()

    async def later() -> None:
        await probe.tick(NOON + MINUTE / 60)

    run(later())

    assert simulated(probe, "once") == 3
    told = " ".join(capsys.readouterr().out.split())
    assert "Tick skipped: a tick of the same or a later scheduled time has run already" in told


def test_a_bug_is_one_line_and_exits_3(simulated, capsys):
    assert simulated(behaving("bug", "ok"), "once") == 3

    err = capsys.readouterr().err
    assert "The probe failed unexpectedly: RuntimeError('a bug in an attempt')" in err
    assert "--verbose" in err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigurationError(("A: is wrong. Mend it.",)), 2, "  A: is wrong. Mend it."),
        (StateError("the store is gone", error_type="dns"), 3, "The probe failed: the store is gone"),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
    ids=["configuration", "probe", "interrupt"],
)
def test_what_ends_a_command_is_told_in_a_line(monkeypatch, capsys, error, code: int, said: str):
    def build(*_, **__):
        raise error

    monkeypatch.setattr(compose, "build", build)

    assert cli.main(["once"]) == code
    assert said in capsys.readouterr().err.splitlines()


@pytest.mark.usefixtures("here")
def test_the_app_is_closed_whatever_happens(monkeypatch):
    app = app_on(behaving("bug", "ok"))
    monkeypatch.setattr(compose, "build", lambda *_, **__: app)
    monkeypatch.setattr(asyncio, "run", run)

    cli.main(["once"])

    assert app.tokens.closed == 1


# -- watch and status ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_a_watch_keeps_no_state_and_needs_no_place_for_it(monkeypatch, capsys):
    built = []

    def build(environment, **_):
        built.append(environment["PROBE_STATE"])
        return app_on(world())

    monkeypatch.setattr(compose, "build", build)
    monkeypatch.setattr(asyncio, "run", run)

    assert cli.main(["watch", "--reads", "2", "--json"]) == 0
    assert built == ["memory"]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]["reads"] == 2


def test_of_several_targets_one_is_to_be_named(simulated, capsys):
    probe = world(target("a"), target("b"))

    assert simulated(probe, "watch", "--reads", "1") == 2
    assert (
        "--target: is not given, and there are several targets. Name one of a, b." in capsys.readouterr().err
    )
    assert simulated(probe, "watch", "--reads", "1", "--target", "c") == 2
    assert "--target: holds 'c'. Name one of a, b." in capsys.readouterr().err
    assert simulated(probe, "watch", "--reads", "1", "--target", "b") == 0


@pytest.mark.parametrize(
    ("scripts", "code"),
    [
        ([], 3),
        ([("ok", "ok")], 0),
        ([("ok", "ok"), ("503", "ok")], 0),
        ([("ok", "ok"), ("503", "503")], 1),
        ([("ok", "ok"), ("corrupt", "ok")], 1),
        ([("ok", "ok"), ("403", "403")], 3),
    ],
    ids=["never ticked", "ok", "rerouted", "unavailable", "corrupt", "inconclusive"],
)
def test_the_exit_code_of_status_says_what_the_last_tick_found(simulated, scripts, code: int):
    probe = world()
    for number, script in enumerate(scripts):
        probe.account.behave(*script)
        run(probe.tick(NOON - (10 - number) * MINUTE / 60))

    assert simulated(probe, "status") == code


def test_status_exits_3_when_ticks_are_not_fresh(simulated, capsys):
    """A verdict of yesterday is no verdict; whoever asks hears that the probe is silent."""
    probe = world()
    run(probe.tick(NOON - MINUTE))
    probe.inner.clock = lambda: NOON + 10 * MINUTE

    assert simulated(probe, "status") == 3
    assert "NOT fresh" in capsys.readouterr().out


def test_status_as_json_is_the_document(simulated, capsys):
    probe = behaving("ok", "ok")

    simulated(probe, "status", "--json")

    found = json.loads(capsys.readouterr().out)
    assert found["targets"][0]["verdict"] == "ok"
    assert overview.status(found)


def test_status_tells_a_store_out_of_reach_and_exits_3(simulated, capsys):
    probe = behaving("ok", "ok")
    probe.store.down()

    assert simulated(probe, "status") == 3
    assert "saved state unreadable since" in capsys.readouterr().out


# -- the process -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["check"], ["check", "--json"]], ids=" ".join)
def test_a_reader_that_has_gone_away_ends_the_command_quietly(tmp_path, arguments: list[str]):
    read_end, write_end = os.pipe()
    os.close(read_end)

    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "probe", *arguments],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **WORKING},
        stdout=write_end,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    os.close(write_end)

    assert (ran.returncode, ran.stderr) == (3, b"")


@pytest.mark.parametrize("arguments", [["once"], ["watch", "--reads", "1"]], ids=["once", "watch"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_command_runs_though_a_stream_was_closed_before_it_began(simulated, monkeypatch, arguments, stream):
    monkeypatch.setattr(sys, stream, None)

    assert simulated(world(), *arguments) == 0


def test_a_settings_file_may_begin_with_a_byte_order_mark(here, capsys):
    (here / "local.settings.json").write_text('{"Values": {"PROBE_RPO": "77"}}', encoding="utf-8-sig")

    assert cli.main(["check"]) == 0
    assert "77" in capsys.readouterr().out


def test_settings_are_told_before_anything_heavy_is_imported():
    code = (
        "import sys; from probe import cli; assert cli.main(['once']) == 2;"
        "heavy = {'aiohttp', 'azure.storage.blob', 'azure.identity', 'opentelemetry.sdk'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
