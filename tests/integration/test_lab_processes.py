"""The lab's processes: started with a clear word when they cannot be, and never left behind."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from probe.lab.account import azurite
from probe.lab.account.azurite import Azurite
from probe.lab.account.pair import Pair
from probe.lab.errors import LabError
from tests.timing import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.azurite]

ROOT = Path(__file__).parents[2]
LAB = """
import asyncio
from probe.lab.account.pair import Pair

async def main():
    async with Pair(host=True) as pair:
        print(*(azurite.pid for azurite in pair.azurites), flush=True)
        print(*(azurite.folder for azurite in pair.azurites), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda sig: sig.name)
async def test_a_lab_that_is_ended_leaves_neither_process_nor_folder_behind(how):
    lab = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LAB, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    pids = [int(pid) for pid in (await lab.stdout.readline()).split()]
    folders = [Path(folder.decode()) for folder in (await lab.stdout.readline()).split()]
    alive_before = [runs(pid) for pid in pids] + [folder.exists() for folder in folders]

    lab.send_signal(how)
    await lab.wait()

    assert alive_before == [True] * 6
    assert await all_gone(pids, within=PATIENCE)
    assert not any(folder.exists() for folder in folders)


async def test_a_pair_that_is_left_leaves_no_process_behind():
    async with Pair() as pair:
        pids = [one.pid for one in pair.azurites]

    assert not any(runs(pid) for pid in pids)


async def test_an_azurite_that_hangs_is_ended_all_the_same():
    async with asyncio.timeout(PATIENCE), Azurite() as hung:
        pid = hung.pid
        os.kill(pid, signal.SIGSTOP)

    assert not runs(pid)


async def test_a_start_that_is_cancelled_leaves_no_process_behind():
    one = Azurite()
    start = asyncio.create_task(one.__aenter__())
    async with asyncio.timeout(PATIENCE):
        while one.pid is None:
            await asyncio.sleep(0.01)
    pid = one.pid

    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start

    assert not runs(pid)


async def test_a_busy_port_is_named(lab_pair):
    port = int(lab_pair.azurites[0].url().rpartition(":")[2])

    with pytest.raises(LabError, match=f"port {port} is busy"):
        async with Azurite(ports={"blob": port}):
            pass


async def test_two_labs_never_share_a_port_of_the_proxies(lab_pair):
    with pytest.raises(LabError, match=f"port {lab_pair.primary.port} of the primary is busy"):
        async with Pair(primary_port=lab_pair.primary.port):
            pass


async def test_without_node_the_remedy_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(LabError, match="needs Node 20 or later"):
        await Azurite().__aenter__()


async def test_an_old_node_is_told_by_its_version(monkeypatch, tmp_path):
    old = tmp_path / "node"
    old.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo v16.20.2 && exit 0\necho "SyntaxError" >&2; exit 1\n'
    )
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(LabError, match=r"Node 16\.20\.2 is too old"):
        await Azurite().__aenter__()


async def test_without_azurite_the_remedy_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(azurite, "PACKAGE", tmp_path)

    with pytest.raises(LabError, match="npm ci --ignore-scripts"):
        await Azurite().__aenter__()


async def test_an_azurite_that_never_listens_is_given_up(monkeypatch, tmp_path):
    silent = tmp_path / "node"
    silent.write_text("#!/bin/sh\necho still thinking\nexec sleep 60\n")
    silent.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(LabError, match=r"did not start within 0\.5 s; it said:\n  still thinking"):
        await Azurite(start_timeout=0.5).__aenter__()


def runs(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def all_gone(pids: list[int], *, within: float) -> bool:
    ends = time.monotonic() + within
    while any(runs(pid) for pid in pids) and time.monotonic() < ends:
        await asyncio.sleep(0.02)
    return not any(runs(pid) for pid in pids)
