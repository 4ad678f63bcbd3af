"""The package that azd uploads: the tree without what ``.funcignore`` leaves out."""

import os
import shutil
from pathlib import Path

import pathspec

from tests.infra.snapshots import ROOT

# Never in a clone, so that nothing is decided on them.
LOCAL = ("__pycache__", ".*/", "node_modules", "*.pyc", "*.egg-info")


def ignored(lines=None):
    """Answer the spec of what stays out."""
    text = (ROOT / ".funcignore").read_text().splitlines() if lines is None else lines
    return pathspec.GitIgnoreSpec.from_lines(text)


def files(lines=None):
    """Answer the paths in the package."""
    spec, local = ignored(lines), pathspec.GitIgnoreSpec.from_lines(LOCAL)
    found = []
    for folder, inner, names in os.walk(ROOT):
        here = Path(folder).relative_to(ROOT)
        inner[:] = [name for name in inner if not local.match_file(f"{here / name}/")]
        found += [(here / name).as_posix() for name in names]
    return sorted(name for name in found if not spec.match_file(name) and not local.match_file(name))


def laid_out(folder):
    """Copy the package's files into a folder."""
    for name in files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder
