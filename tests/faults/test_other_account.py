"""The tapes of an outage again, on an account of another make: the app as it is deployed, over real sockets.

``test_outage_tapes.py`` plays its tapes to the tick through ports; here the same rows must come out of the
whole app, its exchange and its state file, on ``other_account.Account``. Then what those tapes do not have.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from probe import compose
from probe.adapters import state_blob
from probe.core import canary
from probe.core.report import TickReport, exit_code
from probe.lab.world import BODY, MINUTE, NOON
from probe.tick import Firing
from tests.faults.other_account import PRIMARY, SECONDARY, Account, Asked, refusal, resolving
from tests.faults.test_outage_tapes import TAPES, line, rows, seen

CONTAINER, BLOB = "health-probe", "HelloWorld.png"
QUICK = {
    "PROBE_DEADLINE": "0.3",
    "PROBE_CONNECT_TIMEOUT": "0.2",
    "PROBE_SLOW_AFTER": "0.3",
    "PROBE_RETRY_DELAY": "0.01",
    "PROBE_RPO": "150",
    "PROBE_VANTAGE": "here",
}


class Clock:
    """The clock of probe and account: real seconds within a minute, and the minutes as a test sets them."""

    def __init__(self) -> None:
        self.at(0)

    def at(self, minute: float) -> None:
        self._now, self._since = NOON + minute * MINUTE, time.monotonic()

    def __call__(self) -> datetime:
        return self._now + timedelta(seconds=time.monotonic() - self._since)


class Hour:
    """The app on an account, tick by tick, a minute apart."""

    def __init__(self, app: compose.App, account: Account, host: Account, clock: Clock) -> None:
        self.app, self.account, self.host, self.clock = app, account, host, clock
        self.minute = 0
        self.reports: list[TickReport] = []

    async def tick(self, happens: Callable[[Account], object] | None = None) -> TickReport:
        self.clock.at(self.minute)
        self.minute += 1
        if happens:
            happens(self.account)
        self.reports.append(await self.app.fire(Firing(scheduled_at=self.clock())))
        return self.reports[-1]

    async def ticks(self, count: int, happens: Callable[[Account], object] | None = None) -> list[TickReport]:
        return [await self.tick(happens if number == 0 else None) for number in range(count)]


@pytest.fixture
def hour(tmp_path, monkeypatch):
    """Make an hour on an account that has had a canary of this probe's from before."""

    @asynccontextmanager
    async def make(state: str | None = None, **settings: str):
        clock, names = Clock(), {}
        monkeypatch.setattr(compose, "utc_now", clock)
        with resolving(names):
            async with Account("contoso", names, clock) as account, Account("host", names, clock) as host:
                _wrote(account, "here", 0)
                environment = {
                    "ProbedStorage": account.connection_string,
                    "AzureWebJobsStorage": host.connection_string,
                    "PROBE_STATE": state or f"file:{tmp_path / 'state.json'}",
                    **QUICK,
                    **settings,
                }
                app = compose.build(environment)
                yield Hour(app, account, host, clock)
                await app.aclose()

    return make


def _wrote(account: Account, writer: str, sequence: int | None = None) -> None:
    there = account.regions[PRIMARY].get(CONTAINER, {}).get(BLOB)
    sequence = int(there.stamp["sequence"]) + 1 if there and sequence is None else sequence or 0
    stamp = canary.stamp(body=BODY, sequence=sequence, written_at=account.clock(), writer=writer)
    headers = {f"x-ms-meta-{name}": value for name, value in canary.encode(stamp).items()}
    account.write(CONTAINER, BLOB, BODY, headers)


def behaves(play: Callable[[Asked], object] | None = None, *, lag: timedelta | None = timedelta(0)):
    def begin(account: Account) -> None:
        account.plays = {PRIMARY: play} if play else {}
        account.lag, account.readonly = lag, False

    return begin


def hangs(_: Asked) -> str:
    return "hang"


def busy(_: Asked):
    return refusal(503, "ServerBusy")


def portal(_: Asked) -> str:
    return "portal"


