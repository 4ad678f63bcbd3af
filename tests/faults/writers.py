"""Many processes that probe one account and share one state, as on the worst day, and what became of it.

Each process is the app as it is deployed, over real sockets; the account and the store of the state are of
another make than the lab's (``other_account``). The primary is busy for half of the time. By hand:

    python -m tests.faults.writers --writers 8 --ticks 200 --state file

prints one JSON document, for which ``problems`` are empty: every tick, count and transition that a process
told is in the state's document, and no word was said about the account that was not so. ``--page`` makes a
table of the Reliability page of such documents, each in a file.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from probe import compose
from probe.compose import utc_now
from probe.core import canary
from probe.core.report import TickReport
from probe.core.target import Location
from probe.tick import Firing
from tests.faults.other_account import PRIMARY, Account, Answer, Asked, refusal, resolving
from tests.reliability import results

FLAP = 0.7
"""Seconds that the primary is busy, and then is not."""
_OTHER = "a probe of the same name with a state of its own"
"""What shells tell of each other, once, and are right to."""
BLOB = ("health-probe", "HelloWorld.png")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run: ``own`` gives each process a state of its own; ``kills`` are so many SIGKILLs under way.

    ``skew`` sets the clock of every other process so many seconds back.
    """

    writers: int
    ticks: int
    state: str = "file"
    own: bool = False
    flap: bool = True
    lag: float = 0.2
    kills: int = 0
    skew: float = 0
    seed: int = 1


@dataclass(kw_only=True)
class Outcome:
    """What the processes told, and what the document holds."""

    plan: dict[str, Any]
    seconds: float = 0
    ticks_told: int = 0
    ticks_skipped: int = 0
    ticks_killed: int = 0
    kills: int = 0
    ticks_in_document: int = 0
    attempts_told: int = 0
    attempts_in_document: int = 0
    transitions_told: int = 0
    transitions_in_document: int = 0
    reads: int = 0
    reads_lost: int = 0
    state_requests_per_tick: float = 0
    told: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


async def played(plan: Plan) -> Outcome:
    """Run a plan, and return what came of it."""
    names: dict[str, str] = {}
    outcome = Outcome(plan=asdict(plan))
    with tempfile.TemporaryDirectory() as folder, resolving(names):
        async with (
            Account("contoso", names, utc_now, lag=timedelta(seconds=plan.lag)) as account,
            Account("host", names, utc_now) as host,
        ):
            asked = Counter[str]()
            _begin(account)
            if plan.flap:
                account.plays[PRIMARY] = _flapping
            host.plays[PRIMARY] = lambda each: asked.update([each.method])
            environments = [_environment(plan, each, account, host, folder) for each in range(plan.writers)]
            began = time.monotonic()
            lines = await _run(plan, environments, names, outcome)
            outcome.seconds = round(time.monotonic() - began, 1)
            _told(outcome, lines)
            done = outcome.ticks_told + outcome.ticks_skipped
            outcome.state_requests_per_tick = round(sum(asked.values()) / max(done, 1), 2)
            for environment in environments if plan.own else environments[:1]:
                await _held(outcome, environment, lines)
    _judged(outcome)
    return outcome


def _flapping(_: Asked) -> Answer | None:
    return refusal(503, "ServerBusy") if int(time.monotonic() / FLAP) % 2 else None


def _begin(account: Account) -> None:
    """Have a canary from before, so that whoever comes first can be served by the secondary."""
    stamp = canary.stamp(body=b"picture", sequence=1, written_at=utc_now(), writer="local")
    headers = {f"x-ms-meta-{name}": value for name, value in canary.encode(stamp).items()}
    account.lag, lag = timedelta(0), account.lag
    account.write(*BLOB, b"picture", headers)
    account.lag = lag


def _environment(plan: Plan, number: int, account: Account, host: Account, folder: str) -> dict[str, str]:
    name = f"state-{number if plan.own else 0}"
    return {
        "ProbedStorage": account.connection_string,
        "AzureWebJobsStorage": host.connection_string,
        "PROBE_STATE": f"file:{folder}/{name}.json" if plan.state == "file" else "AzureWebJobsStorage",
        "PROBE_STATE_CONTAINER": name,
        "PROBE_RETRY_DELAY": "0",
        "PROBE_VANTAGE": "local",
    }


