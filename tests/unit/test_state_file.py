"""What the file store adds to the contract: whole files, folders, rights, locks, and death at any point."""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from probe.adapters.state import SIZE_LIMIT, FileStateStore, decode
from probe.core.errors import StateConflict, StateError
from tests.timing import PATIENCE, soonest
from tests.unit.state_values import record

SAVING_FOREVER = """
import asyncio, sys
from pathlib import Path
from probe.adapters.state import FileStateStore
from tests.unit.state_values import record

async def main():
    store = FileStateStore(Path(sys.argv[1]))
    loaded = await store.load(0)
    ticks, tag = loaded.record.ticks, loaded.tag
    print("saving", flush=True)
    while True:
        ticks += 1
        tag = await store.save(0, record(ticks), tag)

asyncio.run(main())
"""

AS_A_STRANGER = """
import asyncio, os, sys
from pathlib import Path
from probe.adapters.state import Encoder, FileStateStore, decode
from probe.core.errors import StateError
from tests.unit.state_values import record

async def main():
    store = FileStateStore(Path(sys.argv[1]))
    # What is imported late must come before the rights go.
    decode(await asyncio.to_thread(Encoder().encode, record()))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    for call in (store.load(0), store.save(0, record(), None)):
        try:
            await call
        except StateError as error:
            print(error.error_type, error)

asyncio.run(main())
"""


async def test_shard_0_is_the_file_itself_and_the_others_stand_beside_it(tmp_path):
    store = FileStateStore(tmp_path / "state.json")

    await store.save(0, record(ticks=1), None)
    await store.save(3, record(ticks=2), None)

    assert decode((tmp_path / "state.json").read_bytes()).ticks == 1
    assert decode((tmp_path / "state.json.3").read_bytes()).ticks == 2


async def test_a_folder_that_is_missing_is_made(tmp_path):
    path = tmp_path / "not" / "yet" / "state.json"

    await FileStateStore(path).save(0, record(ticks=1), None)

    assert decode(path.read_bytes()).ticks == 1


async def test_a_file_that_was_removed_meanwhile_is_a_conflict(tmp_path):
    store = FileStateStore(tmp_path / "state.json")
    tag = await store.save(0, record(), None)
    (tmp_path / "state.json").unlink()

    with pytest.raises(StateConflict):
        await store.save(0, record(), tag)


async def test_what_a_killed_process_left_half_written_is_not_taken_for_the_state(tmp_path):
    store = FileStateStore(tmp_path / "state.json")
    tag = await store.save(0, record(ticks=1), None)
    (tmp_path / "state.json.tmp").write_bytes(b'{"schema": 1, "tick')

    assert (await store.load(0)).record == record(ticks=1)
    assert await store.save(0, record(ticks=2), tag)
    assert (await store.load(0)).record == record(ticks=2)
    assert not (tmp_path / "state.json.tmp").exists()


@pytest.mark.parametrize(
    ("path", "error_type"),
    [
        pytest.param("folder", "unreadable", id="the path is a folder"),
        pytest.param("file/state.json", "unreadable", id="its folder is a file"),
        pytest.param("x" * 300, "unreadable", id="its name is too long"),
    ],
)
async def test_a_path_that_cannot_hold_a_file_is_told_with_what_to_do(tmp_path, path, error_type):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    store = FileStateStore(tmp_path / path)

    with pytest.raises(StateError, match="PROBE_STATE must name a file") as caught:
        await store.save(0, record(), None)

    assert caught.value.error_type == error_type


@pytest.mark.parametrize("kind", ["a device", "a pipe"])
async def test_what_is_no_regular_file_is_told_at_once_and_neither_read_nor_waited_for(tmp_path, kind):
    path = tmp_path / "state.json"
    if kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(os.devnull)

    with pytest.raises(StateError, match=r"no regular file.*PROBE_STATE must name a file") as caught:
        await asyncio.wait_for(FileStateStore(path).load(0), PATIENCE)

    assert caught.value.error_type == "unreadable"


def test_a_file_that_this_user_may_not_open_is_told_with_what_to_do(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o000)

    told = _run(AS_A_STRANGER, folder / "state.json").splitlines()

    assert len(told) == 2
    assert all(line.startswith("403 ") and "let this user write the file" in line for line in told)


