"""What the other clients of ``make side-by-side`` do, in short: each is what its source says it is."""

from itertools import pairwise

import pytest

from tests.bench.side_by_side import CLIENTS, OUTAGES, PRIMARY, Play, played


def short(outage: str, client: str) -> Play:
    """Return how a client met two minutes of an outage."""
    return played(outage, client, begins=61, lasts=120, calm=130)


@pytest.mark.parametrize("outage", OUTAGES)
def test_this_probe_loses_no_read_and_serves_the_first_within_its_bound(outage: str):
    play = short(outage, "this probe")

    bound = {"silent": 5.3, "slow (3 s)": 3.1}.get(outage, 0.5)
    assert play.lost == 0
    assert play.first_good <= bound
    assert play.back < 100


def test_the_sample_of_2019_loses_the_read_that_trips_it_and_one_in_21_after_that():
    play = short("503", "the sample of 2019")

    lost = [number for number, each in enumerate(play.reads) if each.served is None]
    assert play.reads[lost[0]].began >= 60
    assert {later - sooner for sooner, later in pairwise(lost)} == {21}


@pytest.mark.parametrize(
    ("client", "outage", "least", "most"),
    [
        ("the SDK, by default", "503", 15, 21.1),  # one back-off of 18 s, give or take 3
        ("the SDK, by default", "silent", 75, 81.1),  # its 60 s of waiting, and that
        ("the SDK, tightened", "503", 0.2, 0.3),
        ("the SDK, tightened", "silent", 5.2, 5.3),
    ],
)
def test_the_sdk_asks_the_secondary_after_its_own_waits(client: str, outage: str, least: float, most: float):
    assert least <= short(outage, client).first_good <= most


def test_the_sdk_asks_the_sick_primary_first_with_each_read():
    play = short("503", "the SDK, tightened")

    assert play.account.requests[PRIMARY] == len(play.during)


def test_redis_s_rule_leaves_by_its_health_checks_and_comes_back_by_its_fallback():
    play = short("refused", "redis-py's rule")

    assert play.lost == 0
    assert max(each.ended - each.began for each in play.during) < 10
    assert play.account.requests[PRIMARY] >= 120 / (5 + 1)
    assert 0 <= play.back <= 120 + 5 + 1 + 1


@pytest.mark.parametrize("client", [each for each in CLIENTS if each != "the SDK, by default"])
def test_a_play_is_the_same_each_time(client: str):
    assert short("503 half the time", client).reads == short("503 half the time", client).reads
