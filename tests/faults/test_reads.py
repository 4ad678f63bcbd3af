"""What a read costs when a location fails, and that none is lost while one is up at each instant.

Every way in which the two can come and go is played: at each instant at which the read asks, the play goes on
with each state that the account may then be in, until the read has ended. So it holds however fast they flap.
It stands on one thing: whoever is up when it is asked, answers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from probe.core.breaker import Breaker, State
from probe.core.reading import Purpose, Read, Reading
from probe.core.target import Forced, Location, Policy
from tests.unit.client_values import Client, at_once
from tests.unit.core_values import NOON, PRIMARY, SECONDARY, at, reading, s

MOMENTS = ("both", *((up, error) for up in Location for error in ("503", "timeout")))
"""What the account may be at an instant: both up, or which one is up and how the other fails."""
TOOK = {
    None: 0.03,
    "503": 0.01,
    "refused": 0.004,
    "timeout": 5,
    "connect_timeout": 2,
    "tls": 0.02,
    "403": 0.01,
    "404": 0.01,
}
BREAKERS = {
    "closed": Breaker.fresh(NOON),
    "closed, one failure from a trip": Breaker(since=NOON, consecutive_failures=4),
    "open": Breaker(since=NOON, state=State.OPEN, epoch=1),
    "open, one read from a trial": Breaker(since=NOON, state=State.OPEN, epoch=1, secondary_reads=19),
    "half-open": Breaker(since=NOON, state=State.HALF_OPEN, epoch=2),
    "half-open, a trial from closed": Breaker(since=NOON, state=State.HALF_OPEN, epoch=2, good_trials=2),
}
POLICIES = {
    "by default": Policy(),
    "one attempt": Policy(attempts=1),
    "three attempts": Policy(attempts=3),
    "forced to the primary": Policy(forced=Forced(location=PRIMARY, until=at(3600))),
    "forced to the secondary": Policy(forced=Forced(location=SECONDARY, until=at(3600))),
}


@dataclass
class Play:
    """An account that is at each instant what the script says; ``instants`` are those that were asked at."""

    script: tuple[object, ...]
    instants: list[datetime] = field(default_factory=list)

    def meets(self, location: Location, purpose: Purpose, now: datetime) -> Reading:
        if now not in self.instants:
            self.instants.append(now)
        number = self.instants.index(now)
        moment = self.script[number] if number < len(self.script) else "both"
        error = None if moment == "both" or moment[0] is location else moment[1]
        return met(location, purpose, now, error)


def met(location: Location, purpose: Purpose, now: datetime, error: str | None) -> Reading:
    return reading(location, error, purpose=purpose, took=TOOK[error], started=(now - NOON).total_seconds())


def played(policy: Policy, breaker: Breaker, client: type[Client] = Client) -> Iterator[Read]:
    """Return the read of every play there is."""
    scripts: list[tuple[object, ...]] = [(each,) for each in MOMENTS]
    while scripts:
        play = Play(scripts.pop())
        reader = client(meets=play.meets, now=NOON).begin(breaker, policy=policy)
        read = at_once(reader.read())
        if len(play.instants) > len(play.script):
            scripts += [(*play.script, each) for each in MOMENTS]
        else:
            yield read


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("breaker", BREAKERS.values(), ids=BREAKERS)
def test_no_read_is_lost_while_one_location_is_up_at_each_instant(policy: Policy, breaker: Breaker):
    reads = list(played(policy, breaker))

    assert len(reads) > len(MOMENTS)
    assert [each for each in reads if each.served_by is None] == []


class OneAfterTheOther(Client):
    """A client whose last look asks one location after the other."""

    async def together(self, *attempts):
        return [await each for each in attempts]


def test_a_last_look_at_one_after_the_other_would_lose_reads():
    """So the plays are harsh enough to show it: this is why both are asked at once."""
    lost = [each for each in played(Policy(), Breaker.fresh(NOON), OneAfterTheOther) if not each.served_by]

    assert lost


def read_of(primary: str | None, secondary: str | None) -> Read:
    """Return the first read of an outage, with the default policy."""
    errors = {PRIMARY: primary, SECONDARY: secondary}
    client = Client(meets=lambda where, why, now: met(where, why, now, errors[where]), now=NOON)
    return at_once(client.begin(Breaker.fresh(NOON), policy=Policy()).read())


@pytest.mark.parametrize(
    ("error", "attempts", "seconds"),
    [
        ("503", "PPS", 0.3),
        ("refused", "PPS", 0.3),
        ("tls", "PPS", 0.3),
        ("connect_timeout", "PS", 2.1),
        ("timeout", "PS", 5.1),
    ],
)
def test_the_first_read_of_an_outage_waits_for_one_slow_failure_at_most(error, attempts, seconds):
    read = read_of(error, None)

    assert read.served_by is SECONDARY
    assert "".join(each.location[0].upper() for each in read.attempts) == attempts
    assert read.duration <= s(seconds)


def test_when_both_are_silent_a_read_gives_up_after_three_deadlines():
    read = read_of("timeout", "timeout")

    assert (read.served_by, read.duration) == (None, s(15))
    assert [each.location for each in read.attempts] == [PRIMARY, SECONDARY, PRIMARY, SECONDARY]


def test_a_slow_primary_that_answers_within_the_deadline_serves():
    client = Client(meets=lambda where, *_: reading(where, took=4.9), now=NOON)
    reader = client.begin(Breaker.fresh(NOON), policy=Policy())

    read = at_once(reader.read())

    assert (read.served_by, len(read.attempts), read.duration) == (PRIMARY, 1, s(4.9))
    assert (reader.breaker.consecutive_failures, reader.breaker.recent) == (0, (True,))


def test_a_denied_or_missing_blob_is_not_asked_for_again():
    read = read_of("403", "404")

    assert [each.error_type for each in read.attempts] == ["403", "404"]


def test_the_last_look_takes_as_long_as_the_first_who_serves():
    """Who hangs on is waited for, since what was asked is counted; the client has its answer before."""
    asked = []

    def meets(location, purpose, now):
        asked.append(location)
        back = len(asked) > 4 and location is SECONDARY
        error = None if back else "503" if len(asked) <= 4 else "timeout"
        return met(location, purpose, now, error)

    client = Client(meets=meets, now=NOON)
    reader = client.begin(Breaker.fresh(NOON), policy=Policy())
    read = at_once(reader.read())

    assert read.served_by is SECONDARY
    assert read.duration < s(0.5)
    assert client.now - NOON > s(5)
    assert len(reader.facts) == len(read.attempts) == 6
