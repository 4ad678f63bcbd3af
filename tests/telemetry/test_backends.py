"""Backends that fail: a tick loses the flush bound at most, nothing raises, and the loss is said once."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from probe.adapters import telemetry
from probe.adapters.telemetry import catalogue
from probe.lab.telemetry import capture
from probe.lab.telemetry.backends import FAILING, HEALTHY, added, running
from probe.lab.telemetry.ingestion import Ingestion, Mode, connection_string, refusing_url
from tests.telemetry.conftest import reports
from tests.timing import soonest

BOUND = 0.3
"""The flush bound in these tests, in seconds: the deployed one is 2."""
SLACK = 0.25
"""What the machine may add to the quickest of a few tries."""


CASE = pytest.mark.parametrize("case", FAILING, ids=lambda case: case.name)


@contextmanager
def sending(backend: str, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[telemetry.ProcessTelemetry]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    azure = connection_string(url) if backend == "azure_monitor" else None
    settings = replace(capture.SETTINGS, connection_string=azure, otlp=backend == "otlp", flush_seconds=BOUND)
    made = telemetry.build(settings)
    yield made
    made.close()


@pytest.mark.parametrize("backend", ["azure_monitor", "otlp"])
@CASE
async def test_a_failing_backend_costs_a_tick_no_more_than_the_flush_bound(
    case, backend, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    with running(case) as url, sending(backend, url, monkeypatch) as made:
        await told(made, 1)
        took = await soonest(lambda: told(made, 1), within=BOUND + SLACK)
        said = [each.getMessage() for each in caplog.records]

    assert took < BOUND + SLACK
    assert took >= BOUND or not case.waits
    assert len(said) <= 1


ANSWERS = [each for each in FAILING if not each.waits]
OTLP_TAKES = (Mode.GARBAGE,)
"""A 2xx is a good answer in OTLP, whatever else it says."""


@pytest.mark.parametrize(
    ("backend", "case"),
    [
        *(pytest.param("azure_monitor", each, id=f"azure_monitor-{each.name}") for each in ANSWERS),
        *(
            pytest.param("otlp", each, id=f"otlp-{each.name}")
            for each in ANSWERS
            if each.mode not in OTLP_TAKES
        ),
    ],
)
async def test_a_loss_is_told_once_with_its_reason_and_counted(backend, case, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    with running(case) as url, sending(backend, url, monkeypatch) as made:
        for report in reports("healthy") * 3:
            made.emit(report, None)
            await made.flush()
        lost = made.lost
        said = [each.getMessage() for each in caplog.records]

    assert lost > 60
    assert len(said) == 1
    assert said[0].startswith(f"Telemetry is being lost: {backend} did not take")
    assert "gave no reason" not in said[0]


@pytest.mark.parametrize("backend", ["azure_monitor", "otlp"])
@pytest.mark.parametrize("mode", [Mode.ABRUPT, Mode.UNAVAILABLE, Mode.THROTTLED])
async def test_no_request_is_sent_twice_since_its_rows_might_be_doubled(backend, mode, monkeypatch):
    with Ingestion(mode=mode) as ingestion, sending(backend, ingestion.url, monkeypatch) as made:
        await told(made, 1)

        assert len(ingestion.requests) == 2, "one of records, one of metrics"


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.name)
async def test_a_collector_that_answers_at_once_holds_up_no_tick(case, monkeypatch):
    with running(case) as url, sending("otlp", url, monkeypatch) as made:
        await told(made, 1)

        assert await soonest(lambda: told(made, 1), within=BOUND * 0.9) < BOUND * 0.9


async def test_a_redirect_names_where_it_points_to(monkeypatch, caplog):
    with Ingestion(mode=Mode.MOVED) as moved, sending("otlp", moved.url, monkeypatch) as made:
        await told(made, 1)

    assert "it answered 308, and points to http://elsewhere.invalid." in caplog.text


async def test_what_comes_after_the_end_is_lost_at_once_and_holds_up_nobody(ingestion, monkeypatch):
    with sending("azure_monitor", ingestion.url, monkeypatch) as made:
        made.close()

        assert await soonest(lambda: told(made, 1), within=BOUND * 0.9) < BOUND * 0.9
        assert made.lost > 0


async def test_a_slow_backend_gets_everything_behind_the_ticks(monkeypatch):
    with (
        Ingestion(mode=Mode.SLOW, delay=0.2) as ingestion,
        sending("azure_monitor", ingestion.url, monkeypatch) as made,
    ):
        for report in reports("healthy"):
            made.emit(report, None)
            await made.flush()
        ingestion.mode = Mode.OK
        for _ in range(4):
            await made.flush()

        results = [each for each in ingestion.envelopes if each["data"]["baseType"] == "AvailabilityData"]
        assert len(results) == 6
        assert made.lost == 0


async def test_a_backend_that_comes_back_gets_the_next_tick_and_the_number_of_lost_rows(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    with (
        Ingestion(mode=Mode.UNAVAILABLE) as ingestion,
        sending("azure_monitor", ingestion.url, monkeypatch) as made,
    ):
        await told(made, 2)
        ingestion.mode, before = Mode.OK, len(ingestion.envelopes)
        await told(made, 3)
        lost = [
            (each["data"]["baseData"]["metrics"][0]["value"], each["data"]["baseData"]["properties"])
            for each in ingestion.envelopes[before:]
            if each["data"]["baseData"].get("metrics", [{}])[0].get("name") == catalogue.TELEMETRY_LOST.name
        ]

    assert lost == [
        (made.lost, {"probe.vantage": "francecentral", "probe.backend": "azure_monitor"}),
    ]
    assert set(lost[0][1]) == set(catalogue.TELEMETRY_LOST.attributes)
    assert [each.getMessage().split(":")[0].split(" ")[1] for each in caplog.records] == ["is", "arrives"]


async def told(made: telemetry.ProcessTelemetry, ticks: int) -> None:
    """Emit and flush ticks; each tells of what was lost before it, as the saved state has it."""
    lost = Counter()
    for _ in range(ticks):
        lost.update(made.claim_losses())
        made.emit(replace(reports("healthy")[1], lost=dict(lost)), None)
        lost.clear()
        await made.flush()


async def test_a_dead_backend_takes_nothing_from_the_other(ingestion, monkeypatch):
    with Ingestion(mode=Mode.SILENT) as dead:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", dead.url)
        settings = replace(
            capture.SETTINGS,
            connection_string=ingestion.connection_string,
            otlp=True,
            flush_seconds=BOUND,
        )
        made = telemetry.build(settings)
        await told(made, 3)
        results = [each for each in ingestion.envelopes if each["data"]["baseType"] == "AvailabilityData"]
        made.close()

    assert len(results) == 9


async def test_fifty_ticks_to_a_dead_backend_pile_up_neither_threads_nor_memory(monkeypatch):
    url = refusing_url()
    with sending("azure_monitor", url, monkeypatch) as made:
        await told(made, 2)
        threads = threading.active_count()
        await told(made, 50)

        assert threading.active_count() == threads
        assert all(not each._waiting for each in made._senders)


async def test_the_end_of_the_process_waits_no_longer_than_the_bound(monkeypatch):
    async def end() -> None:
        with sending("azure_monitor", silent.url, monkeypatch) as made:
            made.emit(reports("healthy")[0], None)

    with Ingestion(mode=Mode.SILENT) as silent:
        assert await soonest(end, within=BOUND + SLACK) < BOUND + SLACK


async def test_a_flush_that_is_cancelled_is_cancelled(monkeypatch):
    with Ingestion(mode=Mode.SILENT) as silent, sending("azure_monitor", silent.url, monkeypatch) as made:
        made.emit(reports("healthy")[0], None)
        flushing = asyncio.create_task(made.flush())
        await asyncio.sleep(0)
        flushing.cancel()

        with pytest.raises(asyncio.CancelledError):
            await flushing


async def test_emitting_a_fleet_s_tick_takes_no_time(ingestion):
    report = reports("healthy")[1]
    fleet = replace(report, targets=[report.targets[0]] * 1000)
    made = telemetry.build(replace(capture.SETTINGS, connection_string=ingestion.connection_string))

    async def emit() -> None:
        made.emit(fleet, None)

    took = await soonest(emit, within=0.01)
    made.close()

    assert took < 0.01


async def test_a_bug_in_telling_never_reaches_the_tick(ingestion, caplog):
    made = telemetry.build(replace(capture.SETTINGS, connection_string=ingestion.connection_string))
    broken = replace(reports("healthy")[1], targets=["no target report"])
    made.emit(broken, None)
    await made.flush()
    made.emit(reports("healthy")[1], None)
    await made.flush()
    made.close()

    assert "could not be made" in caplog.text
    assert ingestion.envelopes


async def test_a_healthy_backend_adds_little_to_a_tick():
    with running(HEALTHY) as url:
        took = await added(reports("healthy") * 3, url)

    assert min(took) < 0.2, "the quickest: a machine that is busy otherwise adds to the rest"


async def test_a_tick_and_the_end_of_its_process_wait_for_a_silent_backend_once(monkeypatch):
    async def tick_and_end() -> None:
        with sending("azure_monitor", silent.url, monkeypatch) as made:
            made.emit(reports("healthy")[0], None)
            await made.flush()
            await made.flush()
            made.drain()  # as SIGTERM does

    with Ingestion(mode=Mode.SILENT) as silent:
        took = await soonest(tick_and_end, within=2 * BOUND)

    assert BOUND <= took < 2 * BOUND
