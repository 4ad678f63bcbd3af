"""What the status page shows, as plain values for its template: the words are those of the headline.

Rules kept here: the worst comes first; what a person needs in the first half minute is in ``now``; a colour
never says what no word says.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from probe.core.headline import (
    Advice,
    Rank,
    Situation,
    breaker_told,
    fleet,
    in_a_word,
    status_situations,
    telling,
    worst_first,
)
from probe.core.times import lasting
from probe.core.verdict import EndpointVerdict, RedundancyVerdict, TargetVerdict
from probe.page.strip import strip

PAGE_SIZE = 100
"""Targets on one page of a fleet."""
_HAPPENED = 30
"""How many of the last transitions and events a page lists."""
FILTERS = (*TargetVerdict, *RedundancyVerdict)
"""By which verdicts a fleet can be filtered."""
_NO_TICK = "no tick"
_NOBODY = {"tone": "warn", "sign": "!", "word": "NO SUCH TARGET"}
"""Of a name that no target has: nothing is said of the probe."""
_BAD = (Rank.UNAVAILABLE, Rank.LOSS, Rank.CORRUPT, Rank.SILENT)
_LEADS = {
    Rank.LOSS: "lost",
    Rank.SILENT: "silent",
    Rank.UNPROTECTED: "kept",
    Rank.BEHIND: "kept",
    Rank.UNKNOWN: "kept",
    Rank.GONE: "writes",
    Rank.UNWRITTEN: "writes",
    Rank.UNSAVED: "unsaved",
}
"""Which part of the telling stands first, by what is worst; else the reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asked to see: of which target, or which page of those with a verdict."""

    target: str | None = None
    verdict: str | None = None
    page: int = 1
    refresh: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str], *, refresh: int) -> "Asked":
        """Return what a query asks for. What is not known in it is passed over: it may hold anything."""
        verdict = query.get("verdict")
        page = query.get("page", "")
        return cls(
            target=query.get("target") or None,
            verdict=verdict if verdict in (*FILTERS, _NO_TICK) else None,
            page=max(int(page), 1) if page.isascii() and page.isdigit() and len(page) < 7 else 1,  # noqa: PLR2004
            refresh=None if query.get("refresh") == "off" else refresh,
        )

    def link(self, **changed: Any) -> str:  # noqa: ANN401 - values of this class
        """Return the address of the same page with something else asked for."""
        to = replace(self, **changed)
        told = {
            "target": to.target,
            "verdict": to.verdict,
            "page": to.page if to.page > 1 else None,
            "refresh": None if to.refresh else "off",
        }
        return "?" + urlencode({name: value for name, value in told.items() if value})


def contents(body: Mapping[str, Any], asked: Asked, *, runbook: str | None) -> dict[str, Any]:
    """Return what the template needs."""
    known = status_situations(body)
    found = [each for each in known if asked.target in (None, each.name)]
    one = found[0] if len(found) == 1 else None
    view = {
        "problems": (),
        "vantage": body["vantage"],
        "asked": asked,
        "paused": asked.link(refresh=None),
        "going": asked.link(refresh=1),
        "generated": _clock(datetime.fromisoformat(body["generated_at"])),
        "measured": _measured(body),
        "shards": _shards(body["shards"]),
        "single": one is not None,
        "back": asked.link(target=None) if asked.target else None,
    }
    if one is not None:
        (document,) = [each for each in body["targets"] if each["name"] == one.name]
        return {
            **view,
            **_headed(one.rank),
            "subject": one.name,
            "now": _now(one, runbook) | {"maintenance": _maintenance(document, one.now)},
            "fleet": None,
            "details": _details(document, one),
        }
    ordered = worst_first(found)
    needing = [each for each in ordered if each.rank is not Rank.QUIET]
    worst = needing[0] if needing else None
    return {
        **view,
        **_headed(worst.rank if worst else Rank.QUIET if known else Rank.SILENT),
        **(_NOBODY if asked.target is not None and not found else {}),
        "subject": f"{len(known)} targets",
        "now": _now(worst, runbook) if worst else None,
        "fleet": _fleet(ordered, asked) | {"sentence": _sentence(ordered, asked)},
        "details": None,
    }


def _measured(body: Mapping[str, Any]) -> str:
    """Return when that was measured which is shown: of several shards, the one that is the oldest."""
    ended = [each["last_completed_at"] for each in body["shards"]]
    if not ended or None in ended:
        return "not measured yet" if not any(ended) else "in part not measured yet"
    oldest = datetime.fromisoformat(min(ended))
    age = lasting(datetime.fromisoformat(body["generated_at"]) - oldest)
    return f"last tick {_clock(oldest)}, {age} ago"


def _maintenance(document: Mapping[str, Any], now: datetime) -> str | None:
    until = document.get("maintenance_until")
    if not until:
        return None
    end = _moment(datetime.fromisoformat(until), now)
    return f"Maintenance until {end}: it is measured and shown, and nobody is paged."


def _sentence(known: Sequence[Situation], asked: Asked) -> str:
    if asked.target is not None and not known:
        return f"There is no target of the name {asked.target}."
    return fleet(known)


def broken(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template needs where the app cannot work at all."""
    return {
        **_headed(Rank.SILENT),
        "word": "CANNOT WORK",
        "subject": "this app",
        "problems": body["problems"],
        "generated": _clock(datetime.fromisoformat(body["generated_at"])),
        "asked": Asked(),
        "back": None,
        "now": None,
        "fleet": None,
    }


def _headed(rank: Rank) -> dict[str, str]:
    tone = "bad" if rank in _BAD else "good" if rank is Rank.QUIET else "warn"
    sign = {"bad": "✕", "warn": "!", "good": "✓"}[tone]
    return {"tone": tone, "sign": sign, "word": in_a_word(rank).upper()}


# -- the first half minute -----------------------------------------------------------------------------------


def _now(known: Situation, runbook: str | None) -> dict[str, Any]:
    """Return what happened, since when, who serves, what would be lost, what to do and what not."""
    told = telling(known)
    parts = {
        name: getattr(told, name) for name in ("lost", "silent", "reads", "writes", "kept", "over", "unsaved")
    }
    lead = _LEADS.get(known.rank, "reads")
    lead = lead if parts[lead] else "reads"
    rest = " ".join(text for name, text in parts.items() if name not in (lead, "writes", "kept") and text)
    return {
        **_headed(known.rank),
        "name": known.name,
        "lead": parts[lead],
        "rest": rest,
        "facts": _facts(known, "" if lead == "writes" else told.writes, "" if lead == "kept" else told.kept),
        "first": _capital(told.advice.first) or "Nothing needs to be done.",
        "donts": [_capital(each) for each in told.advice.donts],
        "runbook": _runbook(told.advice, runbook),
    }


def _facts(known: Situation, writes: str, kept: str) -> list[tuple[str, str, str]]:
    """Return the facts of the first screen: what it is, the word for it, and what more there is to say."""
    if known.verdict is None:
        return [("Last tick", "none", "Nothing was measured yet, as far as is known here.")]
    return [
        ("Reads served by", *_served(known)),
        ("Writes", *_writes(known, writes)),
        ("Recovery point", *_point(known)),
        ("Redundancy", *_redundancy(known, kept)),
    ]


def _served(known: Situation) -> tuple[str, str]:
    total = sum(known.served.values())
    if not total:
        return "not measured", ""
    told = {"primary": "the primary", "secondary": "the SECONDARY", "none": "NOBODY"}
    who = [(told[name], count) for name, count in known.served.items() if count]
    if len(who) == 1:
        return who[0][0], f"{total} of {total} reads of the last tick"
    return "both", ", ".join(f"{name} {count}" for name, count in who) + f", of {total} in the last tick"


def _writes(known: Situation, told: str) -> tuple[str, str]:
    match known.write:
        case "success":
            return "yes", told
        case None:
            return "not tried", told or "This probe only reads."
        case _ if not known.is_unwritten:
            return "yes", told or "Another tick wrote the canary."
        case _:
            return "NO", told


def _point(known: Situation) -> tuple[str, str]:
    if known.recovery_point is None:
        return "unknown", "Nobody can say what a failover would lose."
    told = f"{_clock(known.recovery_point)}, {lasting(known.now - known.recovery_point)} old"
    if known.secondary is None or known.secondary.verdict == EndpointVerdict.ABSENT:
        return told, "There is no second copy to fail over to."
    return told, "An unplanned failover now may lose every write since."


def _redundancy(known: Situation, kept: str) -> tuple[str, str]:
    if known.redundancy is None:
        return "none", "This target has no secondary."
    since = f"since {_moment(known.redundancy_since, known.now)}" if known.redundancy_since else ""
    if known.redundancy == RedundancyVerdict.PROTECTED:
        return "protected", since
    why = kept.partition("; recovery point")[0].partition(": ")[2] if "; recovery point" in kept else ""
    return known.redundancy.upper(), f"{since}: {why}." if why else since


def _runbook(advice: Advice, address: str | None) -> dict[str, str | None] | None:
    if advice.entry is None:
        return None
    return {"entry": advice.entry, "href": f"{address}#{advice.entry}" if address else None}


