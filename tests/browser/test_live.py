"""The function app in the real worker, on the lab: what its page says through an outage and a failover."""

import pytest

from tests.browser.live import watched_through

pytestmark = [pytest.mark.azurite, pytest.mark.asyncio]


async def test_the_page_shows_outage_recovery_lag_and_a_failover_with_loss(browser):
    await watched_through(browser, churn=False)
