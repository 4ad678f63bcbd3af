"""Ways to run the probe on a pair: in this process, tick by tick, or as the commands a user runs."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probe import compose
from probe.core.report import TickReport
from probe.core.target import Location
from probe.lab.account.pair import Pair
from probe.tick import Firing
from tests.timing import PATIENCE

ROOT = Path(__file__).parents[2]
# Short enough for a test that waits for them, long enough for a machine that has much else to do.
QUICK = {
    "PROBE_DEADLINE": "1",
    "PROBE_CONNECT_TIMEOUT": "0.8",
    "PROBE_SLOW_AFTER": "1",
    "PROBE_RETRY_DELAY": "0.01",
}


def environment(pair: Pair, state: str, **more: str) -> dict[str, str]:
    """Return the settings of one target of its own on a pair."""
    return {
        "ProbedStorage": pair.connection_string,
        **({"AzureWebJobsStorage": pair.host_connection_string} if pair.host else {}),
        "PROBE_STATE": state,
        "PROBE_CONTAINER": f"probe-{uuid.uuid4().hex[:12]}",
        **QUICK,
        **more,
    }


async def seed(settings: dict[str, str], pair: Pair) -> None:
    """Leave the canary that an earlier tick would have: the very first is replicated only after its tick."""
    await ticked({**settings, "PROBE_STATE": "memory", "APPLICATIONINSIGHTS_CONNECTION_STRING": ""}, pair)


async def ticked(settings: dict[str, str], pair: Pair) -> None:
    """Tick once in this process, and let the canary arrive."""
    app = compose.build(settings)
    try:
        await app.fire(Firing(scheduled_at=compose.utc_now()))
    finally:
        await app.aclose()
    await pair.replicator.caught_up()


@dataclass
class Ticking:
    """The probe in this process: one app, ticked by hand."""

    app: compose.App
    reports: list[TickReport] = field(default_factory=list)

    async def tick(self) -> TickReport:
        self.reports.append(await self.app.fire(Firing(scheduled_at=compose.utc_now())))
        return self.reports[-1]

    def letters(self) -> list[str]:
        names = {Location.PRIMARY: "P", Location.SECONDARY: "S", None: "-"}
        return ["".join(names[read.served_by] for read in each.targets[0].reads) for each in self.reports]


@dataclass
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def target(self) -> dict[str, Any]:
        return self.document["targets"][0]


@asynccontextmanager
async def running(settings: dict[str, str], *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command with these settings alone; it ends with the test, whatever becomes of it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "probe", *arguments),
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def start(settings: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    base = {name: value for name, value in os.environ.items() if not name.startswith(("PROBE_", "AzureWeb"))}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "probe",
        *arguments,
        cwd=ROOT,
        env={**base, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def command(settings: dict[str, str], *arguments: str) -> Ran:
    """Run ``python -m probe`` to its end."""
    process = await start(settings, *arguments)
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


_TICKS = """
import asyncio, json, os, sys
from probe import compose
from probe.core.report import document
from probe.tick import Firing

async def main():
    app = compose.build(os.environ)
    for _ in range(int(sys.argv[1])):
        print(json.dumps(document(await app.fire(Firing(scheduled_at=compose.utc_now())))), flush=True)
    await app.aclose()

asyncio.run(main())
"""


async def ticks(settings: dict[str, str], count: int) -> list[dict[str, Any]]:
    """Tick in a process of its own, as often as told, and return the documents."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _TICKS,
        str(count),
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]
