"""Queries bound by Kusto's own language service, against the tables as Microsoft's reference lists them."""

import functools
import json
import re
import subprocess
from pathlib import Path

from tests.infra import workbook
from tests.infra.alerts import rules
from tests.infra.rows import TABLES
from tests.infra.snapshots import NAMES, ROOT

FOLDER = Path(__file__).parent / "kusto"
QUERIES = {each.stem: each.read_text() for each in sorted((ROOT / "infra" / "queries").glob("*.kql"))}
NUMBERS = {"int", "long", "real", "decimal"}
LAG = QUERIES["replication"]
# Faults that the binder must tell, and what it must say of each.
FAULTS = {
    "a wrong column": ("ItemCount", "ItemsCount"),
    "a wrong table": ("AppMetrics", "AppMetric"),
    "a wrong function": ("bin(", "bins("),
    "a wrong parameter": ("= rpo_seconds", "= rpo_second"),
}
SEEDED = {name: LAG.replace(before, after) for name, (before, after) in FAULTS.items()}


def bound(queries):
    """Return for each query, a text, its problems and its result's columns; one start binds them all."""
    if not (FOLDER / "node_modules").is_dir():
        raise FileNotFoundError("the query binder is not installed: run tests/infra/setup")
    done = subprocess.run(  # noqa: S603 - our own script
        ["node", str(FOLDER / "bind.mjs")],  # noqa: S607 - found on the path, as npm's
        input=json.dumps({"tables": TABLES, "queries": {text: text for text in queries}}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


@functools.cache
def shipped():
    """Return what ``bound`` says of every query: files, alerts, the workbook's tiles, seeded faults."""
    alerts = [rule.query for name in NAMES for rule in rules(name).values()]
    tiles = [workbook.as_run(tile.query) for tile in workbook.every_tile()]
    return bound({*QUERIES.values(), *alerts, *tiles, *SEEDED.values()})


def named(query):
    """Return every name of ours that a query holds: metrics, attributes, events."""
    quoted = set(re.findall(r'"((?:probe|error|http|server)\.[a-z_.]+|[A-Z][a-z]+[A-Z][a-z]+)"', query))
    return {name for name in quoted if not name.endswith(".")}
