"""What a stamp can do to the probe, whoever wrote it: nothing that lasts.

Each absurd value, in each name, at both locations or once at the secondary, before a state that knows the
canary and one that does not; then an hour and a half goes by, ten minutes from tick to tick, and a day. A
blob without a stamp, where none of ours has been, is somebody's file: it is read, and never written over.
"""

import itertools

import pytest

from probe.core import canary
from probe.core.report import exit_code
from probe.core.target import Location
from probe.lab.world import BODY, MINUTE, World, clock, run, target, world

ABSURD = {
    "the highest of 18 digits": {"sequence": "9" * 18},
    "one below the limit": {"sequence": str(canary.SEQUENCE_LIMIT - 1)},
    "high, and possible": {"sequence": str(canary.SEQUENCE_LIMIT // 2)},
    "negative": {"sequence": "-10"},
    "other digits": {"sequence": "\u0661\u0662"},
    "the year 9999": {"writtenat": "9999-12-31T23:59:59.999999+00:00"},
    "the year 1": {"writtenat": "0001-01-01T00:00:00.000000+00:00"},
    "an hour ahead": {"writtenat": "2026-03-01T13:10:00.000000+00:00"},
    "no time": {"writtenat": "noon"},
    "another digest": {"sha256": "0" * 64},
    "no sequence": {"sequence": None},
    "no stamp": dict.fromkeys(("sequence", "writtenat", "sha256", "writer")),
}
WRITERS = ("here#00000001", "laptop")
"""Our own name with the mark of the state, as the third tick writes it; and somebody else's."""
OTHERS = ("here", "here#0badcafe", "watch-me-1")
FEW = ("high, and possible", "the year 9999", "another digest")
TICKS = 9


async def poisoned(says: dict, writer: str, *, known: bool, everywhere: bool) -> tuple[World, list]:
    probe = world(target(rpo=150 * MINUTE))
    reports = []
    for _ in range(3 if known else 0):
        reports.append(await probe.tick())
        await probe.until(clock() + 10 * MINUTE)
    shown = probe.account.blobs[Location.PRIMARY]
    stamp = canary.stamp(
        body=BODY, sequence=shown.sequence + 1 if shown else 1, written_at=clock(), writer=writer
    )
    probe.account.says[stamp] = says
    if everywhere:
        probe.account.write(stamp)
    else:
        probe.account.behave("ok", "stale")
        probe.account.blobs[Location.SECONDARY] = stamp
    for _ in range(TICKS):
        reports.append(await probe.tick())
        probe.account.behave("ok", "ok")
        await probe.until(clock() + 10 * MINUTE)
    await probe.until(clock() + 24 * 60 * MINUTE)
    reports += [await probe.tick(), await probe.tick(clock() + MINUTE)]
    return probe, reports


@pytest.mark.parametrize(
    ("what", "writer"), [*itertools.product(ABSURD, WRITERS), *itertools.product(FEW, OTHERS)]
)
def test_no_stamp_keeps_an_account_from_being_called_well_and_written(what: str, writer: str):
    for known, everywhere in itertools.product((True, False), (True, False)):
        _, reports = run(poisoned(ABSURD[what], writer, known=known, everywhere=everywhere))
        case = (known, everywhere)
        last = reports[-1].targets[0]
        told = [each for report in reports for each in report.targets[0].events]
        after = reports[3 + TICKS - 1].targets[0] if known else last
        is_a_file = everywhere and not known and None in ABSURD[what].values()

        assert {str(each.targets[0].judgement.target.verdict) for each in reports} <= {"ok"}, case
        assert exit_code(reports[-1]) == 0, case
        assert last.judgement.primary.verdict == ("degraded" if is_a_file else "healthy"), case
        assert last.judgement.secondary.verdict == "healthy", case
        assert bool(last.written_sequence) is bool(after.written_sequence) is not is_a_file, case
        assert [each.kind for each in told if each.kind != "second_writer"] == [], case
        stranger = writer in ("laptop", "here#0badcafe") and None not in ABSURD[what].values()
        if everywhere and known and stranger:
            assert [each.details["writer"] for each in told] == [writer], case


@pytest.mark.parametrize("why", ["nothing is written by us", "the write is denied"])
def test_an_older_canary_is_corrupt_for_a_quarter_of_an_hour_and_then_what_there_is(why: str):
    """As after a failover that lost what nobody will write again; else reads would fail for ever."""

    async def main():
        probe = world(target(write=why == "the write is denied"))
        older = canary.stamp(body=BODY, sequence=1, written_at=clock(), writer="here")
        for sequence in (7, 8):
            stamp = canary.stamp(body=BODY, sequence=sequence, written_at=clock(), writer="here")
            probe.account.write(stamp)
            await probe.tick()
            await probe.until(clock() + MINUTE)
        probe.account.behave("read-only", "ok")
        probe.account.blobs = dict.fromkeys(Location, older)
        reports = []
        for _ in range(20):
            reports.append(await probe.tick())
            await probe.until(clock() + MINUTE)
        return reports

    reports = run(main())

    verdicts = [str(each.targets[0].judgement.primary.verdict) for each in reports]
    assert verdicts[:15] == ["corrupt"] * 15
    assert "corrupt" not in verdicts[17:]
    assert [str(each.targets[0].judgement.target.verdict) for each in reports[17:]] == ["ok"] * 3
