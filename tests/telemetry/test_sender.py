"""The sender: in order, bounded, on one thread, and open about what it loses."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from probe.adapters.telemetry.sender import KEPT, Missing, Sender
from tests.telemetry.conftest import sending_threads
from tests.timing import PATIENCE


class Backend:
    """Takes what it is given while its gate is open, and takes or loses it as it is told; 10 rows a tick."""

    name = "lab"

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.taken: list[int] = []
        self.loses: Missing | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.left = False
        self.closed = threading.Event()

    def rows(self, tick: int) -> int:
        if tick < 0:
            raise KeyError("a bug")
        return 10

    def send(self, tick: int) -> Missing | None:
        self.begun.append(tick)
        assert self.gate.wait(PATIENCE)
        if tick < 0:
            raise ZeroDivisionError("a bug")
        if not self.loses:
            self.taken.append(tick)
        return self.loses

    def leave(self) -> None:
        self.left = True

    def close(self) -> None:
        self.closed.set()


LOST = Missing(rows=10, why="it is away")


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def sender(backend: Backend) -> Iterator[Sender]:
    made = Sender(backend)
    yield made
    backend.gate.set()
    made.stop()
    until(lambda: not sending_threads())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


async def test_what_is_put_is_sent_in_order_before_flush_returns(sender, backend):
    for tick in range(3):
        sender.put(tick)
    await sender.flush()

    assert backend.taken == [0, 1, 2]


async def test_a_flush_returns_only_when_its_own_ticks_were_tried(sender, backend):
    for tick in range(300):
        sender.put(tick)
        await sender.flush()

        assert backend.taken[-1] == tick


async def test_a_flush_of_nothing_returns_at_once_and_starts_no_thread(sender):
    before = threading.active_count()

    await sender.flush()

    assert threading.active_count() == before


async def test_a_slow_backend_keeps_the_newest_ticks_and_loses_the_oldest(sender, backend):
    backend.gate.clear()
    sender.put(0)
    sender.start()
    until(lambda: backend.begun == [0])
    for tick in range(1, KEPT + 4):
        sender.put(tick)
    backend.gate.set()
    await sender.flush()

    assert backend.taken == [0, *range(4, KEPT + 4)]
    assert sender.lost == 30


async def test_a_hanging_backend_has_one_thread_however_many_ticks_come(sender, backend):
    backend.gate.clear()
    before = threading.active_count()
    for tick in range(50):
        sender.put(tick)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sender.flush(), 0.002)

    threads = threading.active_count()
    backend.gate.set()
    await sender.flush()

    assert threads == before + 1
    assert backend.taken == [0, *range(50 - KEPT, 50)]


async def test_a_loss_is_said_once_when_it_begins_and_once_when_it_ends(sender, backend, caplog):
    caplog.set_level(logging.INFO)
    backend.loses = LOST
    for tick in range(5):
        sender.put(tick)
        await sender.flush()
    backend.loses = None
    for tick in range(3):
        sender.put(tick)
        await sender.flush()

    said = [each.getMessage() for each in caplog.records]
    assert [each.partition(".")[0] for each in said] == [
        "Telemetry is being lost: lab did not take 10 rows: it is away",
        "Telemetry arrives at lab again; 50 rows were lost",
    ]


async def test_lost_rows_are_claimed_once(sender, backend):
    backend.loses = LOST
    for tick in range(3):
        sender.put(tick)
        await sender.flush()

    assert [sender.claim(), sender.claim()] == [30, 0]


async def test_rows_that_are_still_being_sent_count_as_lost_until_they_arrive(sender, backend):
    backend.gate.clear()
    for tick in range(3):
        sender.put(tick)
    sender.start()
    until(lambda: backend.begun == [0])
    kept = sender.claim()
    backend.gate.set()
    await sender.flush()

    assert (kept, sender.claim(), sender.lost) == (30, -30, 0)


async def test_no_row_is_counted_twice_however_often_losses_are_claimed_meanwhile(sender, backend):
    backend.loses = LOST
    claimed = 0
    for tick in range(200):
        sender.put(tick)
        sender.start()
        claimed += sender.claim()
    await sender.flush()

    assert claimed + sender.claim() == sender.lost == 2000


async def test_a_tick_that_cannot_be_made_is_lost_and_does_not_stop_the_next(sender, backend, caplog):
    sender.put(-1)
    sender.put(1)
    await sender.flush()

    assert backend.taken == [1]
    assert "could not be made" in caplog.text


def test_drain_sends_what_waits_without_an_event_loop(sender, backend):
    sender.put(1)
    sender.start()

    assert sender.drain(time.monotonic() + PATIENCE)
    assert backend.taken == [1]


def test_drain_gives_up_at_its_deadline(sender, backend):
    backend.gate.clear()
    sender.put(1)
    sender.start()
    begun = time.monotonic()

    assert not sender.drain(begun + 0.1)
    assert 0.1 <= time.monotonic() - begun < PATIENCE, "the gate stays closed for ever"


def test_a_flush_whose_loop_is_gone_harms_nobody(sender, backend):
    backend.gate.clear()
    sender.put(1)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sender.flush(), 0.01)

    asyncio.run(impatient())
    backend.gate.set()
    until(lambda: sender.idle)

    assert backend.taken == [1]


async def test_a_tick_that_cannot_even_be_counted_is_dropped_without_raising(sender):
    for _ in range(KEPT + 2):
        sender.put(-1)

    assert (sender.claim(), sender.lost) == (0, 0)


async def test_stop_ends_the_thread_after_the_batch_that_it_is_at_and_counts_the_rest(sender, backend):
    backend.gate.clear()
    for tick in range(4):
        sender.put(tick)
    sender.start()
    until(lambda: backend.begun == [0])
    sender.stop()
    backend.gate.set()
    until(lambda: not sending_threads())

    assert backend.taken == [0]
    assert sender.lost == 30


async def test_the_thread_closes_the_connections_when_it_ends_and_takes_no_more_lines(sender, backend):
    sender.put(1)
    await sender.flush()
    sender.stop()

    assert backend.left
    assert backend.closed.wait(PATIENCE)


async def test_stop_ends_the_thread(sender):
    sender.put(1)
    await sender.flush()
    sender.stop()

    until(lambda: not sending_threads())
