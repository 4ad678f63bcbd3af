"""The watch: the canary's way to the secondary, who served each read, what moved, and the end of it."""

import asyncio
import json
import re
import sys
from datetime import timedelta

import pytest

from probe import watch
from probe.adapters.storage import Cleanup
from probe.core.target import Location, Target
from probe.lab.world import World, run, target, world
from probe.watch import JsonShow, Plan, Show, TextShow
from tests.unit.app_values import app_on
from tests.unit.test_overview import Tty, bare

LONG = target(deadline=timedelta(seconds=5))


def plan(probe: World, **more) -> Plan:
    values = {"reads": 6, "interval": 0.0, "wait": 60.0, "cleanup": False, **more}
    return Plan(target=probe.targets[0], **values)


def watched(
    *scripts: tuple[float, str, str],
    show: Show | None = None,
    probed: Target | None = None,
    stop: float | None = None,
    **more,
):
    """Watch a world that behaves as scripted from a second on; answer exit code, app and world."""
    probe = world(probed or LONG)
    app = app_on(probe)

    async def script() -> None:
        before = 0.0
        for second, primary, secondary in scripts:
            await asyncio.sleep(second - before)
            before = second
            probe.account.behave(primary, secondary)
            probe.account.replicate()

    async def main() -> int:
        if scripts and not scripts[0][0]:
            probe.account.behave(*scripts[0][1:])
        scripted = asyncio.create_task(script())
        watching = asyncio.create_task(watch.run(app, plan(probe, **more), show or TextShow()))
        if stop is not None:
            asyncio.get_running_loop().call_later(stop, watching.cancel)
        try:
            return await watching
        finally:
            scripted.cancel()

    return run(main()), app, probe


def test_a_quiet_watch_says_what_it_does_and_sums_up(capsys):
    code, _, _ = watched()

    assert capsys.readouterr().out.splitlines() == [
        "Writing https://contoso.blob.core.windows.net/health-probe/HelloWorld.png",
        "Written: sequence 1 in 9 ms",
        "The secondary shows sequence 1, 0.0 s after it was written",
        "P0 P1 P2 P3 P4 P5 ",
        "6 reads: 6 from the primary, 0 from the secondary, 0 failed; the worst took 9 ms; 0 transitions",
    ]
    assert code == 0


def test_the_canarys_way_to_the_secondary_is_awaited_with_progress(capsys):
    watched((0, "ok", "stale"), (12.5, "ok", "ok"))

    lines = capsys.readouterr().out.splitlines()
    waiting = [each for each in lines if each.startswith("Waiting")]
    assert waiting == [f"Waiting for the secondary: {each} s of at most 60 s" for each in (0, 5, 10)]
    assert any("shows sequence 1, 13." in each for each in lines)


def test_on_a_terminal_the_progress_is_one_line_that_goes_away(monkeypatch):
    screen = Tty()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")

    watched((0, "ok", "stale"), (3.5, "ok", "ok"), reads=30)

    written = screen.getvalue()
    assert written.count("Waiting for the secondary, 60 s at most …"[:30]) >= 1
    assert "\x1b[2K" in written
    assert "of at most" not in written
    reads = [each for each in bare(written).splitlines() if re.match("P[0-9]", each)]
    assert max(map(len, reads)) <= 40
    assert "".join(reads).split() == [f"P{number}" for number in range(30)]


@pytest.mark.parametrize(
    ("secondary", "why"),
    [("stale", "404"), ("404", "404"), ("503", "503"), ("timeout", "timeout")],
)
def test_a_canary_that_never_arrives_is_said_plainly_and_reading_goes_on(capsys, secondary: str, why: str):
    code, _, _ = watched((0, "ok", secondary), wait=10.0)

    out = capsys.readouterr().out
    assert f"The canary did NOT arrive at the secondary within 10 s ({why})" in out
    assert "6 reads: 6 from the primary" in out
    assert code == 0


def test_a_secondary_that_shows_an_older_canary_has_not_got_it(capsys):
    """The blob of an earlier run is there on both sides; the new one never comes."""

    async def main():
        probe = world()
        await probe.tick()
        probe.account.behave("ok", "stale")
        return await watch.run(app_on(probe), plan(probe, wait=3.0), TextShow())

    run(main())

    assert "did NOT arrive at the secondary within 3 s (it shows an older canary)" in capsys.readouterr().out


def test_a_canary_that_cannot_be_written_is_said_and_reading_goes_on(capsys):
    code, _, _ = watched((0, "403", "ok"), reads=1)

    out = capsys.readouterr().out
    assert "The canary could not be written: not tried: the look before it failed (403)" in out
    assert "read 0: NEITHER location served it (primary: 403, secondary: 404)" in out
    assert code == 1


def test_retries_and_transitions_are_told_as_they_happen(capsys):
    code, _, _ = watched((0, "ok", "ok"), (0.05, "503", "ok"), reads=10)

    lines = capsys.readouterr().out.splitlines()
    moved = lines.index("  breaker closed -> open: 5 primary attempts failed in a row, the last with 503")
    assert lines[moved - 1].startswith("  read ")
    assert lines[moved - 1].endswith("primary failed: 503 ServerBusy after 12 ms")
    assert lines[moved + 1].startswith("S")
    assert sum("primary failed: 503" in each for each in lines) == 5
    assert "0 failed" in lines[-1]
    assert "1 transitions" in lines[-1]
    assert code == 0


