"""The churned hour: each tick in a process of its own, which is killed as soon as its tick has returned.

Rules kept here: real processes, a real SIGKILL, the state in a real file, the real exporter and the lab's
ingestion endpoint. What was made is counted from what the tick measured, by none of the telemetry's code;
what arrived, from the rows.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from probe.adapters import telemetry
from probe.adapters.state import FileStateStore
from probe.core.brief import Brief
from probe.core.record import ShardRecord
from probe.core.report import TargetReport, TickReport
from probe.core.target import Location
from probe.lab.telemetry import capture, tapes
from probe.lab.telemetry.ingestion import Ingestion
from probe.lab.telemetry.tapes import Scene
from probe.lab.world import MINUTE, Account, outside, world
from probe.lab.world import run as simulated
from probe.ports import Loaded, StateStore, Telemetry

SCENES = {
    "ok": Scene(),
    "primary busy": Scene(primary="503"),
    "primary silent": Scene(primary="timeout"),
    "primary slow": Scene(primary="slow"),
    "primary corrupt": Scene(primary="corrupt"),
    "secondary gone": Scene(secondary="dns"),
    "both denied": Scene(primary="403", secondary="403"),
    "both refused": Scene(primary="refused", secondary="refused"),
}
SHORT = (*["ok"] * 6, "primary busy", "primary busy")
"""A first tick that tells at once, five that wait, one that tells of all of them, and one more."""
HOUR = (
    *["ok"] * 11,
    *["primary busy"] * 3,
    *["ok"] * 9,
    "primary silent",
    *["ok"] * 7,
    *["both refused"] * 2,
    *["ok"] * 6,
    "primary slow",
    *["ok"] * 4,
    "primary corrupt",
    "secondary gone",
    *["ok"] * 8,
    "both denied",
    *["ok"] * 4,
    "primary busy",
)
"""Sixty ticks; the last one is not calm, so that nothing waits after it."""

ACCOUNTS = TypeAdapter(dict[str, Account])

type Figures = Counter[str]
"""How often something was measured or told, by metric and what tells it apart."""

LABELS = {
    "probe.attempts": ("probe.location", "probe.purpose", "probe.outcome"),
    "probe.attempt.phase.duration": ("probe.location", "probe.phase"),
    "probe.reads": ("probe.served_by",),
    "probe.endpoint.up": ("probe.location", "probe.verdict"),
    "probe.inconclusive": ("probe.location",),
    "probe.redundancy": ("probe.verdict",),
    "probe.breaker.state": ("probe.breaker.state_name",),
    "probe.breaker.transitions": ("probe.from", "probe.to"),
    "probe.replication.lag": (),
    "probe.replication.last_sync.age": (),
    "probe.tick.duration": (),
    "probe.tick.lateness": (),
    "probe.ticks": ("probe.result",),
    "probe.state.errors": ("probe.operation",),
    "probe.maintenance": (),
    "probe.telemetry.lost": (),
}
"""The metrics that are counted, and the attributes by which. Of the last two the hour makes none."""
_SUMMED = (
    "probe.attempts",
    "probe.reads",
    "probe.breaker.transitions",
    "probe.ticks",
    "probe.state.errors",
    "probe.telemetry.lost",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """What was made, what arrived, and its rows and bytes."""

    made: Figures
    arrived: Figures
    rows: int
    octets: int


def run(names: Sequence[str], folder: Path) -> Hour:
    """Run a tick for each scene, each in a process that is killed, and return what came of it."""
    made: Figures = Counter()
    with Ingestion() as ingestion:
        for number, name in enumerate(names):
            made.update(_killed(number, name, ingestion.connection_string, folder))
        envelopes = ingestion.envelopes
    octets = sum(len(json.dumps(each)) for each in envelopes)
    return Hour(made=made, arrived=arrived(envelopes), rows=len(envelopes), octets=octets)


def _killed(number: int, name: str, connection: str, folder: Path) -> dict[str, int]:
    """Run one tick in a process, kill it when the tick has returned, and return what it measured."""
    command = [sys.executable, "-m", __spec__.name, str(number), name, connection, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:  # noqa: S603 - ourselves
        assert process.stdout is not None, "it is a pipe"  # noqa: S101 - narrows an Optional
        told = process.stdout.readline()
        process.kill()
    found: dict[str, int] = json.loads(told)
    return found


class _Real:
    """A real store and a real telemetry in a simulated world: while they work, no simulated time passes."""

    def __init__(self, store: StateStore, sending: Telemetry) -> None:
        self._store, self._sending = store, sending
        self.emit, self.claim_losses = sending.emit, sending.claim_losses

    async def load(self, shard: int, known: str | None = None) -> Loaded:
        with outside():
            return await self._store.load(shard, known)

    async def glance(self, shard: int) -> Brief | None:
        with outside():
            return await self._store.glance(shard)

    async def save(self, shard: int, record: ShardRecord, tag: str | None) -> str:
        with outside():
            return await self._store.save(shard, record, tag)

    async def flush(self) -> None:
        with outside():
            await self._sending.flush()


async def _tick(number: int, name: str, connection: str, folder: Path) -> TickReport:
    """Run the tick of one minute: only the state and the account are shared with the other processes."""
    kept = folder / "accounts.json"
    probe = world(tapes.TARGET, accounts=ACCOUNTS.validate_json(kept.read_bytes()) if kept.exists() else None)
    if not kept.exists():
        probe.account.begin(sequence=1)
    real = _Real(
        FileStateStore(folder / "state.json"),
        telemetry.build(replace(capture.SETTINGS, connection_string=connection)),
    )
    probe.inner.store = probe.inner.telemetry = real
    report = await tapes.play_one(SCENES[name], tapes.START + number * MINUTE, probe)
    kept.write_bytes(ACCOUNTS.dump_json(probe.accounts))
    return report


def figures(report: TickReport) -> Figures:
    """Return what a tick measured."""
    found: Figures = Counter()
    found["probe.tick.duration"] += 1
    found["probe.tick.lateness"] += 1
    found[f"probe.ticks {report.result}"] += 1
    found.update(f"probe.state.errors {each.operation}" for each in report.state_problems)
    for target in report.targets:
        found.update(_of_target(target))
    return found


def _of_target(target: TargetReport) -> Figures:
    found: Figures = Counter()
    for each in target.readings:
        found[f"probe.attempts {each.location} {each.purpose} {each.outcome}"] += 1
        phases = asdict(each.phases)
        found.update(
            f"probe.attempt.phase.duration {each.location} {name}"
            for name, took in phases.items()
            if took is not None
        )
    found.update(f"probe.reads {each.served_by or 'none'}" for each in target.reads)
    redundancy = target.judgement.redundancy
    if redundancy and redundancy.verdict != "unknown":
        found[f"probe.redundancy {redundancy.verdict}"] += 1
    found[f"probe.breaker.state {target.breaker.state}"] += 1
    found.update(
        f"probe.breaker.transitions {each.from_state} {each.to_state}" for each in target.transitions
    )
    found["probe.replication.lag"] += target.replication.lag is not None
    found["probe.replication.last_sync.age"] += target.replication.recovery_point_age is not None
    for location in Location:
        judged = target.judged(location)
        verdict = judged.verdict if judged else None
        if verdict == "inconclusive":
            found[f"probe.inconclusive {location}"] += 1
        elif verdict:
            found[f"probe.endpoint.up {location} {verdict}"] += 1
            found[f"availability {target.target.name} {location} {verdict.up}"] += 1
            found[f"availability {target.target.name} {location} down False"] += verdict == "down"
    reads = target.judgement.target.verdict
    if reads == "inconclusive":
        found["probe.inconclusive"] += 1
    else:
        found[f"availability {target.target.name} reads {reads != 'unavailable'}"] += 1
        found[f"availability {target.target.name} reads failing False"] += reads == "unavailable"
    return +found


def arrived(envelopes: Sequence[dict[str, Any]]) -> Figures:
    """Return what some rows tell: sums of counters, and how many values the other metrics have."""
    found: Figures = Counter()
    for each in envelopes:
        data = each["data"]["baseData"]
        match each["data"]["baseType"]:
            case "AvailabilityData":
                found[f"availability {data['name']} {data['success']}"] += 1
            case "MetricData":
                (point,) = data["metrics"]
                if point["name"] in LABELS:
                    words = (data["properties"].get(each) for each in LABELS[point["name"]])
                    count = point["value"] if point["name"] in _SUMMED else point["count"]
                    found[" ".join((point["name"], *filter(None, words)))] += count
    return found


def main() -> None:
    """Run the churned hour and print what was made and what arrived; or one of its ticks."""
    if arguments := sys.argv[1:]:
        number, name, connection, folder = arguments
        report = simulated(_tick(int(number), name, connection, Path(folder)), began=tapes.START)
        print(json.dumps(figures(report)), flush=True)
        sys.stdin.read()  # until it is killed
        return
    with tempfile.TemporaryDirectory() as folder:
        hour = run(HOUR, Path(folder))
    print(table(hour))
    sys.exit(hour.made != hour.arrived)


def table(hour: Hour) -> str:
    """Return what was made and what arrived, metric by metric."""
    lines = ["| in 60 processes, each killed after its tick | made | arrived |", "| --- | --- | --- |"]
    names = sorted({each.split(" ")[0] for each in (*hour.made, *hour.arrived)})
    for name in names:
        made, told = (
            sum(count for each, count in figures.items() if each.split(" ")[0] == name)
            for figures in (hour.made, hour.arrived)
        )
        lines.append(f"| `{name}` | {made:,} | {told:,} |")
    differ = {each for each in hour.made | hour.arrived if hour.made[each] != hour.arrived[each]}
    kinds = len(hour.made)
    lines += [
        "",
        f"{kinds} series compared, {len(differ)} differ. {hour.rows:,} rows, {hour.octets / 1e6:.2f} MB.",
    ]
    return "\n".join(
        [
            *lines,
            *(
                f"differs: {each}: {hour.made[each]} made, {hour.arrived[each]} arrived"
                for each in sorted(differ)
            ),
        ]
    )


if __name__ == "__main__":
    main()
