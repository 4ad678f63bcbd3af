"""The stopwatch of one attempt: when each phase began and ended.

Rules kept here: a phase that did not happen or did not end is ``None``, never 0; the phase in progress is
always known, so that a deadline can say what it cut off.
"""

import time
from datetime import timedelta
from enum import StrEnum

from probe.core.reading import Phases


class Phase(StrEnum):
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TTFB = "ttfb"
    TRANSFER = "transfer"


class Stopwatch:
    """Times one attempt, from its making on; ``reused`` says that no connection was opened.

    The first phase begins with the attempt and each other one where the last ended, so that the phases of an
    attempt add up to its duration.
    """

    __slots__ = ("_began", "_spent", "phase", "reused", "started")

    def __init__(self) -> None:
        self.started = self._began = time.perf_counter()
        self.phase: Phase | None = None
        self.reused = False
        self._spent: dict[str, timedelta] = {}

    def begin(self, phase: Phase | None) -> None:
        """End the phase in progress, if there is one, and begin this one; ``None`` ends the attempt."""
        if self.phase is not None:
            now = time.perf_counter()
            self._spent[self.phase.value] = timedelta(seconds=now - self._began)
            self._began = now
        self.phase = phase

    def elapsed(self) -> timedelta:
        """Return how long the attempt took: the sum of its phases to the microsecond, if it has ended."""
        if self._spent and self.phase is None:
            return sum(self._spent.values(), timedelta(0))
        return timedelta(seconds=time.perf_counter() - self.started)

    def phases(self) -> Phases:
        """Return the phases that ended."""
        return Phases(**self._spent)