async def _run(
    plan: Plan, environments: list[dict[str, str]], names: dict[str, str], outcome: Outcome
) -> list[dict[str, Any]]:
    """Run every process to its end, with the kills on the way, and return all that they told."""
    chance = random.Random(plan.seed)  # noqa: S311 - no secret
    killed = [plan.kills // plan.writers + (each < plan.kills % plan.writers) for each in range(plan.writers)]
    lines: list[dict[str, Any]] = []

    async def one(number: int) -> None:
        left = plan.ticks
        while left > 0:
            skew = -plan.skew if number % 2 else 0
            async with _process(environments[number], names, left, skew) as process:
                room = max(1, 2 * left // (killed[number] + 1))  # so that all of them find a tick to strike
                dies_after = chance.randint(1, min(room, left)) if killed[number] else None
                told = 0
                assert process.stdout
                async for line in process.stdout:
                    lines.append(json.loads(line))
                    told += 1
                    if told == dies_after:
                        await asyncio.sleep(chance.random() * 0.2)
                        process.send_signal(signal.SIGKILL)
                await process.wait()
            if dies_after is None and process.returncode:
                raise RuntimeError(f"a writer ended with {process.returncode}")
            outcome.kills += process.returncode == -signal.SIGKILL
            killed[number] -= dies_after is not None
            left -= told if dies_after is not None else left

    await asyncio.gather(*map(one, range(plan.writers)))
    return lines


@contextlib.asynccontextmanager
async def _process(
    environment: dict[str, str], names: dict[str, str], ticks: int, skew: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    words = [json.dumps(names), str(ticks), str(skew)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.writers", "--one", *words,
        env={**_quiet(), **environment}, stdout=asyncio.subprocess.PIPE, limit=2**24,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _quiet() -> dict[str, str]:
    """Return this process's environment without what would be settings of the probe's."""
    ours = ("PROBE_", "ProbedStorage", "AzureWebJobs", "APPLICATIONINSIGHTS", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


async def _one(names: str, ticks: str, skew: str) -> None:
    """Tick as one process, and tell each tick in a line."""
    logging.disable()
    compose.utc_now = lambda: utc_now() + timedelta(seconds=float(skew))
    with resolving(json.loads(names)):
        app = compose.build(os.environ)
        for _ in range(int(ticks)):
            report = await app.fire(Firing(scheduled_at=compose.utc_now()))
            print(json.dumps(_line(report)), flush=True)
        await app.aclose()


def _line(report: TickReport) -> dict[str, Any]:
    found: dict[str, Any] = {
        "result": report.result,
        "store": [f"{each.operation} {each.error_type}" for each in report.state_problems],
    }
    for each in report.targets:
        primary, secondary = each.judged(Location.PRIMARY), each.judged(Location.SECONDARY)
        found |= {
            "verdict": each.judgement.target.verdict,
            "ends": [f"{end.verdict}: {end.reason}" for end in (primary, secondary) if end],
            "events": [event.kind for event in each.events],
            "why": [event.reason for event in each.events],
            "epochs": [move.epoch for move in each.transitions],
            "reads": len(each.reads),
            "lost": sum(read.served_by is None for read in each.reads),
            "attempts": sum(len(read.attempts) for read in each.reads),
        }
    return found


def _told(outcome: Outcome, lines: list[dict[str, Any]]) -> None:
    saved = [each for each in lines if each["result"] != "skipped"]
    outcome.ticks_told, outcome.ticks_skipped = len(saved), len(lines) - len(saved)
    words = Counter[str]()
    for each in saved:
        words.update([each["verdict"], *(end.partition(":")[0] for end in each["ends"]), *each["events"]])
        words.update(f"store: {problem}" for problem in each["store"])
        outcome.reads += each["reads"]
        outcome.reads_lost += each["lost"]
        outcome.attempts_told += each["attempts"]
        outcome.transitions_told += len(each["epochs"])
        outcome.problems += [f"{end}" for end in each["ends"] if end.startswith("corrupt")]
        outcome.problems += [f"store: {problem}" for problem in each["store"]]
        outcome.problems += [
            why
            for kind, why in zip(each["events"], each["why"], strict=True)
            if kind != "incident_closed" and not (outcome.plan["own"] and _OTHER in why)
        ]
    outcome.told = dict(sorted(words.items()))


async def _held(outcome: Outcome, environment: dict[str, str], lines: list[dict[str, Any]]) -> None:
    app = compose.build(environment)
    record = (await app.world.store.load(0)).record
    await app.aclose()
    assert record
    breaker = record.targets["contoso"].breaker
    totals = breaker.totals
    outcome.ticks_in_document += record.ticks
    outcome.attempts_in_document += totals.primary_attempts + totals.secondary_attempts
    outcome.transitions_in_document += totals.transitions
    epochs = sorted(epoch for each in lines for epoch in each.get("epochs", ()))
    if not outcome.plan["own"] and not outcome.plan["kills"] and epochs != list(range(1, breaker.epoch + 1)):
        outcome.problems.append(f"the moves told are {epochs}, and the breaker has made {breaker.epoch}")


def _judged(outcome: Outcome) -> None:
    """Tell what is not as it should be. A tick that was killed after its save told nobody."""
    most = outcome.plan["kills"]
    outcome.ticks_killed = outcome.ticks_in_document - outcome.ticks_told
    if not 0 <= outcome.ticks_killed <= most:
        outcome.problems.append("ticks are missing from the document, or are in it twice")
    for what in ("attempts", "transitions"):
        told, held = getattr(outcome, f"{what}_told"), getattr(outcome, f"{what}_in_document")
        if held < told or (held > told and not most):
            outcome.problems.append(f"{what} are missing from the document, or are in it twice")
    if outcome.reads_lost or "unavailable" in outcome.told:
        outcome.problems.append("reads were lost while the secondary lived")
    outcome.problems = [f"{count} times: {what}" for what, count in Counter(outcome.problems).items()]


SAYS = """
Processes that probe one account at once, each as fast as it can, over real sockets; the account and the
blobs of the state are [of another make](faults/other_account.py), and the primary is busy for half of the
time, in turns of 0.7 s (not where it is healthy). *Skipped* are ticks that a later one had overtaken before
they began. *In the document*: what the saved state holds of ticks, attempts and moves of the breaker, of
what the processes told; it must be the same. *Requests* are those to the state's store, per tick: a process
alone makes two, and two more to begin with. *False*: what was said of the account and was not so, be it
`corrupt`, a loss, another writer (a shell tells of another, and is right), or a read lost while the
secondary lived. Each row is what `python -m tests.faults.writers` prints with these arguments; `--page`
made the table of them.
"""


def saved(files: list[str]) -> None:
    """Make the table of the Reliability page of printed outcomes."""

    def row(each: dict[str, Any]) -> list[results.Cell]:
        plan = each["plan"]
        words = [f"--{name} {plan[name]}" for name in ("writers", "ticks", "state")]
        words += [f"--{name} {plan[name]:g}" for name in ("kills", "skew") if plan[name]]
        words += [f"--lag {plan['lag']:g}"] * (plan["lag"] != Plan(writers=1, ticks=1).lag)
        words += ["--own"] * plan["own"] + ["--healthy"] * (not plan["flap"])
        held = [
            f"{each[f'{what}_in_document']} of {each[f'{what}_told']}"
            for what in ("ticks", "attempts", "transitions")
        ]
        requests = each["state_requests_per_tick"] if plan["state"] == "blob" else None
        took = f"{each['seconds']:.0f} s"
        return [" ".join(words), each["ticks_skipped"], *held, requests, len(each["problems"]), took]

    found = results.Result(
        title="Several processes at once",
        command=".venv/bin/python -m tests.faults.writers ARGUMENTS",
        says=SAYS,
        columns=["arguments", "skipped", "ticks", "attempts", "moves", "requests", "false", "took"],
        rows=[row(json.loads(Path(each).read_text(encoding="utf-8"))) for each in files],
    )
    results.save("writers", found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--page", nargs="+", metavar="FILE", help="make the page's table of these outcomes")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--ticks", type=int, default=200)
    parser.add_argument("--state", choices=["file", "blob"], default="file")
    parser.add_argument("--own", action="store_true", help="a state of its own for each")
    parser.add_argument("--healthy", action="store_true", help="a primary that does not flap")
    parser.add_argument("--lag", type=float, default=0.2)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--skew", type=float, default=0, help="seconds that every other clock is behind")
    found = parser.parse_args()
    if found.one:
        asyncio.run(_one(*found.one))
        return
    if found.page:
        saved(found.page)
        return
    plan = Plan(
        writers=found.writers, ticks=found.ticks, state=found.state, own=found.own, flap=not found.healthy,
        lag=found.lag, kills=found.kills, skew=found.skew,
    )  # fmt: skip
    print(json.dumps(asdict(asyncio.run(played(plan))), indent=1))


if __name__ == "__main__":
    main()
