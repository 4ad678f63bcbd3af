"""The client's read: attempts at the routed location, then at the other, as the breaker routes.

Rules kept here:

- A location is tried again within a read only after a path fault, since a denied or missing blob stays so,
  and only after a quick one: who has waited as long as what counts as slow looks elsewhere.
- Once the breaker has moved away, no further attempt of that read goes where it moved away from, but for the
  last: before a read is given up, the locations that failed are asked once more, both at once. One after
  the other would not do, since each may go just when it is the other's turn; at one instant, whichever is up
  serves. So no read is lost while one location is up at each instant.
- Time, waiting and connections come from outside.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from probe.core.breaker import Breaker, Fact, Route, State, Transition
from probe.core.reading import Fault, Purpose, Read, Reading
from probe.core.record import Sighting
from probe.core.replication import Ledger
from probe.core.target import Location, Target
from probe.ports import Clock, Session, Sleep

type Together = Callable[..., Awaitable[list[Reading]]]
"""Makes attempts side by side, and returns their readings in the same order."""


async def together(*attempts: Awaitable[Reading]) -> list[Reading]:
    """Make attempts side by side; none is left running, though another one meets a bug."""
    made = await asyncio.gather(*attempts, return_exceptions=True)
    for each in made:
        if isinstance(each, BaseException):
            raise each
    return [each for each in made if isinstance(each, Reading)]


@dataclass(slots=True, kw_only=True)
class Reader:
    """One client of one target: it holds the breaker and the ledger while it reads, and what it has seen."""

    target: Target
    session: Session
    breaker: Breaker
    ledger: Ledger
    clock: Clock
    sleep: Sleep
    together: Together = together
    stale: bool = False
    """Whether the secondary was last known to be further behind than the RPO allows."""
    readings: list[Reading] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    shown: list[Sighting] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)

    async def read(self) -> Read:
        """Read the canary once, as a careful client would."""
        policy = self.target.policy
        started_at = self.clock()
        self.breaker, moved = self.breaker.elapse(policy=policy, now=started_at, stale=self.stale)
        self.transitions += moved
        route = self.breaker.route(policy=policy, now=started_at, geo=self.target.secondary is not None)
        attempts = await self._attempts(route)
        served = next((each for each in attempts if each.ok), None)
        return Read(
            started_at=started_at,
            duration=max((served.ended_at if served else self.clock()) - started_at, timedelta(0)),
            served_by=served.location if served else None,
            attempts=tuple(attempts),
        )

    def learn_of_look(self, reading: Reading) -> None:
        """Let an open breaker learn from the look at the primary whether it is well."""
        self._learn(reading, self.breaker.epoch)

    async def _attempts(self, route: Route) -> list[Reading]:
        made = await self._at(route.first, route.purpose, route, route.attempts)
        if made[-1].ok or route.then is None:
            return made
        failed = [made[-1]]
        made += await self._at(route.then, Purpose.READ, route, self.target.policy.attempts)
        if made[-1].ok:
            return made
        failed += [made[-1]]
        return made + await self._last_look(
            [each.location for each in failed if each.fault is Fault.PATH], route
        )

    async def _at(self, location: Location, purpose: Purpose, route: Route, limit: int) -> list[Reading]:
        policy = self.target.policy
        made: list[Reading] = []
        for number in range(limit):
            if number:
                await self.sleep(number * policy.retry_delay.total_seconds())
            epoch = self.breaker.epoch
            reading = await self._attempt(location, purpose)
            made.append(reading)
            self._learn(reading, epoch, forced=route.forced)
            quick = reading.duration < policy.slow_after
            if reading.fault is not Fault.PATH or not quick or self._left(location, route):
                break
        return made

    async def _last_look(self, locations: list[Location], route: Route) -> list[Reading]:
        """Ask at one instant, and return what was met in the order in which it ended."""
        epoch = self.breaker.epoch
        made = await self.together(*(self._attempt(each, Purpose.READ) for each in locations))
        made.sort(key=lambda each: each.ended_at)
        for each in made:
            self._learn(each, epoch, forced=route.forced)
        return made

    async def _attempt(self, location: Location, purpose: Purpose) -> Reading:
        reading = await self.session.attempt(location, purpose, floor=self.ledger.floor(location))
        self._seen(reading)
        return reading

    def _left(self, location: Location, route: Route) -> bool:
        """Return whether the breaker has just moved away from the primary, and there is another location."""
        moved = self.breaker.epoch != route.epoch and self.breaker.state is State.OPEN
        return moved and location is Location.PRIMARY and route.then is Location.SECONDARY

    def _seen(self, reading: Reading) -> None:
        self.readings.append(reading)
        if reading.ok and reading.canary:
            seen = Sighting(location=reading.location, stamp=reading.canary, at=reading.ended_at)
            self.shown.append(seen)
            self.ledger, _ = self.ledger.after_sighting(seen.location, seen.stamp, at=seen.at, since=None)

    def _learn(self, reading: Reading, epoch: int, *, forced: bool = False) -> None:
        policy = self.target.policy
        fact = Fact.of(reading, policy=policy, epoch=epoch, forced=forced, stale=self.stale)
        self.facts.append(fact)
        self.breaker, moved = self.breaker.observe(fact, policy=policy)
        self.transitions += moved
