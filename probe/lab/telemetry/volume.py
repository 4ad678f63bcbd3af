"""The volume: rows and bytes of telemetry a day, and what a month of them costs, measured on the wire.

Rules kept here: an hour of ticks is really sent by the real exporter and counted as it arrives; only the
price is an input, and only the multiplication by 24 and 30 is assumed. Bytes are those of the JSON envelopes;
Log Analytics bills the columns that it stores of them, which is no more.
"""

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.adapters.telemetry.settings import Traces
from probe.lab.telemetry import capture, churn, tapes
from probe.lab.telemetry.tapes import Scene

PRICE = 2.76
"""US dollars for a gigabyte into Log Analytics, pay as you go, in West Europe; the first 5 GB a month are
free. Source: Azure Monitor's price list."""
HOUR = 60
FLEET = 10
_KINDS = {
    "AvailabilityData": "availability",
    "MetricData": "metrics",
    "EventData": "events",
    "RemoteDependencyData": "spans",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """What arrived: rows and bytes by kind."""

    rows: Counter[str]
    octets: Counter[str]

    def times(self, factor: float) -> "Volume":
        return Volume(
            rows=Counter({kind: round(count * factor) for kind, count in self.rows.items()}),
            octets=Counter({kind: round(count * factor) for kind, count in self.octets.items()}),
        )


async def measure(scenes: Sequence[Scene], *, traces: Traces, targets: int = 1) -> Volume:
    """Send the ticks of some scenes, and return what arrived. The first tick of a process is left out."""
    named = tapes.fleet(targets) if targets > 1 else [tapes.TARGET]
    reports = await tapes.play((Scene(), *scenes), targets=named)
    taken = await capture.azure_monitor(reports, traces=traces)
    rows: Counter[str] = Counter()
    octets: Counter[str] = Counter()
    for envelope in (each for tick in taken[1:] for each in tick.envelopes):
        kind = _KINDS[envelope["data"]["baseType"]]
        rows[kind] += 1
        octets[kind] += len(json.dumps(envelope))
    return Volume(rows=rows, octets=octets)


def monthly(octets_a_day: float, price: float) -> tuple[float, float]:
    """Return the gigabytes of a month of 30 days, and what they cost."""
    gigabytes = octets_a_day * 30 / 1e9
    return gigabytes, gigabytes * price


async def table(price: float) -> str:
    """Return the README's table."""
    lines = [
        "| `PROBE_TRACES` | rows a day: availability, metrics, spans | MB a day | GB a month | a month |",
        "| --- | --- | --- | --- | --- |",
    ]
    for traces in Traces:
        day = (await measure((Scene(),) * HOUR, traces=traces)).times(24)
        kinds = " + ".join(f"{day.rows[kind]:,}" for kind in ("availability", "metrics", "spans"))
        lines.append(f"| `{traces}` | {kinds} | {_cost(day.octets.total(), price)} |")
    shared = (await measure((Scene(),) * HOUR, traces=Traces.FAILURES, targets=FLEET)).times(24 / FLEET)
    lines.append(
        f"| `failures`, each of {FLEET} targets | {shared.rows.total():,} in all | "
        f"{_cost(shared.octets.total(), price)} |"
    )
    lines.append(await asyncio.to_thread(_churned, price))
    return "\n".join([*lines, "", *[await _outage(each) for each in Traces]])


def _churned(price: float) -> str:
    """Return the row of an app whose instances live for one tick: real processes, each of them killed."""
    with tempfile.TemporaryDirectory() as folder:
        hour = churn.run(("ok",) * HOUR, Path(folder))
    return (
        f"| `failures`, a process per tick | {hour.rows * 24:,} in all | {_cost(hour.octets * 24, price)} |"
    )


def _cost(octets: int, price: float) -> str:
    gigabytes, dollars = monthly(octets, price)
    return f"{octets / 1e6:.1f} | {gigabytes:.2f} | ${dollars:.2f}"


async def _outage(traces: Traces) -> str:
    hour = await measure((Scene(primary="503"),) * HOUR, traces=traces)
    return (
        f"An hour with the primary down and `PROBE_TRACES={traces}`: {hour.rows.total():,} rows "
        f"({hour.rows['spans']:,} spans, {hour.rows['events']:,} events), {hour.octets.total() / 1e6:.2f} MB."
    )


def main() -> None:
    """Print the volume of one target at a tick a minute."""
    parser = argparse.ArgumentParser(prog="python -m probe.lab.telemetry.volume", description=main.__doc__)
    parser.add_argument("--price", type=float, default=PRICE, help="for a gigabyte, in US dollars")
    print(asyncio.run(table(parser.parse_args().price)))


if __name__ == "__main__":
    main()
