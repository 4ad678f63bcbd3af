"""What all tests share: the Hypothesis profile, which tests one process runs together, and the event loop.

The profile makes the same examples on every run of ``make test``, and lets no clock decide. The loop is
asyncio's own, or with ``LAB_LOOP=uvloop`` the one that the Functions platform uses; ``make test-runtimes``
asks for it.

What Python compiles is kept, even where the machine forbids it: these tests start hundreds of processes.
Ctrl-C is heard even where a shell began the tests in the background, whose jobs would ignore it for ever.
And nothing is broken to the width of a terminal that xdist tells its processes of.
"""

import importlib
import os
import signal
import sys
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.amounts import SHARE, amount

TOGETHER = ("test_alert_tapes.py", "test_pages.py", "test_queries.py", "test_readme.py", "test_workbook.py")
"""Files that run queries on the same tapes: to play, translate and bind them costs more than the tests."""
FIRST = ("integration", "contract", "worker", "telemetry", "infra", "property", "faults", "unit")
"""Folders from slow to quick: what takes long must not begin last."""
LONG = ("long", "property")
"""Folders whose tests all have a long form."""

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.dont_write_bytecode = False
for name in ("PYTHONDONTWRITEBYTECODE", "COLUMNS", "LINES"):
    os.environ.pop(name, None)

settings.register_profile(
    "ours", deadline=None, max_examples=amount(40, 2000), derandomize=not SHARE, print_blob=True
)
settings.load_profile("ours")


class ByFile(LoadScopeScheduling):
    """Gives each process of ``make test`` whole files, and the files that share more to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        return "queries" if file.name in TOGETHER else str(file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Divide the tests our way: xdist's own groups do nothing with pytest 9, whose node ids are fixed."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is long; begin with the slow ones, where several processes share the work."""
    for each in items:
        if each.path.parent.name in LONG:
            each.add_marker("long")
    if hasattr(config, "workerinput"):
        ranks = {folder: rank for rank, folder in enumerate(FIRST)}
        items.sort(key=lambda each: ranks.get(each.path.parent.name, 0))


@pytest.fixture
def worker_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the worker processes of a test run on the platform's event loop, where none was asked for."""
    monkeypatch.setenv("LAB_LOOP", os.environ.get("LAB_LOOP") or "uvloop")


if os.environ.get("LAB_LOOP") == "uvloop":

    def pytest_asyncio_loop_factories(config, item):  # noqa: ARG001 - the hook's own
        return {"uvloop": importlib.import_module("uvloop").new_event_loop}
