"""What the host's tests stand on: one real Azurite for all, and for each test a stage with its own queue."""

import asyncio
import json
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from azure.storage.queue.aio import QueueClient

from probe.lab.account.azurite import ACCOUNT, KEY, Azurite
from probe.lab.account.pair import Pair
from probe.lab.functions.host import Host
from tests.timing import PATIENCE

APP = Path(__file__).parent / "apps" / "sample"


@dataclass(kw_only=True)
class Stage:
    """The sample app's surroundings: its settings, what it is told to do, and what it has seen."""

    folder: Path
    storage: str
    queue_name: str
    lines: list[str] = field(default_factory=list)
    app: Path = APP

    @property
    def settings(self) -> dict[str, str]:
        return {
            "SCHEDULE": "0 0 0 1 1 *",
            "QUEUE": self.queue_name,
            "AzureWebJobsStorage": self.storage,
            "ORDERS": str(self.folder / "orders.json"),
            "SEEN": str(self.folder),
        }

    def host(self, *functions: str, **options: Any) -> Host:
        settings = self.settings | options.pop("settings", {})
        app = options.pop("app", self.app)
        chosen = {"port": None, "tell": self.lines.append, "functions": functions or None}
        return Host(app, settings, **{**chosen, **options})

    def order(self, **told: Any) -> None:
        """Tell the timer function what to do from now on."""
        (self.folder / "orders.json").write_text(json.dumps(told))

    def seen(self, what: str) -> list[dict[str, Any]]:
        found = sorted(self.folder.glob(f"*-{what}-*.json"))
        return [json.loads(path.read_text()) for path in found]

    async def until_seen(self, what: str, count: int) -> list[dict[str, Any]]:
        await until(lambda: len(self.seen(what)) >= count, f"{count} of {what}")
        return self.seen(what)

    def app_with(self, **host_json: Any) -> Path:
        """Copy the sample app, with another host.json."""
        copied = self.folder / "app"
        shutil.copytree(self.app, copied)
        told = json.loads((copied / "host.json").read_text())
        (copied / "host.json").write_text(json.dumps({**told, **host_json}))
        return copied

    async def until_told(self, text: str) -> str:
        await until(lambda: any(text in line for line in self.lines), text)
        return next(line for line in self.lines if text in line)

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        await until(holds, what)

    def queue(self, suffix: str = "") -> QueueClient:
        return QueueClient.from_connection_string(self.storage, self.queue_name + suffix)


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for another process to have done something, not longer than patience lasts."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        await asyncio.sleep(0.01)


@pytest.fixture(name="until")
def fixture_until() -> Callable[..., Any]:
    return until


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def storage() -> AsyncIterator[str]:
    async with Azurite(services=("queue",)) as azurite:
        endpoint = f"{azurite.url('queue')}/{ACCOUNT}"
        account = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY}"
        yield f"{account};QueueEndpoint={endpoint}"


NOWHERE = (
    f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};QueueEndpoint=http://127.0.0.1:9/a"
)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Give a stage whose storage is never asked: for tests that serve no queue."""
    return Stage(folder=tmp_path, storage=NOWHERE, queue_name="none")


@pytest.fixture
def queue_stage(tmp_path: Path, storage: str) -> Stage:
    return Stage(folder=tmp_path, storage=storage, queue_name=f"shards-{uuid.uuid4().hex[:12]}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lab() -> AsyncIterator[Pair]:
    async with Pair(host=True) as pair:
        yield pair


@pytest_asyncio.fixture(loop_scope="session")
async def pair(lab: Pair) -> AsyncIterator[Pair]:
    """Lend the geo-redundant account that the deployed app is run on, without faults."""
    lab.heal()
    yield lab
    lab.heal()
