"""The same on instances that live for one tick: what the page shows comes from the saved state alone."""

import pytest

from tests.browser import driven
from tests.browser.live import watched_through

pytestmark = [pytest.mark.azurite, pytest.mark.asyncio]


async def test_the_page_shows_it_all_when_each_tick_has_a_process_of_its_own():
    if why := driven.missing():
        pytest.skip(why)
    with driven.browser() as browser:
        await watched_through(browser, churn=True)
