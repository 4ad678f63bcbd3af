# ruff: noqa: INP001 - a script that azd runs, not a package
"""What azd does not do: wait for new grants to spread, publish to further vantages, spare what is not ours.

    python infra/hooks/publish.py wait      before the deployment
    python infra/hooks/publish.py others    after it
    python infra/hooks/publish.py down      before azd down

Rules kept here: every wait and every retry is bounded and says what it is waiting for; each app gets the same
package; a failure names the app, says what to do and ends with exit code 1. azd puts the deployment's outputs
into the environment. Needs the Azure CLI, signed in, and nothing else.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

# A new grant has mostly spread after a minute or two: https://github.com/Azure/azure-dev/issues/8026
SETTLED = 120
TRIES = 5
PAUSE = 30
# What the deployment says while a grant or a new site has not spread yet.
PASSING = ("403", "InaccessibleStorage", "AuthorizationPermissionMismatch", "404", "502", "503")

PARAMETERS = Path(__file__).parents[1] / "main.parameters.json"

Sleep = Callable[[float], object]


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what azd shows its user


def listed(name: str) -> list[str]:
    """Answer an output that is an array; azd hands it over as JSON text."""
    return json.loads(os.environ.get(name) or "[]")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which(words[0])
    if program is None:
        sys.exit(
            f"{words[0]} publishes further vantages, and is not installed: install it, then 'azd deploy'."
        )
    return subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)  # noqa: S603 - our own words


def age_of_newest_grant(group: str, account: str) -> float | None:
    """Answer the seconds since the newest grant on a host account was made; ``None`` when nobody can tell."""
    if shutil.which("az") is None:
        return None
    owner = f"/subscriptions/{os.environ.get('AZURE_SUBSCRIPTION_ID', '')}/resourceGroups/{group}"
    scope = f"{owner}/providers/Microsoft.Storage/storageAccounts/{account}"
    done = run(
        "az", "role", "assignment", "list", "--scope", scope, "--query", "[].createdOn", "--output", "json"
    )
    made = (
        [datetime.fromisoformat(each) for each in json.loads(done.stdout or "[]")]
        if done.returncode == 0
        else []
    )
    return (datetime.now(UTC) - max(made)).total_seconds() if made else None


def wait(sleep: Sleep = time.sleep) -> None:
    """Let new grants of the apps on their host accounts spread; the package is uploaded by them."""
    group = os.environ.get("AZURE_RESOURCE_GROUP", "")
    ages = [age_of_newest_grant(group, account) for account in listed("PROBE_HOST_ACCOUNTS")]
    youngest = min((age for age in ages if age is not None), default=SETTLED)
    if youngest < SETTLED:
        rest = max(1, round(SETTLED - youngest))
        say(f"The newest grant is {max(0, round(youngest))} s old: waiting {rest} s for it to spread.")
        sleep(rest)


def others(sleep: Sleep = time.sleep) -> None:
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


def published(app: str, group: str, package: Path, sleep: Sleep) -> bool:
    """Publish to one app, again while that may pass; answer whether it worked."""
    words = (
        "az",
        "functionapp",
        "deployment",
        "source",
        "config-zip",
        "--resource-group",
        group,
        "--name",
        app,
    )
    for attempt in range(1, TRIES + 1):
        say(f"Publishing to {app} ({attempt} of {TRIES})")
        done = run(*words, "--src", str(package), "--build-remote", "true", "--timeout", "900")
        if done.returncode == 0:
            return True
        say(done.stderr.strip())
        if attempt == TRIES or not any(sign in done.stderr for sign in PASSING):
            return False
        sleep(PAUSE)
    return False


def accounts_of_others() -> list[str]:
    """Answer the ids of the watched accounts that the deployment did not make.

    The deployment's outputs name all accounts, but only once it has worked: so the wishes are asked too.
    """
    group = re.escape(os.environ.get("AZURE_RESOURCE_GROUP", ""))
    made = re.compile(
        rf"/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/stprobed", re.IGNORECASE
    )
    wished = re.findall(r'"(/subscriptions/[^"]+/storageAccounts/[^"]+)"', PARAMETERS.read_text())
    named = [*listed("PROBE_MONITORED_ACCOUNTS"), *wished, os.environ.get("PROBE_MONITORED_ACCOUNT_ID", "")]
    return sorted({each for each in named if each and not made.search(each)})


def down() -> None:
    """Refuse azd down where it may delete the resource group of an account that somebody else made.

    azd deletes whole groups, every one that the deployment put something into.
    Source: https://github.com/Azure/azure-dev/issues/2916
    """
    if theirs := accounts_of_others():
        group = os.environ.get("AZURE_RESOURCE_GROUP", "rg-NAME")
        sys.exit(
            "azd down may delete the whole resource group of accounts that this deployment did not make:\n"
            + "".join(f"  {each}\n" for each in theirs)
            + f"Delete its own groups: az group delete --name {group}, and each {group}-network-REGION."
        )


def main(words: list[str]) -> None:
    actions = {"wait": wait, "others": others, "down": down}
    if len(words) != 1 or words[0] not in actions:
        sys.exit(__doc__)
    actions[words[0]]()


if __name__ == "__main__":
    main(sys.argv[1:])
