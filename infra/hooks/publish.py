# ruff: noqa: INP001 - a script that azd runs, not a package
"""What azd does not do: wait for grants to spread, publish to further vantages, see that they tick.

    python infra/hooks/publish.py sync      after provisioning: let the platform read the triggers anew
    python infra/hooks/publish.py wait      before the deployment: let new grants spread
    python infra/hooks/publish.py others    after it: the other vantages, then the first tick of each
    python infra/hooks/publish.py down      before azd down: spare accounts that are not ours

Rules kept here: it runs on whatever Python its user's machine has, 3.8 or later, with the standard library
alone; every wait and every retry is bounded and says what it is waiting for; each app gets the same package;
a failure names the app, says what to do and ends with exit code 1; it prints what any console can show.
azd puts the deployment's outputs into the environment. Needs the Azure CLI, signed in, where it says so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, Iterator

# A new grant has mostly spread after a minute or two: https://github.com/Azure/azure-dev/issues/8026
SETTLED = 120
TRIES = 5
PAUSE = 30
# What the deployment says while a grant or a new site has not spread yet.
PASSING = ("403", "InaccessibleStorage", "AuthorizationPermissionMismatch", "404", "502", "503")

# A first tick is due within one interval, and the app's first instance may take minutes to come.
PATIENCE = 240
POLL = 10
POLL_TIMEOUT = 5
BEFORE = "the last one was before the deployment"

# The first azd whose 'down' tells its own groups from others: https://github.com/Azure/azure-dev/pull/7698
SPARING = (1, 24, 1)
ANCESTORS = 8

PARAMETERS = Path(__file__).parents[1] / "main.parameters.json"
PROJECT = Path(__file__).parents[2] / "azure.yaml"


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what azd shows its user


def listed(name: str) -> list[str]:
    """Return an output that is an array; azd hands it over as JSON text."""
    return json.loads(os.environ.get(name) or "[]")


def subscription() -> str:
    return os.environ.get("AZURE_SUBSCRIPTION_ID", "")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Return a finished command; on Windows ``az`` is a batch file, which only its full name starts."""
    program = shutil.which(words[0])
    if program is None:
        sys.exit(
            f"{words[0]} publishes further vantages, and is not installed: install it, then 'azd deploy'."
        )
    return subprocess.run(  # noqa: S603 - our own words
        [program, *words[1:]], capture_output=True, encoding="utf-8", errors="replace", check=False
    )


def age_of_newest_grant(group: str, account: str) -> float | None:
    """Return the seconds since the newest grant on a host account was made; ``None`` when nobody can tell."""
    if shutil.which("az") is None:
        return None
    owner = f"/subscriptions/{subscription()}/resourceGroups/{group}"
    scope = f"{owner}/providers/Microsoft.Storage/storageAccounts/{account}"
    done = run(
        *("az", "role", "assignment", "list", "--scope", scope, "--query", "[].createdOn"),
        *("--subscription", subscription(), "--output", "json"),
    )
    made = [moment(each) for each in json.loads(done.stdout or "[]")] if done.returncode == 0 else []
    return (datetime.now(timezone.utc) - max(made)).total_seconds() if made else None


def moment(text: str) -> datetime:
    """Return a time that Azure wrote, to the second; it writes UTC, with any number of digits after that."""
    return datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)


def wait(sleep: Callable[[float], object] = time.sleep) -> None:
    """Let new grants of the apps on their host accounts spread; the package is uploaded by them."""
    group = os.environ.get("AZURE_RESOURCE_GROUP", "")
    ages = [age_of_newest_grant(group, account) for account in listed("PROBE_HOST_ACCOUNTS")]
    youngest = min((age for age in ages if age is not None), default=SETTLED)
    if youngest < SETTLED:
        rest = max(1, round(SETTLED - youngest))
        say(f"The newest grant is {max(0, round(youngest))} s old: waiting {rest} s for it to spread.")
        sleep(rest)