async def test_a_file_that_is_too_big_to_be_ours_is_told_and_left_alone(tmp_path):
    path = tmp_path / "state.json"
    with path.open("wb") as file:
        file.truncate(SIZE_LIMIT + 1)

    with pytest.raises(StateError, match=r"bigger than 16 MiB.*; move it away"):
        await FileStateStore(path).load(0)

    assert list(tmp_path.iterdir()) == [path]


async def test_a_full_disk_is_told_as_one(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("probe.adapters.state.os.fsync", full)

    with pytest.raises(StateError, match="free space on its disk") as caught:
        await FileStateStore(tmp_path / "state.json").save(0, record(), None)

    assert caught.value.error_type == "507"
    assert [each.name for each in tmp_path.iterdir()] == ["state.json.lock"]


WITHOUT_ROOM = """
import asyncio, resource, sys
from pathlib import Path
from probe.adapters.state import FileStateStore
from probe.core.errors import StateError
from tests.unit.state_values import record

async def main():
    store = FileStateStore(Path(sys.argv[1]))
    tag = await store.save(0, record(1), None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    try:
        await store.save(0, record(2), tag)
    except StateError as error:
        print(error.error_type, error)

asyncio.run(main())
"""


async def test_a_process_that_may_write_no_more_leaves_the_old_document_and_nothing_beside_it(tmp_path):
    path = tmp_path / "state.json"

    told = _run(WITHOUT_ROOM, path)

    assert told.startswith("507 ")
    assert "(ulimit -f)" in told
    assert decode(path.read_bytes()).ticks == 1
    assert {each.name for each in tmp_path.iterdir()} == {"state.json", "state.json.lock"}


async def test_a_state_that_is_a_link_stays_one_and_what_it_leads_to_is_saved(tmp_path):
    real = tmp_path / "disk" / "real.json"
    link = tmp_path / "state.json"
    link.symlink_to(real)

    tag = await FileStateStore(link).save(0, record(ticks=1), None)
    await FileStateStore(real).save(0, record(ticks=2), tag)

    assert link.is_symlink()
    assert decode(real.read_bytes()).ticks == 2
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".lock")] == []


@pytest.mark.parametrize("suffix", [".tmp", ".lock"])
async def test_a_link_that_somebody_put_beside_the_state_is_not_written_through(tmp_path, suffix: str):
    other = tmp_path / "other"
    other.write_text("not ours")
    (tmp_path / f"state.json{suffix}").symlink_to(other)

    with contextlib.suppress(StateError):
        await FileStateStore(tmp_path / "state.json").save(0, record(ticks=1), None)

    assert other.read_text() == "not ours"


async def test_a_lock_that_another_process_holds_is_waited_for_within_the_bound(tmp_path):
    store = FileStateStore(tmp_path / "state.json", bound=timedelta(seconds=0.3))
    with (tmp_path / "state.json.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        async def locked_out() -> None:
            with pytest.raises(StateError, match=r"another process holds .*state\.json\.lock") as caught:
                await store.save(0, record(), None)
            assert caught.value.error_type == "timeout"

        assert await soonest(locked_out, within=0.6) < 0.6


async def test_a_lock_that_is_given_back_in_time_lets_the_save_through(tmp_path):
    store = FileStateStore(tmp_path / "state.json")
    with (tmp_path / "state.json.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        saving = asyncio.create_task(store.save(0, record(ticks=1), None))
        await asyncio.sleep(0.05)
        assert not saving.done()

    await saving

    assert (await store.load(0)).record == record(ticks=1)


async def test_a_process_killed_at_any_point_leaves_the_old_document_or_the_new_one(tmp_path):
    """Kill 8 processes as they save: the ticks only grow, and nothing is ever unreadable."""
    path = tmp_path / "state.json"
    store = FileStateStore(path)
    await store.save(0, record(ticks=0), None)
    seen = [0]

    for turn in range(8):
        with _started(SAVING_FOREVER, path) as process:
            assert process.stdout.readline() == "saving\n"
            await asyncio.sleep(0.004 * turn)
            while turn == 7 and decode(path.read_bytes()).ticks == 0:  # a loaded machine may be slow to save
                await asyncio.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        loaded = await store.load(0)
        assert loaded.replaced is None
        seen.append(loaded.record.ticks)

    assert seen == sorted(seen)
    assert seen[-1] > 0, "some saves came through"
    assert await store.save(0, record(ticks=1), loaded.tag), "the lock went with its process"


def _started(script: str, path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours


def _run(script: str, path) -> str:
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout  # noqa: S603 - ours
