"""Verdicts as a table: what was seen of each side, and what it means, with the reason for each row.

A side is written as the words of its readings in order: ``ok``, ``slow``, ``none`` (not measured), or an
``error.type``. What is known of replication stands beside it, where a row needs it.
"""

from dataclasses import replace

import pytest

from probe.core.reading import CONTENT_ERRORS, PATH_ERRORS, Purpose
from probe.core.replication import Ledger, Replication
from probe.core.target import Policy
from probe.core.verdict import EndpointVerdict, Evidence, TargetVerdict, judge
from tests.unit.core_values import PRIMARY, SECONDARY, at, read, reading, stamped

NOW = at(1000)
V = EndpointVerdict
BEHIND = "the canary is 901 s behind, more than the RPO of 900 s"


def side(location, words: str):
    return [
        reading(location, None if word in ("ok", "slow") else word, took=3 if word == "slow" else 0.01)
        for word in words.split()
        if word != "none"
    ]


def evidence(primary="ok", secondary="ok", **more) -> Evidence:
    """Return evidence of sides given as words or readings; the rest of it goes by its own names."""
    values = {
        "primary": side(PRIMARY, primary) if isinstance(primary, str) else primary,
        "secondary": side(SECONDARY, secondary) if isinstance(secondary, str) else secondary,
        "reads": [read(reading(PRIMARY))],
        "ledger": Ledger(),
        "replication": Replication(),
        "policy": Policy(),
        "now": NOW,
    }
    return Evidence(**(values | more))


@pytest.mark.parametrize(
    ("words", "verdict", "reason"),
    [
        pytest.param("ok ok", V.HEALTHY, "2 of 2 attempts served, the slowest in 10 ms", id="healthy"),
        pytest.param("slow ok", V.DEGRADED, "slow: 3 s, more than 2 s", id="slow-though-the-last-was-not"),
        pytest.param(
            "503 ok ok",
            V.DEGRADED,
            "1 of 3 attempts failed, the last of them with 503 after 10 ms",
            id="partly",
        ),
        pytest.param(
            "reset 503 ok",
            V.DEGRADED,
            "2 of 3 attempts failed, the last of them with 503 after 10 ms",
            id="partly-mixed",
        ),
        pytest.param(
            "403 ok",
            V.DEGRADED,
            "1 of 2 attempts failed, the last of them with 403 after 10 ms",
            id="partly-denied",
        ),
        pytest.param(
            "404 ok",
            V.DEGRADED,
            "1 of 2 attempts failed, the last of them with 404 after 10 ms",
            id="partly-missing",
        ),
        pytest.param(
            "refused ok slow",
            V.DEGRADED,
            "1 of 3 attempts failed, the last of them with refused after 10 ms",
            id="failures-before-slowness",
        ),
        pytest.param("ok ok 503", V.DOWN, "503 after 10 ms", id="the-youngest-reading-decides"),
        *(
            pytest.param(each, V.DOWN, f"{each} after 10 ms", id=f"down-{each}")
            for each in (*PATH_ERRORS, "408", "429", "500", "503")
        ),
        pytest.param("401", V.DENIED, "401 after 10 ms", id="denied-unknown"),
        pytest.param("403", V.DENIED, "403 after 10 ms", id="denied-known"),
        pytest.param("404", V.MISSING, "404 after 10 ms", id="missing"),
        pytest.param("400", V.INCONCLUSIVE, "400 after 10 ms", id="our-own-bad-request"),
        pytest.param("409", V.INCONCLUSIVE, "409 after 10 ms", id="our-own-conflict"),
        *(
            pytest.param(each, V.CORRUPT, f"{each} after 10 ms", id=f"corrupt-{each}")
            for each in CONTENT_ERRORS
            if each != "404"
        ),
        pytest.param("digest ok ok ok", V.CORRUPT, "digest after 10 ms", id="corruption-is-never-outvoted"),
        pytest.param("ok rollback 503", V.CORRUPT, "rollback after 10 ms", id="not-even-by-an-outage"),
        pytest.param(
            "none", V.INCONCLUSIVE, "not measured: the tick's budget ran out first", id="not-measured"
        ),
    ],
)
def test_the_primary_is_judged_by_its_readings(words, verdict, reason):
    judged = judge(evidence(words)).primary

    assert (judged.verdict, judged.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("words", "index"),
    [("ok 503", 1), ("ok ok", 0), ("503 ok ok", 1), ("ok digest ok", 1), ("ok slow ok", 1)],
    ids=["last-failure", "on-the-fresh-connection", "first-that-served", "the-corrupt-one", "the-slow-one"],
)
def test_a_verdict_names_the_reading_that_it_rests_on(words, index):
    found = evidence(words)

    assert judge(found).primary.reading is found.primary[index]