def sync() -> None:
    """Let the platform read the triggers anew: a changed schedule or queue is a literal in what it has read.

    Nothing fails by it: before the first deployment there are no triggers, and every deployment does it too.
    Source: https://learn.microsoft.com/azure/azure-functions/functions-deployment-technologies#trigger-syncing
    """
    if shutil.which("az") is None:
        say(
            "Triggers are not synced: the Azure CLI is not installed. After a changed schedule: 'azd deploy'."
        )
        return
    group = os.environ.get("AZURE_RESOURCE_GROUP", "")
    for app in listed("PROBE_FUNCTION_APPS"):
        site = f"/subscriptions/{subscription()}/resourceGroups/{group}/providers/Microsoft.Web/sites/{app}"
        url = f"{site}/syncfunctiontriggers?api-version=2024-11-01"
        done = run("az", "rest", "--method", "post", "--url", url)
        synced = "synced" if done.returncode == 0 else "not synced yet; the deployment does it"
        say(f"Triggers of {app}: {synced}")


def others(sleep: Callable[[float], object] = time.sleep) -> None:
    """Publish to the apps that azd does not look for, then see every app tick."""
    publish(sleep)
    warn_of_shared_regions()
    first_ticks(sleep)


def publish(sleep: Callable[[float], object]) -> None:
    """Publish the package that azd deployed to the apps that it does not look for."""
    apps, group = listed("PROBE_FUNCTION_APPS")[1:], os.environ.get("AZURE_RESOURCE_GROUP", "")
    if not apps:
        return
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "probe.zip"
        made = run("azd", "package", "probe", "--output-path", str(package), "--no-prompt")
        if made.returncode or not package.is_file():
            sys.exit(f"azd made no package:\n{made.stdout}{made.stderr}")
        failed = [app for app in apps if not published(app, group, package, sleep)]
    if failed:
        sys.exit(f"Not published: {', '.join(failed)}. Run 'azd deploy' again; nothing else changes by it.")


def published(app: str, group: str, package: Path, sleep: Callable[[float], object]) -> bool:
    """Publish to one app, again while that may pass; return whether it worked."""
    words = (
        *("az", "functionapp", "deployment", "source", "config-zip"),
        *("--resource-group", group, "--name", app, "--subscription", subscription()),
        *("--src", str(package), "--build-remote", remote_build(), "--timeout", "900"),
    )
    for attempt in range(1, TRIES + 1):
        say(f"Publishing to {app} ({attempt} of {TRIES})")
        done = run(*words)
        if done.returncode == 0:
            return True
        say(done.stderr.strip())
        if attempt == TRIES or not any(sign in done.stderr for sign in PASSING):
            return False
        sleep(PAUSE)
    return False


