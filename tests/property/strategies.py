"""Hypothesis strategies for the core: times around one noon, policies, readings, records, and a client."""

from dataclasses import replace

from hypothesis import strategies as st

from probe.core.breaker import Breaker, Fact, State, Transition, Trigger
from probe.core.canary import Stamp
from probe.core.reading import CONTENT_ERRORS, PATH_ERRORS, Phases, Purpose, Read, Reading
from probe.core.record import HistoryEntry, ShardRecord, TargetRecord
from probe.core.replication import Ledger, Replication, SyncStatus
from probe.core.target import Forced, Location, Policy
from tests.unit.client_values import Client, at_once
from tests.unit.core_values import NOON, at, s

ERRORS = (*PATH_ERRORS, *CONTENT_ERRORS, "400", "401", "403", "408", "409", "429", "500", "503", "599")

errors = st.none() | st.sampled_from(ERRORS)
locations = st.sampled_from(Location)
times = st.sampled_from(
    [at(each) for each in (-259200, -900, -60, -1, 0, 1, 5, 5.000001, 60, 259200)]
) | st.integers(-1000, 1000).map(at)
durations = st.sampled_from([s(each) for each in (0, 0.000001, 0.01, 1, 2, 2.000001, 5, 30)])
words = st.sampled_from(["", "plain", "\u00fc \u4e2d \ud83d", "quotes \"'", "line\nbreak"])
queries = st.sampled_from(
    [
        "",
        "https://a/c/b?sv=1&sig=a%2Fb refused",
        "GET https://a/c/b?sig=x",
        "url='http://a/?comp=y&sig=z'",
        "why?",
    ]
)

policies = st.builds(
    lambda window, minimum, **rest: Policy(window=window, minimum_samples=min(window, minimum), **rest),
    window=st.integers(1, 6),
    minimum=st.integers(1, 6),
    failure_threshold=st.integers(1, 4),
    failure_rate=st.sampled_from([0.25, 0.5, 1.0]),
    secondary_reads=st.integers(1, 4),
    cooldown=st.sampled_from([s(0), s(5), s(60)]),
    success_threshold=st.integers(1, 3),
)

stamps = st.builds(
    Stamp,
    sequence=st.integers(0, 50),
    written_at=times,
    sha256=st.just("0" * 64),
    writer=st.sampled_from(["here", "there"]),
)


def readings(location: Location, purposes=tuple(Purpose)):
    return st.builds(
        Reading,
        location=st.just(location),
        purpose=st.sampled_from(purposes),
        started_at=times,
        duration=durations,
        error_type=errors,
        status_code=st.none() | st.integers(100, 599),
        phases=st.builds(Phases, dns=st.none() | durations, ttfb=st.none() | durations),
        canary=st.none() | stamps,
        detail=st.none() | queries | words,
        service_error=st.none() | st.just("ServerBusy"),
    )


any_reading = readings(Location.PRIMARY) | readings(Location.SECONDARY)


@st.composite
def reads(draw):
    attempts = tuple(draw(st.lists(any_reading, max_size=3)))
    served = attempts[-1].location if attempts and attempts[-1].ok else None
    return Read(started_at=draw(times), duration=draw(durations), served_by=served, attempts=attempts)


ledgers = st.builds(
    Ledger,
    newest=st.none() | stamps,
    unseen=st.lists(stamps, max_size=4).map(
        lambda each: tuple(sorted(each, key=lambda stamp: stamp.written_at))
    ),
    primary_shown=st.none() | stamps,
    secondary_shown=st.none() | stamps,
)
replications = st.builds(
    Replication,
    status=st.none() | st.sampled_from(SyncStatus),
    last_sync_time=st.none() | times,
    recovery_point_age=st.none() | durations,
    lag=st.none() | durations | st.just(s(20 * 86400)),
    within_rpo=st.none() | st.booleans(),
)
transitions = st.builds(
    Transition,
    from_state=st.sampled_from(State),
    to_state=st.sampled_from(State),
    trigger=st.sampled_from(Trigger),
    reason=words,
    at=times,
    epoch=st.integers(0, 9),
    figures=st.dictionaries(st.text(max_size=3), st.floats(0, 100)),
)
breakers_of_any_state = st.builds(
    Breaker,
    state=st.sampled_from(State),
    since=times,
    epoch=st.integers(0, 9),
    multiplier=st.sampled_from([1, 2, 4, 8]),
)
entries = st.builds(
    HistoryEntry,
    at=times,
    verdict=st.just("ok"),
    primary=st.just("healthy"),
    secondary=st.none(),
    served_primary=st.just(5),
    served_secondary=st.just(0),
    served_none=st.just(0),
    worst_read=st.none(),
    lag=st.none(),
    last_sync_age=st.none(),
)
target_records = st.builds(
    TargetRecord,
    breaker=breakers_of_any_state,
    ledger=ledgers,
    secondary_seen_at=st.none() | times,
    transitions=st.lists(transitions, max_size=3).map(tuple),
    history=st.lists(entries, max_size=3).map(tuple),
)
shard_records = st.builds(
    ShardRecord,
    last_scheduled_at=st.none() | times,
    last_completed_at=st.none() | times,
    clamped=st.integers(0, 3),
    targets=st.dictionaries(st.sampled_from(["orders", "media"]), target_records, max_size=2),
)
forcings = st.none() | st.builds(Forced, location=locations, until=times)

outcomes = st.sampled_from(["good", "slow", "failed", "neutral"])
scripts = st.lists(st.tuples(st.integers(0, 40), outcomes, outcomes), max_size=12)
"""The reads of a tick: seconds since the one before, and what each location would answer to it."""


def fact(location, outcome, *, purpose=Purpose.READ, now=NOON, epoch=0, forced=False, stale=False) -> Fact:
    return Fact(
        location=location,
        purpose=purpose,
        at=now,
        epoch=epoch,
        failed=outcome == "failed",
        slow=outcome == "slow",
        forced=forced,
        stale=stale,
        error_type={"failed": "503", "neutral": "404"}.get(outcome),
    )


TOOK = {"slow": 3}
"""Seconds that an attempt takes by its outcome; all others take one. Slow is what takes longer than two."""


def client(breaker: Breaker, script, *, policy: Policy, start: float = 0, geo: bool = True):
    """Let the probe's own reader read by a script; returns its facts, the breaker it left, and the time."""
    answers: dict[Location, str] = {}

    def meets(location: Location, purpose: Purpose, now):
        outcome = answers[location]
        error = {"failed": "503", "neutral": "404"}.get(outcome)
        return Reading(
            location=location,
            purpose=purpose,
            started_at=now,
            duration=s(TOOK.get(outcome, 1)),
            error_type=error,
        )

    played = Client(meets=meets, now=at(start))
    reader = played.begin(breaker, policy=policy, geo=geo)
    for wait, primary, secondary in script:
        played.now += s(wait)
        answers |= {Location.PRIMARY: primary, Location.SECONDARY: secondary}
        at_once(reader.read())
    return reader.facts, reader.breaker, played.now


def without_times(breaker: Breaker) -> Breaker:
    return replace(breaker, since=NOON, moved_at=None)