@pytest.mark.parametrize(
    ("took", "verdict"), [(2, V.HEALTHY), (2.000001, V.DEGRADED)], ids=["at-the-limit", "beyond"]
)
def test_slow_is_longer_than_the_limit(took, verdict):
    assert judge(evidence([reading(PRIMARY, took=took)])).primary.verdict is verdict


def test_without_a_reading_the_verdict_rests_on_none():
    assert judge(evidence("none")).primary.reading is None


@pytest.mark.parametrize(
    ("primary", "secondary", "known", "verdict", "why"),
    [
        pytest.param("ok", "ok", {}, V.HEALTHY, "both serve", id="healthy"),
        pytest.param("ok", "slow", {}, V.DEGRADED, "slow counts on either side", id="degraded"),
        pytest.param("ok", "503", {}, V.DOWN, "an outage over there", id="down"),
        pytest.param("ok", "403", {}, V.DENIED, "our grant over there", id="denied"),
        pytest.param("ok", "digest", {}, V.CORRUPT, "content over there", id="corrupt"),
        pytest.param("ok", "dns", {}, V.ABSENT, "its name is gone while the primary serves", id="absent"),
        pytest.param("slow", "dns", {}, V.ABSENT, "a slow primary serves too", id="absent-slow"),
        pytest.param("503 ok", "dns dns", {}, V.ABSENT, "so does one that failed once", id="absent-partly"),
        pytest.param(
            "503", "dns", {}, V.DOWN, "the resolver or the path may be ill as well", id="primary-down-too"
        ),
        pytest.param("dns", "dns", {}, V.DOWN, "no name resolves: not geo-redundancy", id="dns-ill"),
        pytest.param(
            "ok", "ok dns", {}, V.ABSENT, "the youngest reading decides", id="absent-since-just-now"
        ),
        pytest.param("ok", "dns ok", {}, V.DEGRADED, "it resolved after all", id="dns-once"),
        pytest.param(
            "ok",
            "404",
            {"age": 10},
            V.INCONCLUSIVE,
            "the first canary may still be on its way",
            id="not-replicated-yet",
        ),
        pytest.param(
            "ok",
            "404",
            {"age": 900},
            V.INCONCLUSIVE,
            "up to the RPO, and with it",
            id="not-replicated-at-rpo",
        ),
        pytest.param(
            "ok", "404", {"age": 901}, V.MISSING, "beyond the RPO it should be there", id="missing-beyond-rpo"
        ),
        pytest.param(
            "ok", "404", {"age": 10, "shown": True}, V.MISSING, "it was there before", id="missing-once-shown"
        ),
        pytest.param(
            "ok",
            "404",
            {"stamped": False},
            V.MISSING,
            "nothing is written that could be on its way",
            id="missing-read-only",
        ),
        pytest.param(
            "ok", "404", {}, V.INCONCLUSIVE, "nothing that could be there was written yet", id="unwritten"
        ),
        pytest.param("ok", "ok", {"lag": 901}, V.STALE, "our canary is behind", id="stale-by-lag"),
        pytest.param("ok", "ok", {"lag": 900}, V.HEALTHY, "at the RPO is within it", id="lag-at-rpo"),
        pytest.param("ok", "ok", {"sync": 901}, V.STALE, "Azure says so", id="stale-by-last-sync"),
        pytest.param("ok", "ok", {"sync": 900}, V.HEALTHY, "at the RPO is within it", id="sync-at-rpo"),
        pytest.param(
            "ok", "503 ok", {"lag": 901}, V.STALE, "stale says more than degraded", id="stale-and-degraded"
        ),
        pytest.param("ok", "503", {"lag": 901}, V.DOWN, "down says more than stale", id="down-and-behind"),
        pytest.param(
            "ok", "digest", {"lag": 901}, V.CORRUPT, "corrupt says more than stale", id="corrupt-and-behind"
        ),
        pytest.param("ok", "dns", {"lag": 901}, V.ABSENT, "a lag behind nobody", id="absent-and-behind"),
        pytest.param(
            "ok", "none", {"lag": 901}, V.INCONCLUSIVE, "not measured is not stale", id="not-measured"
        ),
    ],
)
def test_the_secondary_is_judged_by_what_is_known_of_replication_too(primary, secondary, known, verdict, why):
    ledger = Ledger()
    if "age" in known:
        ledger = Ledger(newest=stamped(1), unseen=(stamped(1, 1000 - known["age"]),))
    if "shown" in known:
        ledger = replace(ledger, secondary_shown=stamped(0))
    replication = Replication(
        lag=NOW - at(1000 - known["lag"]) if "lag" in known else None,
        recovery_point_age=NOW - at(1000 - known["sync"]) if "sync" in known else None,
    )
    found = evidence(primary, secondary, ledger=ledger, replication=replication)
    judged = judge(replace(found, stamped=known.get("stamped", True))).secondary

    assert judged.verdict is verdict, why