def remote_build() -> str:
    """Return whether the platform builds, as azure.yaml says it of the first vantage: true or false."""
    found = re.search(r"^ *remoteBuild: *(true|false)", PROJECT.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "true"


def warn_of_shared_regions() -> None:
    """Say where a vantage sits in a region of an account that it watches: it would go down with it."""
    vantages = set(listed("PROBE_VANTAGES"))
    for line in listed("PROBE_ACCOUNT_REGIONS"):
        name, *regions = line.split()
        for region in sorted(vantages & set(regions)):
            say(f"WARNING: the vantage {region} shares a region with the account of {name}: name others in")
            say("         probeLocations, or give the account's own region as location.")


def first_ticks(
    sleep: Callable[[float], object] = time.sleep, now: Callable[[], float] = time.monotonic
) -> None:
    """Wait, within bounds, for a tick of each app and say what it found; fail naming the apps without one."""
    patience = PATIENCE + 120 * int(os.environ.get("PROBE_INTERVAL_MINUTES") or "1")
    began, told = now(), {}
    watches = {
        app: Watch(app, url) for app, url in zip(listed("PROBE_FUNCTION_APPS"), listed("PROBE_HEALTH_URLS"))
    }
    while watches:
        for app, watch in list(watches.items()):
            answer = watch.look(now() - began)
            if watch.ticked:
                say("\n".join([f"{app}: it ticks ({now() - began:.0f} s)", *watch.verdicts()]))
                del watches[app]
            elif told.get(app) != answer:
                say(
                    f"{app}: no tick yet, {answer} (waiting up to {patience} s; Ctrl-C ends only the waiting)"
                )
            told[app] = answer
        if watches and now() - began >= patience:
            sys.exit(missing({app: (told[app], watch.url) for app, watch in watches.items()}))
        if watches:
            sleep(POLL)


class Watch:
    """One app, looked at until it has ticked since the hook began.

    Its heartbeat alone does not tell: after another deployment it may be 200 by a tick of before. So the
    status page is asked, in the app's own time. It wants a key, which the Azure CLI fetches; without one the
    heartbeat is believed.
    """

    def __init__(self, app: str, url: str) -> None:
        self.app, self.url, self.ticked = app, url, False
        self.key: str | None = None
        self.status: dict[str, object] = {}

    def look(self, elapsed: float) -> str:
        """Look once, so many seconds after the hook began; return what to say while there was no tick."""
        code, _ = asked(self.url)
        if code != "200":
            return code
        self.status = self.page()
        age = self.age_of_last_tick()
        self.ticked = age is None or age <= elapsed
        return BEFORE

    def page(self) -> dict[str, object]:
        """Return the app's status as it gives it, empty where it cannot be had."""
        self.key = self.key or function_key(self.app)
        if not self.key:
            return {}
        _, body = asked(self.url.replace("/api/health", "/api/status?format=json"), self.key)
        try:
            return json.loads(body)
        except ValueError:
            return {}

    def age_of_last_tick(self) -> float | None:
        """Return the seconds since the last tick of the shard furthest behind, ``None`` when unknown."""
        ended = [each.get("last_completed_at") for each in self.status.get("shards", [])]
        if not ended or not all(ended):
            return None
        return (moment(self.status["generated_at"]) - min(map(moment, ended))).total_seconds()

    def verdicts(self) -> list[str]:
        """Return what the tick found, a line for each target, and what to run where it is not well."""
        found = self.status.get("targets", [])
        lines = [f"  {each.get('name')}: {each.get('verdict')}: {each.get('reason')}" for each in found]
        if any(each.get("verdict") != "ok" for each in found):
            lines.append("  What mends it, thing by thing: python -m probe doctor")
        return lines


def function_key(app: str) -> str | None:
    """Return a key that opens the app's status page, ``None`` where the Azure CLI does not give one."""
    if shutil.which("az") is None:
        return None
    done = run(
        *("az", "functionapp", "keys", "list", "--name", app, "--subscription", subscription()),
        *("--resource-group", os.environ.get("AZURE_RESOURCE_GROUP", "")),
        *("--query", "functionKeys.default", "--output", "tsv"),
    )
    return done.stdout.strip() or None if done.returncode == 0 else None


def asked(url: str, key: str | None = None) -> tuple[str, str]:
    """Return the status code of an app's answer as text, or why there was none; and its body."""
    request = urllib.request.Request(url, headers={"x-functions-key": key} if key else {})  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=POLL_TIMEOUT) as answer:  # noqa: S310 - as above
            return str(answer.status), answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return str(error.code), ""
    except (OSError, ValueError) as error:
        return f"no answer ({type(error).__name__})", ""


# What an answer other than 200 means, for whoever sees it for the first time.
MEANINGS = {
    "503": "the app runs, and no tick has been completed: its settings, grants or timer",
    "404": "the app has no functions: the build on the platform failed, or is still running",
    "403": "the app is stopped, or refuses this network",
    BEFORE: "its timer no longer fires; see the runbook's probe-silent",
}


QUERY = '--analytics-query "traces | order by timestamp desc | take 50"'


def missing(pending: dict[str, tuple[str, str]]) -> str:
    """Return what to say of apps that did not tick: what each answered from where, and what to run."""
    insights = os.environ.get("APPLICATIONINSIGHTS_NAME", "Application Insights")
    group = os.environ.get("AZURE_RESOURCE_GROUP", "rg-NAME")
    lines = ["The deployment is done, but no tick was seen of:"]
    for app, (told, url) in pending.items():
        meaning = MEANINGS.get(told, "nothing answers there; can this machine reach it?")
        lines.append(f"  {app}: {told} from {url}: {meaning}")
    first = next(iter(pending))
    return "\n".join(
        [
            *lines,
            "What is wrong stands in its log: the portal's Log stream, or",
            f"  az monitor app-insights query --app {insights} --resource-group {group} {QUERY}",
            "What the functions are, if any:",
            f'  az functionapp function list --resource-group {group} --name {first} --query "[].name"',
            "What each grant, name and setting does, tried one by one: python -m probe doctor",
            "More: infra/README.md, 'What only a real deployment can show'.",
        ]
    )


