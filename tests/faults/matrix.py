"""The fault matrix: every fault of the lab at each location in each state of the breaker, on real sockets.

A cell is a fault, where it strikes, and the breaker's state when it does. It has an account and an app of its
own: ``other_account.Account`` behind two of the lab's proxies, over TLS, under names; the app is the one that
is deployed, its exchange and all. The breaker comes to its state by what happens to it: a 503 for a tick or
two. Then the fault strikes for two ticks, and heals. ``surprises`` names what came out as it must not.

``SETTINGS`` has short deadlines, and a dwell of 8 reads: just so many that a breaker is half-open at the end
of a tick. Where the real thing is harsher: an outage there is seldom one fault alone, and never so quick.
"""

import asyncio
import logging
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from probe import compose
from probe.adapters.exchange import tls_context
from probe.core.breaker import State, Trigger
from probe.core.report import TargetReport
from probe.core.target import Location
from probe.lab.account import names
from probe.lab.account.certificates import Certificates
from probe.lab.account.events import Events
from probe.lab.account.faults import KINDS, Kind
from probe.lab.account.proxy import Proxy, Role
from probe.tick import Firing
from tests.faults.other_account import Account
from tests.reliability import results

PRIMARY, SECONDARY = Location.PRIMARY, Location.SECONDARY
P, S, BOTH = (PRIMARY,), (SECONDARY,), (PRIMARY, SECONDARY)
SIDES = (P, S, BOTH)
DEADLINE, SLOW = 2, 1
SETTINGS = {
    "PROBE_DEADLINE": str(DEADLINE),
    "PROBE_CONNECT_TIMEOUT": "1.5",
    "PROBE_SLOW_AFTER": str(SLOW),
    "PROBE_RETRY_DELAY": "0.01",
    "PROBE_SECONDARY_READS": "8",
    "PROBE_STATE": "memory",
    "PROBE_VANTAGE": "here",
}
STRUCK = 2
"""Ticks that a fault lasts."""
PATIENCE = 12
"""Ticks within which all must be well after the healing; a dwell that was doubled has 16 reads."""
AT_ONCE = 16
"""Cells that are played side by side: most of them wait for a deadline most of the time."""
REASON = 90
"""Characters of a reason that the table shows."""


@dataclass(frozen=True, slots=True)
class Case:
    """A fault with its options: the ``error.type`` that it must be told as, and what it makes of a location.

    ``secondary``: the secondary's verdict, where it is another than the primary's. ``trips``: it is an outage
    of the path, so that the breaker must leave the primary.
    """

    kind: Kind
    options: dict[str, object]
    error: str | None
    primary: str
    secondary: str
    trips: bool = False
    sometimes: bool = False
    """It strikes some requests only: whether one of ours is among them, chance decides."""

    @property
    def name(self) -> str:
        told = " ".join(str(each) for each in self.options.values())
        return f"{self.kind} {told}".strip()

    def word(self, location: Location, sides: tuple[Location, ...]) -> str:
        """Return a location's verdict: a secondary is only absent beside a healthy primary."""
        return (
            self.secondary
            if location is SECONDARY and (sides == S or self.kind is not Kind.DNS)
            else self.primary
        )

    def serves(self, location: Location) -> bool:
        """Return whether the location serves reads all the same."""
        return (self.primary if location is PRIMARY else self.secondary) in ("healthy", "degraded")


def outage(kind: Kind, error: str, **options: object) -> Case:
    return Case(kind, options, error, "down", "down", trips=True)


