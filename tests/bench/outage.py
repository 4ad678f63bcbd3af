"""What an outage costs a reader, with the default settings, on two real Azurites.

For each fault: 100 reads one after the other, the primary breaking before the first and healing after the
50th. Told are the reads lost, who served, the worst read, and how long the first read took, which is the one
that meets the fault.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import NamedTuple

from probe import compose
from probe.core.breaker import Breaker, State
from probe.core.replication import Ledger
from probe.core.target import Location
from probe.lab.account.pair import Pair
from probe.reader import Reader

READS = 100
FAULTS = (
    ("503", "status", {"code": 503}),
    ("refused", "refuse", {}),
    ("silent (accepts, never answers)", "black_hole", {}),
)


class Row(NamedTuple):
    """One fault's figures: counts of reads, and seconds."""

    fault: str
    primary: int
    secondary: int
    lost: int
    first: float
    worst: float
    closed: bool


async def outage(pair: Pair, name: str, kind: str, options: dict[str, int]) -> Row:
    settings = {
        "ProbedStorage": pair.connection_string,
        "PROBE_STATE": "memory",
        "PROBE_CONTAINER": f"bench-{uuid.uuid4().hex[:8]}",
    }
    app = compose.build(settings)
    (target,) = app.settings.targets
    session = app.world.endpoints.open(target)
    try:
        _, stamp = await session.write(sequence=1, replacing=None, writer="here", create=True)
        assert stamp is not None, "the lab's primary takes writes"
        await pair.replicator.caught_up()
        reader = Reader(
            target=target,
            session=session,
            breaker=Breaker.fresh(compose.utc_now()),
            ledger=Ledger().after_write(stamp),
            clock=compose.utc_now,
            sleep=asyncio.sleep,
        )
        pair.primary.fault(kind, **options)
        took, served = [], Counter[Location | None]()
        for number in range(READS):
            if number == READS // 2:
                pair.primary.heal()
            read = await reader.read()
            took.append(read.duration.total_seconds())
            served[read.served_by] += 1
    finally:
        pair.heal()
        await session.aclose()
        await app.aclose()
    closed = reader.breaker.state is State.CLOSED
    return Row(
        fault=name,
        primary=served[Location.PRIMARY],
        secondary=served[Location.SECONDARY],
        lost=served[None],
        first=round(took[0], 3),
        worst=round(max(took), 3),
        closed=closed,
    )


async def outages() -> AsyncIterator[Row]:
    """Measure each fault in turn."""
    async with Pair() as pair:
        for fault in FAULTS:
            yield await outage(pair, *fault)