@pytest.mark.parametrize(
    ("took", "shown"),
    [
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (1, "1 s"),
        (2.34, "2.3 s"),
        (259200, "259200 s"),
        (1e7, "10000000 s"),
    ],
    ids=["below-a-millisecond", "milliseconds", "one-second", "seconds", "days", "months"],
)
def test_a_reasons_durations_are_readable(took, shown):
    judged = judge(evidence([reading(PRIMARY, "timeout", took=took)])).primary

    assert judged.reason == f"timeout after {shown}"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        pytest.param({"replication": Replication(lag=NOW - at(99))}, BEHIND, id="lag"),
        pytest.param(
            {"replication": Replication(recovery_point_age=NOW - at(99))},
            "the recovery point is 901 s old, more than the RPO of 900 s",
            id="last-sync",
        ),
        pytest.param(
            {"replication": Replication(lag=NOW - at(99), recovery_point_age=NOW - at(0))},
            BEHIND,
            id="lag-first",
        ),
        pytest.param(
            {
                "secondary": side(SECONDARY, "404"),
                "ledger": Ledger(newest=stamped(1), unseen=(stamped(1, 940),)),
            },
            "not replicated yet: the first canary was written 60 s ago",
            id="not-replicated-yet",
        ),
        pytest.param(
            {"secondary": side(SECONDARY, "dns")},
            "its name does not resolve while the primary answers: "
            "the account lost its geo-redundancy, or it failed over",
            id="absent",
        ),
    ],
)
def test_the_secondarys_verdict_gives_the_figures(found, reason):
    assert judge(evidence(**found)).secondary.reason == reason


def test_a_target_without_a_secondary_has_no_verdict_on_one():
    assert judge(evidence("ok", "none", geo=False)).secondary is None


def test_every_endpoint_verdict_but_some_means_a_client_is_not_served():
    assert {each for each in V if each.up} == {V.HEALTHY, V.DEGRADED, V.STALE}


BOTH_DOWN = "primary: 503 after 10 ms; secondary: timeout after 10 ms"
SERVED = read(reading(PRIMARY))
REROUTED = read(reading(PRIMARY, "503"), reading(SECONDARY))
LOST = read(reading(PRIMARY, "503"), reading(SECONDARY, "timeout"))
DENIED = read(reading(PRIMARY, "403"), reading(SECONDARY, "403"))
HALF_DENIED = read(reading(PRIMARY, "403"), reading(SECONDARY, "timeout"))


@pytest.mark.parametrize(
    ("reads", "verdict", "reason"),
    [
        pytest.param([SERVED] * 5, TargetVerdict.OK, "5 of 5 reads were served by the primary", id="ok"),
        pytest.param(
            [SERVED, REROUTED, REROUTED],
            TargetVerdict.REROUTED,
            "2 of 3 reads were served by the secondary; "
            "primary: 1 of 1 attempts served, the slowest in 10 ms",
            id="rerouted-by-any-read",
        ),
        pytest.param(
            [SERVED, SERVED, LOST],
            TargetVerdict.UNAVAILABLE,
            "1 of 3 reads were served by neither location; " + BOTH_DOWN,
            id="unavailable-by-any-read",
        ),
        pytest.param(
            [REROUTED, LOST],
            TargetVerdict.UNAVAILABLE,
            "1 of 2 reads were served by neither location; " + BOTH_DOWN,
            id="lost-outranks-rerouted",
        ),
        pytest.param(
            [DENIED, DENIED],
            TargetVerdict.INCONCLUSIVE,
            "every attempt was refused for a cause of ours, not an outage: 403 after 10 ms",
            id="every-attempt-denied",
        ),
        pytest.param(
            [DENIED, HALF_DENIED],
            TargetVerdict.UNAVAILABLE,
            "2 of 2 reads were served by neither location; "
            "primary: 403 after 10 ms; secondary: timeout after 10 ms",
            id="one-attempt-was-an-outage",
        ),
        pytest.param(
            [], TargetVerdict.INCONCLUSIVE, "no read was finished within the tick's budget", id="no-read"
        ),
        pytest.param(
            [read()],
            TargetVerdict.INCONCLUSIVE,
            "a read was cut off before its first attempt",
            id="no-attempt",
        ),
    ],
)
def test_a_target_is_judged_by_its_reads(reads, verdict, reason):
    judged = judge(evidence(reads=reads)).target

    assert (judged.verdict, judged.reason) == (verdict, reason)


