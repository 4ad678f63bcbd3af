"""What all tests share: the Hypothesis profile, which tests one process runs together, and the event loop.

The profile makes the same examples on every run, and lets no clock decide. The loop is asyncio's own, or with
``LAB_LOOP=uvloop`` the one that the Functions platform uses; ``make test-runtimes`` asks for it.
"""

import importlib
import os

import pytest
from hypothesis import settings

TOGETHER = ("integration",)
"""Folders whose tests share one lab."""

settings.register_profile("gate", deadline=None, max_examples=60, derandomize=True, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("gate")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares a lab, or something else that is dear to make.

    Only ``make test`` divides the tests among processes (pytest-xdist); it begins with the largest group.
    """
    for each in items:
        folder = each.path.parent.name
        each.add_marker(pytest.mark.xdist_group(folder if folder in TOGETHER else each.path.stem))


if os.environ.get("LAB_LOOP") == "uvloop":

    def pytest_asyncio_loop_factories(config, item):  # noqa: ARG001 - the hook's own
        return {"uvloop": importlib.import_module("uvloop").new_event_loop}