def test_a_trial_is_told_as_one(capsys):
    watched((0, "ok", "ok"), (0.05, "503", "ok"), reads=30)

    out = capsys.readouterr().out
    assert "primary (trial) failed: 503" in out
    assert "breaker half-open -> open: the trial failed with 503" in out


def test_both_unreachable_is_told_and_the_loop_goes_on(capsys):
    code, _, _ = watched((0, "ok", "ok"), (0.05, "503", "refused"), (3, "ok", "ok"), reads=400)

    out = capsys.readouterr().out
    assert "NEITHER location served it (primary: 503, secondary: refused)" in out
    assert "400 reads: " in out
    assert code == 1


def test_reads_are_apart_by_the_interval():
    _, _, probe = watched(interval=2.0, reads=4)

    assert probe.account.opened == 2  # one to write, one for the round of reads

    async def end():
        probe = world()
        await watch.run(app_on(probe), plan(probe, interval=2.0, reads=4), TextShow())
        return asyncio.get_running_loop().time()

    assert run(end()) == pytest.approx(3 * 2, abs=0.2)


def test_connections_do_not_outlive_a_round():
    _, _, probe = watched(reads=12)

    assert probe.account.opened == probe.account.closed == 1 + 3


def test_reading_what_is_there_already_writes_and_awaits_nothing(capsys):
    _, _, probe = watched(probed=target(write=False))

    out = capsys.readouterr().out
    assert "which is there already (read-only)" in out
    assert "Waiting" not in out
    assert not [each for each in probe.account.calls if each[1] == "write"]


def test_without_a_secondary_there_is_nothing_to_wait_for(capsys):
    code, _, _ = watched(probed=target(geo=False))

    assert "secondary shows" not in capsys.readouterr().out
    assert code == 0


def test_interrupted_it_still_sums_up(capsys):
    code, app, probe = watched(stop=2.5, reads=999, interval=1.0)

    out = capsys.readouterr().out
    assert "3 reads (interrupted): 3 from the primary" in out
    assert code == 0
    assert app.writer.asked == []
    assert probe.account.opened == probe.account.closed


def cleaned(cleanup: Cleanup, stop: float | None = None):
    probe = world()
    app = app_on(probe)
    app.writer.done = cleanup

    async def main():
        watching = asyncio.create_task(
            watch.run(app, plan(probe, reads=5, interval=1.0, cleanup=True), TextShow())
        )
        if stop is not None:
            asyncio.get_running_loop().call_later(stop, watching.cancel)
        return await watching

    run(main())
    return app.writer.asked


@pytest.mark.parametrize("stop", [None, 2.5, 0.005], ids=["at its end", "interrupted", "interrupted at once"])
def test_the_clean_up_runs_however_it_ends(capsys, stop: float | None):
    assert cleaned(Cleanup(blob=True, container=True), stop) == ["contoso"]
    assert capsys.readouterr().out.splitlines()[-1] == "Cleaned up: the blob and its container deleted"


def test_what_the_clean_up_left_is_said(capsys):
    cleaned(Cleanup(kept="the blob was written by somebody else since"))

    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Cleaned up: nothing deleted; kept: the blob was written by somebody else since"


def test_a_clean_up_that_is_interrupted_says_what_may_be_left(capsys):
    probe = world()
    app = app_on(probe)

    class Hanging:
        async def clean_up(self, *_):
            await asyncio.Event().wait()

    async def main():
        app.writer = Hanging()
        watching = asyncio.create_task(watch.run(app, plan(probe, reads=1, cleanup=True), TextShow()))
        asyncio.get_running_loop().call_later(5, watching.cancel)
        with pytest.raises(asyncio.CancelledError):
            await watching

    run(main())

    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("The clean-up was interrupted")
    assert last.endswith("https://contoso.blob.core.windows.net/health-probe/HelloWorld.png")


def test_interrupted_before_any_read_nothing_is_known(capsys):
    code, _, _ = watched((0, "ok", "stale"), stop=3.0)

    assert "0 reads (interrupted)" in capsys.readouterr().out
    assert code == 3


def test_a_corrupt_canary_makes_the_exit_code_1_though_each_read_was_served():
    code, _, _ = watched((0, "ok", "ok"), (0.05, "corrupt", "ok"))

    assert code == 1


def test_json_has_a_line_for_each_read_and_the_summary_last_and_nothing_else(capsys):
    watched((0, "ok", "ok"), (0.05, "503", "ok"), show=JsonShow())

    out, err = capsys.readouterr()
    *reads, summary = (json.loads(each) for each in out.splitlines())
    assert [each["read"] for each in reads] == list(range(6))
    assert all(
        set(each) == {"read", "served_by", "duration_seconds", "attempts", "breaker"} for each in reads
    )
    assert {each["served_by"] for each in reads} == {"primary", "secondary"}
    assert reads[-1]["breaker"] == "open"
    assert {"reads", "primary", "secondary", "failed", "transitions"} <= set(summary["summary"])
    assert [each["to"] for each in summary["summary"]["transitions"]] == ["open"]
    assert summary["summary"]["primary"] + summary["summary"]["secondary"] == 6
    assert "Writing https://" in err


def test_json_tells_of_a_read_that_nobody_served(capsys):
    watched((0, "503", "refused"), show=JsonShow(), reads=1)

    read, _ = (json.loads(each) for each in capsys.readouterr().out.splitlines())
    assert read["served_by"] == "none"
    assert [each["location"] for each in read["attempts"]] == [
        Location.PRIMARY,
        Location.PRIMARY,
        Location.SECONDARY,
        Location.SECONDARY,
        Location.SECONDARY,
        Location.PRIMARY,
    ]
