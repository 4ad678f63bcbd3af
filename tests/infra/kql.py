"""Queries bound by Kusto's own language service, against the tables as Microsoft's reference lists them."""

import functools
import json
import re
import subprocess
from pathlib import Path

from tests.infra.rows import TABLES
from tests.infra.snapshots import ROOT

FOLDER = Path(__file__).parent / "kusto"
QUERIES = {each.stem: each.read_text() for each in sorted((ROOT / "infra" / "queries").glob("*.kql"))}
NUMBERS = {"int", "long", "real", "decimal"}


def bound(queries):
    """Answer for each query by name its problems and its result's columns."""
    return json.loads(_bound(json.dumps(queries, sort_keys=True)))


@functools.cache
def _bound(queries):
    if not (FOLDER / "node_modules").is_dir():
        raise FileNotFoundError("the query binder is not installed: run tests/infra/setup")
    done = subprocess.run(  # noqa: S603 - our own script
        ["node", str(FOLDER / "bind.mjs")],  # noqa: S607 - found on the path, as npm's
        input=json.dumps({"tables": TABLES, "queries": json.loads(queries)}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def named(query):
    """Answer every name of ours that a query holds: metrics, attributes, events."""
    quoted = set(re.findall(r'"((?:probe|error|http|server)\.[a-z_.]+|[A-Z][a-z]+[A-Z][a-z]+)"', query))
    return {name for name in quoted if not name.endswith(".")}
