"""The layers' gate refuses what it should: a forbidden import in each room, and a module that is in none."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GATE = Path(sys.executable).parent / "lint-imports"
ROOMS = {
    each["name"]: each
    for each in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]["rooms"]
}
LIBRARY = "the standard library"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy what the gate reads."""
    shutil.copytree(
        ROOT / "probe", tmp_path / "probe", ignore=shutil.ignore_patterns("node_modules", "__pycache__")
    )
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "layers.py", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def gate(tree: Path) -> tuple[int, str]:
    """Run the gate in a tree; returns its exit code and what it prints, on one line."""
    ran = subprocess.run(  # noqa: S603 - our own gate
        [GATE, "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "500"},
    )
    return ran.returncode, " ".join((ran.stdout + ran.stderr).split())


def add(tree: Path, module: str, line: str) -> str:
    """Put an import into a new module of a package, or at the end of a module; returns the module's name."""
    path = tree.joinpath(*module.split("."))
    if path.is_dir():
        path, module = path / "newcomer.py", f"{module}.newcomer"
    else:
        path = path.with_suffix(".py")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    return module


def test_the_gate_passes_what_is_there(tree: Path):
    assert gate(tree)[0] == 0


def forbidden() -> list[tuple[str, str, str]]:
    """Return for each room its first module, and what that may not import: rooms, vendors, the unheard of."""
    found = []
    for name, room in ROOMS.items():
        others = [each["holds"][0] for each in ROOMS.values() if each["name"] not in (name, *room["rooms"])]
        vendors = [each for each in ("opentelemetry", "aiohttp", "unheard_of") if each not in room["outside"]]
        clocks = [each for each in ("time", "os", "asyncio") if LIBRARY not in room["outside"]]
        if "anything" not in room["outside"]:
            found += [
                (name, held, each) for held in room["holds"][:1] for each in (*others, *vendors, *clocks)
            ]
    return found


def test_every_room_is_refused_something():
    assert {name for name, _, _ in forbidden()} == set(ROOMS) - {"lab"}


@pytest.mark.parametrize("room", sorted(set(ROOMS) - {"lab"}))
def test_a_forbidden_import_in_a_room_fails_the_gate_by_name(tree: Path, room: str):
    asked = [(held, imported) for name, held, imported in forbidden() if name == room]
    told = [(add(tree, held, f"import {imported}"), imported) for held, imported in asked]

    code, printed = gate(tree)

    assert code == 1
    assert [each for each in told if f"{each[0]} imports {each[1]}" not in printed] == []


def test_a_module_that_is_in_no_room_fails_the_gate_by_name(tree: Path):
    (tree / "probe" / "newcomer.py").write_text("import json\n")

    code, printed = gate(tree)

    assert code == 1
    assert "probe.newcomer is in no room" in printed


def test_a_room_that_holds_what_does_not_exist_fails_the_gate(tree: Path):
    settings = tree / "pyproject.toml"
    settings.write_text(settings.read_text().replace('"probe.ports"', '"probe.ports", "probe.harbour"', 1))

    code, printed = gate(tree)

    assert code == 1
    assert "no module is called probe.harbour" in printed


@pytest.mark.parametrize("path", sorted((ROOT / "probe" / "core").rglob("*.py")), ids=lambda path: path.stem)
def test_the_core_reaches_no_clock_and_no_socket_inside_what_it_may_import(path: Path):
    """``datetime`` has a clock, ``urllib`` a client."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    called = {
        each.func.attr
        for each in nodes
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute)
    }
    modules = {each.module for each in nodes if isinstance(each, ast.ImportFrom)}

    assert not called & {"now", "utcnow", "today"}
    assert not modules & {"urllib.request", "urllib"}


def test_what_the_lab_serves_with_is_not_deployed():
    deployed = (ROOT / "requirements.txt").read_text()

    assert "azure-core==" in deployed
    assert "aiohttp" not in deployed