CASES = (
    Case(Kind.DNS, {}, "dns", "down", "absent", trips=True),
    outage(Kind.REFUSE, "refused"),
    outage(Kind.BLACK_HOLE, "timeout"),
    outage(Kind.CONNECT_DROP, "connect_timeout"),
    outage(Kind.LATENCY, "timeout", seconds=5.0),
    Case(Kind.LATENCY, {"seconds": 1.2}, None, "degraded", "degraded", trips=True),
    outage(Kind.HEADER_DRIP, "timeout"),
    outage(Kind.BODY_DRIP, "timeout"),
    outage(Kind.TRUNCATE, "truncated"),
    outage(Kind.RESET, "reset"),
    outage(Kind.GARBAGE, "protocol"),
    *(outage(Kind.TLS, "tls", mode=mode) for mode in ("untrusted", "expired", "wrong_host", "plain")),
    *(outage(Kind.STATUS, str(code), code=code) for code in (500, 503, 429)),
    Case(Kind.STATUS, {"code": 401}, "401", "denied", "denied"),
    Case(Kind.STATUS, {"code": 403}, "403", "denied", "denied"),
    Case(Kind.STATUS, {"code": 404}, "404", "missing", "missing"),
    Case(Kind.CORRUPT, {}, "digest", "corrupt", "corrupt"),
    Case(Kind.STALE, {}, "rollback", "corrupt", "healthy"),
    Case(Kind.FLAP, {"of": "status", "every": 2}, "503", "degraded", "degraded", sometimes=True),
)
assert {each.kind for each in CASES} == set(KINDS), "every fault of the lab"


@dataclass(frozen=True, slots=True)
class Cell:
    case: Case
    sides: tuple[Location, ...]
    state: State

    def __str__(self) -> str:
        return f"{self.case.name} at {'+'.join(self.sides)}, {self.state}"


CELLS = tuple(Cell(case, sides, state) for case in CASES for sides in SIDES for state in State)


@dataclass(slots=True)
class Outcome:
    """What the probe said: tick by tick under the fault, and after it."""

    cell: Cell
    under: list[TargetReport]
    after: list[TargetReport]

    @property
    def lost(self) -> int:
        return sum(_lost(each) for each in self.under + self.after)

    @property
    def worst(self) -> timedelta:
        return max(read.duration for each in self.under + self.after for read in each.reads)

    @property
    def away(self) -> int | None:
        """In which tick of the fault the breaker opened, 0 when it was open; ``None`` where it did not."""
        if self.cell.state is State.OPEN:
            return 0
        return next((n for n, each in enumerate(self.under, 1) if _moves(each) & LEAVES), None)

    @property
    def back(self) -> int | None:
        """In which tick after the healing all was well, the breaker closed and each read the primary's."""
        return next((n for n, each in enumerate(self.after, 1) if _is_well(each)), None)

    def errors(self, location: Location) -> set[str]:
        found = {each.error_type for report in self.under for each in report.at(location)}
        return {each for each in found if each}

    def surprises(self) -> list[str]:
        """Return what must not be, in words; nothing, when all came out as it must."""
        return [*self._of_reads(), *self._of_locations(), *self._of_breaker()]

    def _of_reads(self) -> Iterator[str]:
        case, sides = self.cell.case, self.cell.sides
        can_serve = any(each not in sides or case.serves(each) for each in Location)
        for each in self.under:
            if can_serve and _lost(each):
                yield f"{_lost(each)} reads were lost while one location could serve"
            if not can_serve and _lost(each) < len(each.reads):
                yield "a read was served that nobody could serve"
            expected = "rerouted" if any(read.served_by is SECONDARY for read in each.reads) else "ok"
            if not can_serve:
                expected = "inconclusive" if case.primary == "denied" else "unavailable"
            if each.verdicts[0] != expected:
                yield f"the reads are {each.verdicts[0]}, not {expected}"
        if any(_lost(each) for each in self.after):
            yield "a read was lost after the healing"
        if self.back is None:
            yield f"not all was well {PATIENCE} ticks after the healing"

    def _of_locations(self) -> Iterator[str]:
        case, sides = self.cell.case, self.cell.sides
        for location in Location:
            struck = location in sides
            errors = (
                {case.error} if struck and case.error and case.word(location, sides) != "healthy" else set()
            )
            if self.errors(location) != errors and not (case.sometimes and struck):
                yield f"the {location} failed with {self.errors(location) or None}, not {errors or None}"
            word = case.word(location, sides) if struck else "healthy"
            # A loaded machine may make a good answer a slow one, which is true, and no fault of the verdict.
            allowed = {word, "degraded"} if word == "healthy" else {word}
            if case.sometimes and struck:
                allowed = {"healthy", "degraded", "down"}
            said = {each.verdicts[1 if location is PRIMARY else 2] for each in self.under}
            if not said <= allowed:
                yield f"the {location} is {', '.join(map(str, said))}, not {word}"

    def _of_breaker(self) -> Iterator[str]:
        leaves = [each for report in self.under for each in _moves(report) & LEAVES]
        must = self.cell.case.trips and PRIMARY in self.cell.sides
        if must and self.away is None:
            yield "the breaker did not leave the primary"
        may = self.cell.case.sometimes and PRIMARY in self.cell.sides
        if leaves and not must and not may:
            yield f"the breaker left the primary: {leaves}"
        if any(_moves(each) & LEAVES for each in self.after):
            yield "the breaker left the primary after the healing"


