"""What a person on call reads in each situation: ticks that are really run, and the faces that tell of them.

``make docs`` writes it to ``situations.md``, to be read cold: what a headline gets wrong stands out there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from probe import lines
from probe.adapters.telemetry import catalogue
from probe.core import canary
from probe.core.headline import headline
from probe.core.report import TargetReport, TickReport, exit_code
from probe.core.target import Location
from probe.core.times import lasting
from probe.lab.world import BODY, MINUTE, NOON, World, clock, run, target, world

OK, BUSY = ("ok", "ok"), ("503", "ok")
type Before = Callable[[World, int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A situation: what primary and secondary do in each tick, a minute apart, and what else happens.

    ``before`` is called before each tick with its number. ``policy`` replaces defaults of the target's.
    """

    name: str
    script: tuple[tuple[str, str], ...]
    before: Before = lambda _, __: None
    policy: tuple[tuple[str, object], ...] = ()


def stats(word: str | None) -> Before:
    """Let the stats say this from the second tick on."""

    def before(probe: World, number: int) -> None:
        probe.account.stats = word if number else "live"

    return before


def stranger(probe: World, number: int) -> None:
    if number == 1:
        probe.account.write(canary.stamp(body=BODY, sequence=99, written_at=clock(), writer="laptop"))


def deleted(probe: World, number: int) -> None:
    if number == 1:
        probe.account.container = False
        probe.account.blobs = dict.fromkeys(Location)


def offline(probe: World, _: int) -> None:
    probe.inner.store_is_remote = False


def unsaved(probe: World, number: int) -> None:
    probe.store.trouble = {"load": "503", "save": "503"} if 1 <= number <= 10 else {}


def healed_after(bad_trials: int) -> tuple[tuple[str, str], ...]:
    """Return an outage that ends after so many bad trials, and what follows until reads are back."""
    return (OK, *[BUSY] * (4 * bad_trials + 1), *[OK] * 6)


SITUATIONS = (
    Situation(name="all is well", script=(OK, OK)),
    Situation(name="the primary is down for twelve minutes", script=(OK, *[BUSY] * 13)),
    Situation(name="both locations are down", script=(OK, ("503", "timeout"), ("503", "timeout"))),
    Situation(
        name="unplanned failover, with loss", script=(OK, ("ok", "stale"), ("ok", "stale"), ("lost", "dns"))
    ),
    Situation(name="unplanned failover, nothing lost", script=(OK, OK, ("lost", "dns"))),
    Situation(name="planned failover", script=(OK, OK, ("lost", "ok"))),
    Situation(name="planned failover and back", script=(OK, ("lost", "ok"), OK, ("lost", "ok"), OK)),
    Situation(name="a second writer", script=(OK, OK, OK), before=stranger),
    Situation(name="stats are refused", script=(OK, OK), before=stats("403")),
    Situation(name="Azure says unavailable", script=(OK, OK), before=stats("unavailable")),
    Situation(name="Azure says bootstrap", script=(OK, OK), before=stats("bootstrap")),
    Situation(name="stats without a time", script=(OK, OK), before=stats(None)),
    Situation(name="writes denied for ten ticks", script=(OK, *[("read-only", "stale")] * 10)),
    Situation(name="the container was deleted", script=(OK, OK), before=deleted),
    Situation(name="offline, with state in a file", script=(OK, ("dns", "dns")), before=offline),
    Situation(name="a captive portal", script=(OK, ("portal", "portal")), before=offline),
    Situation(name="the state store is down, tenth tick", script=(OK,) * 11, before=unsaved),
    Situation(name="the state store is back", script=(OK,) * 12, before=unsaved),
    Situation(name="healed after one bad trial", script=healed_after(1)),
    Situation(name="healed after three bad trials", script=healed_after(3)),
    Situation(name="healed after eight bad trials", script=healed_after(8)),
    Situation(
        name="the secondary stale while the breaker is open",
        script=(OK, BUSY, *[("503", "stale")] * 4),
        policy=(("rpo", timedelta(minutes=2)),),
    ),
    Situation(
        name="the primary back, the secondary still stale",
        script=(OK, BUSY, *[("503", "stale")] * 4, ("ok", "stale"), ("ok", "stale")),
        policy=(("rpo", timedelta(minutes=2)),),
    ),
)


async def played(situation: Situation) -> tuple[World, list[TickReport]]:
    probe = world(target(**dict(situation.policy)))
    probe.account.begin()
    reports = []
    for number, script in enumerate(situation.script):
        await probe.until(NOON + number * MINUTE)
        situation.before(probe, number)
        probe.account.behave(*script)
        reports.append(await probe.tick())
    return probe, reports


def told(situation: Situation) -> str:
    """Return the situation's part of the page: the last tick's faces, and all events on the way."""

    async def main() -> tuple[World, list[TickReport]]:
        return await played(situation)

    probe, reports = run(main())
    last = reports[-1]
    (report,) = last.targets
    known = probe.inner.last_known.get(0)
    (seen,) = lines.situations(last, known.unsaved_since if known else None)
    rows = [
        f"- events: {_events(reports)}",
        f"- verdicts: {_verdicts(report)}; exit code {exit_code(last)}",
        f"- recovery point: {_point(report)}{_back(reports)}",
    ]
    return "\n".join([f"## {situation.name}", "", f"> {headline(seen)}", "", *rows])


def _verdicts(report: TargetReport) -> str:
    judged = report.judgement
    named = {
        "reads": judged.target,
        "redundancy": judged.redundancy,
        "primary": judged.primary,
        "secondary": judged.secondary,
    }
    return ", ".join(
        f"{name} `{each.verdict}` since {each.since:%H:%M}"
        for name, each in named.items()
        if each and each.since
    )


def _point(report: TargetReport) -> str:
    known = report.replication
    if known.recovery_point is None or known.recovery_point_age is None:
        return f"unknown ({known.reason})"
    within = {True: "within", False: "over", None: "unknown against"}[known.within_rpo]
    return f"{known.recovery_point:%H:%M:%S}, {lasting(known.recovery_point_age)} old, {within} the RPO"


def _events(reports: list[TickReport]) -> str:
    found = [
        f"{event.at:%H:%M} `{event.kind}` (row `{catalogue.EVENT_OF[event.kind].name}`): {event.reason}"
        for each in reports
        for event in each.targets[0].events
    ]
    return "; ".join(found) or "none"


def _back(reports: list[TickReport]) -> str:
    """Return how long reads went on from the secondary after the primary was seen well again."""
    last = reports[-1].targets[0]
    bad = [each.scheduled_at for each in reports if each.targets[0].judgement.primary.verdict == "down"]
    rerouted = [
        each.scheduled_at for each in reports if each.targets[0].judgement.target.verdict == "rerouted"
    ]
    if not bad or last.judgement.target.verdict != "ok":
        return ""
    waited = rerouted[-1] - bad[-1]
    return f"; routed back {lasting(waited)} after the last bad tick" if waited else "; routed back at once"


def text() -> str:
    """Return the whole page."""
    head = (
        "# What is read in each situation\n\n"
        "Made by `make docs` from ticks that are really run (`situations.py`), a minute apart from 12:00\n"
        "UTC on, with simulated locations: the headline of the last tick, and the rest that the faces show.\n"
    )
    return "\n".join([head, *(f"{told(each)}\n" for each in SITUATIONS)])
