"""Log lines: the probe's own warnings and errors reach the backend, since the host passes none on."""

import logging
from dataclasses import replace

import pytest

from probe.adapters import telemetry
from probe.adapters.telemetry import catalogue
from probe.adapters.telemetry.log_lines import KEPT, LogLines
from probe.lab.telemetry import capture
from probe.lab.telemetry.ingestion import Ingestion, Mode
from tests.telemetry.conftest import reports

log = logging.getLogger("probe")


async def lines_after(ingestion: Ingestion, *said: tuple[int, str], exc_info: BaseException | None = None):
    made = telemetry.build(replace(capture.SETTINGS, connection_string=ingestion.connection_string))
    for level, text in said:
        log.log(level, text, exc_info=exc_info)
    made.emit(reports("healthy")[1], capture.parent(1))
    await made.flush()
    made.close()
    return [
        each for each in ingestion.envelopes if each["data"]["baseType"] in ("MessageData", "ExceptionData")
    ]


async def test_a_warning_arrives_in_the_trace_of_its_tick(ingestion):
    (line,) = await lines_after(ingestion, (logging.WARNING, "state store, load: refused"))

    assert line["data"]["baseData"]["message"] == "state store, load: refused"
    assert line["data"]["baseData"]["severityLevel"] == 2
    assert line["tags"]["ai.operation.id"] == capture.parent(1).traceparent.split("-")[1]
    assert set(line["data"]["baseData"]["properties"]) == {"probe.vantage", "logger_name"}


async def test_what_is_only_said_for_the_log_stream_is_not_paid_for(ingestion):
    assert await lines_after(ingestion, (logging.INFO, "ok | primary healthy"), (logging.DEBUG, "x")) == []


async def test_an_error_with_an_exception_arrives_as_one(ingestion):
    raised = ZeroDivisionError("a bug")
    (line,) = await lines_after(ingestion, (logging.ERROR, "a target could not be probed"), exc_info=raised)

    (exception,) = line["data"]["baseData"]["exceptions"]
    assert exception["typeName"] == "ZeroDivisionError"
    assert exception["message"] == "a target could not be probed"
    assert "a bug" in exception["stack"]
    assert "exception.type" in catalogue.LOG_LINE.attributes


async def test_a_line_is_sent_once(ingestion):
    made = telemetry.build(replace(capture.SETTINGS, connection_string=ingestion.connection_string))
    log.warning("once")
    for _ in range(3):
        made.emit(reports("healthy")[1], None)
        await made.flush()
    made.close()

    said = [each for each in ingestion.envelopes if each["data"]["baseType"] == "MessageData"]
    assert len(said) == 1


async def test_that_telemetry_was_lost_is_told_to_the_backend_when_it_is_back(ingestion):
    ingestion.mode = Mode.UNAVAILABLE
    made = telemetry.build(replace(capture.SETTINGS, connection_string=ingestion.connection_string))
    for _ in range(2):
        made.emit(reports("healthy")[1], None)
        await made.flush()
    before, ingestion.mode = len(ingestion.envelopes), Mode.OK
    for _ in range(3):
        made.emit(reports("healthy")[1], None)
        await made.flush()
    made.close()

    said = [
        each["data"]["baseData"]["message"]
        for each in ingestion.envelopes[before:]
        if each["data"]["baseType"] == "MessageData"
    ]
    assert [each[:50] for each in said] == ["Telemetry arrives at azure_monitor again; 25 rows "]


@pytest.mark.parametrize("logger", ["azure.core", "azure.identity", "root", "opentelemetry"])
async def test_no_other_logger_s_lines_are_sent(ingestion, logger: str):
    logging.getLogger(logger).warning("a library's")

    assert await lines_after(ingestion) == []


def test_a_url_in_a_line_loses_its_query():
    lines = LogLines()
    lines.listen()
    log.warning("GET https://orders.blob.core.windows.net/c/b?sv=1&sig=a%2Fb failed (see it)")
    lines.leave()

    (line,) = lines.take()
    assert line.text == "GET https://orders.blob.core.windows.net/c/b?… failed (see it)"


def test_lines_are_bounded_and_the_newest_are_kept():
    lines = LogLines()
    lines.listen()
    for number in range(KEPT + 5):
        log.warning("line %d", number)
    lines.leave()

    taken = lines.take()
    assert len(taken) == KEPT
    assert taken[-1].text == f"line {KEPT + 4}"


def test_who_left_listens_no_more():
    lines = LogLines()
    lines.listen()
    lines.leave()
    log.warning("unheard")

    assert lines.take() == []
