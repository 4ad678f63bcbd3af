"""A short form of the long run in the worker; the whole one is in tests/long."""

import pytest

from tests.faults import soak


@pytest.mark.platform
@pytest.mark.asyncio(loop_scope="session")
async def test_what_a_worker_tells_under_churn_agrees_with_the_servers_log(pair):
    outcome = await soak.worker(8, lent=pair)

    assert outcome.problems == []
    assert outcome.figures["ticks in the document"] > 1
