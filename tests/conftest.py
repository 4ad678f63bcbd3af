"""What all tests share: the Hypothesis profile, and which tests one process runs together.

The profile makes the same examples on every run, and lets no clock decide.
"""

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
