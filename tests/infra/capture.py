"""Makes ``capture.json``: envelopes of one tick each, as the real Azure Monitor exporter puts them on the wire.

Run it by hand: ``python -m tests.infra.capture``. It sends through the exporter to a server on the loopback address and
keeps what arrives, so names, types and shapes are the exporter's own. The attributes are those of the catalogue.
"""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from azure.monitor.opentelemetry.exporter import AzureMonitorLogExporter, AzureMonitorMetricExporter
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

HERE = Path(__file__).parent
TARGET, VANTAGE = "store", "francecentral"
WHO = {"probe.target": TARGET, "probe.vantage": VANTAGE}
KEY = "00000000-0000-0000-0000-000000000001"
MISSING = "404"

# What each tick showed: verdicts, who served its five reads, the breaker, what failed where, lag in seconds.
TICKS = {
    "healthy": {"verdicts": ("healthy", "healthy"), "served": (5, 0, 0), "state": "closed", "lag": 0.0},
    "primary-down": {
        "verdicts": ("down", "healthy"),
        "served": (0, 5, 0),
        "state": "open",
        "failures": {"primary": "503"},
        "lag": 42.0,
    },
    "opening": {
        "verdicts": ("down", "healthy"),
        "served": (0, 5, 0),
        "state": "open",
        "moves": [("closed", "open", "5 consecutive failed attempts at the primary: 503")],
        "changed": [("primary", "healthy", "down")],
        "failures": {"primary": "503"},
        "lag": 0.0,
    },
    "closing": {
        "verdicts": ("healthy", "healthy"),
        "served": (3, 2, 0),
        "state": "closed",
        "moves": [
            ("open", "half-open", "20 reads from the secondary"),
            ("half-open", "closed", "3 consecutive good trials"),
        ],
        "changed": [("primary", "down", "healthy")],
        "lag": 0.0,
    },
    "bad-trial": {
        "verdicts": ("down", "healthy"),
        "served": (0, 5, 0),
        "state": "open",
        "moves": [("open", "half-open", "20 reads from the secondary"), ("half-open", "open", "a bad trial: 503")],
        "failures": {"primary": "503"},
        "lag": 0.0,
    },
    "both-down": {
        "verdicts": ("down", "down"),
        "served": (0, 0, 5),
        "state": "open",
        "failures": {"primary": "timeout", "secondary": "timeout"},
        "lag": None,
    },
    "inconclusive": {
        "verdicts": ("inconclusive", "inconclusive"),
        "served": (0, 0, 5),
        "state": "open",
        "failures": {"primary": "dns", "secondary": "dns"},
        "lag": None,
    },
    "corrupt": {
        "verdicts": ("corrupt", "healthy"),
        "served": (0, 5, 0),
        "state": "closed",
        "failures": {"primary": "digest"},
        "lag": 0.0,
    },
    "missing": {
        "verdicts": ("missing", "healthy"),
        "served": (0, 5, 0),
        "state": "closed",
        "failures": {"primary": MISSING},
        "lag": 0.0,
    },
    "denied": {
        "verdicts": ("denied", "denied"),
        "served": (0, 0, 5),
        "state": "closed",
        "failures": {"primary": "403", "secondary": "403"},
        "lag": None,
    },
    "absent": {
        "verdicts": ("healthy", "absent"),
        "served": (5, 0, 0),
        "state": "closed",
        "failures": {"secondary": "dns"},
        "lag": None,
    },
    "lagging": {"verdicts": ("healthy", "stale"), "served": (5, 0, 0), "state": "closed", "lag": 1260.0},
}
UP = {"healthy", "degraded", "stale"}
CODES = {"closed": 0, "half-open": 1, "open": 2}


def where(location):
    address = "stprobed.blob.core.windows.net" if location == "primary" else "stprobed-secondary.blob.core.windows.net"
    return {**WHO, "probe.location": location, "server.address": address, "server.port": 443}


