"""Long runs: a worker that ticks each second under churn, thousands of ticks in simulated time, kills.

    python -m tests.faults.soak worker --seconds 900
    python -m tests.faults.soak simulated --ticks 10000
    python -m tests.faults.soak kills --count 100

print what came of it as JSON, for which ``problems`` are empty; with ``--save`` it goes on the page.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from probe import compose
from probe.adapters.state import Encoder
from probe.core.report import Result
from probe.core.sums import Sum, added, measured
from probe.core.target import Location
from probe.lab.account.pair import Pair
from probe.lab.functions.host import Host
from probe.lab.run import APP
from probe.lab.telemetry import churn
from probe.lab.telemetry.ingestion import Ingestion
from probe.lab.world import MINUTE, NOON, World, run, world
from tests.faults.writers import Outcome as Played
from tests.faults.writers import Plan, played
from tests.reliability import results

MEBIBYTE = 2**20
SEED = 20


@dataclass(kw_only=True)
class Outcome:
    """What came of a run; ``figures`` are its table, ``problems`` what must not be."""

    figures: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def expect(self, what: str, told: object, real: object) -> None:
        """Hold two counts of the same thing to each other."""
        self.figures[what] = told
        if told != real:
            self.problems.append(f"{what}: told {told}, and there were {real}")


# In the worker

WORKER = {
    "PROBE_SCHEDULE": "* * * * * *",
    "PROBE_TICK_BUDGET": "0.98",
    "PROBE_DEADLINE": "0.09",
    "PROBE_CONNECT_TIMEOUT": "0.09",
    "PROBE_SLOW_AFTER": "0.09",
    "PROBE_RETRY_DELAY": "0",
    "PROBE_FLUSH": "5",
    "PROBE_SECONDARY_READS": "10",
    "PROBE_VANTAGE": "soak",
    "PROBE_CONTAINER": "soak",
    "PYTHON_ENABLE_OPENTELEMETRY": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "NO_PROXY": "*",
}
SEEN: list[tuple[str, dict[str, Any]]] = [
    ("status", {"code": 503}),
    ("status", {"code": 500}),
    ("status", {"code": 403}),
    ("latency", {"seconds": 0.2}),
    ("black_hole", {}),
    ("truncate", {}),
    ("reset", {}),
    ("garbage", {}),
    ("corrupt", {}),
]
"""Faults under which every request reaches the server, so that its log can be held to what was told."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds at one time."""

    resident: int
    threads: int
    files: int


