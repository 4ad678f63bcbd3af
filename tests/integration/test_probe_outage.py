"""The probe on real storage through an outage: no read is lost, and each fault gets its verdict.

Two real Azurites, real sockets, faults struck by the lab's proxies; the app is the one that is deployed.
These are the faults that the selection of ``tests/faults/test_matrix.py`` leaves out.
"""

import pytest
import pytest_asyncio

from probe import compose
from probe.core.breaker import State
from tests.integration.probe_runs import Ticking, environment

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def ticking(pair):
    """Make an app on a canary of its own that has ticked once, and been replicated."""
    apps = []

    async def make(**settings):
        app = compose.build(environment(pair, "memory", **settings))
        apps.append(app)
        made = Ticking(app)
        await made.tick()
        await pair.replicator.caught_up()
        return made

    yield make
    for each in apps:
        await each.aclose()


@pytest.mark.parametrize(
    ("kind", "options", "error_type"),
    [
        ("status", {"code": 503}, "503"),
        ("connect_drop", {}, "connect_timeout"),
        ("body_drip", {}, "timeout"),
    ],
)
async def test_no_read_is_lost_from_the_break_to_long_after_the_healing(
    pair, ticking, kind, options, error_type
):
    probe = await ticking(PROBE_SECONDARY_READS="10")

    pair.primary.fault(kind, **options)
    broken = await probe.tick()
    await probe.tick()
    pair.primary.heal()
    for _ in range(3):
        await probe.tick()
    target = broken.targets[0]

    assert "-" not in "".join(probe.letters())
    assert probe.letters()[1] == "SSSSS", "the read that trips the breaker is served by the secondary"
    assert target.breaker.state is State.OPEN, "within the first tick"
    assert (target.judgement.primary.verdict, target.judgement.primary.reading.error_type) == (
        "down",
        error_type,
    )
    assert target.judgement.target.verdict == "rerouted"
    assert probe.reports[-1].targets[0].breaker.state is State.CLOSED
    assert probe.letters()[-1] == "PPPPP"


@pytest.mark.parametrize(
    ("kind", "options", "verdict", "error_type"),
    [
        ("status", {"code": 404, "only": "reads"}, "missing", "404"),
        ("status", {"code": 403, "only": "reads"}, "denied", "403"),
        ("corrupt", {}, "corrupt", "digest"),
        ("stale", {}, "corrupt", "rollback"),
        ("status", {"code": 400, "only": "reads"}, "inconclusive", "400"),
    ],
)
async def test_a_wrong_answer_is_told_and_routed_around_but_never_trips(
    pair, ticking, kind, options, verdict, error_type
):
    probe = await ticking()

    pair.primary.fault(kind, **options)
    for _ in range(3):
        report = await probe.tick()
    target = report.targets[0]

    judged = target.judgement.primary
    assert (judged.verdict, judged.reading.error_type) == (verdict, error_type)
    assert target.breaker.state is State.CLOSED
    assert target.judgement.target.verdict == "rerouted"
    assert probe.letters()[1:] == ["SSSSS"] * 3


async def test_a_secondary_behind_the_rpo_is_stale_and_the_lag_is_told(pair, ticking):
    probe = await ticking(PROBE_RPO="0.5")

    pair.replicator.lag = None
    await probe.tick()
    await probe.app.world.sleep(0.7)
    report = await probe.tick()
    replication = report.targets[0].replication

    assert report.targets[0].judgement.secondary.verdict == "stale"
    assert replication.lag.total_seconds() >= 0.7
    assert replication.within_rpo is False


async def test_a_secondary_that_lost_its_name_is_absent(pair, ticking):
    gone = "http://devstoreaccount1-secondary.invalid/devstoreaccount1-secondary"
    probe = await ticking(ProbedStorage=pair.connection_string.replace(pair.secondary_url, gone))

    report = await probe.tick()
    target = report.targets[0]

    assert target.judgement.secondary.verdict == "absent"
    assert target.judgement.secondary.reading.error_type == "dns"
    assert probe.letters()[-1] == "PPPPP"


async def test_both_down_is_unavailable_with_both_reasons(pair, ticking):
    probe = await ticking()

    pair.primary.fault("status", code=503)
    pair.secondary.fault("refuse")
    report = await probe.tick()
    judged = report.targets[0].judgement.target

    assert judged.verdict == "unavailable"
    assert "503" in judged.reason
    assert "refused" in judged.reason
    assert probe.letters()[-1] == "-----"


async def test_the_probes_own_network_is_suspected_before_both_endpoints_and_the_store(pair):
    nobody = {"AZURE_AUTHORITY_HOST": "nowhere.invalid"}
    app = compose.build(environment(pair, "AzureWebJobsStorage", **nobody))
    probe = Ticking(app)
    await probe.tick()

    for each in (pair.primary, pair.secondary, pair.host):
        each.fault("refuse")
    report = await probe.tick()
    await app.aclose()

    assert report.targets[0].judgement.target.verdict == "inconclusive"
    assert report.state_store == "refused"


async def test_a_state_store_that_is_down_is_told_and_nothing_else_changes(pair):
    app = compose.build(environment(pair, "AzureWebJobsStorage"))
    probe = Ticking(app)
    await probe.tick()
    await pair.replicator.caught_up()

    pair.host.fault("status", code=503)
    pair.primary.fault("status", code=503)
    first = await probe.tick()
    second = await probe.tick()
    await app.aclose()

    assert first.state_store == "503"
    assert first.targets[0].judgement.target.verdict == "rerouted"
    assert second.targets[0].breaker.state is State.OPEN, "the process goes on from what it knows"
    assert probe.letters()[1:] == ["SSSSS", "SSSSS"]
