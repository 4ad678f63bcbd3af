"""Staged situations: half an hour of ticks that are really run, and the status document at their end."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from probe import status
from probe.lab.world import MINUTE, NOON, World, clock, run, target, world
from probe.status import Memory, Page

OK, BUSY = ("ok", "ok"), ("503", "ok")
READ_AFTER = timedelta(seconds=9)
"""How long after the last tick's end the page is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What primary and secondary do in each tick, a minute apart, and what else happens before each."""

    name: str
    script: tuple[tuple[str, str], ...]
    before: Callable[[World, int], object] = lambda _, __: None
    read_after: timedelta = READ_AFTER


def stats_unavailable(probe: World, number: int) -> None:
    probe.account.stats = "unavailable" if number > 30 else "live"


def store_down(probe: World, number: int) -> None:
    probe.store.trouble = {"load": "503", "save": "503"} if number > 25 else {}


def offline(probe: World, _: int) -> None:
    probe.inner.store_is_remote = False


def stranger(probe: World, number: int) -> None:
    if number == 30:
        probe.account.write_as("laptop")


QUIET = (OK,) * 30
STAGED = (
    Staged(name="quiet", script=QUIET * 2),
    Staged(name="outage", script=(*QUIET, *(BUSY,) * 13)),
    Staged(name="recovered", script=(*QUIET, *(BUSY,) * 9, *(OK,) * 9)),
    Staged(name="both down", script=(*QUIET, *(("503", "timeout"),) * 4)),
    Staged(name="failover with loss", script=(*QUIET, *(("ok", "stale"),) * 4, *(("lost", "dns"),) * 3)),
    Staged(name="lag", script=(*QUIET, *(("ok", "stale"),) * 22)),
    Staged(name="replication unavailable", script=(*QUIET, *(OK,) * 8), before=stats_unavailable),
    Staged(name="offline", script=(*QUIET, *(("dns", "dns"),) * 3), before=offline),
    Staged(name="second writer", script=(*QUIET, *(OK,) * 5), before=stranger),
    Staged(name="writes refused", script=(*QUIET, *(("read-only", "stale"),) * 10)),
    Staged(name="state store down", script=QUIET, before=store_down),
    Staged(name="silent", script=QUIET, read_after=timedelta(minutes=27)),
    Staged(name="never ticked", script=()),
)
BY_NAME = {each.name: each for each in STAGED}


async def played(staged: Staged) -> World:
    """Return the world at the time when the page is read."""
    probe = world(target("contoso"))
    probe.account.begin()
    for number, script in enumerate(staged.script):
        await probe.until(NOON + number * MINUTE)
        staged.before(probe, number)
        probe.account.behave(*script)
        await probe.tick()
    await probe.until(clock() + staged.read_after)
    return probe


async def _shown(staged: Staged) -> dict[str, Any]:
    probe = await played(staged)
    page = Page(shards=[probe.targets], vantage="uksouth", interval=MINUTE, budget=timedelta(seconds=45))
    memory = Memory(ticks=probe.inner.last_known)
    return await status.document(probe.store, page, memory, clock())


@cache
def _document(name: str) -> str:
    return json.dumps(run(_shown(BY_NAME[name])))


def document(name: str) -> dict[str, Any]:
    """Return the status document of a staged situation; each caller's own."""
    return json.loads(_document(name))


def fleet(count: int) -> dict[str, Any]:
    """Return the status of a fleet in which a few targets need somebody."""
    kinds = {name: document(name) for name in ("quiet", "outage", "both down", "lag")}
    now = max(each["generated_at"] for each in kinds.values())
    unwell = {3: "outage", 7: "lag", 11: "both down", 12: "outage"}
    targets = []
    for number in range(count):
        (one,) = kinds[unwell.get(number % 500, "quiet")]["targets"]
        targets.append({**one, "name": f"store-{number:05}", "shard": 0})
    return {**kinds["quiet"], "generated_at": now, "targets": targets}


def unreachable() -> dict[str, Any]:
    """Return the status of an instance that cannot read the state and has seen no tick."""
    probe = world(target("contoso"))
    probe.store.down()
    page = Page(shards=[probe.targets], vantage="uksouth", interval=MINUTE, budget=timedelta(seconds=45))
    return run(status.document(probe.store, page, Memory(), NOON))


def misconfigured() -> dict[str, Any]:
    return {
        "schema": 2,
        "generated_at": "2026-03-01T12:00:00.000000Z",
        "fresh": False,
        "problems": [
            "PROBE_READS: holds 'many', which is no whole number; set it from 1 to 1000",
            "ProbedStorage: is not set; give a connection string, or ProbedStorage__blobServiceUri",
        ],
        "shards": [],
        "targets": [],
    }


EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"' style=position:fixed </style><b>{{7*7}}"


def hostile() -> dict[str, Any]:
    """Return an outage in which every text tries to be markup, a style, a script or a link."""

    def poisoned(value: Any, key: str = "") -> Any:
        match value:
            case dict():
                return {name: poisoned(each, name) for name, each in value.items()}
            case list():
                return [poisoned(each, key) for each in value]
            case str() if key in ("reason", "url", "request_id", "name", "error_type", "error", "kind"):
                return f"{value}{EVIL}"
            case _:
                return value

    found = document("outage")
    shards = [{**each, "error": EVIL} for each in found["shards"]]
    return poisoned({**found, "vantage": EVIL, "shards": shards})
