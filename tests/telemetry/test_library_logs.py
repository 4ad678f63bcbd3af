"""What the libraries log: a sender's thread prints nothing of it, every other thread prints as ever."""

import logging
import threading

import pytest

from probe.adapters.telemetry import library_logs


def on_thread(name: str, logger: str, level: int, text: str) -> list[str | None]:
    said: list[str | None] = []

    def speak() -> None:
        logging.getLogger(logger).log(level, text)
        said.append(library_logs.said())

    thread = threading.Thread(target=speak, name=name)
    thread.start()
    thread.join()
    return said


LOGGERS = ("azure.core.pipeline", "azure.identity._internal.x", "msal.y", "opentelemetry.z", "urllib3.pool")


@pytest.fixture(autouse=True)
def hushed(caplog) -> None:
    caplog.set_level(logging.INFO)
    for name in LOGGERS:
        logging.getLogger(name)
    library_logs.hush()


@pytest.mark.parametrize("logger", LOGGERS)
def test_a_warning_on_a_sender_s_thread_becomes_the_reason_and_no_line(logger: str, caplog):
    said = on_thread(f"{library_logs.THREADS}lab", logger, logging.WARNING, "it  went\nwrong")

    assert said == ["it went wrong"]
    assert caplog.records == []


def test_what_is_no_warning_is_no_reason(caplog):
    caplog.set_level(logging.INFO, logger=LOGGERS[0])

    said = on_thread(f"{library_logs.THREADS}lab", LOGGERS[0], logging.INFO, "Request URL: …")

    assert said == [None]
    assert caplog.records == []


def test_other_threads_speak_as_ever(caplog):
    caplog.set_level(logging.INFO, logger=LOGGERS[0])

    on_thread("another", LOGGERS[0], logging.INFO, "Request URL: …")

    assert [each.getMessage() for each in caplog.records] == ["Request URL: …"]


def test_a_reason_is_short_and_has_no_instrumentation_key():
    text = f"key 00000000-0000-4000-8000-000000000001 {'x' * 1000}"

    (said,) = on_thread(f"{library_logs.THREADS}lab", LOGGERS[0], logging.ERROR, text)
    assert said is not None
    assert said.startswith("key (key) xxx")
    assert len(said) <= 501