LEAVES = {Trigger.TRIPPED, Trigger.TRIAL_FAILED}


def _moves(report: TargetReport) -> set[Trigger]:
    return {each.trigger for each in report.transitions}


def _lost(report: TargetReport) -> int:
    return sum(each.served_by is None for each in report.reads)


def _is_well(report: TargetReport) -> bool:
    served = all(each.served_by is PRIMARY for each in report.reads)
    return (
        served
        and report.breaker.state is State.CLOSED
        and report.verdicts[:3] == ("ok", "healthy", "healthy")
    )


@dataclass
class Stage:
    """What all cells share: a certificate authority, and names that this process resolves."""

    certificates: Certificates
    names: names.Names
    events: Events = field(default_factory=Events)
    numbers: Iterator[int] = field(default_factory=count)

    @asynccontextmanager
    async def account(self, **settings: str) -> AsyncIterator["Play"]:
        """Make an account behind two proxies, with an app that has ticked twice on it."""
        number = next(self.numbers)
        async with Account(f"a{number}", {}, compose.utc_now) as account:
            ends = [self._proxy(account, each, number) for each in Location]
            async with ends[0] as primary, ends[1] as secondary:
                app = compose.build(
                    {
                        "ProbedStorage": f"DefaultEndpointsProtocol=https;AccountName={account.name};"
                        f"AccountKey=a2V5a2V5a2V5;BlobEndpoint={primary.url};BlobSecondaryEndpoint={secondary.url}",
                        **SETTINGS,
                        **settings,
                    }
                )
                app.world.alive = _alive
                play = Play(app, account, {PRIMARY: primary, SECONDARY: secondary})
                for _ in range(2):
                    await play.tick()
                try:
                    yield play
                finally:
                    await app.aclose()

    def _proxy(self, account: Account, location: Location, number: int) -> Proxy:
        return Proxy(
            Role(name=f"{location}{number}", names=self.names),
            upstream=f"http://127.0.0.1:{account.port(location)}",
            events=self.events,
            certificates=self.certificates,
        )


async def _alive() -> bool:
    """There is a sign of life: whether it is us is not what is asked here."""
    return True


@dataclass
class Play:
    """An app on an account of its own, ticked by hand."""

    app: compose.App
    account: Account
    proxies: dict[Location, Proxy]

    async def tick(self) -> TargetReport:
        report = await self.app.fire(Firing(scheduled_at=compose.utc_now()))
        return report.targets[0]

    async def ticks(self, number: int) -> list[TargetReport]:
        return [await self.tick() for _ in range(number)]

    def heal(self) -> None:
        for each in self.proxies.values():
            each.heal()

    async def bring(self, state: State) -> None:
        """Bring the breaker to a state as an outage does."""
        for _ in range([State.CLOSED, State.OPEN, State.HALF_OPEN].index(state)):
            self.proxies[PRIMARY].fault("status", code=503)
            found = await self.tick()
            self.heal()
        assert state is State.CLOSED or found.breaker.state is state

    async def until_well(self) -> list[TargetReport]:
        found = [await self.tick()]
        while not _is_well(found[-1]) and len(found) < PATIENCE:
            found.append(await self.tick())
        return found


