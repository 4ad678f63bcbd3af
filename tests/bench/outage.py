"""``make bench``: what an outage costs a reader, with the default settings, on two real Azurites.

For each fault: 100 reads one after the other, the primary breaking before the first and healing after the
50th. Printed are the reads lost, who served, the worst read, and how long the first read took, which is the
one that meets the fault. The figures beside them are the ancestor's, from running its 2019 code against a
primary that answers 503.
"""

import asyncio
import statistics
import sys
import uuid
from collections import Counter
from typing import NamedTuple

from probe import compose
from probe.core.breaker import Breaker, State
from probe.core.replication import Ledger
from probe.core.target import Location
from probe.lab.account.pair import Pair
from probe.reader import Reader

READS = 100
FAULTS = (("503", "status", {"code": 503}), ("refused", "refuse", {}), ("silent", "black_hole", {}))


class Row(NamedTuple):
    """One fault's figures: counts, and seconds."""

    fault: str
    served: Counter[Location | None]
    first: float
    worst: float
    median: float
    total: float
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
    return Row(name, served, took[0], max(took), statistics.median(took), sum(took), closed)


async def main() -> int:
    print("| primary | reads | from P | from S | lost | first read | worst read | median | back to P |")
    print("|---|---|---|---|---|---|---|---|---|")
    lost = 0
    async with Pair() as pair:
        for fault in FAULTS:
            row = await outage(pair, *fault)
            lost += row.served[None]
            cells = (
                row.fault,
                READS,
                row.served[Location.PRIMARY],
                row.served[Location.SECONDARY],
                row.served[None],
                f"{row.first:.2f} s",
                f"{row.worst:.2f} s",
                f"{row.median * 1000:.1f} ms",
                "yes" if row.closed else "no",
            )
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
    print("| ancestor, 503 | 21 | 0 | 20 | 1 in 21 | 11.3 s, failed | 12.9 s | | |")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
