"""``make run``: the pair, the Functions host on it, the admin port and the keys, until it is told to end.

Rules: the app runs from its own folder with app settings alone, as deployed; the settings are quick ones, so
that a minute shows what an hour would; what the user has set as ``PROBE_…`` comes before them. With churn it
runs as on Flex Consumption at its worst: the timer, the queue and all HTTP functions on instances of their
own, and a new worker process for each tick.
Source: https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#per-function-scaling
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from probe import compose
from probe.core.errors import ConfigurationError
from probe.lab.account.pair import Pair
from probe.lab.admin import Admin
from probe.lab.errors import LabError
from probe.lab.functions.host import Host, tell_terminal
from probe.lab.keys import Keys, help_lines

APP = Path(__file__).parents[2]
QUICK = {
    "PROBE_SCHEDULE": "*/5 * * * * *",
    "PROBE_TICK_BUDGET": "4.5",
    "PROBE_DEADLINE": "0.6",
    "PROBE_CONNECT_TIMEOUT": "0.4",
    "PROBE_SLOW_AFTER": "0.4",
    "PROBE_RETRY_DELAY": "0.05",
    "PROBE_RPO": "30",
    "PROBE_FLUSH": "0.5",
}
"""Settings that make a tick each 5 s possible, on a schedule that is told in seconds."""
INSTANCES = {"timer": ("probe_tick",), "queue": ("probe_shard",), "http": ("status", "health")}
"""The functions that share an instance on Flex Consumption."""
_PASSED = ("PROBE_", "APPLICATIONINSIGHTS_", "OTEL_", "ProbedStorage")


def app_settings(pair: Pair, quick: Mapping[str, str] = QUICK) -> dict[str, str]:
    """Return the app settings of the function app on a pair; the user's own come first."""
    own = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
    return {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": pair.host_connection_string,
        "ProbedStorage": pair.connection_string,
        "PROBE_VANTAGE": "lab",
        **quick,
        **own,
    }


def checked(settings: Mapping[str, str]) -> Mapping[str, str]:
    """Return settings that the app can use. Raises ``LabError`` with what is wrong with the user's own."""
    try:
        compose.load(settings)
    except ConfigurationError as error:
        lines = "\n".join(f"  {line}" for line in error.problems)
        raise LabError(f"The settings cannot be used:\n{lines}") from None
    return settings


async def run(*, port: int, admin_port: int, lag: float, churn: bool, seconds: float | None) -> None:
    """Run the lab until it is cancelled, or for so many seconds."""
    tell_terminal("Starting two storage services, the replication between them and the host's own …")
    async with Pair(host=True, lag=lag) as pair, _operated(pair, admin_port) as operated:
        pair.events.listen(lambda event: tell_terminal(f"lab: {event}"))
        settings = checked(app_settings(pair))
        async with hosted(settings, port=port, churn=churn) as host:
            tell_terminal(f"Status: {host.root}/api/status?format=json")
            tell_terminal(f"Health: {host.root}/api/health")
            for line in operated:
                tell_terminal(line)
            tell_terminal(f"Ticks by the schedule {settings['PROBE_SCHEDULE']!r}. Ctrl-C ends it all.")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asyncio.get_running_loop().create_future()


@contextlib.asynccontextmanager
async def hosted(settings: Mapping[str, str], *, port: int, churn: bool) -> AsyncIterator[Host]:
    """Host the app, on one instance or with churn on several, and lend the host that serves HTTP."""
    if not churn:
        async with Host(APP, settings, port=port) as host:
            yield host
        return
    async with contextlib.AsyncExitStack() as stack:
        for name in ("timer", "queue"):
            await stack.enter_async_context(instance(name, settings, churn=True))
        yield await stack.enter_async_context(instance("http", settings, port=port))


def instance(name: str, settings: Mapping[str, str], **options: Any) -> Host:  # noqa: ANN401 - Host's own
    """Return the host of one kind of instance; its lines begin with the instance's name."""
    return Host(
        APP,
        settings,
        **{
            "functions": INSTANCES[name],
            "port": None,
            "tell": lambda line: tell_terminal(f"{name}: {line}"),
            **options,
        },
    )


@contextlib.asynccontextmanager
async def _operated(pair: Pair, port: int) -> AsyncIterator[list[str]]:
    async with Admin(pair, port=port) as admin:
        with Keys(pair, say=tell_terminal) as keys:
            lab = f"Lab: {admin.url} switches faults and lag (GET / tells how)"
            yield [lab, *(help_lines() if keys.active else ())]
