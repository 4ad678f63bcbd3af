"""Errors in the Functions host's error stream: one line each, told once, no secrets; and a mended runtime."""

import logging
import sys
from types import SimpleNamespace

import pytest

from probe import hosted
from probe.core.errors import ConfigurationError
from probe.lab.functions.process import console_level


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def log(monkeypatch):
    """Return a logger with a stream of its own, on a clock that a test moves."""
    logger, clock = logging.Logger("probe"), Clock()  # noqa: LOG001 - nobody else's handlers
    logger.addHandler(hosted.ErrorStream(clock))
    logger.clock = clock
    monkeypatch.setattr(hosted, "log", logger)
    return logger


def lines(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_an_error_is_one_line_that_the_host_takes_for_an_error(log, capsys):
    log.error("first\nsecond")

    (line,) = lines(capsys)
    assert line == "probe error: first second"
    assert console_level(line, error=True) == logging.ERROR


def test_a_warning_is_none_of_this_stream_s(log, capsys):
    log.warning("late")

    assert lines(capsys) == []


def test_telemetry_that_is_lost_is_told_by_another_way(log, capsys):
    log.name = hosted.TELEMETRY
    log.warning("Telemetry is being lost: 403")

    (line,) = lines(capsys)
    assert line == "probe warning: Telemetry is being lost: 403"
    assert console_level(line, error=True) == logging.WARNING


@pytest.mark.usefixtures("log")
def test_an_exception_is_told_with_the_place_where_it_was_raised(capsys):
    with pytest.raises(KeyError), hosted.telling():
        {}["gone"]

    (line,) = lines(capsys)
    assert "KeyError: 'gone'" in line
    assert "in test_an_exception_is_told_with_the_place_where_it_was_raised (" in line


@pytest.mark.usefixtures("log")
def test_each_problem_of_the_settings_has_a_line(capsys):
    with pytest.raises(ConfigurationError), hosted.telling():
        raise ConfigurationError(("PROBE_READS: one", "PROBE_RPO: two"))

    assert lines(capsys) == ["probe error: PROBE_READS: one", "probe error: PROBE_RPO: two"]


def test_a_line_is_not_repeated_within_the_hour_and_another_is_told(log, capsys):
    log.error("one")
    log.error("one")
    log.error("two")
    log.clock.now = hosted.QUIET_SECONDS
    log.error("one")

    assert lines(capsys) == ["probe error: one", "probe error: two", "probe error: one"]


def test_errors_that_always_differ_do_not_flood_the_stream(log, capsys):
    for number in range(10 * hosted.MOST_LINES):
        log.error("error %d", number)

    assert len(lines(capsys)) == hosted.MOST_LINES


@pytest.mark.usefixtures("log")
def test_a_signature_does_not_reach_the_stream(capsys):
    with pytest.raises(OSError), hosted.telling():  # noqa: PT011 - any
        raise OSError("GET https://store.blob.core.windows.net/c/b?sig=s3cret failed")

    (line,) = lines(capsys)
    assert "s3cret" not in line


class Manager:
    """The state of the runtime's module ``otel``."""

    def __init__(self, propagator):
        self.propagator = propagator

    def get_trace_context_propagator(self):
        return self.propagator


@pytest.mark.parametrize(("propagator", "updates"), [(None, 1), (object(), 0)], ids=["forgotten", "there"])
def test_only_a_runtime_that_forgot_its_propagator_is_completed(monkeypatch, propagator, updates):
    asked = []
    otel = SimpleNamespace(
        otel_manager=Manager(propagator), update_opentelemetry_status=lambda: asked.append(1)
    )
    monkeypatch.setitem(sys.modules, "azure_functions_runtime.otel", otel)

    hosted.complete_runtime()

    assert len(asked) == updates


@pytest.mark.usefixtures("log")
def test_without_a_runtime_there_is_nothing_to_complete(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "azure_functions_runtime.otel", raising=False)

    hosted.complete_runtime()

    assert lines(capsys) == []


@pytest.mark.usefixtures("log")
def test_a_runtime_of_another_make_is_told_and_keeps_nobody_from_indexing_the_app(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "azure_functions_runtime.otel", SimpleNamespace())

    hosted.complete_runtime()

    (line,) = lines(capsys)
    assert "has no OpenTelemetry as we know it" in line
