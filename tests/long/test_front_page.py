"""The README's own commands, as they stand there: about two minutes. What needs Azure is named."""

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from probe.lab.account.pair import Pair

ROOT = Path(__file__).parents[2]
HOST = "blob.core.windows.net"
UNTRIED = ("az ", "ACCOUNT=$(az ", "ME=$(az ")
"""They need Azure; the README says beside them that they were never run."""
ELSEWHERE = {"make test": "it is what runs this"}
EXPORT = f"export ProbedStorage__blobServiceUri=https://NAME.{HOST} PROBE_STATE=file:probe-state.json"


def blocks() -> list[list[str]]:
    """Return the console blocks of the front page, a list of command lines each."""
    found = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [
        [line.partition("  #")[0].strip() for line in block.splitlines() if line.strip()] for block in found
    ]


def test_the_front_page_has_these_blocks_and_says_what_was_never_run():
    try_it, shell = blocks()

    assert {each.split()[0] for each in try_it} == {"make"}
    assert EXPORT in shell
    assert "The `az` lines were never run" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", [each for each in blocks()[0] if each not in ELSEWHERE])
def test_a_make_command_of_the_front_page_does_what_it_says(line: str):
    bounded = f"{line} FOR=10" if line == "make run" else line

    ran = subprocess.run(  # noqa: S602 - as it stands on the page
        bounded, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    if line == "make demo":
        assert "No read was lost." in ran.stdout
    assert "Traceback" not in ran.stderr


async def test_the_shells_commands_run_one_after_the_other_as_they_stand(tmp_path):
    lines = [each for each in blocks()[1] if not each.startswith(UNTRIED)]
    async with Pair() as pair:
        script = "\n".join(["set -e", *lines])
        script = script.replace(". .venv/bin/activate", f". {ROOT}/.venv/bin/activate")
        script = script.replace(EXPORT, "export PROBE_STATE=file:probe-state.json")
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "ProbedStorage": pair.connection_string,
        }

        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            script,
            cwd=tmp_path,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = (each.decode() for each in await asyncio.wait_for(process.communicate(), 240))

    assert process.returncode == 0, out + err
    assert "The settings are valid." in out
    assert "things that were tried work." in out
    assert re.search(r"999 reads: 999 from the primary, 0 from the secondary, 0 failed", out)
    assert "ticks are fresh" in out
