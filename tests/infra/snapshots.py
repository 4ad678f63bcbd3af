"""The committed snapshots, as plain values: what each deployment would make.

A text that begins with ``[[`` is a text that begins with ``[``; one that begins with ``[`` is an expression
that only a deployment can work out.
"""

import functools
import json
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDER = HERE / "snapshots"
NAMES = ("default", "existing-account", "fleet", "private-network")


def plain(value):
    """Return a value with the escapes of template texts taken out."""
    match value:
        case str():
            return value[1:] if value.startswith("[[") else value
        case list():
            return [plain(each) for each in value]
        case dict():
            return {plain(key): plain(each) for key, each in value.items()}
    return value


@functools.cache
def document(name):
    return json.loads((FOLDER / f"{name}.snapshot.json").read_text())


def resources(name, type_=None):
    """Return the predicted resources of a snapshot, all or of one type (any case)."""
    found = [plain(each) for each in document(name)["predictedResources"]]
    return [each for each in found if type_ is None or each["type"].lower() == type_.lower()]


def settings(site):
    """Return a function app's settings."""
    return {each["name"]: each["value"] for each in site["properties"]["siteConfig"]["appSettings"]}
