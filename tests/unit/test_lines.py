"""A tick in the log: who needs somebody first, and nothing green that is not."""

import logging

import pytest

from probe import lines
from probe.core.report import TickReport
from probe.lab.world import MINUTE, NOON, World, run, target, world

WARNING, INFO = logging.WARNING, logging.INFO


async def ticked(probe: World, *scripts: tuple[str, str]) -> TickReport:
    """Run a tick a minute, each with what primary and secondary do in it; return the last one's report."""
    for number, (primary, secondary) in enumerate(scripts):
        await probe.until(NOON + number * MINUTE)
        probe.account.behave(primary, secondary)
        report = await probe.tick()
    return report


def last(*scripts: tuple[str, str]) -> TickReport:
    async def main() -> TickReport:
        probe = world()
        probe.account.begin()
        return await ticked(probe, *scripts)

    return run(main())


def fleet(**behaviours: tuple[str, str]) -> TickReport:
    """Return the second tick of a fleet: the first was in peace."""

    async def main() -> TickReport:
        probe = world(*map(target, behaviours))
        for account in probe.accounts.values():
            account.begin()
        await probe.tick()
        await probe.until(NOON + MINUTE)
        for name, behaviour in behaviours.items():
            probe.accounts[name].behave(*behaviour)
        return await probe.tick()

    return run(main())


OK, BROKEN, GONE = ("ok", "ok"), ("503", "ok"), ("ok", "dns")


@pytest.mark.parametrize(
    ("primary", "secondary", "parts"),
    [
        ("ok", "ok", ["12:00:00 contoso ok, redundancy protected", "primary healthy", "reads PPPPP"]),
        (
            "503",
            "404",
            ["unavailable, redundancy protected", "primary down (503)", "reads -----", "breaker open"],
        ),
        ("hang", "ok", ["inconclusive, redundancy unknown", "reads none"]),
    ],
    ids=["ok", "unavailable", "hangs"],
)
def test_a_ticks_line_says_who_served_and_what_is_wrong(primary: str, secondary: str, parts: list[str]):
    (_, line), *_ = lines.tick(last((primary, secondary)))

    for each in parts:
        assert each in line


def test_a_quiet_tick_is_one_line_and_no_warning():
    assert [level for level, _ in lines.tick(last(OK, OK))] == [INFO]


def test_a_warning_that_all_is_well_says_what_was_not_before():
    _, headline = lines.tick(last(OK, ("ok", "slow"), OK))

    assert headline[1].endswith(" Before: secondary was degraded.")


def test_a_verdict_that_changed_is_a_warning_with_the_headline_and_one_that_holds_is_not():
    changed, headline, moved = lines.tick(last(OK, BROKEN))
    assert (changed[0], headline[0], moved[0]) == (WARNING, WARNING, WARNING)
    assert headline[1].startswith("  contoso: Reads from the SECONDARY since 12:01 UTC: primary answers 503.")
    assert (
        moved[1] == "  contoso: breaker closed -> open: 5 primary attempts failed in a row, the last with 503"
    )

    assert [level for level, _ in lines.tick(last(OK, BROKEN, BROKEN))] == [INFO]


def test_an_unavailable_tick_is_a_warning_however_long_it_lasts():
    down = ("503", "503")

    for count in (1, 2, 3):
        assert lines.tick(last(OK, *[down] * count))[0][0] == WARNING


def test_a_lost_secondary_is_a_warning_though_reads_are_ok():
    (level, line), (_, headline) = lines.tick(last(OK, GONE))

    assert level == WARNING
    assert "contoso ok, redundancy unprotected" in line
    assert "UNPROTECTED since 12:01 UTC" in headline


def test_the_first_tick_warns_only_of_what_is_not_well():
    assert lines.tick(last(OK))[0][0] == INFO
    assert lines.tick(last(BROKEN))[0][0] == WARNING


def test_a_skipped_tick_has_a_line_too():
    async def main():
        probe = world()
        await probe.tick(NOON)
        return await probe.tick(NOON)

    assert lines.tick(run(main())) == [
        (
            INFO,
            "tick skipped: a tick of the same or a later scheduled time has run already; state store ok",
        )
    ]


def test_a_failing_store_has_a_warning_of_its_own():
    async def main():
        probe = world()
        await probe.tick()
        await probe.until(NOON + MINUTE)
        probe.store.down()
        return await probe.tick()

    assert lines.tick(run(main()))[-1] == (WARNING, "tick completed; state store timeout")


def test_a_fleet_is_told_worst_first_under_one_headline():
    report = fleet(calm=OK, gone=GONE, broken=BROKEN, dead=("503", "503"))

    (level, head), *rest = lines.tick(report)

    assert (level, head) == (
        WARNING,
        "3 of 4 targets need you: dead (unavailable), broken (rerouted), gone (unprotected).",
    )
    assert [line.split()[1] for _, line in rest if line.startswith("12:")] == [
        "dead",
        "broken",
        "gone",
        "calm",
    ]
