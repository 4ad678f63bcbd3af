"""What all tests share: the Hypothesis profile, which tests one process runs together, and the event loop.

The profile makes the same examples on every run, and lets no clock decide. The loop is asyncio's own, or with
``LAB_LOOP=uvloop`` the one that the Functions platform uses; ``make test-runtimes`` asks for it.
"""

import importlib
import os
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("integration",)
"""Folders whose tests share one lab."""
FIRST = ("integration", "contract", "worker", "telemetry", "infra", "property", "faults", "unit")
"""Folders from slow to quick: what takes long must not begin last."""

settings.register_profile("gate", deadline=None, max_examples=60, derandomize=True, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("gate")


class ByFile(LoadScopeScheduling):
    """Gives each process of ``make test`` whole files, and folders that share a lab whole."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        return file.parent.name if file.parent.name in TOGETHER else str(file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Divide the tests our way: xdist's own groups do nothing with pytest 9, whose node ids are fixed."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the slow ones, where several processes share the work."""
    if hasattr(config, "workerinput"):
        ranks = {folder: rank for rank, folder in enumerate(FIRST)}
        items.sort(key=lambda each: ranks.get(each.path.parent.name, 0))


@pytest.fixture(params=[os.environ.get("LAB_LOOP")] if os.environ.get("LAB_LOOP") else ["asyncio", "uvloop"])
def worker_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the worker processes of a test run on each event loop in turn."""
    monkeypatch.setenv("LAB_LOOP", request.param)


if os.environ.get("LAB_LOOP") == "uvloop":

    def pytest_asyncio_loop_factories(config, item):  # noqa: ARG001 - the hook's own
        return {"uvloop": importlib.import_module("uvloop").new_event_loop}
