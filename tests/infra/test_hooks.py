"""The hooks as azd runs them: under each Python that a user's machine may have, and until each app ticks."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.infra.snapshots import ROOT
from tests.infra.test_azd import PUBLISH, module, tools

__all__ = ["tools"]
PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")


def interpreter(version):
    """Return a working Python of a version, from the path or from pyenv; ``None`` where there is none."""
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    told = "import sys; print('%d.%d' % sys.version_info[:2])"
    for each in (
        f"python{version}",
        *map(str, sorted(home.glob(f"versions/{version}.*/bin/python{version}"))),
    ):
        try:
            done = subprocess.run([each, "-c", told], capture_output=True, text=True, check=False)  # noqa: S603
        except OSError:
            continue
        if done.stdout.strip() == version:
            return each
    return None


KEY = "a-function-key"


def following(left):
    """Return the next of some values; the last one stays."""
    return left.popleft() if len(left) > 1 else left[0]


class Apps:
    """Function apps that answer their heartbeat, each from a list of status codes; the last one stays.

    ``ages`` are the seconds since the last tick that their status pages tell one after the other, to whoever
    brings the key.
    """

    def __init__(self, *, ages=(), verdict="ok", **answers):
        self.verdict = verdict
        self.answers = {name: deque(codes) for name, codes in answers.items()}
        self.ages = deque(ages)
        self.asked = []
        apps = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name, _, face = self.path.strip("/").split("/")
                if face == "health":
                    apps.asked.append(name)
                    self.answer(following(apps.answers[name]))
                elif self.headers["x-functions-key"] == KEY:
                    self.answer(200, apps.status())
                else:
                    self.answer(401)

            def answer(self, code, body=""):
                self.send_response(code)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                """Stay quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def status(self):
        now = datetime(2026, 1, 1, tzinfo=UTC)
        ended = now - timedelta(seconds=following(self.ages))
        return json.dumps(
            {
                "generated_at": now.isoformat(),
                "shards": [{"last_completed_at": each.isoformat()} for each in (now, ended)],
                "targets": [{"name": "store", "verdict": self.verdict, "reason": "5 of 5 reads were served"}],
            }
        )

    def environment(self):
        base = f"http://127.0.0.1:{self.server.server_port}"
        return {
            "AZURE_RESOURCE_GROUP": "rg-probe",
            "AZURE_SUBSCRIPTION_ID": "0",
            "APPLICATIONINSIGHTS_NAME": "appi-probe-x",
            "PROBE_FUNCTION_APPS": json.dumps(list(self.answers)),
            "PROBE_HEALTH_URLS": json.dumps([f"{base}/{name}/api/health" for name in self.answers]),
            "PROBE_HOST_ACCOUNTS": json.dumps([f"st{name}" for name in self.answers]),
        }


def watched(apps, monkeypatch, *, minutes="1"):
    """Wait for the first ticks with a clock that only sleeping moves; return the seconds that passed."""
    for name, value in {**apps.environment(), "PROBE_INTERVAL_MINUTES": minutes}.items():
        monkeypatch.setenv(name, value)
    passed = [0.0]
    module().first_ticks(
        sleep=lambda seconds: passed.__setitem__(0, passed[0] + seconds), now=lambda: passed[0]
    )
    return passed[0]


def test_an_app_is_waited_for_until_its_heartbeat_turns(monkeypatch, capsys):
    with Apps(first=[404, 404, 503, 503, 200], second=[503, 200]) as apps:
        assert watched(apps, monkeypatch) == 40

    assert apps.asked.count("second") == 2
    assert [line.split(" (")[0] for line in capsys.readouterr().out.splitlines()] == [
        "first: no tick yet, 404",
        "second: no tick yet, 503",
        "second: it ticks",
        "first: no tick yet, 503",
        "first: it ticks",
    ]


def keyed(tools):
    tools("az", f'case "$*" in *"keys list"*) echo {KEY};; *) exit 1;; esac')


def test_a_first_tick_is_told_with_what_it_found(tools, monkeypatch, capsys):
    keyed(tools)
    with Apps(first=[503, 200], ages=[3]) as apps:
        assert watched(apps, monkeypatch) == 10

    told = capsys.readouterr().out
    assert "  store: ok: 5 of 5 reads were served" in told
    assert "doctor" not in told


def test_a_first_tick_that_found_something_amiss_says_what_to_run(tools, monkeypatch, capsys):
    keyed(tools)
    with Apps(first=[503, 200], ages=[3], verdict="unavailable") as apps:
        watched(apps, monkeypatch)

    assert "  What mends it, thing by thing: python -m probe doctor" in capsys.readouterr().out.splitlines()


def test_a_tick_of_before_the_deployment_does_not_count(tools, monkeypatch, capsys):
    """The heartbeat of an app that is deployed again is 200 all along, but for its start."""
    keyed(tools)
    with Apps(first=[503, 200], ages=[30, 40, 50, 5]) as apps:
        assert watched(apps, monkeypatch) == 40

    assert "first: no tick yet, the last one was before the deployment" in capsys.readouterr().out


def test_an_app_that_stopped_ticking_with_the_deployment_is_told(tools, monkeypatch):
    keyed(tools)
    with Apps(first=[200], ages=[1000]) as apps, pytest.raises(SystemExit) as ended:
        watched(apps, monkeypatch)

    assert "its timer no longer fires" in str(ended.value)


