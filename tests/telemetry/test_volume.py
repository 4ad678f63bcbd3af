"""The volume: what a target's telemetry costs is known, and the default is cheap."""

import pytest

from probe.adapters.telemetry.settings import Traces
from probe.lab.telemetry.tapes import Scene
from probe.lab.telemetry.volume import HOUR, PRICE, measure, monthly, table

CALM = (Scene(),) * HOUR


async def test_a_calm_month_of_a_target_costs_less_than_two_dollars():
    day = (await measure(CALM, traces=Traces.FAILURES)).times(24)

    _, dollars = monthly(day.octets.total(), PRICE)
    assert 0.5 < dollars < 2


async def test_failures_cost_nothing_while_all_is_well_and_all_traces_double_the_volume():
    off = await measure(CALM[:10], traces=Traces.OFF)
    failures = await measure(CALM[:10], traces=Traces.FAILURES)
    everything = await measure(CALM[:10], traces=Traces.ALL)

    assert failures.rows == off.rows
    assert everything.rows["spans"] == 10 * 10
    assert everything.octets.total() > 1.8 * failures.octets.total()


async def test_an_availability_result_for_each_endpoint_and_the_reads_is_sent_in_every_tick():
    hour = await measure(CALM, traces=Traces.OFF)

    assert hour.rows["availability"] == 3 * HOUR
    assert hour.rows["metrics"] < 14 * HOUR


async def test_an_outage_tells_more_but_stays_bounded():
    calm = await measure(CALM[:20], traces=Traces.FAILURES)
    outage = await measure((Scene(primary="503"),) * 20, traces=Traces.FAILURES)

    assert 2 < outage.octets.total() / calm.octets.total() < 4


async def test_the_command_prints_a_row_for_each_choice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("probe.lab.telemetry.volume.HOUR", 2)
    monkeypatch.setattr("probe.lab.telemetry.volume.FLEET", 2)

    printed = await table(PRICE)

    assert [
        words for words in ("| `off` |", "| `failures` |", "| `all` |", "GB a month") if words not in printed
    ] == []