def failed_over(account: Account) -> None:
    if account.redundant:
        account.fail_over_unplanned()


def no_write(account: Account) -> None:
    account.readonly, account.lag = True, None


def says(word: str):
    def say(account: Account) -> None:
        account.status = word
        if word == "500":
            account.plays = {
                SECONDARY: lambda a: refusal(500, "InternalError") if "comp" in a.query else None
            }

    return say


HAPPENS: dict[str, Callable[[Account], object]] = {
    "quiet": behaves(),
    "stuck": behaves(lag=None),
    "dark": behaves(hangs, lag=None),
    "busy": behaves(busy, lag=None),
    "lost": failed_over,
    "kept": failed_over,
    "back": behaves(),
    "swap": Account.fail_over_planned,
    "stranger": lambda account: _wrote(account, "laptop"),
    "twin": lambda account: _wrote(account, "here#0badcafe"),
    "no write": no_write,
    "blob deleted": lambda account: account.change(CONTAINER, BLOB),
    "container deleted": lambda account: account.change(CONTAINER),
    **{word: says(word) for word in ("403", "500", "unavailable", "bootstrap", "empty", "live")},
}


SHORTER = {"dark": {"point": "3"}}
"""A tick of time-outs takes 35 s there, with the default deadline, and 2 s here."""


@pytest.mark.parametrize("name", TAPES)
async def test_the_tapes_come_out_alike_on_an_account_of_another_make(hour, name: str):
    tape = [row | SHORTER.get(row["happens"], {}) for row in rows(TAPES[name])]

    async with hour() as probe:
        for row in tape:
            await probe.tick(HAPPENS[row["happens"]])

    assert [
        line(number, seen(each), row["why"])
        for number, (each, row) in enumerate(zip(probe.reports, tape, strict=True))
    ] == [line(number, row, row["why"]) for number, row in enumerate(tape)]


def told(report: TickReport) -> list[str]:
    return [each.kind for each in report.targets[0].events]


def verdicts(report: TickReport) -> tuple[str, ...]:
    """Return the verdicts on the reads, both endpoints and the redundancy."""
    (found,) = report.targets
    return (*map(str, found.verdicts), str(found.judgement.redundancy.verdict))


async def test_redundancy_is_restored_after_a_failover_and_the_account_fails_back(hour):
    async with hour() as probe:
        await probe.tick()
        await probe.tick(failed_over)
        await probe.account.make_redundant()
        filling = await probe.tick()
        filled = await probe.tick(Account.filled)
        back = await probe.tick(failed_over)
        after = await probe.tick()

    assert verdicts(filling) == ("ok", "healthy", "missing", "unprotected")
    assert verdicts(filled) == ("ok", "healthy", "healthy", "protected")
    assert verdicts(back) == verdicts(after) == ("ok", "healthy", "absent", "unprotected")
    assert [told(each) for each in probe.reports] == [[]] * 6
    assert [each.targets[0].written_sequence for each in probe.reports] == [1, 2, 3, 4, 5, 6]
    assert [exit_code(each) for each in probe.reports] == [0] * 6


async def test_a_cache_before_the_primary_is_corrupt_and_neither_a_loss_nor_a_stranger(hour):
    async with hour() as probe:
        await probe.ticks(2)
        behind = await probe.ticks(2, Account.cached)
        probe.account.cache = None
        gone = await probe.ticks(2)

    assert [verdicts(each)[1] for each in behind] == ["corrupt", "corrupt"]
    assert "has newer than it showed" in behind[1].targets[0].judgement.primary.reason
    assert [told(each) for each in (*behind, *gone) if told(each) != ["incident_closed"]] == [[]] * 3
    assert verdicts(gone[1])[:3] == ("ok", "healthy", "healthy")


def takes_anything(account: Account) -> Callable[[Asked], object]:
    """Take every write, whatever its condition."""

    def play(asked: Asked):
        if asked.method != "PUT":
            return None
        headers = {name: value for name, value in asked.headers.items() if name != "if-match"}
        return account._put(replace(asked, headers=headers), CONTAINER, BLOB)

    return play