@contextmanager
def stage() -> Iterator[Stage]:
    """Have this process trust the lab's authority and resolve its names."""
    before = os.environ.get("SSL_CERT_FILE")
    with Certificates() as certificates, names.Names() as known:
        undo = names.install(known.file)
        os.environ["SSL_CERT_FILE"] = str(certificates.ca)
        tls_context.cache_clear()
        try:
            yield Stage(certificates, known)
        finally:
            undo()
            os.environ.pop("SSL_CERT_FILE")
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before
            tls_context.cache_clear()


async def play(cell: Cell, on: Stage) -> Outcome:
    async with on.account() as played:
        await played.bring(cell.state)
        for each in cell.sides:
            played.proxies[each].fault(cell.case.kind, **cell.case.options)
        under = await played.ticks(STRUCK)
        played.heal()
        return Outcome(cell, under, await played.until_well())


async def played(cells: Sequence[Cell]) -> list[Outcome]:
    """Play cells side by side, and return what came out in their order."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(cell: Cell, on: Stage) -> Outcome:
        async with free:
            return await play(cell, on)

    with stage() as on:
        return await asyncio.gather(*(one(each, on) for each in cells))


def row(outcomes: Sequence[Outcome]) -> list[results.Cell]:
    """Return the table's row of one fault at one place: a figure for each state of the breaker."""
    first = outcomes[0]
    case, sides = first.cell.case, first.cell.sides
    last = first.under[-1]

    def each(figure: Callable[[Outcome], object]) -> str:
        found = ["-" if figure(one) is None else str(figure(one)) for one in outcomes]
        return found[0] if len(set(found)) == 1 else " / ".join(found)

    judged = last.judgement.primary if PRIMARY in sides else last.judgement.secondary
    assert judged
    reason = re.sub(r"(primary|secondary)\d+\.lab\.invalid:\d+", r"\1", judged.reason)
    return [
        case.name,
        " and ".join(sides),
        ", ".join(map(str, last.verdicts)),
        reason if len(reason) < REASON else f"{reason[:REASON]}…",
        case.error if any(one.errors(side) for one in outcomes for side in sides) else None,
        each(lambda one: one.lost),
        f"{max(one.worst for one in outcomes).total_seconds():.2f} s",
        each(lambda one: one.away),
        each(lambda one: one.back),
    ]


def result(outcomes: Sequence[Outcome]) -> results.Result:
    """Return the matrix as a table."""
    by_place: dict[tuple[str, tuple[Location, ...]], list[Outcome]] = {}
    for each in outcomes:
        by_place.setdefault((each.cell.case.name, each.cell.sides), []).append(each)
    wrong = sum(bool(each.surprises()) for each in outcomes)
    reads = sum(len(each.reads) for one in outcomes for each in one.under + one.after)
    return results.Result(
        title="Every fault, at each location, whatever the breaker was doing",
        command="make matrix",
        says=f"""{len(outcomes)} cells, {reads} reads, on real sockets over TLS; {len(outcomes) - wrong}
cells came out as they must ([faults/matrix.py](faults/matrix.py) says what must hold), {wrong} did not.
A fault strikes for {STRUCK} ticks of 5 reads, then heals. Deadline {DEADLINE} s, slow after {SLOW} s, 8
reads from the secondary before a trial, else the default settings. Where three figures stand, the
breaker was closed / open / half-open when the fault struck. *Said* has the verdicts on reads, primary
and secondary; *away* is the tick in which the breaker left the primary (0: it was away), *back* the
tick after the healing in which the primary served every read again. Reads are lost only where neither
location serves.""",
        columns=("fault", "where", "said", "reason", "error.type", "lost", "worst read", "away", "back"),
        rows=[row(each) for each in by_place.values()],
    )


def main(words: Sequence[str]) -> int:
    """Play all cells, or those that have all the words in their names; save the result of the whole."""
    logging.disable(logging.ERROR)
    chosen = [each for each in CELLS if all(word in str(each) for word in words)]
    outcomes = asyncio.run(played(chosen))
    wrong = {str(each.cell): each.surprises() for each in outcomes if each.surprises()}
    for cell, surprises in wrong.items():
        print(f"{cell}: {'; '.join(surprises)}")
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} cells came out as they must")
    if not words:
        results.save("matrix", result(outcomes))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
