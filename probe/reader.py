"""The client's read: attempts at the routed location, then at the other, as the breaker routes.

Rules kept here: a read is lost only when neither location served it; a location is tried again within a
read only after a path fault, since a denied or missing blob stays so; once the breaker has moved away, no
further attempt of that read goes where it moved away from, but for the last one: before a read is given up,
the location that failed first is asked once more, since it may have come back while the other went. Time,
waiting and connections come from outside.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from probe.core.breaker import Breaker, Fact, Route, State, Transition
from probe.core.canary import Stamp
from probe.core.reading import Fault, Purpose, Read, Reading
from probe.core.record import Sighting
from probe.core.replication import Ledger
from probe.core.target import Location, Target
from probe.ports import Clock, Session, Sleep


@dataclass(slots=True, kw_only=True)
class Reader:
    """One client of one target: it holds the breaker and the ledger while it reads, and what it has seen."""

    target: Target
    session: Session
    breaker: Breaker
    ledger: Ledger
    clock: Clock
    sleep: Sleep
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
        last = attempts[-1]
        return Read(
            started_at=started_at,
            duration=max(self.clock() - started_at, timedelta(0)),
            served_by=last.location if last.ok else None,
            attempts=tuple(attempts),
        )

    def learn_of_look(self, reading: Reading) -> None:
        """Let an open breaker learn from the look at the primary whether it is well."""
        self._learn(reading)

    def floor(self, location: Location) -> Stamp | None:
        """Return the newest stamp that a location must show by now.

        The primary is strongly consistent: once a write has succeeded, an older canary there is a rollback.
        """
        shown, newest = self.ledger.shown(location), self.ledger.newest
        if location is Location.SECONDARY or newest is None:
            return shown
        return newest if shown is None or newest.covers(shown) else shown

    async def _attempts(self, route: Route) -> list[Reading]:
        made = await self._at(route.first, route.purpose, route, route.attempts)
        if made[-1].ok or route.then is None:
            return made
        may_be_back = made[-1].fault is Fault.PATH
        made += await self._at(route.then, Purpose.READ, route, self.target.policy.attempts)
        if not made[-1].ok and may_be_back:
            made += await self._at(route.first, Purpose.READ, route, 1)
        return made

    async def _at(self, location: Location, purpose: Purpose, route: Route, limit: int) -> list[Reading]:
        made: list[Reading] = []
        for number in range(limit):
            if number:
                await self.sleep(number * self.target.policy.retry_delay.total_seconds())
            reading = await self.session.attempt(location, purpose, floor=self.floor(location))
            made.append(reading)
            self._seen(reading)
            self._learn(reading, forced=route.forced)
            if reading.fault is not Fault.PATH or self._left(location, route):
                break
        return made

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

    def _learn(self, reading: Reading, *, forced: bool = False) -> None:
        policy = self.target.policy
        fact = Fact.of(reading, policy=policy, epoch=self.breaker.epoch, forced=forced, stale=self.stale)
        self.facts.append(fact)
        self.breaker, moved = self.breaker.observe(fact, policy=policy)
        self.transitions += moved