async def test_a_primary_that_takes_what_it_does_not_show_tells_a_loss_once_and_is_corrupt_then(hour):
    async with hour() as probe:
        await probe.tick()
        probe.account.cached()
        await probe.tick()
        probe.account.plays = {PRIMARY: takes_anything(probe.account)}
        lies = await probe.ticks(4)
        probe.account.cache, probe.account.plays = None, {}
        healed = (await probe.ticks(2))[-1]

    assert [told(each) for each in lies] == [["failover_with_loss"], [], [], []]
    assert [verdicts(each)[:2] for each in lies] == [("rerouted", "corrupt")] * 4
    assert "the primary does not show what it takes" in lies[3].targets[0].judgement.primary.reason
    assert verdicts(healed)[:3] == ("ok", "healthy", "healthy")


@pytest.mark.parametrize(
    ("names", "play"), [({}, None), (None, portal)], ids=["no name resolves", "a captive portal"]
)
async def test_offline_with_a_file_as_state_blames_nobody_and_forgets_nothing(hour, names, play):
    async with hour() as probe:
        await probe.tick()
        known = dict(probe.account.names)
        if names is not None:
            probe.account.names.clear()
        probe.account.plays = dict.fromkeys((PRIMARY, SECONDARY), play) if play else {}
        offline = await probe.ticks(3)
        probe.account.names.update(known)
        probe.account.plays = {}
        again = await probe.tick()

    assert [verdicts(each) for each in offline] == [("inconclusive",) * 3 + ("unknown",)] * 3
    assert [exit_code(each) for each in offline] == [3] * 3
    assert offline[2].targets[0].judgement.target.since == offline[0].targets[0].judgement.target.since
    assert round(offline[2].targets[0].replication.recovery_point_age / MINUTE) == 3
    assert all(each.targets[0].incident is None for each in offline)
    assert verdicts(again) == ("ok", "healthy", "healthy", "protected")
    assert again.targets[0].written_sequence > 1
    assert told(again) == []


async def test_a_state_store_that_is_down_for_ten_ticks_costs_no_memory(hour, monkeypatch):
    monkeypatch.setattr(state_blob, "_LOAD_PAUSES", (0, 0))
    async with hour("AzureWebJobsStorage") as probe:
        await probe.ticks(2)
        probe.host.plays = {PRIMARY: busy}
        down = await probe.ticks(5)
        down += await probe.ticks(5, behaves(busy))
        health = await probe.app.health()
        probe.host.plays = {}
        back = await probe.tick()
        after = await probe.tick(behaves())

    assert {each.state_store for each in down} == {"503"}
    assert [verdicts(each)[0] for each in down] == ["ok"] * 5 + ["rerouted"] * 5
    assert health == "unsaved"
    assert back.state_store == "ok"
    assert back.targets[0].judgement.target.since == down[5].targets[0].judgement.target.since
    assert back.targets[0].incident.began_at == down[5].targets[0].incident.began_at
    assert [told(each) for each in (*down, back)] == [[]] * 11
    assert after.targets[0].written_sequence == len(probe.reports), "no sequence is tried twice"


@pytest.mark.parametrize("bad_trials", [1, 3])
async def test_a_healed_primary_is_routed_back_to_within_five_minutes(hour, bad_trials: int):
    async with hour(PROBE_SECONDARY_READS="5") as probe:
        await probe.tick(behaves(busy))
        failed = 0
        while failed < bad_trials:
            report = await probe.tick()
            failed += sum(each.trigger == "trial failed" for each in report.targets[0].transitions)
        healed = await probe.ticks(6, behaves())

    states = [str(each.targets[0].breaker.state) for each in healed]
    opened = probe.reports[0].targets[0].transitions[0].at
    assert states[4:] == ["closed", "closed"]
    assert all(
        each.targets[0].breaker.since == opened
        for each in probe.reports
        if each.targets[0].breaker.state == "open"
    )
    assert [told(each) for each in probe.reports if told(each)] == [["incident_closed"]]


