"""The steps of one target's tick, in order: look, write, read, ask for the stats."""

from datetime import timedelta

from probe.core import look
from probe.core.reading import Purpose, Reading
from probe.core.record import TargetRecord
from probe.core.replication import Ledger
from probe.core.target import Location, Target
from probe.core.verdict import EndpointVerdict
from probe.ports import Session
from probe.reader import Reader, together
from probe.tick.found import Found
from probe.tick.world import World

WRITE, STATS, LAG_LOOK = "write", "stats", "lag look"


def look_at(location: Location) -> str:
    return f"look {location}"


def read_number(number: int) -> str:
    return f"read {number}"


def step_names(target: Target) -> list[str]:
    """Return the steps that a target's tick has, in order."""
    names = [look_at(each) for each in target.locations]
    names += [WRITE] if target.write else []
    names += [read_number(number + 1) for number in range(target.policy.reads)]
    names += [STATS] if target.secondary else []
    return [*names, LAG_LOOK] if _looks_late(target) else names


def _looks_late(target: Target) -> bool:
    return bool(target.secondary and target.write and target.policy.lag_look)


def _was_stale(record: TargetRecord) -> bool:
    """Return whether the tick before found the secondary further behind than the RPO allows."""
    return bool(record.history) and record.history[-1].secondary == EndpointVerdict.STALE


class Steps:
    """The steps of one target's tick; ``left`` names those that did not finish."""

    def __init__(self, world: World, found: Found, remembered: TargetRecord, session: Session) -> None:
        self._world, self._found, self._remembered, self._session = world, found, remembered, session
        self._done: set[str] = set()

    def left(self) -> tuple[str, ...]:
        return tuple(each for each in step_names(self._found.target) if each not in self._done)

    async def run(self) -> None:
        target = self._found.target
        await self._look()
        ledger = await self._write() if target.write else self._found.ledger
        await self._read(ledger)
        if target.secondary:
            self._found.stats, self._found.sync = await self._session.stats()
            self._done.add(STATS)
        if _looks_late(target):
            await self._look_late()

    async def _look(self) -> None:
        """See what both locations show before anything is written, side by side: it opens their connections.

        The primary's has no floor: whether an older canary is a loss or a rollback shows only in the write.
        """
        await together(*(self._look_at(each) for each in self._found.target.locations))

    async def _look_at(self, location: Location) -> Reading:
        floor = None if location is Location.PRIMARY else self._found.ledger.floor(location)
        reading = await self._session.attempt(location, Purpose.CHECK, floor=floor)
        self._found.looks[location] = reading
        self._done.add(look_at(location))
        return reading

    async def _write(self) -> Ledger:
        """Write onto what the look showed, and return what the reads may rely on."""
        found, ledger = self._found, self._found.ledger
        looked = found.looks.get(Location.PRIMARY)
        plan = look.plan(ledger, looked, writer=found.writer, now=self._world.clock())
        found.unwritten = plan.refused
        if plan.foreign and looked:
            found.foreign = looked.etag
        if plan.refused is None:
            found.tried = plan.sequence
            found.write, found.written = await self._session.write(
                sequence=plan.sequence,
                replacing=plan.replacing,
                writer=found.writer,
                create=plan.create,
            )
            if look.is_doubtful(ledger, looked, found.write):
                found.doubted = looked
                await self._look_at(Location.PRIMARY)
                looked = found.looks[Location.PRIMARY]
        self._done.add(WRITE)
        if lost := look.loss(ledger, looked, found.write):
            ledger = ledger.after_loss(lost.there)
        if plan.foreign:
            return Ledger()  # what somebody else's blob has to show is not known
        return ledger.after_write(found.written) if found.written else ledger

    async def _read(self, ledger: Ledger) -> None:
        reader = Reader(
            target=self._found.target,
            session=self._session,
            breaker=self._remembered.breaker,
            stale=_was_stale(self._remembered),
            ledger=ledger,
            clock=self._world.clock,
            sleep=self._world.sleep,
        )
        for looked in self._found.at(Location.PRIMARY):
            reader.learn_of_look(looked)
        self._found.reader = reader
        for number in range(self._found.target.policy.reads):
            self._found.reads.append(await reader.read())
            self._done.add(read_number(number + 1))

    async def _look_late(self) -> None:
        """Look at the secondary again, so long after the write: then a lag shorter than an interval shows."""
        if self._found.written:
            due = self._found.written.written_at + self._found.target.policy.lag_look
            await self._world.sleep(max((due - self._world.clock()) / timedelta(seconds=1), 0))
            floor = self._found.ledger.floor(Location.SECONDARY)
            self._found.lag_look = await self._session.attempt(Location.SECONDARY, Purpose.CHECK, floor=floor)
        self._done.add(LAG_LOOK)
