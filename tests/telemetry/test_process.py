"""The process: what is imported, whom it calls, and what SIGTERM does to what is buffered."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from probe.adapters.telemetry.exporters import PATIENCE
from probe.lab.telemetry.ingestion import Ingestion, Mode

ROOT = Path(__file__).parents[2]
TICK = """
import asyncio, logging, os, signal, sys, time
from dataclasses import replace
from probe.adapters import telemetry
from probe.lab.telemetry import capture, tapes

(report,) = asyncio.run(tapes.play(tapes.TAPES["healthy"][:1]))
"""


@contextmanager
def program(text: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "NO_PROXY": "*"}
    running = subprocess.Popen(  # noqa: S603 - our own text
        [sys.executable, "-c", text, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def run(text: str, *arguments: str) -> str:
    with program(text, *arguments) as running:
        out, errors = running.communicate(timeout=30)
        assert running.returncode == 0, errors
    return out


@pytest.mark.parametrize("debug", ["", "debug=True"], ids=["nothing set", "debug alone"])
def test_where_there_is_nowhere_to_send_nothing_of_opentelemetry_is_imported(debug: str):
    found = run(f"""
import sys
from probe.adapters import telemetry
telemetry.build(telemetry.TelemetrySettings({debug}))
print([name for name in sys.modules if name.startswith(("opentelemetry", "azure.monitor", "requests"))])
""")

    assert found.strip() == "[]"


@pytest.mark.parametrize(
    ("settings", "foreign"),
    [
        pytest.param("connection_string=sys.argv[1]", "exporter.otlp", id="Azure Monitor alone: no OTLP"),
        pytest.param("otlp=True", "azure.monitor", id="OTLP alone: no Azure Monitor"),
    ],
)
def test_only_the_exporters_that_are_used_are_imported(settings: str, foreign: str):
    found = run(
        f"""
import sys
from probe.adapters import telemetry
telemetry.build(telemetry.TelemetrySettings({settings}))
print([name for name in sys.modules if {foreign!r} in name])
""",
        "InstrumentationKey=00000000-0000-4000-8000-000000000001;IngestionEndpoint=http://127.0.0.1:9",
    )

    assert found.strip() == "[]"


def test_nobody_is_called_but_the_backend_and_nothing_is_left_on_disk_or_in_threads(ingestion: Ingestion):
    found = run(
        f"""
import sys
called, written = set(), set()
def watch(event, given):
    if event == "socket.connect":
        called.add(given[1][:2] if isinstance(given[1], tuple) else given[1])
    if event == "socket.getaddrinfo":
        called.add(given[:2])
    if event == "open" and isinstance(given[0], str) and given[2] & 3 and "__pycache__" not in given[0]:
        written.add(given[0])
sys.addaudithook(watch)
{TICK}
import threading
made = telemetry.build(replace(capture.SETTINGS, connection_string=sys.argv[1]))
async def ticks():
    for _ in range(3):
        made.emit(report, None)
        await made.flush()
asyncio.run(ticks())
print(sorted(called))
print(sorted(map(str, written)))
print([each.name for each in threading.enumerate()])
""",
        ingestion.connection_string,
    )

    port = int(ingestion.url.rpartition(":")[2])
    called, written, threads = found.splitlines()
    assert set(eval(called)) == {("127.0.0.1", port)}  # noqa: S307 - our own program's
    assert written in ("[]", "['/dev/null']")
    assert threads == "['MainThread', 'probe-telemetry-azure_monitor']"


TERMINATED = (
    TICK
    + """
settings = replace(capture.SETTINGS, connection_string=sys.argv[1], flush_seconds=1.0, on_sigterm=True)
if sys.argv[2] == "handled":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
if sys.argv[2] == "ignored":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
made = telemetry.build(settings)
made.emit(report, None)
print("ready", flush=True)
time.sleep(20)
"""
)


def terminated(url: str, before: str) -> tuple[int, float]:
    """Emit a tick without flushing it, send SIGTERM, and return the exit code and the seconds it took."""
    with program(TERMINATED, url, before) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        begun = time.monotonic()
        running.send_signal(signal.SIGTERM)
        return running.wait(10), time.monotonic() - begun


def test_what_is_buffered_is_sent_before_sigterm_ends_the_process(ingestion: Ingestion):
    code, _ = terminated(ingestion.connection_string, "default")

    assert code == -signal.SIGTERM
    assert any(each["data"]["baseType"] == "AvailabilityData" for each in ingestion.envelopes)


def test_who_handled_sigterm_before_still_does_after_the_telemetry_is_sent(ingestion: Ingestion):
    code, _ = terminated(ingestion.connection_string, "handled")

    assert code == 7
    assert ingestion.envelopes


def test_a_silent_backend_keeps_a_terminated_process_no_longer_than_the_flush_bound():
    with Ingestion(mode=Mode.SILENT) as silent:
        code, took = terminated(silent.connection_string, "default")

    assert code == -signal.SIGTERM
    assert 0.5 <= took < PATIENCE, "after which the exporter itself would give up"


def test_a_process_that_ends_by_itself_does_not_wait_for_a_silent_backend():
    with Ingestion(mode=Mode.SILENT) as silent:
        leaving = run(
            TICK
            + """
made = telemetry.build(replace(capture.SETTINGS, connection_string=sys.argv[1], flush_seconds=0.2))
async def tick():
    made.emit(report, None)
    await made.flush()
asyncio.run(tick())
print(time.monotonic())
""",
            silent.connection_string,
        )
        left = time.monotonic()

    assert left - float(leaving) < 5, "seconds from its last line to its end; the backend is silent for ever"
