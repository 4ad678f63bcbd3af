"""The sender: one daemon thread per backend that sends finished ticks, so that no backend holds up a tick.

Rules kept here: at most one thread per backend and ``KEPT`` waiting ticks, the oldest dropped first; each
is sent once, since a second time could double its rows; what is lost is counted, and told when the losing
begins and when it ends, not each time; nothing here raises, and the process's end waits for nothing here.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from probe.adapters.telemetry import library_logs
from probe.core.report import TickReport
from probe.ports import TraceParent

KEPT = 8
"""Ticks that wait while a backend is slow."""
_POLL = 0.005

_log = logging.getLogger("probe.telemetry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A tick that is over, and the invocation that it belongs to."""

    report: TickReport
    parent: TraceParent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Rows that a backend did not take, and why, for people.

    ``untold`` are rows lost earlier that it was to be told of, and was not.
    """

    rows: int
    why: str
    untold: int = 0


class Backend(Protocol):
    """Where ticks are sent to. A sender sends on its own thread, one tick at a time."""

    @property
    def name(self) -> str: ...

    def rows(self, tick: Finished) -> int:
        """Return how many rows a tick has, those that it is to tell of as lost included."""
        ...

    def send(self, tick: Finished) -> Missing | None:
        """Send a tick once, and return what did not arrive. Raises whatever a bug raises."""
        ...

    def leave(self) -> None:
        """Take no more log lines: no tick will come any more."""
        ...

    def close(self) -> None:
        """Close the connections; called on the sender's thread, when that ends."""
        ...


class Losses:
    """Counts what did not arrive, and says so when it begins and when it ends."""

    def __init__(self, backend: str) -> None:
        self.total = 0
        self._backend = backend
        self._failing = False
        self._since = 0
        self._closed = False

    def close(self) -> None:
        """Say nothing any more: who would listen has gone."""
        self._closed = True

    def lose(self, missing: Missing) -> None:
        self.total += missing.rows
        self._since += missing.rows
        begins, self._failing = not self._failing, True
        if begins and not self._closed:
            text = (
                "Telemetry is being lost: %s did not take %d rows: %s. Said once, until it takes them again."
            )
            _log.warning(text, self._backend, missing.rows, missing.why)

    def arrived(self) -> None:
        ends, self._failing = self._failing, False
        since, self._since = self._since, 0
        if ends and not self._closed:
            _log.warning("Telemetry arrives at %s again; %d rows were lost.", self._backend, since)


class Sender:
    """Sends ticks to one backend, in order, on its own thread, started when first needed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._losses = Losses(backend.name)
        self._claimed = 0
        self._untold = 0
        self._settling = threading.Lock()
        """Held while a tick changes from waiting to being sent to lost or arrived: it is counted once."""
        self._waiting: deque[Finished] = deque()
        self._sending: Finished | None = None
        self._waiters: deque[Callable[[], None]] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._stopped = False

    @property
    def backend(self) -> str:
        return self._backend.name

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._busy

    @property
    def lost(self) -> int:
        """Return how many rows were lost since the process began."""
        return self._losses.total

    def claim(self) -> int:
        """Return how many more rows have not arrived than at the last call, those being sent among them."""
        with self._settling:
            kept = [*self._waiting, *([] if self._sending is None else [self._sending])]
            missing = self._losses.total + self._untold + sum(map(self._rows, kept))
        more, self._claimed = missing - self._claimed, missing
        return more

    def put(self, tick: Finished) -> None:
        """Take a tick; quick."""
        if self._stopped:
            self._drop(tick, "it came after the end")
            return
        while len(self._waiting) >= KEPT:
            with contextlib.suppress(IndexError):  # the thread took it meanwhile
                self._drop(self._waiting.popleft(), "it is too slow, and newer rows went before")
        self._waiting.append(tick)

    def _drop(self, tick: Finished, why: str) -> None:
        with self._settling:
            self._losses.lose(Missing(rows=self._rows(tick), why=why))

    def _rows(self, tick: Finished) -> int:
        """Return a tick's rows; of one that cannot even be counted, only that it was there is known."""
        try:
            return self._backend.rows(tick)
        except Exception:  # noqa: BLE001 - a bug in telling must not fail what is told
            return 0

    async def flush(self) -> None:
        """Send what waits; returns when all of it was tried. Cancel it to wait no longer."""
        if self.idle:
            return
        loop = asyncio.get_running_loop()
        tried = asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(tried.set)

        self._waiters.append(tell)
        self.start()
        try:
            await tried.wait()
        finally:
            with contextlib.suppress(ValueError):
                self._waiters.remove(tell)

    def start(self) -> None:
        """Have what waits sent, without waiting for it."""
        if self._thread is None:
            name = f"{library_logs.THREADS}{self.backend}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()
        if self._wake.empty():
            self._wake.put(None)

    def drain(self, deadline: float) -> bool:
        """Block until what waits was tried or the monotonic deadline is over; returns whether it was tried.

        Takes no lock, so that a signal handler may call it whatever it interrupted.
        """
        while not self.idle and time.monotonic() < deadline:
            time.sleep(_POLL)
        return self.idle

    def stop(self) -> None:
        """End the thread after the tick that it is at; what still waits is lost."""
        self._backend.leave()
        self._losses.close()
        self._stopped = True
        with contextlib.suppress(IndexError):
            while True:
                self._drop(self._waiting.popleft(), "the process ends")
        self._wake.put(None)

    def _run(self) -> None:
        self._work()
        self._backend.close()

    def _work(self) -> None:
        while True:
            self._wake.get()
            if self._stopped:
                return
            self._busy = True
            told = self._taken_waiters()
            while self._take():
                self._send()
            self._busy = False
            for tell in told:
                tell()

    def _taken_waiters(self) -> list[Callable[[], None]]:
        """Take who waits by now; who comes later wakes the thread again, maybe with a later tick."""
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._waiters.popleft())
        return taken

    def _take(self) -> bool:
        with self._settling:
            try:
                self._sending = self._waiting.popleft()
            except IndexError:  # put dropped it meanwhile, or there is no more
                return False
        return True

    def _send(self) -> None:
        assert self._sending is not None, "it was taken"  # noqa: S101 - narrows an Optional
        try:
            missing = self._backend.send(self._sending)
        except Exception:  # noqa: BLE001 - a bug in telling must not fail what is told
            _log.exception("The tick's telemetry could not be made; the tick itself is unharmed.")
            missing = Missing(rows=self._rows(self._sending), why="it could not be made")
        with self._settling:
            self._sending = None
            if missing:
                self._losses.lose(missing)
                self._untold += missing.untold
            else:
                self._losses.arrived()
