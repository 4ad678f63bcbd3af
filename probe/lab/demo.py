"""``make demo``: a scripted outage on the real function app, told live, then a summary that is computed.

Rules: the script only breaks and heals; every figure comes from the app's own status, read over HTTP from
the running app. It ends with 0 only if no read was lost and the outage was seen, routed around and left.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Group, RenderableType
from rich.text import Text

from probe import terminal
from probe.lab.account.pair import Pair
from probe.lab.functions.host import Host
from probe.lab.run import APP, app_settings, checked

SECOND = 3
"""Seconds between two ticks."""
SETTINGS = {
    "PROBE_SCHEDULE": f"*/{SECOND} * * * * *",
    "PROBE_TICK_BUDGET": "2.9",
    "PROBE_DEADLINE": "0.35",
    "PROBE_CONNECT_TIMEOUT": "0.3",
    "PROBE_SLOW_AFTER": "0.3",
    "PROBE_RETRY_DELAY": "0.02",
    "PROBE_SECONDARY_READS": "10",
    "PROBE_RPO": "6",
    "PROBE_FLUSH": "0.3",
}
LAG_RAISED = 60.0
_PATIENCE = 20
"""Ticks that the script waits for what must come, before it goes on without."""


@dataclass(slots=True, kw_only=True)
class Seen:
    """What the app's status has shown, tick by tick."""

    ticks: list[dict[str, Any]] = field(default_factory=list)
    broken_at: datetime | None = None
    healed_at: datetime | None = None

    def add(self, target: dict[str, Any]) -> bool:
        if target["at"] is None or (self.ticks and target["at"] <= self.ticks[-1]["at"]):
            return False
        self.ticks.append(target)
        return True

    @property
    def reads(self) -> list[dict[str, Any]]:
        return [read for tick in self.ticks for read in tick["reads"]]

    def served(self, by: str) -> int:
        return sum(read["served_by"] == by for read in self.reads)

    @property
    def worst(self) -> float:
        return max((read["duration_seconds"] for read in self.reads), default=0.0)

    @property
    def lags(self) -> list[float]:
        found = [tick["replication"]["lag_seconds"] for tick in self.ticks]
        return [each for each in found if each is not None]

    @property
    def stale(self) -> bool:
        return any(tick["endpoints"]["secondary"]["verdict"] == "stale" for tick in self.ticks)

    def moved(self, to: str, after: datetime | None) -> float | None:
        """Return the seconds from a time to the first transition after it, ``None`` where there was none."""
        times = [
            datetime.fromisoformat(move["at"])
            for tick in self.ticks
            for move in tick["transitions"]
            if move["to"] == to
        ]
        later = [(each - after).total_seconds() for each in times if after and each >= after]
        return min(later, default=None)