def test_a_tick_cut_short_says_so_though_all_went_well():
    judged = judge(evidence(reads=[SERVED], cut_short=True)).target

    assert judged.reason == "1 of 1 reads were served by the primary; cut short by the tick's budget"


@pytest.mark.parametrize(
    ("primary", "secondary", "store", "ours", "why"),
    [
        pytest.param("dns", "dns", False, True, "nothing at all can be reached", id="nothing-resolves"),
        pytest.param(
            "timeout refused", "connect_timeout", False, True, "whatever the path's fault", id="mixed"
        ),
        pytest.param(
            "dns", "dns", True, False, "the store proves that we have a network", id="store-reachable"
        ),
        pytest.param("dns", "ok", False, False, "the secondary proves it", id="secondary-serves"),
        pytest.param("ok timeout", "timeout", False, False, "one good reading proves it", id="served-once"),
        pytest.param("403", "timeout", False, False, "a denial is an answer", id="denied"),
        pytest.param("timeout", "404", False, False, "so is a missing canary", id="missing"),
        pytest.param(
            "503", "503", False, False, "so is a server's error: an outage, not our network", id="both-503"
        ),
        pytest.param("timeout", "503 timeout", False, False, "even one of them", id="one-503"),
        pytest.param(
            "timeout", "none", False, False, "what was not measured did not fail", id="not-measured"
        ),
    ],
)
def test_is_it_us_is_asked_before_an_endpoint_is_blamed(primary, secondary, store, ours, why):
    found = judge(evidence(primary, secondary, reads=[LOST], alive=store))
    verdicts = {found.primary.verdict, found.secondary.verdict, str(found.target.verdict)}

    assert (verdicts == {"inconclusive"}) is ours, why


def test_is_it_us_for_a_target_without_a_secondary_asks_its_primary_alone():
    found = judge(evidence("timeout", "none", reads=[LOST], alive=False, geo=False))

    assert (found.primary.verdict, found.secondary) == (V.INCONCLUSIVE, None)
    assert found.primary.reason == (
        "nothing of Azure Storage was heard from any endpoint, and no independent sign of life either: "
        "the probe's own network is the likelier cause (timeout after 10 ms)"
    )
    assert found.target.verdict is TargetVerdict.INCONCLUSIVE


def test_a_reason_gives_azures_own_code_and_the_detail():
    found = reading(
        PRIMARY,
        "403",
        service_error="AuthorizationPermissionMismatch",
        detail="no grant",
        purpose=Purpose.CHECK,
    )

    assert judge(evidence(primary=[found])).primary.reason == (
        "403 AuthorizationPermissionMismatch (no grant) after 10 ms"
    )


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        pytest.param(
            "https://a/c/b?sv=1&sig=abc%3D refused", "(https://a/c/b?… refused)", id="in-the-middle"
        ),
        pytest.param("got https://a/c/b?sig=abc", "(got https://a/c/b?…)", id="at-the-end"),
        pytest.param("url='https://a/b?sig=abc', 302", "(url='https://a/b?…', 302)", id="quoted"),
        pytest.param("really? no", "(really? no)", id="a-question"),
    ],
)
def test_a_reason_never_shows_a_query_whatever_the_detail_holds(detail, shown):
    found = judge(evidence(primary=[reading(PRIMARY, "refused", detail=detail)]))

    assert found.primary.reason == f"refused {shown} after 10 ms"


def test_a_primary_that_fails_on_fresh_connections_alone_is_degraded_and_stays_routed():
    """The first attempt of each tick is on a fresh connection; it fails, and the retries do not."""
    assert judge(evidence("reset ok ok ok ok ok")).primary.verdict is V.DEGRADED


def test_a_primary_that_serves_but_does_not_take_the_canary_is_degraded():
    denied = replace(reading(PRIMARY, "403"), purpose=Purpose.WRITE)

    judged = judge(replace(evidence("ok"), write=denied)).primary

    assert judged.verdict == V.DEGRADED
    assert "the canary was not written, so the lag tells nothing new: 403" in judged.reason
