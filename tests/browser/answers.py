"""What somebody who is woken wants to know, and where the page's first screen answers it, word for word."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a reader of the page says after half a minute; each answer stands on the first screen."""

    what: str
    since: str
    serves: str
    lost: str
    do: str
    dont: str


QUESTIONS = {
    "what": "What happened?",
    "since": "Since when?",
    "serves": "Who serves reads?",
    "lost": "What would a failover lose?",
    "do": "What first?",
    "dont": "What not?",
}

ANSWERS = {
    "outage": Answers(
        what="primary answers 503",
        since="since 12:30 UTC, 12 min",
        serves="Reads from the SECONDARY",
        lost="12:42:00 UTC, 9 s old",
        do="Azure Service Health for the primary's region; tell those who write",
        dont="Fail over: reads are served.",
    ),
    "both down": Answers(
        what="primary answers 503, secondary does not answer in time",
        since="since 12:30 UTC, 3 min",
        serves="NO READ SERVED",
        lost="12:29:00 UTC, 4 min old",
        do="Azure Service Health for both regions",
        dont="Fail over: what the secondary holds cannot be seen.",
    ),
    "failover with loss": Answers(
        what="FAILED OVER WITH LOSS",
        since="seen at 12:34 UTC",
        serves="Reads from the primary",
        lost="4 acknowledged canary writes, made 12:30:00 to 12:33:00, are gone",
        do="Compare your own data of that time",
        dont="Fail over again: there is no second copy.",
    ),
    "lag": Answers(
        what="BEHIND the RPO",
        since="since 12:44 UTC, 7 min",
        serves="Reads from the primary",
        lost="recovery point 12:29:00, 22 min old: a failover now may lose every write since",
        do="See whether the recovery point moves again",
        dont="Fail over while it can wait.",
    ),
    "offline": Answers(
        what="CANNOT TELL who is up",
        since="since 12:30 UTC, 2 min",
        serves="NOBODY",
        lost="12:29:00 UTC",
        do="The probe's own network; ask another vantage",
        dont="Take this for an outage of the account.",
    ),
    "silent": Answers(
        what="NO TICK",
        since="for 27 min",
        serves="this is what the last one saw. Reads from the primary",
        lost="12:29:00 UTC, 27 min old",
        do="Find out why no tick runs",
        dont="Act on verdicts that are this old.",
    ),
    "state store down": Answers(
        what="Saved state UNREADABLE",
        since="since 12:26 UTC",
        serves="Reads from the primary",
        lost="12:29:00 UTC, 9 s old",
        do="Mend the state store; ticks go on without it",
        dont="Restart the app: what its ticks found since then is in its memory alone.",
    ),
}
"""By the name of the staged situation."""


def table() -> str:
    """Return the answers as a table for the README."""
    names = [each.name for each in fields(Answers)]
    rows = [
        f"| situation | {' | '.join(QUESTIONS[name] for name in names)} |",
        f"|{'---|' * (len(names) + 1)}",
    ]
    rows += [
        f"| {situation} | {' | '.join(getattr(answers, name) for name in names)} |"
        for situation, answers in ANSWERS.items()
    ]
    return "\n".join(rows)