def test_without_the_azure_cli_a_heartbeat_is_believed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with Apps(first=[200]) as apps:
        assert watched(apps, monkeypatch) == 0


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (503, "no tick has been completed"),
        (404, "the app has no functions"),
        (403, "the app is stopped"),
        (500, "nothing answers there"),
    ],
)
def test_an_app_that_never_ticks_is_named_with_what_it_answers_and_what_to_run(monkeypatch, code, meaning):
    with Apps(good=[503, 200], bad=[code]) as apps, pytest.raises(SystemExit) as ended:
        watched(apps, monkeypatch)

    told = str(ended.value)
    assert f"bad: {code} from http" in told
    assert "good" not in told
    assert meaning in told
    assert "python -m probe doctor" in told
    assert "--app appi-probe-x --resource-group rg-probe" in told


def test_an_app_that_nobody_reaches_is_told_as_such(monkeypatch):
    monkeypatch.setenv("PROBE_FUNCTION_APPS", '["lost"]')
    monkeypatch.setenv("PROBE_HEALTH_URLS", '["http://127.0.0.1:9/api/health"]')
    clock = iter(range(0, 100_000, 100))

    with pytest.raises(SystemExit, match=r"lost: no answer \(URLError\)(?s:.)*can this machine reach it"):
        module().first_ticks(sleep=lambda _: None, now=lambda: next(clock))


@pytest.mark.parametrize(("minutes", "longest"), [("1", 360), ("5", 840)])
def test_the_waiting_ends_some_time_after_two_ticks_were_due(monkeypatch, minutes, longest):
    clock = [0.0]
    with Apps(bad=[503]) as apps:
        for name, value in {**apps.environment(), "PROBE_INTERVAL_MINUTES": minutes}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            module().first_ticks(
                sleep=lambda seconds: clock.__setitem__(0, clock[0] + seconds), now=lambda: clock[0]
            )

    assert clock[0] == longest


def test_a_vantage_that_shares_a_region_with_an_account_is_warned_of(monkeypatch, capsys):
    monkeypatch.setenv("PROBE_VANTAGES", '["uksouth", "northeurope"]')
    monkeypatch.setenv("PROBE_ACCOUNT_REGIONS", '["store westeurope northeurope", "orders uksouth ukwest"]')

    module().warn_of_shared_regions()

    told = capsys.readouterr().out
    assert "the vantage northeurope shares a region with the account of store" in told
    assert "the vantage uksouth shares a region with the account of orders" in told
    assert told.count("WARNING") == 2


def test_triggers_are_synced_for_each_app_and_a_failure_stops_nothing(tools, monkeypatch, capsys):
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "0")
    monkeypatch.setenv("AZURE_RESOURCE_GROUP", "rg-probe")
    monkeypatch.setenv("PROBE_FUNCTION_APPS", '["first", "second"]')
    tools("az", 'case "$*" in *second*) exit 1;; esac')

    module().sync()

    sites = "/subscriptions/0/resourceGroups/rg-probe/providers/Microsoft.Web/sites"
    assert [each.split("?")[0] for each in tools.calls()] == [
        f"az rest --method post --url {sites}/{app}/syncfunctiontriggers" for app in ("first", "second")
    ]
    assert "first: synced" in capsys.readouterr().out


AZ = """
case "$*" in
  *"role assignment list"*) echo '["2020-01-01T00:00:00.1234567+00:00", "2020-01-02T03:04:05Z"]';;
  *"config-zip"*) echo "h\303\251" >&2;;
  *"keys list"*) echo a-function-key;;
esac
"""
AZD = """
[ "$1" = version ] && echo '{"azd": {"version": "1.24.1", "commit": "0"}}'
for word; do last=$next; next=$word; [ "$last" = --output-path ] && touch "$word"; done
exit 0
"""


@pytest.mark.parametrize("version", PYTHONS)
def test_every_hook_runs_under_this_python(version, tools):
    """On a console that shows ASCII alone, as azd runs it: from the project's folder, as a script."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on the path or in pyenv")
    tools("az", AZ)
    tools("azd", AZD)

    with Apps(first=[503, 200], second=[503, 200], ages=[0]) as apps:
        apps_environment = {**apps.environment(), "PYTHONIOENCODING": "ascii"}
        told = {
            action: subprocess.run(  # noqa: S603 - our own words
                [python, "-c", QUICK, str(PUBLISH), action],
                cwd=ROOT,
                env={**os.environ, **apps_environment},
                capture_output=True,
                text=True,
                check=False,
            )
            for action in ("sync", "wait", "others", "down")
        }

    assert {action: (done.returncode, done.stderr) for action, done in told.items()} == dict.fromkeys(
        ("sync", "wait", "others", "down"), (0, "")
    )
    assert "Publishing to second" in told["others"].stdout
    assert "first: it ticks" in told["others"].stdout
    assert "store: ok" in told["others"].stdout


# The script itself, but for the pause between two looks.
QUICK = """
import runpy, sys, time
time.sleep = lambda seconds: None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_ctrl_c_ends_the_waiting_with_a_word_and_without_a_traceback():
    with Apps(first=[503]) as apps:
        words = [sys.executable, str(PUBLISH), "others"]
        running = subprocess.Popen(  # noqa: S603 - our own words
            words,
            env={**os.environ, **apps.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=20)

    assert running.returncode == 1
    assert told.startswith("Stopped here.")
    assert "Traceback" not in told
