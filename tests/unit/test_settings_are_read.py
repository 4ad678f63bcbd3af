"""A setting that nobody reads does nothing: a target's rules and the process's settings are read."""

import ast
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from probe.core.target import Policy
from probe.settings import Settings

ROOT = Path(__file__).parents[2] / "probe"


def modules() -> list[ast.Module]:
    """Return the modules that are deployed, but those that make the settings."""
    paths = [
        each
        for each in ROOT.rglob("*.py")
        if "lab" not in each.parts and "settings" not in str(each.relative_to(ROOT))
    ]
    return [ast.parse(each.read_text(encoding="utf-8")) for each in paths]


@cache
def reads() -> list[tuple[str, str]]:
    """Return what is read of what, by name: ``("policy", "reads")`` for ``target.policy.reads``."""
    found = []
    for node in (node for module in modules() for node in ast.walk(module)):
        match node:
            case ast.Attribute(value=ast.Name(id=of) | ast.Attribute(attr=of), attr=name, ctx=ast.Load()):
                found.append((of, name))
    return found


@pytest.mark.parametrize("name", [each.name for each in fields(Policy)])
def test_every_setting_is_read_by_somebody(name: str):
    assert ("policy", name) in reads()


@pytest.mark.parametrize("name", [each.name for each in fields(Settings)])
def test_every_setting_of_the_process_is_read_by_somebody(name: str):
    bound = f'"PROBE_{name.upper()}"' in (ROOT.parent / "function_app.py").read_text(encoding="utf-8")

    assert bound or {of for of, read in reads() if read == name} & {"found", "settings"}
