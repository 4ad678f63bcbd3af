"""Ports: what a tick needs from the world, as Protocols; the adapters implement them, tests fake them.

Rules kept here: core types only; a port that fails to reach storage answers data, and raises only what its
docstring names.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from probe.core.brief import Brief
from probe.core.canary import Stamp
from probe.core.reading import Purpose, Reading
from probe.core.record import ShardRecord
from probe.core.replication import Sync
from probe.core.report import TickReport
from probe.core.target import Location, Target

type Clock = Callable[[], datetime]
"""Returns the time now, aware UTC."""
type Monotonic = Callable[[], float]
"""Returns seconds that only grow, for durations; what they are counted from does not matter."""
type Sleep = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""
type Chance = Callable[[], float]
"""Returns a random number, 0 or more and less than 1."""
type SignOfLife = Callable[[], Awaitable[bool]]
"""Returns whether anything can be reached that is not probed; bounded in time."""


class Session(Protocol):
    """The connections of one tick to one target; closed at its end, so that none outlives it."""

    async def attempt(self, location: Location, purpose: Purpose, *, floor: Stamp | None) -> Reading:
        """Read the canary at a location once: one request, one deadline, no retry."""
        ...

    async def stats(self) -> tuple[Reading, Sync | None]:
        """Ask the secondary for its replication stats once."""
        ...

    async def write(
        self, *, sequence: int, replacing: str | None, writer: str, create: bool = False
    ) -> tuple[Reading, Stamp | None]:
        """Write the canary to the primary once; ``create``: make its container first.

        ``writer`` is whom its stamp names. ``replacing`` is the ETag of the version that it may take the
        place of; ``None``: there must be none. Somebody who was faster is a failure with the status 412 or
        409. Returns the stamp that was written, ``None`` on a failure, and its ETag in the reading.
        """
        ...

    async def aclose(self) -> None: ...


class Endpoints(Protocol):
    """Opens the connections to a target."""

    def open(self, target: Target) -> Session: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A shard's record with the store's tag of this version, ``None`` when nothing was stored yet.

    ``replaced`` says why a stored document could not be used; it was kept aside under another name.
    """

    record: ShardRecord | None
    tag: str | None
    replaced: str | None = None


class StateStore(Protocol):
    """Keeps one document per shard. Every call is bounded in time."""

    async def load(self, shard: int, known: str | None = None) -> Loaded:
        """Load a shard's record. Raises ``StateError`` when the store cannot be reached.

        ``known`` is the tag of the version that the caller has itself: of that one only the tag is returned.
        """
        ...

    async def glance(self, shard: int) -> Brief | None:
        """Load no more of a shard's record than its brief, ``None`` where nothing was stored yet.

        Raises ``StateError`` when the store cannot be reached.
        """
        ...

    async def save(self, shard: int, record: ShardRecord, tag: str | None) -> str:
        """Save the record if the stored version still has this tag, and return the new tag.

        Raises ``StateConflict`` when it has another one, ``StateError`` when the store cannot be reached.
        """
        ...


@runtime_checkable
class ManyVantages(Protocol):
    """A state store in which several vantages keep theirs side by side."""

    async def vantages(self) -> list[str]:
        """Return whose state is there, by name. Raises ``StateError`` when the store cannot be reached."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceParent:
    """W3C trace context of the invocation that the tick belongs to."""

    traceparent: str
    tracestate: str = ""


class Telemetry(Protocol):
    """Takes finished reports. Neither call raises, whatever the backend does."""

    def emit(self, report: TickReport, parent: TraceParent | None) -> None:
        """Turn a report into telemetry; quick, no I/O."""
        ...

    async def flush(self) -> None:
        """Send what is buffered, bounded in time."""
        ...

    def claim_losses(self) -> Mapping[str, int]:
        """Return by backend how many more rows have not arrived than at the last call.

        A row that is still being sent counts, since it is lost when the process ends now; where it arrived
        after all, the number is below 0.
        """
        ...