def sample(pid: int) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    resident, threads = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "Threads"))
    return Sample(resident * 1024, threads, len(os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208 - a count


async def worker(seconds: float, seed: int = SEED, lent: Pair | None = None) -> Outcome:
    """Tick each second in the real worker, on a pair (or the one that is lent) that fails by turns."""
    chance, samples, results_of = random.Random(seed), [], Counter[bool]()  # noqa: S311 - repeatable
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder, Ingestion() as ingestion:
        async with contextlib.nullcontext(lent) if lent else Pair(host=True) as pair:
            settings = {
                **WORKER,
                "ProbedStorage": pair.connection_string,
                "AzureWebJobsStorage": pair.host_connection_string,
                "PROBE_STATE": f"file:{folder}/state.json",
                "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
            }
            first = compose.build(
                {**settings, "APPLICATIONINSIGHTS_CONNECTION_STRING": "", "PROBE_STATE": "memory"}
            )
            session = first.world.endpoints.open(first.settings.targets[0])
            await session.write(writer="watch-soak", sequence=1, replacing=None, create=True)
            await session.aclose()
            await first.aclose()
            await pair.replicator.caught_up()
            before = {each: pair.proxies[each].counts.copy() for each in Location}
            async with Host(
                APP, settings, functions=("probe_tick",), port=None, schedules=False, tell=lambda _: None
            ) as host:
                ends_at, second = time.monotonic() + seconds, int(time.time())
                while time.monotonic() < ends_at:
                    second = max(second + 1, int(time.time()))
                    await asyncio.sleep(max(second + 0.005 - time.time(), 0))
                    if chance.random() < 0.15:
                        strike(pair, chance)
                    fired = await host.fire("probe_tick")
                    results_of[fired.succeeded] += 1
                    if fired.failure:
                        failures.append(fired.failure.message)
                    if sum(results_of.values()) % 5 == 0:
                        samples.append(sample(await host.worker_pid()))
                pair.heal()
            log = {each: pair.proxies[each].counts - before[each] for each in Location}
            saved = compose.build({**settings, "APPLICATIONINSIGHTS_CONNECTION_STRING": ""})
            record = (await saved.world.store.load(0)).record
            await saved.aclose()
    outcome = _worked(results_of, samples, log, record, ingestion.envelopes)
    outcome.problems += failures
    return outcome


def strike(pair: Pair, chance: random.Random) -> None:
    """Let one, both or none of the locations fail from now on."""
    pair.heal()
    for each in chance.choice([(), (Location.PRIMARY,), (Location.SECONDARY,), (*Location,)]):
        kind, options = chance.choice(SEEN)
        pair.proxies[each].fault(kind, **options)


def _worked(fired, samples, log, record, envelopes) -> Outcome:
    outcome, told = Outcome(), churn.arrived(envelopes)
    unsent = record.targets["devstoreaccount1"].unsent
    waiting = unsent.sums if unsent else {}
    outcome.expect("ticks that failed", fired[False], 0)
    run_ = {each: told[f"probe.ticks {each}"] for each in Result}
    outcome.expect("ticks told", sum(run_.values()), fired[True])
    outcome.expect("ticks in the document", record.ticks, fired[True] - run_[Result.SKIPPED])
    outcome.figures["ticks cut short"] = run_[Result.CUT_SHORT]
    for location in Location:
        sent = sum(number for name, number in told.items() if name.startswith(f"probe.attempts {location} "))
        held = sum(each.number for name, each in waiting.items() if name.startswith(f"attempt/{location}/"))
        served = log[location]["reads"] + log[location]["writes"]
        # Of an attempt that the budget cuts off there is a request and no reading.
        if 0 < served - sent - held <= 2 * run_[Result.CUT_SHORT]:
            outcome.figures[f"requests cut off at the {location}"] = served - sent - held
            served = sent + held
        outcome.expect(f"attempts at the {location}, beside its log", sent + held, served)
    available = [
        each["data"]["baseData"] for each in envelopes if each["data"]["baseType"] == "AvailabilityData"
    ]
    names = Counter(each["name"].rpartition(" ")[2] for each in available)
    for name in Location:  # an inconclusive one claims nothing, and is counted instead
        told_of = names[name] + told[f"probe.inconclusive {name}"]
        outcome.expect(f"verdicts on the {name}", told_of, fired[True] - run_[Result.SKIPPED])
    ids = {each["id"] for each in available}
    outcome.expect("availability results told twice", len(available) - len(ids), 0)
    _flat(outcome, samples)
    return outcome


def _flat(outcome: Outcome, samples: list[Sample]) -> None:
    """Hold the last third of a run to its second: the first one warms up."""
    third = len(samples) // 3
    if third == 0:
        return
    middle, last = samples[third : 2 * third], samples[2 * third :]
    for name, unit, room in (("resident", MEBIBYTE, 6), ("threads", 1, 2), ("files", 1, 4)):
        one, two = (statistics.median(getattr(each, name) for each in part) / unit for part in (middle, last))
        outcome.figures[f"{name}: second and last third"] = f"{one:.4g}, {two:.4g}"
        if two > one + room:
            outcome.problems.append(f"{name} grew from {one:.4g} to {two:.4g}")


# In simulated time

WORDS = [
    *["ok"] * 10,
    "503",
    "500",
    "429",
    "timeout",
    "refused",
    "reset",
    "dns",
    "tls",
    "truncated",
    "slow",
    "403",
    "404",
    "corrupt",
    "unreadable",
    "old",
    "portal",
]


def simulated(ticks: int, seed: int = SEED) -> Outcome:
    """Tick each minute with random faults at both locations and at the store."""
    outcome = Outcome()
    run(_simulated(ticks, random.Random(seed), outcome))  # noqa: S311 - repeatable, not secret
    return outcome


async def _simulated(ticks: int, chance: random.Random, outcome: Outcome) -> None:
    probe = world()
    account, telemetry, store, encoder = probe.account, probe.telemetry, probe.store, Encoder()
    account.begin(sequence=1)
    made, told, cut_off, served = {}, {}, 0, Counter[str]()
    resident: list[int] = []
    biggest: list[int] = []
    script = ("ok", "ok")
    for number in range(ticks):
        await probe.until(NOON + number * MINUTE)
        if chance.random() < 0.3:
            script = tuple(_script(chance) for _ in Location)
        account.behave(*script)
        store.trouble = chance.choice(
            [{}] * 12 + [{"load": "refused"}, {"save": "refused"}, {"load": "refused", "save": "refused"}]
        )
        report = await probe.tick()
        (target,) = report.targets
        requests = Counter((each.location, each.purpose) for each in target.readings)
        missing = Counter(account.calls) - requests
        # Of an attempt that the budget cuts off there is a request and no reading.
        cut_off += missing.total()
        if missing.total() > (2 if report.result is Result.CUT_SHORT else 0) or requests - Counter(
            account.calls
        ):
            outcome.problems.append(f"tick {number}: {requests} told, {Counter(account.calls)} served")
        served.update(str(each.served_by or "none") for each in target.reads)
        if "ok" in script and any(each.served_by is None for each in target.reads):
            outcome.problems.append(f"tick {number}: a read was lost while one side was up: {script}")
        made = added(made, measured(target.readings, target.reads, target.replication.delays))
        if target.told:
            told = added(told, target.told.sums)
        telemetry.reports.clear()
        telemetry.parents.clear()
        account.calls.clear()
        if number % 50 == 49:
            gc.collect()
            resident.append(sample(os.getpid()).resident)
            biggest.append(len(encoder.encode(probe.inner.last_known[0].record)))
    outcome.figures |= {
        "ticks": ticks,
        "reads": sum(served.values()),
        **{f"reads served by {name}": count for name, count in sorted(served.items())},
        "attempts": sum(each.number for name, each in made.items() if name.startswith("attempt/")),
        "attempts cut off by the budget, which a server saw": cut_off,
    }
    lost = sum("was lost" in each for each in outcome.problems)
    outcome.expect("reads lost while one side was up", lost, 0)
    _settled(outcome, probe, made, told)
    _bounded(outcome, biggest, resident)


def _settled(outcome: Outcome, probe: World, made: Mapping[str, Sum], told: Mapping[str, Sum]) -> None:
    """Hold what was sent, and what still waits, to what was measured."""
    known = probe.inner.last_known[0].record
    unsent = known.targets[probe.targets[0].name].unsent
    told = added(told, unsent.sums) if unsent else told
    wrong = [name for name in {*made, *told} if made.get(name) != told.get(name)]
    outcome.expect("ticks in the document", known.ticks, outcome.figures["ticks"])
    outcome.expect("series whose sums differ from what was measured", len(wrong), 0)


def _bounded(outcome: Outcome, biggest: Sequence[int], resident: Sequence[int]) -> None:
    """Hold the second half of a run to the first: the document, and this process's memory."""
    outcome.figures["largest document, bytes"] = max(biggest, default=0)
    half = len(biggest) // 2
    if half < 20:  # what is bounded has not come to its bound
        return
    if max(biggest[half:]) > 1.25 * max(biggest[:half]):
        outcome.problems.append(
            f"the document grew from {max(biggest[:half])} to {max(biggest[half:])} bytes"
        )
    one, two = statistics.median(resident[half // 2 : half]), statistics.median(resident[half:])
    outcome.figures["resident, MiB: second quarter and last half"] = (
        f"{one / MEBIBYTE:.4g}, {two / MEBIBYTE:.4g}"
    )
    if two > one + 8 * MEBIBYTE:
        outcome.problems.append(f"memory grew from {one / MEBIBYTE:.4g} to {two / MEBIBYTE:.4g} MiB")


def _script(chance: random.Random) -> str:
    """Return what a location does for a while: mostly one thing, sometimes another at each attempt."""
    return chance.choice(WORDS) if chance.random() < 0.8 else ",".join(chance.choices(WORDS, k=4))


async def kills(count: int) -> Outcome:
    """Strike processes that tick side by side on one state with so many SIGKILLs, by file and by blob."""
    outcome = Outcome()
    for state in ("file", "blob"):
        # More ticks than kills, also of a few: a process that has come to its end can no longer be struck.
        plan = Plan(writers=2, ticks=count * 3 // 2 + 20, kills=count, state=state)
        hold(outcome, state, await played(plan))
    return outcome


def hold(outcome: Outcome, state: str, run_: Played) -> None:
    """Add what came of one state's kills."""
    outcome.problems += run_.problems
    moves = f"{run_.transitions_told}, {run_.transitions_in_document}"
    outcome.figures |= {
        f"{state}: SIGKILLs": run_.kills,
        f"{state}: ticks told, ticks in the document": f"{run_.ticks_told}, {run_.ticks_in_document}",
        f"{state}: killed between save and word": run_.ticks_killed,
        f"{state}: moves told, moves in the document": moves,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["worker", "simulated", "kills"])
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--ticks", type=int, default=10_000)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--save", action="store_true", help="put it on the page")
    options = parser.parse_args()
    match options.what:
        case "worker":
            outcome = asyncio.run(worker(options.seconds))
        case "kills":
            outcome = asyncio.run(kills(options.count))
        case _:
            outcome = simulated(options.ticks)
    print(json.dumps(asdict(outcome), indent=1))
    if options.save and not outcome.problems:
        results.save(f"soak_{options.what}", result(options, outcome))
    return 1 if outcome.problems else 0


def result(options: argparse.Namespace, outcome: Outcome) -> results.Result:
    """Return a run as the page shows it."""
    if options.what == "kills":
        title, size = f"{options.count} SIGKILLs for each store", f"--count {options.count}"
        says = (
            "Two processes of the probe on one state, on real sockets, a primary that flaps; one of them is "
            "killed somewhere in a tick, again and again, and another goes on. What a process has told is in "
            "the document; a tick that was killed between its save and its word is there and was not told."
        )
    elif options.what == "worker":
        title, size = f"{options.seconds / 60:g} minutes in the worker", f"--seconds {options.seconds:g}"
        says = (
            "The function app in the real worker runtime, fired each second, on two Azurites that fail by "
            "turns (one, both or none; nine faults, seeded). What was told arrived at an ingestion endpoint: "
            "it is held to the servers' own logs and to the saved document."
        )
    else:
        title, size = f"{options.ticks:,} ticks in simulated time", f"--ticks {options.ticks}"
        says = (
            "A tick a minute, for a week. Each location is healthy, or does one of 16 wrong things, some of "
            "them in one tick; the store fails one tick in five. Each request that was served is held to the "
            "readings, each reading to the sums that were sent or wait."
        )
    return results.Result(
        title=title,
        command=f".venv/bin/python -m tests.faults.soak {options.what} {size}",
        says=says,
        columns=["what", "figure"],
        rows=[*outcome.figures.items(), ("problems", len(outcome.problems))],
    )


if __name__ == "__main__":
    sys.exit(main())