class Demo:
    """The script, and what it saw."""

    def __init__(self, record: Path | None = None) -> None:
        self.seen = Seen()
        self._record = record
        self._on = terminal.console(record=record is not None)
        self.exit_code = 1

    async def run(self) -> None:
        """Play the script; ``exit_code`` says how it went."""
        self._tell("Starting a geo-redundant account in a box and the function app on it …")
        async with Pair(host=True, lag=0.5) as pair:
            settings = checked(app_settings(pair, SETTINGS))
            async with (
                Host(APP, settings, port=0, tell=self._trouble) as host,
                aiohttp.ClientSession() as session,
            ):
                url = f"{host.url('status')}?format=json"
                follow = asyncio.create_task(self._follow(session, url))
                try:
                    await self._play(pair)
                finally:
                    follow.cancel()
                    await asyncio.gather(follow, return_exceptions=True)
        self._summary()

    async def _play(self, pair: Pair) -> None:
        self._tell(
            "All is well: reads go to the primary (P); the first canary is on its way to the secondary."
        )
        await self._until(lambda tick: tick["verdict"] == "ok", ticks=2)
        self._tell("The primary answers 503 to everything.")
        self.seen.broken_at = datetime.now(UTC)
        pair.primary.fault("status", code=503)
        await self._until(lambda tick: tick["breaker"]["state"] == "open", ticks=1)
        await self._next(1)
        self._tell("Worse: the primary takes connections and never answers.")
        pair.primary.fault("black_hole")
        await self._next(3)
        self._tell("The primary is healed. The next trials will show it.")
        self.seen.healed_at = datetime.now(UTC)
        pair.primary.heal()
        await self._until(lambda tick: tick["breaker"]["state"] == "closed", ticks=1)
        await self._next(1)
        self._tell(
            f"Replication falls behind: lag {LAG_RAISED:.0f} s, with an RPO of {SETTINGS['PROBE_RPO']} s."
        )
        pair.replicator.lag = LAG_RAISED
        await self._until(lambda tick: tick["endpoints"]["secondary"]["verdict"] == "stale", ticks=1)
        self._tell("Replication catches up.")
        pair.replicator.lag = 0.5
        await self._until(lambda tick: tick["endpoints"]["secondary"]["verdict"] == "healthy", ticks=1)

    async def _next(self, ticks: int) -> None:
        await self._until(lambda _: True, ticks=ticks)

    async def _until(self, holds: Any, *, ticks: int) -> None:  # noqa: ANN401 - a predicate over a tick
        """Wait until so many ticks from now on hold, or patience ends."""
        start, deadline = len(self.seen.ticks), time.monotonic() + _PATIENCE * SECOND
        while time.monotonic() < deadline:
            if sum(map(holds, self.seen.ticks[start:])) >= ticks:
                return
            await asyncio.sleep(0.05)
        self._tell("… which did not come in time; going on.")

    async def _follow(self, session: aiohttp.ClientSession, url: str) -> None:
        while True:
            async with session.get(url) as response:
                target = (await response.json())["targets"][0]
            if self.seen.add(target):
                self._show(_line(target), *_moves(target))
            await asyncio.sleep(0.2)

    def _tell(self, text: str) -> None:
        self._show(Text(text if self._on.is_terminal else f"== {text}", "bold"))

    def _show(self, *parts: RenderableType) -> None:
        terminal.show(parts, self._on)

    def _trouble(self, line: str) -> None:
        if line.startswith(("ERROR", "CRITICAL", "'")):
            print(line, file=sys.stderr, flush=True)

    def _summary(self) -> None:
        seen = self.seen
        away, back = seen.moved("open", seen.broken_at), seen.moved("closed", seen.healed_at)
        lost, lags = seen.served("none"), seen.lags
        rows = [
            ("reads served by the primary (P)", str(seen.served("primary"))),
            ("reads served by the secondary (S)", str(seen.served("secondary"))),
            ("reads served by none", str(lost)),
            ("from the fault to routed away", _s(away)),
            ("from healing to routed back", _s(back)),
            ("worst read", _s(seen.worst)),
            (
                "largest lag, and at the end",
                f"{_s(max(lags, default=None))}, {_s(lags[-1] if lags else None)}",
            ),
            ("lag over the RPO was told", "yes" if seen.stale else "NO"),
        ]
        figures = terminal.table()
        for each in rows:
            figures.add_row(*each)
        good = lost == 0 and away is not None and back is not None and seen.stale
        self.exit_code = 0 if good else 1
        self._show("", terminal.indented(figures), "")
        self._tell("No read was lost." if lost == 0 else f"{lost} reads were LOST.")
        self._show("The same by hand: make run, and break it with single keys or over HTTP as it tells.")
        if self._record:
            self._record.write_text(terminal.svg(self._on, "make demo"), encoding="utf-8")


def _line(target: Mapping[str, Any]) -> RenderableType:
    """Return a tick in one line, or in two where the terminal is narrow."""
    letters = "".join(
        {"primary": "P", "secondary": "S"}.get(read["served_by"], "-") for read in target["reads"]
    )
    word = target["verdict"]
    head = Text.assemble(
        f"{target['at'][11:19]}  {letters:<5}  ", terminal.verdict(word), " " * (11 - len(word))
    )
    ends = [_ended(*each) for each in target["endpoints"].items()]
    lag = _s(target["replication"]["lag_seconds"])
    rest = Text.assemble(*ends, f"breaker {target['breaker']['state']:<9}  lag {lag}")
    wide = Text.assemble(head, "  ", rest)
    return terminal.Fitting(wide, Group(head, terminal.indented(rest, 10)), len(wide))


def _moves(target: Mapping[str, Any]) -> list[RenderableType]:
    moves = target["transitions"]
    return [terminal.indented(f"{move['from']} -> {move['to']}: {move['reason']}", 10) for move in moves]


def _ended(name: str, end: Mapping[str, Any]) -> Text:
    shown = end["error_type"] or end["verdict"]
    return Text.assemble(f"{name} ", (f"{shown:<10}", terminal.verdict(end["verdict"]).style))


def _s(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} s"
