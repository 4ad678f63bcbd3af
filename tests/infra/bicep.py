"""The Bicep command of this machine: ``bicep``, ``az bicep``, or what the variable ``BICEP`` names.

``python -m tests.infra.bicep`` writes the workbook and the snapshots anew, with whichever it finds first;
with ``--if-there`` it does nothing where there is none.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.infra import workbook
from tests.infra.snapshots import FOLDER, NAMES, ROOT

MAIN = ROOT / "infra" / "main.bicep"
NONE = "no Bicep command: install bicep or the Azure CLI, or name a command in the environment variable BICEP"
# Every id in a snapshot follows from these, so that it is the same on each machine.
CONTEXT = (
    "--subscription-id=00000000-0000-0000-0000-000000000000",
    "--tenant-id=99999999-9999-9999-9999-999999999999",
    "--location=westeurope",
    "--deployment-name=probe",
)


def command(path=None):
    """Return the command as a list and whether it is Bicep's own; ``None`` where there is none."""
    if shutil.which("bicep", path=path):
        return ["bicep"], True
    if shutil.which("az", path=path) and _run(["az", "bicep", "version"], ROOT).returncode == 0:
        return ["az", "bicep"], True
    named = shlex.split(os.environ.get("BICEP", ""))
    return (named, Path(named[0]).name.startswith(("bicep", "az"))) if named else None


def check(file):
    """Return the problems that build and lint find in a file: none for a clean one."""
    found, real = command()
    if not real:
        done = _run([*found, "check", "--strict", str(file)], ROOT)
        return (done.stdout + done.stderr).strip() if done.returncode else ""
    as_file = ["--file", str(file)] if found[0] == "az" else [str(file)]
    build = "build-params" if str(file).endswith(".bicepparam") else "build"
    built = _run([*found, build, *as_file, "--stdout"], ROOT)
    linted = _run([*found, "lint", *as_file], ROOT)
    return "\n".join(
        each.stderr.strip() for each in (built, linted) if each.stderr.strip() or each.returncode
    )


def snapshot(file, mode):
    """Write (mode overwrite) or compare (validate) a file's snapshot; answer the finished process."""
    found, _ = command()
    as_file = ["--file", str(file)] if found[0] == "az" else [str(file)]
    # The two words apart: every implementation takes them so.
    context = [word for option in CONTEXT for word in option.split("=", 1)]
    return _run([*found, "snapshot", *as_file, "--mode", mode, *context], ROOT)


def _run(words, folder):
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own words


def main():
    if command() is None:
        if "--if-there" not in sys.argv:
            sys.exit(NONE)
        print(f"the snapshots stay as they are: {NONE}")  # noqa: T201 - as below
        return
    # The template reads the workbook, which follows from the queries: the snapshots come after it.
    workbook.FILE.write_text(workbook.text())
    for name in NAMES:
        done = snapshot(FOLDER / f"{name}.bicepparam", "overwrite")
        if done.returncode:
            sys.exit(f"{name}: {done.stdout}{done.stderr}")
        print(f"wrote {name}.snapshot.json")  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