async def test_a_healthy_primary_beside_a_stale_secondary_is_read_at_once(hour):
    async with hour() as probe:
        await probe.tick()
        await probe.ticks(3, behaves(busy, lag=None))
        before = probe.reports[-1].targets[0]
        report = await probe.tick(behaves(lag=None))

    assert (before.breaker.state, before.judgement.secondary.verdict) == ("open", "stale")
    assert verdicts(report) == ("ok", "healthy", "stale", "behind")
    assert [str(each.trigger) for each in report.targets[0].transitions] == ["seen well", "recovered"]


def restamped(**stamp: str) -> Callable[[Account], object]:
    """Have the canary in the probe's own name say something absurd, with its digest as it should be."""

    def write(account: Account) -> None:
        there = account.regions[PRIMARY][CONTAINER][BLOB]
        lines = {f"x-ms-meta-{name}": value for name, value in stamp.items()}
        account.write(CONTAINER, BLOB, there.content, there.headers | lines)

    return write


@pytest.mark.parametrize(
    "stamp",
    [
        {"sequence": "1" + "0" * 18},
        {"sequence": str(canary.SEQUENCE_LIMIT // 2)},
        {"writtenat": "0001-01-01T00:00:00.000000+00:00"},
        {"writtenat": "9999-12-31T23:59:59.999999+00:00"},
    ],
    ids=str,
)
async def test_an_absurd_stamp_in_our_own_name_is_replaced_and_leaves_nothing_behind(hour, stamp):
    async with hour() as probe:
        await probe.tick()
        first = await probe.tick(restamped(**stamp))
        after = (await probe.ticks(3))[-1]

    assert first.targets[0].written_sequence
    assert verdicts(after) == ("ok", "healthy", "healthy", "protected")
    assert after.targets[0].replication.lag == timedelta(0)
    assert after.targets[0].replication.secondary_delay < 2 * MINUTE
    assert "failover_with_loss" not in [each for report in probe.reports for each in told(report)]


def answers_writes(status: int, **headers: str) -> Callable[[Account], object]:
    return behaves(lambda asked: (status, headers, b"") if asked.method == "PUT" else None)


async def test_a_201_without_an_etag_is_no_write_and_so_no_loss(hour):
    """Put Blob's answer has one; what gives none has perhaps not handed the write on."""
    async with hour() as probe:
        await probe.tick()
        lying = await probe.ticks(3, answers_writes(201))
        healed = await probe.tick(behaves())

    assert [verdicts(each)[:2] for each in lying] == [("ok", "degraded")] * 3
    assert [told(each) for each in probe.reports] == [[]] * 5
    assert healed.targets[0].written_sequence == 5


async def test_a_condition_that_is_never_met_is_no_race(hour):
    """Once or twice somebody may be faster; whose every write is refused writes nothing, and must say so."""
    async with hour() as probe:
        await probe.tick()
        refused = await probe.ticks(4, answers_writes(412))
        healed = await probe.tick(behaves())

    assert [verdicts(each)[1] for each in refused] == ["healthy", "healthy", "degraded", "degraded"]
    assert "412" in refused[3].targets[0].judgement.primary.reason
    assert verdicts(healed)[:2] == ("ok", "healthy")


async def test_a_slow_state_store_takes_its_time_out_of_the_ticks_budget(hour):
    """The account says nothing and the store takes a second to be loaded: two seconds in all, not three."""
    async with hour(PROBE_TICK_BUDGET="2", PROBE_SCHEDULE="*/10 * * * * *", PROBE_DEADLINE="1.9") as probe:
        await probe.tick()
        load = probe.app.world.store.load

        async def slow(*shard_and_known):
            await asyncio.sleep(1)
            return await load(*shard_and_known)

        probe.app.world.store.load = slow
        probe.account.plays = dict.fromkeys((PRIMARY, SECONDARY), hangs)
        report = await probe.tick()

    assert report.result == "cut_short"
    assert report.duration < timedelta(seconds=2.8)
