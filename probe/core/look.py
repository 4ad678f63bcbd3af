"""The look: what both locations show before a tick writes, and what it says about the write.

Rules kept here: nobody's blob is overwritten: a write replaces exactly the version that was looked at, or the
one that is remembered, or none; what the look shows is judged by what was known before it, so that a tick of
ours that ran meanwhile does not pass for a stranger or a loss.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from probe.core.canary import Stamp, unmarked
from probe.core.reading import Reading
from probe.core.replication import LEDGER_LIMIT, Ledger
from probe.core.target import Location

CONTAINER_MISSING = "ContainerNotFound"
LOST_THE_RACE = ("409", "412")
"""What a conditional write meets when somebody was faster: no fault of the endpoint."""
STRAY = timedelta(hours=1)
"""What somebody put where our canary was, and has not changed for so long, is written over."""
ABANDONED = timedelta(hours=24)
"""Another probe's canary that has not changed for so long is, where ours never was: that probe is gone."""
_WAY_OUT = (
    "give this probe a blob of its own with PROBE_BLOB, or probe read-only with PROBE_WRITE_CANARY=false, "
    "or delete the blob if nobody needs it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The write that the look allows: ``replacing`` is the ETag that it takes the place of, ``None`` of none.

    ``create`` says that not even the container is there. ``refused`` says why nothing may be written; the
    rest is then of no use. ``foreign`` says that it is because the blob is somebody else's.
    """

    sequence: int = 0
    replacing: str | None = None
    create: bool = False
    refused: str | None = None
    foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Acknowledged writes that a failover lost: how many, and when the first and the last were written.

    ``there`` is the newest that was kept.
    """

    writes: int
    from_: datetime
    to: datetime
    there: Stamp


def plan(ledger: Ledger, looked: Reading | None, *, writer: str, now: datetime) -> Plan:
    """Return the write that may follow a look at the primary (``None``: it was not finished)."""
    there = looked.canary if looked else None
    sequence = ledger.next_sequence(there)
    if looked is None or not _answered(looked):
        return _blind(ledger, looked, sequence)
    if looked.error_type == "404":
        return Plan(sequence=sequence, create=looked.service_error == CONTAINER_MISSING)
    if looked.etag is None:
        return Plan(refused="not tried: the primary gave no ETag for the blob that is there")
    if looked.etag == ledger.etag or (there and is_ours(there, writer)):
        return Plan(sequence=sequence, replacing=looked.etag)
    stood = ledger.has_stood(looked.etag, now)
    if (ledger.newest and stood >= STRAY) or (there and stood >= ABANDONED):
        return Plan(sequence=sequence, replacing=looked.etag)
    whose = f"was written by {there.writer!r}" if there else "carries no stamp of ours"
    return Plan(refused=f"not tried: the blob that is there {whose}; {_WAY_OUT}", foreign=True)


def _blind(ledger: Ledger, looked: Reading | None, sequence: int) -> Plan:
    """Return the write that may follow a look that showed nothing: onto the version that is remembered."""
    if ledger.etag:
        return Plan(sequence=sequence, replacing=ledger.etag)
    why = looked.error_type if looked else "not finished"
    return Plan(refused=f"not tried: the look before it failed ({why}), and no version is remembered")


def _answered(looked: Reading) -> bool:
    """Return whether the look shows what is there: a blob, sound or not, or that there is none."""
    return looked.ok or looked.error_type == "404" or looked.etag is not None


WATCH = "watch-"
"""What a watch's writer begins with: its canary is nobody's, and whoever comes next goes on from it."""


def is_ours(stamp: Stamp, writer: str) -> bool:
    """Return whether a stamp is one that this writer may replace: one in its name, of whatever state."""
    return unmarked(stamp.writer) == unmarked(writer) or stamp.writer.startswith(WATCH)


def is_of_other_state(stamp: Stamp, writer: str) -> bool:
    """Return whether a stamp has this writer's name, and the mark of another state."""
    return stamp.writer != writer and unmarked(stamp.writer) == unmarked(writer) != stamp.writer


def is_mended(reading: Reading, write: Reading | None) -> bool:
    """Return whether a reading found no canary at the primary, and this tick's write then put one there."""
    found_none = reading.location is Location.PRIMARY and reading.error_type == "404"
    return found_none and write is not None and write.ok and reading.started_at < write.started_at


def rolled_back(ledger: Ledger, looked: Reading | None) -> bool:
    """Return whether the primary showed an older canary than the newest that it had acknowledged."""
    there, newest = looked.canary if looked else None, ledger.newest
    return there is not None and newest is not None and there.is_behind(newest)


def is_doubtful(ledger: Ledger, looked: Reading | None, write: Reading) -> bool:
    """Return whether an older canary may be gone since: somebody was faster, who may have met a loss."""
    return write.error_type in LOST_THE_RACE and rolled_back(ledger, looked)


def loss(ledger: Ledger, looked: Reading | None, write: Reading | None) -> Loss | None:
    """Return what a failover lost: the primary rolled back, and the write on top of that was taken.

    A stale answer of something in between looks the same, but then the primary refuses its old ETag. One that
    shows again what it showed at the last loss has lost nothing more: it takes what it does not show.
    """
    if write is None or not write.ok or not rolled_back(ledger, looked):
        return None
    assert looked is not None, "what rolled back was looked at"  # noqa: S101 - by rolled_back
    assert looked.canary is not None, "as above"  # noqa: S101
    assert ledger.newest is not None, "as above"  # noqa: S101
    if looked.canary == ledger.kept:
        return None
    there, newest = looked.canary, ledger.newest
    lost = [each for each in ledger.unseen if not there.covers(each)]
    counted = len(lost) if lost and len(ledger.unseen) < LEDGER_LIMIT else newest.sequence - there.sequence
    first = lost[0].written_at if lost else newest.written_at
    return Loss(writes=counted, from_=first, to=newest.written_at, there=there)


def settled(ledger: Ledger, looked: Reading, write: Reading | None) -> Reading:
    """Return the look at the primary as it is judged: an older canary is a rollback unless it was a loss.

    A blob without a stamp, where our canary was, is ``unreadable``.
    """
    if looked.ok and looked.canary is None and ledger.newest:
        return replace(looked, error_type="unreadable", detail="the blob no longer carries a stamp of ours")
    if not looked.ok or not rolled_back(ledger, looked) or loss(ledger, looked, write):
        return looked
    assert looked.canary is not None, "what rolled back was shown"  # noqa: S101 - by rolled_back
    assert ledger.newest is not None, "as above"  # noqa: S101
    older = f"sequence {looked.canary.sequence} is shown after {ledger.newest.sequence} was acknowledged"
    if write is not None and write.ok:
        why = "as before, though the write on top of it was taken: the primary does not show what it takes"
    elif write is not None and write.error_type in LOST_THE_RACE:
        why = "and its ETag is refused, so the primary has newer than it showed"
    else:
        why = "and whether a failover lost writes cannot be told, since none could be tried on top of it"
    return replace(looked, error_type="rollback", detail=f"{older}, {why}")
