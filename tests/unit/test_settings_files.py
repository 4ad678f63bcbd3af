"""Files that settings name: every encoding that an editor or a shell leaves, and what is no file to read."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from probe import settings
from probe.core.errors import ConfigurationError
from tests.unit.settings_values import KEY, STRING, WORKING, problem

VALUES = json.dumps({"Values": {"ProbedStorage": STRING, "PROBE_RPO": "77"}})
TARGETS = json.dumps([{"name": "a", "primary": "https://a.blob.core.windows.net"}])


def refused(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        settings.local(path)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_file_is_read_in_whatever_encoding_it_was_left(tmp_path: Path, encoding: str):
    """UTF-16 with its mark is what `>` writes in Windows PowerShell 5."""
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    local, targets = tmp_path / "local.settings.json", tmp_path / "targets.json"
    local.write_bytes(mark + VALUES.encode(encoding))
    targets.write_bytes(mark + TARGETS.encode(encoding))

    assert settings.local(local)["PROBE_RPO"] == "77"
    assert settings.load({**WORKING, "PROBE_TARGETS": str(targets)}).targets[0].name == "a"


@pytest.mark.parametrize(
    "content",
    [
        VALUES.encode("utf-16-le"),
        b"\xff\xfe" + VALUES.encode("utf-16-le")[:-1],
        VALUES.encode().replace(b"77", b"\xe4\xf6"),
        VALUES.encode("utf-32"),
        VALUES.encode()[:-3],
        VALUES.replace("Values", "values").encode(),
        f'["{KEY}"]'.encode(),
        f'"{KEY}"'.encode(),
        b"[" * 100_000 + KEY.encode(),
        f'{{"Values": ["{KEY}"]}}'.encode(),
        f'{{"Values": {"9" * 5000}}}'.encode(),
    ],
    ids=[
        *("UTF-16 without mark", "half a character", "Latin-1", "UTF-32", "cut short", "small values"),
        *("a list", "a text", "too deep", "no object", "a long number"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_without_a_byte_of_it(tmp_path: Path, content: bytes):
    path = tmp_path / "local.settings.json"
    path.write_bytes(content)

    told = refused(path)

    assert told.startswith(f"{path}: ")
    assert "local.settings.sample.json" in told
    assert "c2VjcmV0" not in told
    assert "\\x" not in told


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda _: None, "cannot be read (No such file or directory)"),
        (Path.mkdir, "is a folder"),
        (os.mkfifo, "is no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
    ids=["missing", "a folder", "a pipe", "a device", "a loop"],
)
def test_what_is_no_file_is_told_before_it_is_read(tmp_path: Path, make, part: str):
    path = tmp_path / "a"
    make(path)

    assert part in refused(path)
    assert part in problem(PROBE_CANARY_FILE=str(path))
    assert part in problem(PROBE_TARGETS=str(path))


@pytest.mark.parametrize(("size", "part"), [(0, "is empty"), (1024 * 1024 + 1, "is bigger than 1 MiB")])
def test_a_canary_of_a_size_that_cannot_be_written_is_told(tmp_path: Path, size: int, part: str):
    path = tmp_path / "canary.bin"
    path.write_bytes(bytes(size))

    told = problem(PROBE_CANARY_FILE=str(path))

    assert told.startswith("PROBE_CANARY_FILE: holds ")
    assert part in told


@pytest.fixture
def as_a_plain_user() -> Iterator[None]:
    """Root can read every file: be nobody for as long as the test takes."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.usefixtures("as_a_plain_user")
def test_a_canary_that_this_user_cannot_read_is_told():
    with TemporaryDirectory() as folder:
        path = Path(folder) / "canary.bin"
        path.write_bytes(b"a")
        path.chmod(0)

        told = problem(PROBE_CANARY_FILE=str(path))

    assert "cannot be read (Permission denied)" in told
