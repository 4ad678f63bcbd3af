"""The sender: one daemon thread per backend that packs and sends, so that no backend holds up a tick.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from probe.adapters.telemetry import library_logs

KEPT = 8
"""Ticks that wait while a backend is slow."""
PATIENCE = 10.0
"""Seconds after which what is left of a batch is given up: a silent backend is waited for once, not once for
each kind of rows."""
_POLL = 0.005

_log = logging.getLogger("probe.telemetry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part[B]:
    """How one kind of rows is sent: how many a batch has, and the call that returns whether they arrived."""

    rows: Callable[[B], int]
    send: Callable[[B], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing[T, B]:
    """How a tick becomes a batch; ``pack`` also takes the lost rows to report, ``rows`` only counts.

    ``end`` is called when there is nothing more to pack.
    """

    pack: Callable[[T, int], B]
    rows: Callable[[T], int]
    end: Callable[[], None] = lambda: None


class Losses:
    """Counts what did not arrive, and says so when it begins and when it ends."""

    def __init__(self, backend: str) -> None:
        self.total = 0
        self._backend = backend
        self._lock = threading.Lock()
        self._failing = False
        self._since = 0
        self._untold = 0
        self._closed = False

    def close(self) -> None:
        """Say nothing any more: who would listen has gone."""
        self._closed = True

    def claim(self) -> int:
        """Return the lost rows that the next batch is to report: none while the backend takes nothing."""
        with self._lock:
            claimed, self._untold = (0, self._untold) if self._failing else (self._untold, 0)
        return claimed

    def lose(self, rows: int, why: str, *, told: int = 0) -> None:
        """Count rows that were lost; ``told`` are earlier ones that they were to report."""
        with self._lock:
            self.total += rows
            self._since += rows
            self._untold += rows + told
            begins, self._failing = not self._failing, True
        if begins and not self._closed:
            text = (
                "Telemetry is being lost: %s did not take %d rows: %s. Said once, until it takes them again."
            )
            _log.warning(text, self._backend, rows, why)

    def arrived(self) -> None:
        with self._lock:
            ends, self._failing = self._failing, False
            since, self._since = self._since, 0
        if ends and not self._closed:
            _log.warning("Telemetry arrives at %s again; %d rows were lost.", self._backend, since)


class Sender[T, B]:
    """Packs and sends ticks to one backend, in order, on its own thread, started when first needed."""

    def __init__(
        self,
        backend: str,
        packing: Packing[T, B],
        parts: Sequence[Part[B]],
        release: Callable[[], None] = lambda: None,
    ) -> None:
        """``release`` closes the connections; called on the thread, when that ends."""
        self.backend = backend
        self.losses = Losses(backend)
        self._packing = packing
        self._parts = parts
        self._release = release
        self._waiting: deque[T] = deque()
        self._waiters: deque[Callable[[], None]] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._stopped = False

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._busy

    def put(self, tick: T) -> None:
        """Take a tick; quick."""
        if self._stopped:
            self._drop(tick, "it came after the end")
            return
        while len(self._waiting) >= KEPT:
            with contextlib.suppress(IndexError):  # the thread took it meanwhile
                self._drop(self._waiting.popleft(), "it is too slow, and newer rows went before")
        self._waiting.append(tick)

    def _drop(self, tick: T, why: str) -> None:
        """Count a tick's rows as lost; of one that cannot even be counted, that it was there."""
        try:
            rows = self._packing.rows(tick)
        except Exception:  # noqa: BLE001 - a bug in telling must not fail what is told
            rows = 0
        self.losses.lose(rows, why)

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
        """End the thread after the batch that it is at; what still waits is lost."""
        self._packing.end()
        self.losses.close()
        self._stopped = True
        with contextlib.suppress(IndexError):
            while True:
                self._drop(self._waiting.popleft(), "the process ends")
        self._wake.put(None)

    def _run(self) -> None:
        self._work()
        self._release()

    def _work(self) -> None:
        while True:
            self._wake.get()
            if self._stopped:
                return
            self._busy = True
            told = self._taken_waiters()
            while self._waiting:
                with contextlib.suppress(IndexError):  # put dropped it meanwhile
                    self._send(self._waiting.popleft())
            self._busy = False
            for tell in told:
                tell()

    def _taken_waiters(self) -> list[Callable[[], None]]:
        """Take who waits by now; who comes later wakes the thread again, maybe with a later batch."""
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._waiters.popleft())
        return taken

    def _send(self, tick: T) -> None:
        told = self.losses.claim()
        try:
            batch = self._packing.pack(tick, told)
        except Exception:  # noqa: BLE001 - a bug in telling must not fail what is told
            _log.exception("The tick's telemetry could not be made; the tick itself is unharmed.")
            self.losses.lose(0, "it could not be made", told=told)
            return
        self._send_batch(batch, told)

    def _send_batch(self, batch: B, told: int) -> None:
        given_up = time.monotonic() + PATIENCE
        missing, why = 0, ""
        for part in self._parts:
            rows = part.rows(batch)
            if not rows:
                continue
            reason = _try(part, batch) if time.monotonic() < given_up else "it did not answer in time"
            if reason is not None:
                missing, why = missing + rows, reason
        if missing:
            self.losses.lose(missing, why, told=told)
        else:
            self.losses.arrived()


def _try[B](part: Part[B], batch: B) -> str | None:
    """Send a part; returns why it did not arrive, or ``None`` when it did."""
    library_logs.said()
    try:
        arrived = part.send(batch)
    except Exception as exc:  # noqa: BLE001 - whatever an exporter raises is a loss and no more
        return f"{type(exc).__name__}: {exc}"
    return None if arrived else library_logs.said() or "it gave no reason"