def accounts_of_others() -> list[str]:
    """Return the ids of the watched accounts that the deployment did not make.

    The deployment's outputs name all accounts, but only once it has worked: so the wishes are asked too.
    """
    group = re.escape(os.environ.get("AZURE_RESOURCE_GROUP", ""))
    made = re.compile(
        rf"/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/stprobed", re.IGNORECASE
    )
    text = PARAMETERS.read_text(encoding="utf-8")
    wished = re.findall(r'"(/subscriptions/[^"]+/storageAccounts/[^"]+)"', text)
    named = [*listed("PROBE_MONITORED_ACCOUNTS"), *wished, os.environ.get("PROBE_MONITORED_ACCOUNT_ID", "")]
    return sorted({each for each in named if each and not made.search(each)})


def down() -> None:
    """Refuse azd down where it may delete the resource group of an account that somebody else made.

    Before 1.24.1 azd deletes every group that the deployment put something into; since then it tells its own
    from others, but not with --force. Sources: https://github.com/Azure/azure-dev/issues/2916 and
    ``classifyResourceGroups`` in azd's bicep_destroy.go.
    """
    theirs = accounts_of_others()
    if not theirs:
        return
    names = "".join(f"  {each}\n" for each in theirs)
    if azd_version() >= SPARING and not forced(command_of_azd()):
        say(f"azd asks before it deletes a group that is not its own. Keep those of\n{names.rstrip()}")
        return
    group = os.environ.get("AZURE_RESOURCE_GROUP", "rg-NAME")
    sys.exit(
        f"This may delete the whole resource group of accounts that the deployment did not make:\n{names}"
        "azd 1.24.1 or later spares them, without --force. Or delete the deployment's own groups: "
        f"az group delete --name {group}, and each {group}-network-REGION."
    )


def azd_version() -> tuple[int, ...]:
    """Return azd's version, (0,) when it cannot be told."""
    if shutil.which("azd") is None:
        return (0,)
    found = re.search(r'"version":\s*"(\d+)\.(\d+)\.(\d+)', run("azd", "version", "--output", "json").stdout)
    return tuple(int(each) for each in found.groups()) if found else (0,)


def forced(command: str | None) -> bool:
    """Return whether azd was told not to ask; a command that cannot be seen may have been."""
    return command is None or any(
        word.startswith("--force") and word != "--force=false" for word in command.split()
    )


def command_of_azd() -> str | None:
    """Return the command line of the azd that runs this hook; ``None`` when it cannot be seen.

    Only the program counts: the shell between has a script of azd's making as its argument.
    """
    program = re.compile(r'"?([^"]*[/\\])?azd(-[\w-]+)?(\.exe)?"?(\s|$)', re.IGNORECASE)
    return next((each for each in commands_above() if program.match(first_word(each))), None)


def first_word(command: str) -> str:
    """Return the program of a command line, with the quotes that Windows puts around one with spaces."""
    return re.match(r'"[^"]*"|\S*', command)[0]


def commands_above() -> Iterator[str]:
    """Yield the command lines of this process's ancestors, nearest first, as far as they can be seen."""
    parent = os.getppid()
    for _ in range(ANCESTORS):
        query = f"(Get-CimInstance Win32_Process -Filter 'ProcessId={parent}' | "
        query += "ForEach-Object { '{0} {1}' -f $_.ParentProcessId, $_.CommandLine })"
        words = ("ps", "-o", "ppid=,args=", "-p", str(parent))
        if os.name == "nt":
            words = ("powershell", "-NoProfile", "-Command", query)
        if shutil.which(words[0]) is None:
            return
        found = re.match(r"\s*(\d+)\s+(.*)", run(*words).stdout)
        if not found:
            return
        parent, command = int(found[1]), found[2]
        yield command


def main(words: list[str]) -> None:
    actions = {"sync": sync, "wait": wait, "others": others, "down": down}
    if len(words) != 1 or words[0] not in actions:
        sys.exit(__doc__)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")
    try:
        actions[words[0]]()
    except KeyboardInterrupt:
        sys.exit("Stopped here. What was provisioned and published stays; 'azd deploy' goes on from it.")


if __name__ == "__main__":
    main(sys.argv[1:])
