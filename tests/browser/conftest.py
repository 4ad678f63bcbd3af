"""What the browser tests share: a browser and a shelf of pages for a file; left out where there is none."""

from collections.abc import Iterator

import pytest

from tests.browser import driven


@pytest.fixture(scope="module")
def browser() -> Iterator[driven.Browser]:
    if why := driven.missing():
        pytest.skip(why)
    with driven.browser() as found:
        yield found


@pytest.fixture(scope="module")
def shelf() -> Iterator[driven.Shelf]:
    with driven.shelf() as found:
        yield found
