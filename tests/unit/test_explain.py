"""Explanations: a tick in words, down to each attempt, and why reads go where they go."""

import pytest

from probe import explain
from probe.core.report import TickReport
from probe.core.target import Forced, Location, Target
from probe.lab.world import MINUTE, NOON, run, target, world


def last(*scripts: tuple[str, str], probed: Target | None = None) -> TickReport:
    """Return the last of ticks a minute apart, each with what primary and secondary do in it."""

    async def main():
        probe = world(probed or target())
        for number, (primary, secondary) in enumerate(scripts):
            await probe.until(NOON + number * MINUTE)
            probe.account.behave(primary, secondary)
            report = await probe.tick()
        return report

    return run(main())


OK, BROKEN = ("ok", "ok"), ("503", "ok")
OPEN = "breaker: open since 12:01:00 UTC: reads go to the secondary, and the primary is tried after "
OR_CHECKS = "or after 5 more good checks of the primary in a row"


def test_every_attempt_has_a_line_with_whose_fault_its_failure_is():
    report = last(OK, BROKEN)
    lines = explain.lines(report)

    attempts = [each for each in lines if " primary " in each and each.startswith("  12:")]
    assert len(attempts) == 1 + 1 + 5
    assert all("503 HTTP 503 [path fault] 12.0 ms" in each for each in attempts)
    assert "  reads served by: 1:secondary 2:secondary 3:secondary 4:secondary 5:secondary" in lines


def test_the_reasoning_has_the_move_its_figures_and_every_verdict():
    text = "\n".join(explain.lines(last(OK, BROKEN)))

    assert "breaker closed -> open: 5 primary attempts failed in a row, the last with 503" in text
    assert "consecutive_failures=5" in text
    assert "verdict rerouted" in text
    assert "primary down: " in text
    assert "secondary healthy: " in text


def test_what_was_cut_off_and_what_is_unknown_is_said():
    text = "\n".join(explain.lines(last(("hang", "ok"))))

    assert "cut off by the budget: look primary, write, read 1" in text
    assert "lag unknown" in text
    assert "reads served by: none was finished" in text


def test_a_slow_attempt_is_marked():
    assert sum("SLOW" in each for each in explain.lines(last(OK, ("slow", "ok")))) == 7


@pytest.mark.parametrize(
    ("scripts", "policy", "said"),
    [
        ([OK], {}, None),
        (
            [OK, BROKEN],
            {},
            f"{OPEN}17 more reads from the secondary, {OR_CHECKS}",
        ),
        (
            [OK, BROKEN],
            {"cooldown": 5 * MINUTE},
            f"{OPEN}17 more reads from the secondary, or at 12:06:00 UTC, {OR_CHECKS}",
        ),
        (
            [OK, BROKEN],
            {"secondary_reads": 3},
            "breaker: half-open: reads try the primary; 3 more good trials close it",
        ),
        (
            [OK],
            {"forced": Forced(location=Location.SECONDARY, until=NOON + MINUTE)},
            "breaker: reads are forced to the secondary until 2026-03-01T12:01:00.000000Z",
        ),
    ],
    ids=["closed", "open", "open with a cooldown", "half-open", "forced"],
)
def test_the_short_form_says_why_reads_go_where_they_go(scripts, policy, said: str | None):
    lines = explain.reasons(last(*scripts, probed=target(**policy)))

    assert [each.strip() for each in lines if "breaker:" in each] == ([said] if said else [])


def test_the_short_form_says_that_the_canary_could_not_be_written():
    lines = explain.reasons(last(OK, BROKEN))

    assert "    write: the canary could not be written: Server is busy" in lines


def test_the_reasons_tell_that_of_redundancy_too():
    (told,) = [each for each in explain.reasons(last(OK)) if "redundancy" in each]

    assert told.startswith("    redundancy: protected: every write up to ")
