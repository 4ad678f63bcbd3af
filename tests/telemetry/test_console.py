"""The console: ``--debug`` prints the telemetry that it sends, or would send, for people."""

import io
from dataclasses import replace

import pytest

from probe.adapters import telemetry
from probe.adapters.telemetry.console import Console
from probe.adapters.telemetry.settings import TelemetrySettings, Traces
from probe.lab.telemetry import capture
from tests.telemetry.conftest import reports


@pytest.fixture
def printed() -> str:
    stream = io.StringIO()
    console = Console(Traces.FAILURES, stream)
    console.put(reports("failing_primary")[2])
    console.show()
    return stream.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        "DOWN orders primary  0.012 s  down: 503 ServerBusy (Server is busy) after 12 ms",
        "up   orders reads  0.255 s  rerouted: 5 of 5 reads were served by the secondary",
        "BreakerTransition  orders: closed to open: 5 primary attempts failed in a row, the last with 503",
        "VerdictChanged  orders primary: healthy to down",
        "GET https://orders.blob.core.windows.net/health-probe/HelloWorld.png  0.012 s  Server is busy",
        "probe.breaker.state  probe.target=orders probe.breaker.state_name=open = 2",
        "probe.reads  probe.target=orders probe.served_by=secondary = 5 read",
    ],
)
def test_a_tick_s_telemetry_is_printed_for_people(printed: str, line: str):
    assert line in printed


async def test_debug_prints_to_stderr_where_no_backend_is_set(capsys):
    made = telemetry.build(TelemetrySettings(debug=True))
    made.emit(reports("healthy")[1], None)
    await made.flush()

    out, errors = capsys.readouterr()
    assert out == ""
    assert "telemetry: 3 availability results" in errors


async def test_debug_prints_and_sends_where_one_is(capsys, ingestion):
    settings = replace(capture.SETTINGS, connection_string=ingestion.connection_string, debug=True)
    made = telemetry.build(settings)
    made.emit(reports("healthy")[1], None)
    await made.flush()
    made.close()

    assert "telemetry: 3 availability results" in capsys.readouterr().err
    assert ingestion.envelopes


async def test_each_tick_is_printed_once():
    stream = io.StringIO()
    console = Console(Traces.OFF, stream)
    console.put(reports("healthy")[1])
    console.show()
    console.show()

    assert stream.getvalue().count("availability results") == 1
