"""The lab's own log: what was switched, replicated or lost, newest last, bounded, and open to listeners."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

KEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened in the lab: when (UTC), to which part of it, and what."""

    at: datetime
    source: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f}"[:-3] + f" {self.source}: {self.what}"


class Events:
    """The last events of one lab; listeners hear each one as it happens."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._listeners: list[Callable[[Event], None]] = []

    def emit(self, source: str, what: str) -> None:
        event = Event(at=datetime.now(UTC), source=source, what=what)
        self._kept.append(event)
        for listener in self._listeners:
            listener(event)

    def listen(self, listener: Callable[[Event], None]) -> None:
        self._listeners.append(listener)

    def __iter__(self) -> Iterator[Event]:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)
