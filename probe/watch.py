"""The watch: write the canary, wait for the secondary, then read and read, showing who served.

The console of the project's ancestor, whole: P or S for each read with its number, retries and transitions
as they happen, a summary, and a clean-up that also runs after Ctrl-C.

Rules kept here: it is a client of its own, with its own breaker, and touches no saved state; a canary that
never arrives is said, not glossed over; a read that neither location serves is told and the loop goes on.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from probe import terminal
from probe.compose import App
from probe.core import look
from probe.core.breaker import Breaker, Transition
from probe.core.canary import Stamp
from probe.core.reading import Fault, Outcome, Purpose, Read, Reading
from probe.core.replication import Ledger, Sync
from probe.core.report import attempt_document, read_document, transition_document
from probe.core.target import Location, Target
from probe.ports import Session
from probe.reader import Reader

WAIT_STEP = 1.0
"""Seconds between two looks at the secondary."""
TELL_EVERY = 5.0
"""Seconds between two lines that say so, where no line can be rewritten."""
_LETTERS = {Location.PRIMARY: "P", Location.SECONDARY: "S"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to watch: ``interval`` and ``wait`` in seconds."""

    target: Target
    reads: int
    interval: float
    wait: float
    cleanup: bool


class Show(Protocol):
    """Shows what happens, as it happens."""

    def say(self, text: str) -> None: ...
    def waiting(self, seconds: float, limit: float) -> None: ...
    def failed(self, number: int | None, reading: Reading) -> None: ...
    def read(self, number: int, read: Read, state: str) -> None: ...
    def moved(self, transition: Transition) -> None: ...
    def summary(self, summary: "Summary") -> None: ...


@dataclass(slots=True, kw_only=True)
class Summary:
    """What came of a watch; durations in seconds."""

    reads: int = 0
    served: Counter[Location | None] = field(default_factory=Counter)
    corrupt: int = 0
    worst: float = 0.0
    transitions: list[Transition] = field(default_factory=list)
    interrupted: bool = False

    def add(self, read: Read) -> None:
        self.reads += 1
        self.served[read.served_by] += 1
        self.worst = max(self.worst, read.duration.total_seconds())
        self.corrupt += sum(
            each.fault is Fault.CONTENT and each.error_type != "404" for each in read.attempts
        )

    def document(self) -> dict[str, Any]:
        return {
            "reads": self.reads,
            "primary": self.served[Location.PRIMARY],
            "secondary": self.served[Location.SECONDARY],
            "failed": self.served[None],
            "worst_read_seconds": round(self.worst, 6),
            "interrupted": self.interrupted,
            "transitions": [transition_document(each) for each in self.transitions],
        }

    def exit_code(self) -> int:
        """Return 0 when every read was served and none met a corrupt canary, 3 when there was none."""
        if self.served[None] or self.corrupt:
            return 1
        return 0 if self.reads else 3


class TextShow:
    """For people: on a terminal a progress line that rewrites itself, elsewhere a line now and then."""

    def __init__(self) -> None:
        self._on = terminal.console()
        self._width = self._on.width if self._on.is_terminal else terminal.WIDEST
        self._doing = terminal.Doing(sys.stdout)
        self._column = 0
        self._told = -TELL_EVERY

    def say(self, text: str) -> None:
        self._line(text)

    def waiting(self, seconds: float, limit: float) -> None:
        text = f"Waiting for the secondary: {seconds:.0f} s of at most {limit:.0f} s"
        if self._on.is_terminal:
            self._doing.tell(f"Waiting for the secondary, {limit:.0f} s at most")
        elif seconds - self._told >= TELL_EVERY:
            self._told = seconds
            self._line(text)

    def failed(self, number: int | None, reading: Reading) -> None:
        what = f"read {number}: " if number is not None else ""
        code = f" {reading.service_error}" if reading.service_error else ""
        took = f"after {_took(reading.duration.total_seconds())}"
        trial = " (trial)" if reading.purpose is Purpose.TRIAL else ""
        told = f"{what}{reading.location}{trial} failed: {reading.error_type}{code} {took}"
        self._detail(told, terminal.SOME)

    def read(self, number: int, read: Read, state: str) -> None:
        if read.served_by is None:
            last = {each.location: each.error_type for each in read.attempts}
            why = ", ".join(f"{location}: {error}" for location, error in last.items())
            told = f"read {number}: NEITHER location served it ({why}); the breaker is {state}"
            self._detail(told, terminal.BAD)
            return
        text = f"{_LETTERS[read.served_by]}{number}"
        if self._column + len(text) + 1 > self._width:
            self._line("")
        style = terminal.GOOD if read.served_by is Location.PRIMARY else terminal.SOME
        self._on.print(terminal.styled((text, style)), end=" ", soft_wrap=True)
        self._column += len(text) + 1

    def moved(self, transition: Transition) -> None:
        self._detail(f"breaker {transition.from_state} -> {transition.to_state}: {transition.reason}")

    def summary(self, summary: Summary) -> None:
        served = summary.served
        self._line("")
        self._line(
            f"{summary.reads} reads{' (interrupted)' if summary.interrupted else ''}: "
            f"{served[Location.PRIMARY]} from the primary, {served[Location.SECONDARY]} from the secondary, "
            f"{served[None]} failed; the worst took {_took(summary.worst)}; "
            f"{len(summary.transitions)} transitions"
        )

    def _detail(self, text: str, style: str = "") -> None:
        self._line(terminal.indented(terminal.styled((text, style))))

    def _line(self, part: terminal.Part) -> None:
        self._doing.clear()
        if self._column:
            self._on.print()
            self._column = 0
        if part:
            terminal.show([part], self._on)


def _took(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


class JsonShow:
    """For programs: a JSON line per read and the summary on stdout, the rest on stderr."""

    def __init__(self) -> None:
        self._told = -TELL_EVERY

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def waiting(self, seconds: float, limit: float) -> None:
        if seconds - self._told >= TELL_EVERY:
            self._told = seconds
            self.say(f"Waiting for the secondary: {seconds:.0f} s of at most {limit:.0f} s")

    def failed(self, number: int | None, reading: Reading) -> None:
        if number is None:
            self.say(f"{reading.location} failed: {json.dumps(attempt_document(reading))}")

    def read(self, number: int, read: Read, state: str) -> None:
        print(json.dumps({"read": number, **read_document(read), "breaker": state}), flush=True)

    def moved(self, transition: Transition) -> None:
        self.say(f"breaker {transition.from_state} -> {transition.to_state}: {transition.reason}")

    def summary(self, summary: Summary) -> None:
        print(json.dumps({"summary": summary.document()}), flush=True)


class _Watched:
    """Connections that tell each failed attempt as it happens, and what it moved before the next."""

    def __init__(self, inner: Session, tell: Callable[[Reading], None], moves: Callable[[], None]) -> None:
        self._inner, self._tell, self._moves = inner, tell, moves

    async def attempt(self, location: Location, purpose: Purpose, *, floor: Stamp | None) -> Reading:
        self._moves()
        reading = await self._inner.attempt(location, purpose, floor=floor)
        if reading.outcome is Outcome.FAILURE:
            self._tell(reading)
        return reading

    async def stats(self) -> tuple[Reading, Sync | None]:
        return await self._inner.stats()

    async def write(
        self, *, sequence: int, replacing: str | None, writer: str, create: bool = False
    ) -> tuple[Reading, Stamp | None]:
        return await self._inner.write(sequence=sequence, replacing=replacing, writer=writer, create=create)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def run(app: App, plan: Plan, show: Show) -> int:
    """Watch a target and return the exit code; Ctrl-C ends the reads, not the summary and the clean-up."""
    summary = Summary()
    try:
        ledger = await _prepare(app, plan, show)
        await _reads(app, plan, show, summary, ledger)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            raise
        task.uncancel()
        summary.interrupted = True
    show.summary(summary)
    if plan.cleanup:
        await _clean_up(app, plan, show)
    return summary.exit_code()


async def _prepare(app: App, plan: Plan, show: Show) -> Ledger:
    target, ledger = plan.target, Ledger()
    if not target.write:
        show.say(f"Reading {target.blob_url(Location.PRIMARY)}, which is there already (read-only)")
        return ledger
    show.say(f"Writing {target.blob_url(Location.PRIMARY)}")
    session = app.world.endpoints.open(target)
    try:
        looked = await session.attempt(Location.PRIMARY, Purpose.CHECK, floor=None)
        allowed = look.plan(ledger, looked, writer=app.world.writer, now=app.world.clock())
        if allowed.refused:
            show.say(f"The canary could not be written: {allowed.refused}. Reading goes on.")
            return ledger
        reading, stamp = await session.write(
            sequence=allowed.sequence,
            replacing=allowed.replacing,
            writer=app.world.writer,
            create=allowed.create,
        )
        if stamp is None:
            show.failed(None, reading)
            show.say(
                f"The canary could not be written: {reading.detail or reading.error_type}. Reading goes on."
            )
            return ledger
        show.say(f"Written: sequence {stamp.sequence} in {_took(reading.duration.total_seconds())}")
        ledger = ledger.after_write(stamp, reading.etag)
        if target.secondary:
            await _arrive(app, plan, show, session, stamp)
    finally:
        await session.aclose()
    return ledger


async def _arrive(app: App, plan: Plan, show: Show, session: Session, stamp: Stamp) -> None:
    """Look at the secondary each second until it shows the stamp, or say plainly that it does not."""
    loop = asyncio.get_running_loop()
    begun, last = loop.time(), None
    while (spent := loop.time() - begun) <= plan.wait:
        last = await session.attempt(Location.SECONDARY, Purpose.CHECK, floor=None)
        if last.ok and last.canary and last.canary.covers(stamp):
            delay = (app.world.clock() - stamp.written_at).total_seconds()
            show.say(
                f"The secondary shows sequence {last.canary.sequence}, {delay:.1f} s after it was written"
            )
            return
        show.waiting(spent, plan.wait)
        await app.world.sleep(min(WAIT_STEP, max(plan.wait - (loop.time() - begun), 0.01)))
    shown = "nothing was looked at" if last is None else last.error_type or "it shows an older canary"
    show.say(
        f"The canary did NOT arrive at the secondary within {plan.wait:.0f} s ({shown}). "
        "Reading goes on; what the secondary serves may be older, or nothing."
    )


async def _reads(app: App, plan: Plan, show: Show, summary: Summary, ledger: Ledger) -> None:
    """Read in rounds of as many reads as a tick has; a round has its own connections, as a tick does."""
    number, breaker = 0, Breaker.fresh(app.world.clock())

    def tell(reading: Reading) -> None:
        show.failed(summary.reads, reading)

    def moves() -> None:
        while reader.transitions:
            summary.transitions.append(reader.transitions.pop(0))
            show.moved(summary.transitions[-1])

    while number < plan.reads:
        session = _Watched(app.world.endpoints.open(plan.target), tell, moves)
        reader = Reader(
            target=plan.target,
            session=session,
            breaker=breaker,
            ledger=ledger,
            clock=app.world.clock,
            sleep=app.world.sleep,
        )
        try:
            for _ in range(min(plan.target.policy.reads, plan.reads - number)):
                read = await reader.read()
                moves()
                summary.add(read)
                show.read(number, read, reader.breaker.state)
                number += 1
                if plan.interval and number < plan.reads:
                    await app.world.sleep(plan.interval)
        finally:
            await session.aclose()
        breaker, ledger = reader.breaker, reader.ledger


async def _clean_up(app: App, plan: Plan, show: Show) -> None:
    try:
        done = await app.writer.clean_up(plan.target, app.settings.connections[plan.target.name])
    except asyncio.CancelledError:
        left = plan.target.blob_url(Location.PRIMARY)
        show.say(f"The clean-up was interrupted; what this watch wrote may still be there: {left}")
        raise
    what = [name for name, went in (("the blob", done.blob), ("its container", done.container)) if went]
    show.say(
        f"Cleaned up: {' and '.join(what) or 'nothing'} deleted"
        + (f"; kept: {done.kept}" if done.kept else "")
    )
