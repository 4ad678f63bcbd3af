"""The whole function app on the lab through an outage, its end, lag and a failover, seen on its page."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from probe.lab.account.pair import Pair
from probe.lab.functions.host import Host
from probe.lab.run import APP
from tests.browser.driven import Browser
from tests.integration.probe_runs import environment

RPO = 2
SETTINGS = {
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "PROBE_SCHEDULE": "* * * * * *",
    "PROBE_TICK_BUDGET": "0.9",
    "PROBE_FLUSH": "0.05",
    "PROBE_DEADLINE": "0.4",
    "PROBE_CONNECT_TIMEOUT": "0.4",
    "PROBE_SLOW_AFTER": "0.4",
    "PROBE_SECONDARY_READS": "5",
    "PROBE_RPO": str(RPO),
}
WIDE = {"width": 1280, "height": 800, "headers": {"Accept": "text/html"}}


class Watched:
    """The app's page, and its timer, which fires when it is told to."""

    def __init__(self, browser: Browser, timer: Host, url: str) -> None:
        self._browser, self._timer, self._url = browser, timer, url

    async def tick(self) -> str:
        """Run a tick, and return the page's first sentence after it."""
        await asyncio.sleep(1.05)  # real time: a tick of the same second would be a duplicate
        fired = await self._timer.fire("probe_tick")
        assert fired.succeeded, fired
        await asyncio.to_thread(self._browser, "open", url=self._url, **WIDE)
        return str(await asyncio.to_thread(self._browser, "firstScreen"))

    async def until(self, *words: str, within: int = 12) -> str:
        """Tick until the page's first screen says all of it."""
        for _ in range(within):
            seen = await self.tick()
            if all(each in seen for each in words):
                return seen
        raise AssertionError(f"after {within} ticks the page does not say {words}: {seen}")


@asynccontextmanager
async def watching(browser: Browser, *, churn: bool) -> AsyncIterator[tuple[Pair, Watched]]:
    """Host the app on a pair of its own, with a new process for each tick where it churns."""
    async with contextlib.AsyncExitStack() as stack:
        pair = await stack.enter_async_context(Pair(host=True))
        vantage = f"page-{uuid.uuid4().hex[:6]}"
        settings = environment(pair, "AzureWebJobsStorage", **SETTINGS, PROBE_VANTAGE=vantage)

        def host(*functions: str, **more: object) -> Host:
            return Host(APP, settings, functions=functions, schedules=False, tell=lambda _: None, **more)

        timer = await stack.enter_async_context(host("probe_tick", port=None, churn=churn))
        http = await stack.enter_async_context(host("status", "health", port=0))
        yield pair, Watched(browser, timer, http.url("status"))


async def watched_through(browser: Browser, *, churn: bool) -> None:
    """Drive all of it, and look at the page at each turn."""
    async with watching(browser, churn=churn) as (pair, page):
        await page.until("ALL IS WELL", "Reads from the primary since", "protected")

        pair.primary.fault("status", code=503)
        seen = await page.until("REROUTED", "Reads from the SECONDARY since", "primary answers 503")
        assert "Do not Fail over: reads are served." in seen
        assert "Writes NO" in seen

        pair.heal()
        await page.until("Reads from the primary since", "An incident of", "is over", "no reads lost")

        pair.replicator.lag = None
        seen = await page.until("BEHIND THE RPO", "a failover now may lose every write since")
        assert "lag-over-rpo" in seen

        lost = pair.fail_over()
        seen = await page.until("FAILED OVER WITH LOSS", f"{lost} acknowledged canary writes", "UNPROTECTED")
        assert "Compare your own data of that time" in seen
        assert "Do not Fail over again: there is no second copy." in seen
