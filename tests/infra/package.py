"""The package that azd and ``func`` upload: the tree without what ``.funcignore`` leaves out.

azd reads the file as git reads its own. Core Tools does not: see ``published``.
"""

import os
import re
import shutil
from pathlib import Path

import pathspec

from tests.infra.snapshots import ROOT

# Never in a clone, so that nothing is decided on them.
LOCAL = ("__pycache__", ".*/", "node_modules", "*.pyc", "*.egg-info")


def ignored(lines=None):
    """Return the spec of what stays out."""
    text = (ROOT / ".funcignore").read_text().splitlines() if lines is None else lines
    return pathspec.GitIgnoreSpec.from_lines(text)


def files(lines=None):
    """Return the paths in the package."""
    spec, local = ignored(lines), pathspec.GitIgnoreSpec.from_lines(LOCAL)
    found = []
    for folder, inner, names in os.walk(ROOT):
        here = Path(folder).relative_to(ROOT)
        inner[:] = [name for name in inner if not local.match_file(f"{here / name}/")]
        found += [(here / name).as_posix() for name in names]
    return sorted(name for name in found if not spec.match_file(name) and not local.match_file(name))


def published(names, lines=None):
    """Return which of a folder's files ``func azure functionapp publish`` takes, by its own rule.

    It makes one regular expression of all patterns and matches it at the beginning of each file's path: so a
    pattern without a slash counts at the root alone, and every pattern takes in all that begins like it.
    Source: GitIgnoreParser.cs and FileSystemHelpers.cs of Azure/azure-functions-core-tools.
    """
    text = (ROOT / ".funcignore").read_text().splitlines() if lines is None else lines
    patterns = [line.strip().removeprefix("/") for line in text if line.strip() and not line.startswith("#")]
    assert not [each for each in patterns if each.startswith("!")], "nothing here takes an exception back"
    denied = re.compile("|".join(_as_core_tools_reads(each) for each in patterns))
    return [name for name in names if not denied.match(name) and not _always_left_out(*name.split("/"))]


def _always_left_out(*parts):
    *folders, file = parts
    never = {".funcignore", ".gitignore", "local.settings.json", "project.lock.json"}
    return file in never or not {".git", ".vscode"}.isdisjoint(folders)


def _as_core_tools_reads(pattern):
    literal = re.sub(r"[-\[\]/{}()+?.\\^$|]", r"\\\g<0>", pattern)
    return literal.replace("**", "(.+)").replace("*", "([^/]+)")


def laid_out(folder):
    """Copy the package's files into a folder."""
    for name in files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder
