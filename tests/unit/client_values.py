"""A client for the core's tests: the probe's own ``Reader``, at endpoints that answer by a function."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from probe.core.breaker import Breaker
from probe.core.canary import Stamp
from probe.core.reading import Purpose, Reading
from probe.core.replication import Ledger
from probe.core.target import Location, Policy, Target
from probe.reader import Reader
from tests.unit.core_values import s

type Meets = Callable[[Location, Purpose, datetime], Reading]
"""What an attempt at a location meets, given why it is made and when it begins."""


@dataclass(slots=True, kw_only=True)
class Client:
    """A client whose time passes only by what its attempts take, and by its waiting."""

    meets: Meets
    now: datetime
    reader: Reader = field(init=False)

    def begin(self, breaker: Breaker, *, policy: Policy, geo: bool = True) -> Reader:
        """Return the reader of a tick that begins now."""
        self.reader = Reader(
            target=Target(
                name="t", primary="https://p.test", secondary="https://s.test" if geo else None, policy=policy
            ),
            session=self,
            breaker=breaker,
            ledger=Ledger(),
            clock=lambda: self.now,
            sleep=self.sleep,
            together=self.together,
        )
        return self.reader

    async def attempt(self, location: Location, purpose: Purpose, *, floor: Stamp | None) -> Reading:
        del floor
        reading = self.meets(location, purpose, self.now)
        self.now = reading.ended_at
        return reading

    async def together(self, *attempts: Awaitable[Reading]) -> list[Reading]:
        """Let each begin at the same instant, and the time of the longest pass."""
        began, made = self.now, []
        for each in attempts:
            self.now = began
            made.append(await each)
        self.now = max([began, *(each.ended_at for each in made)])
        return made

    async def sleep(self, seconds: float) -> None:
        self.now += s(seconds)


def at_once[T](work: Coroutine[Any, Any, T]) -> T:
    """Return the result of work that waits for nothing, without a loop: it is run thousands of times."""
    try:
        work.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits for something")