def meter(meter_, tick):
    """Record one tick's metrics."""
    counter = lambda name, n, **attributes: meter_.create_counter(name).add(n, attributes)  # noqa: E731 - a local shorthand
    failures = tick.get("failures", {})
    attempts = meter_.create_counter("probe.attempts")
    duration = meter_.create_histogram("probe.attempt.duration", "s")
    phases = meter_.create_histogram("probe.attempt.phase.duration", "s")
    for location in ("primary", "secondary"):
        error = failures.get(location)
        purpose = {"probe.purpose": "read" if location == "primary" else "check"}
        outcome = {"probe.outcome": "failure", "error.type": error} if error else {"probe.outcome": "success"}
        status = {"http.response.status_code": int(error or 200)} if (error or "200").isdigit() else {}
        attempts.add(5 if location == "primary" else 1, {**where(location), **purpose, **outcome, **status})
        duration.record(0.021, {**where(location), **purpose, **outcome})
        for phase, seconds in {"dns": 0.002, "connect": 0.004, "tls": 0.009, "ttfb": 0.005, "transfer": 0.001}.items():
            if not error:
                phases.record(seconds, {**where(location), "probe.phase": phase})
    for who, n in zip(("primary", "secondary", "none"), tick["served"], strict=True):
        if n:
            meter_.create_counter("probe.reads").add(n, {**WHO, "probe.served_by": who})
    for location, verdict in zip(("primary", "secondary"), tick["verdicts"], strict=True):
        if verdict != "inconclusive":
            gauge = meter_.create_gauge("probe.endpoint.up")
            gauge.set(int(verdict in UP), {**where(location), "probe.verdict": verdict})
    state = {**WHO, "probe.breaker.state_name": tick["state"]}
    meter_.create_gauge("probe.breaker.state").set(CODES[tick["state"]], state)
    for before, after, _ in tick.get("moves", []):
        counter("probe.breaker.transitions", 1, **WHO, **{"probe.from": before, "probe.to": after})
    if tick["lag"] is not None:
        live = {**where("secondary"), "probe.replication.status": "live"}
        meter_.create_gauge("probe.replication.lag", "s").set(tick["lag"], live)
        meter_.create_gauge("probe.replication.last_sync.age", "s").set(tick["lag"] + 30.0, live)
    if {"corrupt", "missing"} & set(tick["verdicts"]):
        counter("probe.canary.failures", 1, **where("primary"), **{"error.type": failures["primary"]})
    here = {"probe.vantage": VANTAGE}
    meter_.create_histogram("probe.tick.duration", "s").record(0.4, {**here, "probe.shard": 0})
    meter_.create_histogram("probe.tick.lateness", "s").record(0.02, {**here, "probe.shard": 0})
    counter("probe.ticks", 1, **here, **{"probe.result": "completed"})


def log(logger, tick):
    """Record one tick's availability results and events."""

    def emit(**attributes):
        logger.emit(LogRecord(body="probe", attributes=attributes))

    def available(name, *, success, message, seconds, attributes, measurements):
        emit(
            **{
                "microsoft.availability.id": f"id-{name}",
                "microsoft.availability.name": f"{TARGET} {name}",
                "microsoft.availability.duration": f"00:00:{seconds:010.7f}",
                "microsoft.availability.success": str(success),
                "microsoft.availability.runLocation": VANTAGE,
                "microsoft.availability.message": message,
                "microsoft.custom_measurements": json.dumps(measurements),
                **attributes,
            }
        )

    for location, verdict in zip(("primary", "secondary"), tick["verdicts"], strict=True):
        attributes = {**where(location), "probe.verdict": verdict, "probe.breaker.state_name": tick["state"]}
        error = tick.get("failures", {}).get(location)
        available(
            location,
            success=verdict in UP,
            message=f"{verdict}: {error}" if error else verdict,
            seconds=5.0 if error == "timeout" else 0.021,
            attributes={**attributes, **({"error.type": error} if error else {})},
            measurements={"dns": 0.002, "ttfb": 0.005},
        )
    primary, secondary, none = tick["served"]
    blind = "inconclusive" in tick["verdicts"]
    verdict = "inconclusive" if blind else "unavailable" if none else "rerouted" if secondary else "ok"
    available(
        "reads",
        success=not none,
        message=f"{verdict}: {primary} from the primary, {secondary} from the secondary, {none} from none",
        seconds=0.03,
        attributes={**WHO, "probe.verdict": verdict, "probe.breaker.state_name": tick["state"]},
        measurements={"reads": 5, "served_by_none": none},
    )
    for before, after, reason in tick.get("moves", []):
        named = {"microsoft.custom_event.name": "BreakerTransition"}
        emit(**named, **WHO, **{"probe.from": before, "probe.to": after, "probe.reason": reason})
    for location, before, after in tick.get("changed", []):
        named = {"microsoft.custom_event.name": "VerdictChanged", "probe.location": location}
        emit(**named, **WHO, **{"probe.from": before, "probe.to": after, "probe.reason": f"{location} is {after}"})


def captured(tick):
    """Answer the envelopes that reach the backend for one tick."""
    arrived = []

    class Backend(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            items = json.loads(body)
            arrived.extend(items)
            answer = {"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:{server.server_port}"
    resource = Resource({"service.name": "probe", "service.version": "1.0.0", "service.instance.id": "instance"})
    reader = PeriodicExportingMetricReader(AzureMonitorMetricExporter(connection_string=connection), 1e9)
    meters = MeterProvider([reader], resource=resource)
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(SimpleLogRecordProcessor(AzureMonitorLogExporter(connection_string=connection)))
    meter(meters.get_meter("probe"), tick)
    log(logs.get_logger("probe"), tick)
    meters.shutdown()
    logs.shutdown()
    server.shutdown()
    return [normalised(each) for each in arrived if each["data"]["baseType"] != "StatsbeatData"]


def normalised(envelope):
    """Take out what differs from run to run and means nothing here."""
    kept = {name: value for name, value in envelope["tags"].items() if name.startswith(("ai.cloud", "ai.application"))}
    return {"name": envelope["name"], "time": "2026-01-01T00:00:00.000000Z", "tags": kept, "data": envelope["data"]}


def main():
    document = {name: captured(tick) for name, tick in TICKS.items()}
    ticks = ",\n".join(
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(each, sort_keys=True) for each in envelopes) + "\n]"
        for name, envelopes in document.items()
    )
    (HERE / "capture.json").write_text(f"{{\n{ticks}\n}}\n")


if __name__ == "__main__":
    main()