def _shards(shards: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with single shards; that the only one is silent is the headline."""
    return [
        f"Shard {each['shard']}: {each['error'] or _silence(each)}."
        for each in shards
        if each["error"] or (not each["fresh"] and len(shards) > 1)
    ]


def _silence(shard: Mapping[str, Any]) -> str:
    at = shard["last_completed_at"]
    return (
        f"no tick since {_moment(datetime.fromisoformat(at), None)}" if at else "no tick was ever completed"
    )


# -- a fleet -------------------------------------------------------------------------------------------------


def _fleet(ordered: Sequence[Situation], asked: Asked) -> dict[str, Any]:
    counts = Counter(each.verdict or _NO_TICK for each in ordered)
    counts += Counter(each.redundancy for each in ordered if each.redundancy)
    chosen = [each for each in ordered if asked.verdict in (None, each.verdict or _NO_TICK, each.redundancy)]
    last = max(-(-len(chosen) // PAGE_SIZE), 1)
    page = min(asked.page, last)
    part = chosen[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    return {
        "all": {"count": len(ordered), "href": asked.link(verdict=None, page=1)},
        "filters": [
            {
                "word": each,
                "count": counts[each],
                "href": asked.link(verdict=each, page=1),
                "chosen": each == asked.verdict,
            }
            for each in (*FILTERS, _NO_TICK)
            if counts[each] or each == asked.verdict
        ],
        "rows": [_row(each, asked) for each in part],
        "first": (page - 1) * PAGE_SIZE + 1 if part else 0,
        "last": (page - 1) * PAGE_SIZE + len(part),
        "count": len(chosen),
        "before": asked.link(page=page - 1) if page > 1 else None,
        "after": asked.link(page=page + 1) if page < last else None,
        "chosen": asked.verdict,
    }


def _row(known: Situation, asked: Asked) -> dict[str, Any]:
    told = telling(known)
    lead = getattr(told, _LEADS.get(known.rank, "reads")) or told.reads
    return {
        **_headed(known.rank),
        "name": known.name,
        "href": asked.link(target=known.name, verdict=None, page=1),
        "lead": lead,
        "reads": known.verdict or _NO_TICK,
        "redundancy": known.redundancy or "none",
        "point": lasting(known.now - known.recovery_point) if known.recovery_point else "unknown",
    }


# -- the details of one target -------------------------------------------------------------------------------


def _details(document: Mapping[str, Any], known: Situation) -> dict[str, Any] | None:
    if document["verdict"] is None:
        return None
    replication = document["replication"]
    return {
        "reads": f"{document['verdict']}: {document['reason']}",
        "strip": strip(document),
        "ends": [_end(name, each, known.now) for name, each in document["endpoints"].items()],
        "breaker": breaker_told(document["breaker"]).removeprefix("breaker: "),
        "replication": [
            ("Azure's status", replication["status"] or "unknown"),
            ("Lag of the canary at the last look", _seconds(replication["lag_seconds"])),
            (
                "Within the RPO",
                {True: "yes", False: "NO", None: "unknown"}[replication["within_rpo"]],
            ),
            ("Why it is not known", replication["reason"]),
        ],
        "incident": _incident(document["incident"], known.now),
        "happened": _happened(document, known.now),
    }


def _end(name: str, end: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    since = end["since"]
    phases = {phase: _milliseconds(took) for phase, took in end["phases"].items() if took is not None}
    return {
        "name": name,
        "url": end["url"],
        "verdict": end["verdict"],
        "up": end["verdict"] == "healthy",
        "reason": end["reason"],
        "since": _moment(datetime.fromisoformat(since), now) if since else "unknown",
        "took": _milliseconds(end["duration_seconds"]),
        "phases": phases,
        "error": end["error_type"],
        "request_id": end["request_id"],
        "canary": end["canary_sequence"],
    }


def _incident(incident: Mapping[str, Any] | None, now: datetime) -> str | None:
    if incident is None:
        return None
    began = datetime.fromisoformat(incident["began_at"])
    return (
        f"open since {_moment(began, now)}, {lasting(now - began)}: {incident['reason']}; "
        f"{incident['reads_lost']} of the probe's reads lost"
    )


def _happened(document: Mapping[str, Any], now: datetime) -> list[dict[str, str]]:
    """Return what happened lately, the newest first."""
    found = [
        (each["at"], f"breaker {each['from']} → {each['to']}", each["reason"])
        for each in document["recent_transitions"]
    ]
    found += [
        (each["at"], each["kind"].replace("_", " "), each["reason"]) for each in document["recent_events"]
    ]
    return [
        {"at": _moment(datetime.fromisoformat(at), now, seconds=True), "what": what, "reason": reason}
        for at, what, reason in sorted(found, reverse=True)[:_HAPPENED]
    ]


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} s"


def _milliseconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value * 1000:.0f} ms"


def _clock(value: datetime) -> str:
    return f"{value.astimezone(UTC):%H:%M:%S} UTC"


def _moment(value: datetime, now: datetime | None, *, seconds: bool = False) -> str:
    """Return a time as a clock has it, with its day unless that is today."""
    value = value.astimezone(UTC)
    day = "" if now and value.date() == now.astimezone(UTC).date() else f"{value:%Y-%m-%d} "
    return f"{day}{value:%H:%M:%S} UTC" if seconds else f"{day}{value:%H:%M} UTC"


def _capital(text: str) -> str:
    """Return a text as a sentence begins; a command stays as it is typed."""
    return text if text.startswith("python ") else text[:1].upper() + text[1:]
