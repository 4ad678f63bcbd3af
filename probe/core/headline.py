"""The headline: what a target's document says, in the few words that somebody needs at 3 a.m.

Rules kept here: it is made from the document alone, so that the page, the shell and the log say the same;
times are UTC; what is not known is said to be unknown; the worst comes first, and what to do comes last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, Self

from probe.core.breaker import State
from probe.core.event import EventKind
from probe.core.look import LOST_THE_RACE
from probe.core.replication import SyncStatus
from probe.core.times import lasting, spoken_moment
from probe.core.verdict import CANNOT_BE_READ, EndpointVerdict, RedundancyVerdict, TargetVerdict

LOSS_SHOWN = timedelta(days=1)
"""How long lost writes stay in the headline: nothing brings them back, so the next shift must read it."""
EVENT_SHOWN = timedelta(hours=1)
"""How long other events stay; what they caused, if it lasts, is in the verdicts."""

_MEETS = {
    "timeout": "does not answer in time",
    "connect_timeout": "takes no connection in time",
    "refused": "refuses connections",
    "reset": "resets connections",
    "dns": "has a name that does not resolve",
    "tls": "fails the TLS handshake",
    "truncated": "cuts its answers short",
    "protocol": "gives answers that are not Azure Storage's",
    "404": "has no canary",
    "digest": "returns other bytes than were written",
    "size": "returns other bytes than were written",
    "rollback": "shows an older canary than it had acknowledged",
    "unreadable": "has a blob without the probe's stamp",
    "401": "refuses the probe (401)",
    "403": "refuses the probe (403)",
}
"""What a location does to a client, by ``error.type``; a status that is not here it "answers"."""


def meets(error: str) -> str:
    """Return what a location does to a client, by ``error.type``: "answers 503"."""
    return _MEETS.get(error, f"answers {error}")


class Rank(IntEnum):
    """How much a target needs somebody, the worst first."""

    UNAVAILABLE = 0
    LOSS = 1
    CORRUPT = 2
    SILENT = 3
    REROUTED = 4
    UNPROTECTED = 5
    INCONCLUSIVE = 6
    BEHIND = 7
    GONE = 8
    UNWRITTEN = 9
    UNSAVED = 10
    UNKNOWN = 11
    QUIET = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A location: its verdict, since when it holds, and the ``error.type`` that it rests on."""

    verdict: str
    error: str | None = None
    reason: str = ""
    since: datetime | None = None

    def does(self) -> str:
        """Return what it does to a client, to follow its name: "answers 503"."""
        if self.error:
            return meets(self.error)
        match self.verdict:
            case EndpointVerdict.DEGRADED:
                return "is slow" if self.reason.startswith("slow") else "answers in part"
            case EndpointVerdict.STALE:
                return "answers, with old data"
            case EndpointVerdict.INCONCLUSIVE:
                return "was not measured"
            case _:
                return "answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a target's document says, as far as a headline needs it; ``None`` where it does not say.

    ``served`` are the reads of the last tick by who served them. ``now`` is when it is read, ``at`` when its
    last tick ended, ``fresh`` whether ticks still come. ``unsaved`` says since when the saved state cannot be
    used, where what is known is from memory.
    """

    name: str
    now: datetime
    verdict: str | None = None
    reason: str = ""
    since: datetime | None = None
    at: datetime | None = None
    fresh: bool = True
    unsaved: datetime | None = None
    served: Mapping[str, int]
    primary: End
    secondary: End | None = None
    forced: tuple[str, datetime] | None = None
    breaker: str = "closed"
    until_trial: int | None = None
    redundancy: str | None = None
    redundancy_reason: str = ""
    redundancy_since: datetime | None = None
    recovery_point: datetime | None = None
    status: str | None = None
    """Azure's own word on geo-replication, in the last tick."""
    refused: bool = False
    """The stats were refused: a right is missing."""
    write: str | None = None
    """``success``, ``failure`` or ``not_tried``; ``None`` where the target is only read from."""
    write_error: str | None = None
    write_reason: str = ""
    incident: tuple[datetime, int] | None = None
    """When the open incident began, and the reads that it has cost."""
    events: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(
        cls,
        document: Mapping[str, Any],
        *,
        now: datetime,
        fresh: bool = True,
        unsaved: datetime | None = None,
    ) -> Self:
        """Return the situation that a target's part of a report or of the status tells of.

        Raises ``ValueError``, ``TypeError``, ``KeyError`` or ``AttributeError`` for one of another make.
        """
        ends = document.get("endpoints") or {}
        replication = document.get("replication") or {}
        redundancy = document.get("redundancy") or {}
        write = document.get("write") or {}
        breaker = document.get("breaker") or {}
        incident = document.get("incident")
        forced = breaker.get("forced")
        events = document.get("recent_events") or document.get("events") or ()
        why_unknown = replication.get("reason") or ""
        return cls(
            name=document["name"],
            now=now,
            verdict=document.get("verdict"),
            reason=document.get("reason") or "",
            since=_time(document.get("since")),
            at=_time(document.get("at")),
            fresh=fresh,
            unsaved=unsaved,
            served=_served(document),
            primary=_end(ends.get("primary")) or End(verdict=EndpointVerdict.INCONCLUSIVE),
            secondary=_end(ends.get("secondary")),
            forced=(forced["location"], _parsed(forced["until"])) if forced else None,
            breaker=breaker.get("state") or "closed",
            until_trial=breaker.get("reads_until_trial"),
            redundancy=redundancy.get("verdict"),
            redundancy_reason=redundancy.get("reason") or "",
            redundancy_since=_time(redundancy.get("since")),
            recovery_point=_time(replication.get("recovery_point")),
            status=replication.get("status"),
            refused="were refused" in why_unknown,
            write=write.get("outcome"),
            write_error=write.get("error_type"),
            write_reason=write.get("reason") or "",
            incident=(_parsed(incident["began_at"]), int(incident["reads_lost"])) if incident else None,
            events=tuple(events),
        )

    def lately(self, kind: EventKind) -> Mapping[str, Any] | None:
        """Return the last event of a kind that is still worth a word."""
        shown = LOSS_SHOWN if kind is EventKind.FAILOVER_WITH_LOSS else EVENT_SHOWN
        found = [each for each in self.events if each.get("kind") == kind]
        return found[-1] if found and self.now - _parsed(found[-1]["at"]) <= shown else None

    @property
    def is_written_by_others(self) -> bool:
        """Return whether the canary is left alone since it is not this probe's."""
        return self.write == "not_tried" and "the blob that is there" in self.write_reason

    @property
    def is_unwritten(self) -> bool:
        """Return whether this tick's canary is not there; one that lost a race to another tick's is."""
        return self.write in ("failure", "not_tried") and self.write_error not in LOST_THE_RACE

    @property
    def rank(self) -> Rank:  # noqa: C901, PLR0911 - a table of conditions, the worst first
        """Return how much the target needs somebody."""
        ends = [each.verdict for each in (self.primary, self.secondary) if each]
        if self.verdict == TargetVerdict.UNAVAILABLE:
            return Rank.UNAVAILABLE
        if self.lately(EventKind.FAILOVER_WITH_LOSS):
            return Rank.LOSS
        if EndpointVerdict.CORRUPT in ends:
            return Rank.CORRUPT
        if self.verdict is None or not self.fresh:
            return Rank.SILENT
        is_willed = self.forced is not None and self.primary.error is None
        if self.verdict == TargetVerdict.REROUTED and not is_willed:
            return Rank.REROUTED
        if self.redundancy == RedundancyVerdict.UNPROTECTED:
            return Rank.UNPROTECTED
        if self.verdict == TargetVerdict.INCONCLUSIVE:
            return Rank.INCONCLUSIVE
        if self.redundancy == RedundancyVerdict.BEHIND:
            return Rank.BEHIND
        if self.lately(EventKind.CANARY_GONE):
            return Rank.GONE
        if self.is_unwritten or self.lately(EventKind.SECOND_WRITER):
            return Rank.UNWRITTEN
        if self.unsaved:
            return Rank.UNSAVED
        if self.redundancy == RedundancyVerdict.UNKNOWN:
            return Rank.UNKNOWN
        return Rank.QUIET


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do first, what not to do (each follows "Do not"), and the runbook's entry that says more."""

    first: str = ""
    donts: tuple[str, ...] = ()
    entry: str | None = None

    def __str__(self) -> str:
        told = [f"First: {self.first}."] if self.first else []
        return " ".join((*told, *(f"Do not {each}." for each in self.donts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A headline in its parts, in their order: each is whole sentences, or empty."""

    silent: str = ""
    lost: str = ""
    reads: str = ""
    writes: str = ""
    kept: str = ""
    """What a failover would lose."""
    over: str = ""
    unsaved: str = ""
    advice: Advice

    def __str__(self) -> str:
        parts = (self.silent, self.lost, self.reads, self.writes, self.kept, self.over, self.unsaved)
        return " ".join(filter(None, (*parts, str(self.advice))))


def telling(known: Situation) -> Telling:
    """Return what happened, since when, who serves, what would be lost, what to do first and what not."""
    if known.verdict is None:
        reads = f"{_capital(known.reason or 'no tick is on record yet')}."
        return Telling(reads=reads, advice=advice(known))
    return Telling(
        silent=_silent(known),
        lost=_lost(known),
        reads=_reads(known),
        writes=_writes(known),
        kept=_kept(known),
        over=_over(known),
        unsaved=_unsaved(known),
        advice=advice(known),
    )


def headline(known: Situation) -> str:
    """Return the telling in one line."""
    return str(telling(known))


def fleet(situations: Sequence[Situation]) -> str:
    """Return how many targets need somebody, and which: the headline over all."""
    if not situations:
        return "No target was measured."
    needing = [each for each in worst_first(situations) if each.rank is not Rank.QUIET]
    total = len(situations)
    if not needing:
        return "All is well." if total == 1 else f"All is well with {total} of {total} targets."
    if total == 1:
        return f"{needing[0].name} needs you: {_IN_A_WORD[needing[0].rank]}."
    named = ", ".join(f"{each.name} ({_IN_A_WORD[each.rank]})" for each in needing[:_NAMED])
    more = f" and {len(needing) - _NAMED} more" if len(needing) > _NAMED else ""
    need = "needs" if len(needing) == 1 else "need"
    return f"{len(needing)} of {total} targets {need} you: {named}{more}."


def status_situations(body: Mapping[str, Any], target: str | None = None) -> list[Situation]:
    """Return what the targets of a status document are in, or the one that is named."""
    now = datetime.fromisoformat(body["generated_at"])
    shards = {each["shard"]: each for each in body["shards"]}
    return [
        _situation(each, shards[each["shard"]], now)
        for each in body["targets"]
        if target in (None, each["name"])
    ]


def _situation(document: Mapping[str, Any], shard: Mapping[str, Any], now: datetime) -> Situation:
    since = shard.get("unsaved_since")
    unsaved = datetime.fromisoformat(since) if since else None
    return Situation.of(document, now=now, fresh=bool(shard["fresh"]), unsaved=unsaved)


def breaker_told(breaker: Mapping[str, Any]) -> str:
    """Return the breaker's state, and what it waits for."""
    since = f"breaker: {breaker['state']} since {spoken_moment(breaker['since'])}"
    if breaker["forced"]:
        return f"{since}, forced to the {breaker['forced']['location']} until {breaker['forced']['until']}"
    if breaker["state"] == State.OPEN and breaker["reads_until_trial"]:
        return f"{since}; the primary is tried after {breaker['reads_until_trial']} more reads, or sooner"
    return since


_NAMED = 3


def worst_first(situations: Sequence[Situation]) -> list[Situation]:
    """Return the targets, those that need somebody most first, else by name."""
    return sorted(situations, key=lambda each: (each.rank, each.name))


def in_a_word(rank: Rank) -> str:
    """Return what is the matter, in a word or two."""
    return _IN_A_WORD.get(rank, "all is well")


_IN_A_WORD = {
    Rank.UNAVAILABLE: "unavailable",
    Rank.LOSS: "failed over with loss",
    Rank.CORRUPT: "canary corrupt",
    Rank.SILENT: "no tick",
    Rank.REROUTED: "rerouted",
    Rank.UNPROTECTED: "unprotected",
    Rank.INCONCLUSIVE: "inconclusive",
    Rank.BEHIND: "behind the RPO",
    Rank.GONE: "canary was gone",
    Rank.UNWRITTEN: "canary not written",
    Rank.UNSAVED: "state not saved",
    Rank.UNKNOWN: "redundancy unknown",
}


def _silent(known: Situation) -> str:
    if known.fresh:
        return ""
    return (
        f"NO TICK for {lasting(known.now - known.at) if known.at else 'long'}; this is what the last one saw."
    )


def _lost(known: Situation) -> str:
    event = known.lately(EventKind.FAILOVER_WITH_LOSS)
    if not event:
        return ""
    count = event["lost_writes"]
    span = f"{_clock(_parsed(event['lost_from']))} to {_clock(_parsed(event['lost_to']))}"
    return (
        f"FAILED OVER WITH LOSS, seen at {_minute(_parsed(event['at']), known.now)}: {count} acknowledged "
        f"canary {'write' if count == 1 else 'writes'}, made {span}, {'is' if count == 1 else 'are'} gone."
    )


def _reads(known: Situation) -> str:
    since = _since(known.since, known.now)
    match known.verdict:
        case TargetVerdict.OK:
            return f"Reads from the primary{since}{_but(known)}."
        case TargetVerdict.REROUTED:
            return (
                f"{_part(known, 'secondary')} from the SECONDARY{since}{_why_rerouted(known)}.{_cost(known)}"
            )
        case TargetVerdict.UNAVAILABLE:
            return f"{_unserved(known)}{since}: {_both(known)}.{_cost(known)}"
        case _:
            return f"CANNOT TELL who is up{since}: {known.reason}."


def _unserved(known: Situation) -> str:
    lost, total = known.served["none"], sum(known.served.values())
    return "NO READ SERVED" if lost == total else f"{lost} of {total} reads SERVED BY NOBODY"


def _both(known: Situation) -> str:
    primary = f"primary {known.primary.does()}"
    if known.secondary is None:
        return f"{primary}, and there is no secondary"
    same = known.primary.does() == known.secondary.does()
    return f"{primary}, secondary {'too' if same else known.secondary.does()}"


def _part(known: Situation, who: str) -> str:
    count, total = known.served.get(who, 0), sum(known.served.values())
    return "Reads" if count == total else f"{count} of {total} reads"


def _but(known: Situation) -> str:
    if known.forced:
        return f", forced to the {known.forced[0]} until {_minute(known.forced[1], known.now)}"
    if known.primary.verdict == EndpointVerdict.DEGRADED and known.write in (None, "success"):
        return f", which {known.primary.does()}"
    if known.primary.verdict == EndpointVerdict.CORRUPT:
        return f", which {known.primary.does()}"
    return ""


def _why_rerouted(known: Situation) -> str:
    if known.forced:
        until = _minute(known.forced[1], known.now)
        return f": forced to the {known.forced[0]} until {until}; primary {known.primary.does()}"
    if known.primary.error:
        return f": primary {known.primary.does()}"
    wait = f", and is tried after {known.until_trial} more reads" if known.until_trial else ""
    if known.breaker == State.CLOSED:
        return "; the primary is back, and the next reads go there"
    if known.breaker == State.HALF_OPEN:
        return "; the primary answers again, and reads are trying it"
    return f"; the primary {known.primary.does()} again{wait}"


def _cost(known: Situation) -> str:
    """Return what the open incident has cost, where the verdict alone does not say it."""
    if known.incident is None:
        return ""
    began, lost = known.incident
    told = []
    if known.since and began < known.since:
        told.append(f"the incident began {_minute(began, known.now)}, {lasting(known.now - began)} ago")
    if lost:
        told.append(f"{lost} of the probe's reads lost so far")
    return f" {_capital(', '.join(told))}." if told else ""


def _writes(known: Situation) -> str:
    """Return what became of the canary's write: a client's writes meet the same."""
    told = ""
    if known.is_written_by_others or known.lately(EventKind.SECOND_WRITER):
        told = _stranger(known)
    elif known.is_unwritten:
        told = _write(known)
    elif known.write == "success" and known.primary.verdict == EndpointVerdict.DOWN:
        told = "It still takes writes."
    if gone := known.lately(EventKind.CANARY_GONE):
        mended = "; it was written anew" if known.write == "success" else ""
        told = f"{_capital(gone['reason'])}{mended}. {told}".strip()
    return told


def _write(known: Situation) -> str:
    error, since = known.write_error, ""
    if known.primary.verdict == EndpointVerdict.DEGRADED:  # it serves, and the write is what it is blamed for
        since = _since(known.primary.since, known.now)
    if known.write == "failure" and known.primary.error is None:
        return f"WRITES FAIL{since}: primary {meets(error or 'nothing')}."
    if known.write == "failure" and known.verdict == TargetVerdict.INCONCLUSIVE:
        return "No write arrived either."
    if known.write == "failure":
        return "The primary takes no writes."
    if known.primary.error:
        return "No write could be tried."
    return f"The canary is NOT WRITTEN{since}: {known.write_reason.removeprefix('not tried: ')}."


def _stranger(known: Situation) -> str:
    event = known.lately(EventKind.SECOND_WRITER)
    who = f", {event['writer']!r}, seen at {_minute(_parsed(event['at']), known.now)}" if event else ""
    match known.write:
        case "success":  # it was taken away, or the probe was first
            return f"SOMEBODY ELSE wrote this canary{who}; the probe writes it again."
        case "not_tried":
            return f"SOMEBODY ELSE writes this canary{who}; nothing is written, so the lag tells nothing."
        case _:
            return f"SOMEBODY ELSE writes this canary{who}."


def _kept(known: Situation) -> str:
    """Return what a failover would lose."""
    point = _point(known)
    since = _since(known.redundancy_since, known.now)
    match known.redundancy:
        case None:
            return ""
        case RedundancyVerdict.PROTECTED:
            is_down = known.primary.verdict == EndpointVerdict.DOWN
            risk = ": an unplanned failover now may lose every write since" if is_down else ""
            return f"{_capital(point)}{risk}." if known.recovery_point else ""
        case RedundancyVerdict.BEHIND:
            return f"BEHIND the RPO{since}: {point}: a failover now may lose every write since."
        case RedundancyVerdict.UNPROTECTED:
            return f"UNPROTECTED{since}: {_why_unprotected(known)}; {point}."
        case _ if known.redundancy_reason == known.reason:  # told already
            return f"{_capital(point)}."
        case _:
            return f"Redundancy unknown{since}: {_short(known.redundancy_reason)}; {point}."


def _why_unprotected(known: Situation) -> str:
    """Return why, in the words that the headline has for what a location does."""
    if known.secondary and known.redundancy_reason.startswith(CANNOT_BE_READ):
        return f"the secondary {known.secondary.does()}"
    return _short(known.redundancy_reason)


def _short(reason: str) -> str:
    """Return a reason without what the headline says itself: the last recovery point."""
    for tail in ("; no recovery point is known", "; the last recovery point is"):
        reason = reason.partition(tail)[0]
    return f"the secondary's{reason.removeprefix('its')}" if reason.startswith("its ") else reason


def _point(known: Situation) -> str:
    if known.recovery_point is None:
        return "no recovery point is known"
    return f"recovery point {_clock(known.recovery_point)}, {lasting(known.now - known.recovery_point)} old"


def _over(known: Situation) -> str:
    closed = known.lately(EventKind.INCIDENT_CLOSED)
    if not closed or known.verdict != TargetVerdict.OK:
        return ""
    began, ended, lost = _parsed(closed["began_at"]), _parsed(closed["ended_at"]), closed["reads_lost"]
    return (
        f"An incident of {_minute(began, known.now)} is over, it lasted {lasting(ended - began)}: "
        f"{f"{lost} of the probe's reads" if lost else 'no reads'} lost."
    )


def _unsaved(known: Situation) -> str:
    if known.unsaved is None:
        return ""
    return f"Saved state UNREADABLE{_since(known.unsaved, known.now)}; last known from memory."


_DELETED = "see the activity log for who deleted it; if nobody did, compare your own data"
_DOCTOR = "python -m probe doctor, which names the right that is missing"
_RESTART = "restart the app: what its ticks found since then is in its memory alone"


def advice(known: Situation) -> Advice:
    """Return what to do first and what not: for what is worst, and for the memory of the app."""
    found = _advice(known)
    remembers = known.unsaved is not None and known.verdict is not None
    return replace(found, donts=(*found.donts, _RESTART)) if remembers else found


def _advice(known: Situation) -> Advice:  # noqa: C901, PLR0911, PLR0912 - a table, the worst first
    denied = EndpointVerdict.DENIED in {each.verdict for each in (known.primary, known.secondary) if each}
    unprotected = known.redundancy == RedundancyVerdict.UNPROTECTED
    match known.rank:
        case Rank.UNAVAILABLE:
            return Advice(
                first="Azure Service Health for both regions, then the network rules that changed today",
                donts=("fail over: what the secondary holds cannot be seen",) if known.secondary else (),
                entry="reads-failing",
            )
        case Rank.LOSS:
            return Advice(
                first="compare your own data of that time, then turn geo-redundancy on again: "
                "an unplanned failover leaves LRS",
                donts=("fail over again: there is no second copy",)
                if unprotected
                else ("wait for the lost writes: nothing brings them back",),
                entry="writes-lost",
            )
        case Rank.CORRUPT:
            return Advice(
                first="find out who else writes this blob",
                donts=("write over it: as it is, it shows what happened",),
                entry="canary-bad",
            )
        case Rank.SILENT if known.at is None and known.unsaved:
            return Advice(
                first="mend the state store, or the way to it: python -m probe doctor names what fails",
                entry="state-unsaved",
            )
        case Rank.SILENT if known.at is None:
            return Advice(
                first="python -m probe doctor, if the app was not deployed in the last minutes",
                donts=("take this for good news: nothing was measured",),
                entry="probe-silent",
            )
        case Rank.SILENT:
            return Advice(
                first="find out why no tick runs",
                donts=("act on verdicts that are this old",),
                entry="probe-silent",
            )
        case Rank.REROUTED if denied:
            return Advice(first=_DOCTOR, donts=("fail over: this is no outage",), entry="denied")
        case Rank.REROUTED if known.primary.error is None:
            return Advice(donts=("fail over: the primary is back",), entry="rerouted")
        case Rank.REROUTED:
            why = "the second copy cannot be relied on" if unprotected else "reads are served"
            return Advice(
                first="Azure Service Health for the primary's region; tell those who write",
                donts=(f"fail over: {why}",),
                entry="rerouted",
            )
        case Rank.UNPROTECTED:
            return _unprotected(known)
        case Rank.INCONCLUSIVE if denied:
            return Advice(first=_DOCTOR, donts=("fail over: this is no outage",), entry="denied")
        case Rank.INCONCLUSIVE:
            return Advice(
                first="the probe's own network; ask another vantage",
                donts=("take this for an outage of the account",),
                entry="probe-blind",
            )
        case Rank.BEHIND:
            return Advice(
                first="see whether the recovery point moves again",
                donts=("fail over while it can wait",),
                entry="lag-over-rpo",
            )
        case Rank.GONE:
            return Advice(first=_DELETED, entry="writes-lost")
        case Rank.UNWRITTEN if known.is_written_by_others or known.lately(EventKind.SECOND_WRITER):
            return Advice(
                first="give each probe a blob of its own with PROBE_BLOB",
                donts=("trust the lag until then",),
                entry="canary-bad",
            )
        case Rank.UNWRITTEN:
            return Advice(
                first="try a write of your own; python -m probe doctor, if the probe alone is refused",
                donts=("trust the lag meanwhile: nothing new is written",),
                entry="denied" if known.write_error in ("401", "403") else "endpoint-down",
            )
        case Rank.UNSAVED:
            return Advice(first="mend the state store; ticks go on without it", entry="state-unsaved")
        case Rank.UNKNOWN:
            return Advice(
                first="give the probe's identity the role Reader on the account" if known.refused else "",
                donts=("fail over: nobody can say how much would be lost",),
                entry="denied" if known.refused else "lag-over-rpo",
            )
        case _:
            return Advice()


def _unprotected(known: Situation) -> Advice:
    gone = known.secondary is not None and known.secondary.verdict == EndpointVerdict.ABSENT
    if known.status == SyncStatus.BOOTSTRAP:
        first, why = "wait", "the second copy is still being made"
    elif known.lately(EventKind.CANARY_GONE):
        first, why = _DELETED, "the second copy cannot be relied on"
    elif gone:
        first = "see the account's activity log; if it failed over, turn geo-redundancy on again"
        why = "there is no second copy"
    else:
        first = "see the account's Redundancy blade and activity log"
        why = "the second copy cannot be relied on"
    return Advice(first=first, donts=(f"fail over: {why}",), entry="geo-redundancy-lost")


def _since(value: datetime | None, now: datetime) -> str:
    """Return since when, and for how long: " since 13:45 UTC, 12 min"."""
    if value is None:
        return ""
    held = now - value
    return f" since {_minute(value, now)}" + (f", {lasting(held)}" if held >= timedelta(seconds=1) else "")


def _minute(value: datetime, now: datetime) -> str:
    value = value.astimezone(UTC)
    day = "" if value.date() == now.astimezone(UTC).date() else f"{value:%Y-%m-%d} "
    return f"{day}{value:%H:%M} UTC"


def _clock(value: datetime) -> str:
    return f"{value.astimezone(UTC):%H:%M:%S}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _served(document: Mapping[str, Any]) -> dict[str, int]:
    found = {"primary": 0, "secondary": 0, "none": 0}
    for each in document.get("reads") or ():
        found[each["served_by"]] += 1
    return found


def _end(document: Mapping[str, Any] | None) -> End | None:
    if not document:
        return None
    return End(
        verdict=document["verdict"],
        error=document.get("error_type"),
        reason=document.get("reason") or "",
        since=_time(document.get("since")),
    )


def _time(value: str | None) -> datetime | None:
    return None if value is None else _parsed(value)


def _parsed(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError(f"a time without its zone: {value!r}")
    return found
