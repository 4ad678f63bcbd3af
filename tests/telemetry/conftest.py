"""What the telemetry tests share: an environment without a say in telemetry, tapes, and a backend."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import pytest

from probe.adapters.telemetry import library_logs
from probe.core.report import TickReport
from probe.lab.telemetry import capture, tapes
from probe.lab.telemetry.capture import Taken
from probe.lab.telemetry.ingestion import Ingestion


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No switch of this machine's reaches the exporters, and none that they set reaches the next test."""
    for name in list(os.environ):
        if name.startswith(("APPLICATIONINSIGHTS", "OTEL_", "IDENTITY_", "MSI_", "PYTHON_")):
            monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(autouse=True, scope="module")
def no_sender_is_left() -> Iterator[None]:
    """Let no sender outlive its tests: it would draw from the random numbers of others."""
    before = sending_threads()  # what another file left is told there
    yield
    for each in sending_threads():
        each.join(5)
    assert [each for each in sending_threads() if each not in before] == []


@pytest.fixture
def ingestion() -> Iterator[Ingestion]:
    with Ingestion() as running:
        yield running


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, also while a test's own loop is running."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@cache
def reports(name: str) -> tuple[TickReport, ...]:
    """Return the reports of a tape's ticks."""
    return tuple(run(tapes.play(tapes.TAPES[name])))


@cache
def taken(name: str) -> tuple[Taken, ...]:
    """Return what each tick of a tape put on Azure Monitor's wire."""
    return tuple(run(capture.azure_monitor(reports(name))))


def sending_threads() -> list[threading.Thread]:
    """Return the senders' threads that are alive."""
    return [each for each in threading.enumerate() if each.name.startswith(library_logs.THREADS)]
