"""The sender: in order, bounded, on one thread, and open about what it loses."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from probe.adapters.telemetry.sender import KEPT, Packing, Part, Sender

SOON = 5.0
"""Seconds that a test waits for a thread before it fails."""


class Backend:
    """Takes what it is given while its gate is open, and answers as it is told."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []
        self.answers = True
        self.gate = threading.Event()
        self.gate.set()

    def send(self, batch: tuple[int, int]) -> bool:
        assert self.gate.wait(SOON)
        if self.answers:
            self.taken.append(batch)
        return self.answers


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def sender(backend: Backend) -> Iterator[Sender[int, tuple[int, int]]]:
    packing = Packing[int, tuple[int, int]](pack=lambda tick, lost: (tick, lost), rows=lambda _: 10)
    made = Sender("lab", packing, (Part(rows=lambda _: 10, send=backend.send),))
    yield made
    backend.gate.set()
    made.stop()
    if made._thread:
        made._thread.join(SOON)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


async def test_what_is_put_is_sent_in_order_before_flush_returns(sender, backend):
    for tick in range(3):
        sender.put(tick)
    await sender.flush()

    assert backend.taken == [(0, 0), (1, 0), (2, 0)]


async def test_a_flush_returns_only_when_its_own_ticks_were_tried(sender, backend):
    for tick in range(300):
        sender.put(tick)
        await sender.flush()

        assert backend.taken[-1] == (tick, 0)


async def test_a_flush_of_nothing_returns_at_once_and_starts_no_thread(sender):
    before = threading.active_count()

    await sender.flush()

    assert threading.active_count() == before


async def test_a_slow_backend_keeps_the_newest_ticks_and_loses_the_oldest(sender, backend):
    backend.gate.clear()
    sender.put(0)
    sender.start()
    until(lambda: not sender._waiting)
    for tick in range(1, KEPT + 4):
        sender.put(tick)
    backend.gate.set()
    await sender.flush()

    assert [tick for tick, _ in backend.taken] == [0, *range(4, KEPT + 4)]
    assert sender.losses.total == 30


async def test_a_hanging_backend_has_one_thread_however_many_ticks_come(sender, backend):
    backend.gate.clear()
    before = threading.active_count()
    for tick in range(50):
        sender.put(tick)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sender.flush(), 0.002)

    assert threading.active_count() == before + 1
    assert len(sender._waiting) <= KEPT
    assert not sender._waiters


async def test_a_loss_is_said_once_when_it_begins_and_once_when_it_ends(sender, backend, caplog):
    caplog.set_level(logging.INFO)
    backend.answers = False
    for tick in range(5):
        sender.put(tick)
        await sender.flush()
    backend.answers = True
    for tick in range(3):
        sender.put(tick)
        await sender.flush()

    said = [each.getMessage() for each in caplog.records]
    assert [each.partition(".")[0] for each in said] == [
        "Telemetry is being lost: lab did not take 10 rows: it gave no reason",
        "Telemetry arrives at lab again; 50 rows were lost",
    ]


async def test_lost_rows_are_reported_to_the_backend_once_it_takes_rows_again(sender, backend):
    backend.answers = False
    for tick in range(3):
        sender.put(tick)
        await sender.flush()
    backend.answers = True
    for tick in range(3, 7):
        sender.put(tick)
        await sender.flush()

    assert [told for _, told in backend.taken] == [0, 30, 0, 0]


async def test_a_report_of_losses_that_is_lost_itself_is_made_again(sender, backend):
    for tick, answers in enumerate([False, True, False, True, True]):
        backend.answers = answers
        sender.put(tick)
        await sender.flush()

    assert [told for _, told in backend.taken] == [0, 0, 20]


async def test_an_exporter_that_raises_loses_its_rows_and_no_more(caplog):
    def broken(_: object) -> bool:
        raise ZeroDivisionError("a bug")

    packing = Packing[int, int](pack=lambda tick, _: tick, rows=lambda _: 1)
    sender = Sender("lab", packing, (Part(rows=lambda _: 2, send=broken),))
    for tick in range(3):
        sender.put(tick)
        await sender.flush()
    sender.stop()

    assert sender.losses.total == 6
    assert "ZeroDivisionError: a bug" in caplog.records[0].getMessage()


async def test_a_tick_that_cannot_be_packed_does_not_stop_the_next(caplog):
    sent = []

    def pack(tick: int, _: int) -> int:
        if tick == 0:
            raise KeyError("a bug")
        return tick

    part = Part[int](rows=lambda _: 1, send=lambda batch: not sent.append(batch))
    sender = Sender("lab", Packing(pack=pack, rows=lambda _: 1), (part,))
    sender.put(0)
    sender.put(1)
    await sender.flush()
    sender.stop()

    assert sent == [1]
    assert "could not be made" in caplog.records[0].getMessage()


async def test_a_part_that_fails_does_not_keep_the_other_parts_from_being_sent():
    sent = []
    parts = (
        Part[int](rows=lambda _: 1, send=lambda _: False),
        Part[int](rows=lambda _: 1, send=lambda batch: not sent.append(batch)),
    )
    sender = Sender("lab", Packing[int, int](pack=lambda tick, _: tick, rows=lambda _: 2), parts)
    sender.put(7)
    await sender.flush()
    sender.stop()

    assert sent == [7]
    assert sender.losses.total == 1


def test_drain_sends_what_waits_without_an_event_loop(sender, backend):
    sender.put(1)
    sender.start()

    assert sender.drain(time.monotonic() + SOON)
    assert backend.taken == [(1, 0)]


def test_drain_gives_up_at_its_deadline(sender, backend):
    backend.gate.clear()
    sender.put(1)
    sender.start()
    begun = time.monotonic()

    assert not sender.drain(begun + 0.1)
    assert 0.1 <= time.monotonic() - begun < 1


def test_a_flush_whose_loop_is_gone_harms_nobody(sender, backend):
    backend.gate.clear()
    sender.put(1)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sender.flush(), 0.01)

    asyncio.run(impatient())
    backend.gate.set()
    until(lambda: sender.idle)

    assert backend.taken == [(1, 0)]


async def test_a_tick_that_cannot_even_be_counted_is_dropped_without_raising(backend):
    def count(_: int) -> int:
        raise KeyError("a bug")

    packing = Packing[int, tuple[int, int]](pack=lambda tick, lost: (tick, lost), rows=count)
    sender = Sender("lab", packing, (Part(rows=lambda _: 10, send=backend.send),))
    for tick in range(KEPT + 2):
        sender.put(tick)

    assert list(sender._waiting) == list(range(2, KEPT + 2))


async def test_stop_ends_the_thread_after_the_batch_that_it_is_at_and_counts_the_rest(sender, backend):
    backend.gate.clear()
    for tick in range(4):
        sender.put(tick)
    sender.start()
    until(lambda: len(sender._waiting) == 3)
    sender.stop()
    backend.gate.set()
    until(lambda: not sender._thread.is_alive())

    assert backend.taken == [(0, 0)]
    assert sender.losses.total == 30


async def test_the_thread_closes_the_connections_when_it_ends(backend):
    released = threading.Event()
    packing = Packing[int, tuple[int, int]](pack=lambda tick, lost: (tick, lost), rows=lambda _: 10)
    sender = Sender("lab", packing, (Part(rows=lambda _: 10, send=backend.send),), released.set)
    sender.put(1)
    await sender.flush()
    sender.stop()

    assert released.wait(SOON)


async def test_stop_ends_the_thread(sender):
    sender.put(1)
    await sender.flush()
    sender.stop()

    until(lambda: not sender._thread.is_alive())
