"""A telemetry backend on loopback: takes what the real exporters send, and fails as real ones do.

Rules kept here: it keeps what it took as it arrived (Azure Monitor envelopes parsed, OTLP bodies as bytes);
its address stays the same while its mode changes; stopping it ends its threads.
"""

import gzip
import json
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

KEY = "00000000-0000-4000-8000-000000000001"
"""An instrumentation key that belongs to nobody."""
TRACK = "/v2.1/track"
REFUSED = b"\x0a\x10\x08\x01\x12\x0cnot this one"
"""OTLP's answer when one item was refused: ``partial_success`` (field 1) with the count and a message."""


class Mode(StrEnum):
    """What the backend does with a request."""

    OK = "ok"
    SILENT = "silent"
    """Takes the request and never answers."""
    SLOW = "slow"
    """Answers well, but only after ``Ingestion.delay`` seconds."""
    BAD_REQUEST = "400"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    THROTTLED = "429"
    ERROR = "500"
    UNAVAILABLE = "503"
    MOVED = "308"
    """Points to a host that nobody has."""
    ABRUPT = "abrupt"
    """Takes the request and closes the connection."""
    PARTIAL = "206"
    """Takes all but the first item."""
    GARBAGE = "garbage"
    """Answers 200 with a body that is no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: its headers with names in lower case, its body decompressed."""

    path: str
    headers: dict[str, str]
    body: bytes
    envelopes: list[dict[str, Any]]
    """Of Azure Monitor, parsed."""


class Ingestion:
    """The backend; use it as a context manager. ``requests`` has all requests, whatever was answered."""

    def __init__(
        self, *, mode: Mode = Mode.OK, delay: float = 3.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.mode = mode
        self.delay = delay
        self.requests: list[Request] = []
        self.leaving = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.ingestion = self
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            name="lab-ingestion",
            daemon=True,
        )

    @property
    def url(self) -> str:
        host = "localhost" if self._scheme == "https" else "127.0.0.1"
        return f"{self._scheme}://{host}:{self._server.server_address[1]}"

    @property
    def connection_string(self) -> str:
        return connection_string(self.url)

    @property
    def envelopes(self) -> list[dict[str, Any]]:
        """Return the Azure Monitor envelopes that were taken, in the order they came."""
        return [envelope for each in self.requests for envelope in each.envelopes]

    def bodies(self, path: str) -> list[bytes]:
        """Return the bodies that came to a path, for example ``/v1/logs``."""
        return [each.body for each in self.requests if each.path == path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leaving.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    ingestion: Ingestion

    def __init__(self, address: tuple[str, int], handler: "type[_Handler]") -> None:
        super().__init__(address, handler)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's
        """Remember a connection while it is served."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - the base's
        """Forget a connection that ends."""
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep open, so that who serves them ends as well."""
        for each in tuple(self._open):
            with suppress(OSError):  # it has just ended by itself
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that left: leaving is what the silent and the slow mode are tested for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        ingestion = self.server.ingestion
        envelopes = json.loads(body) if self.path == TRACK else []
        ingestion.requests.append(Request(path=self.path, headers=headers, body=body, envelopes=envelopes))
        self._answer(ingestion, len(envelopes))

    def _answer(self, ingestion: Ingestion, items: int) -> None:
        match ingestion.mode:
            case Mode.SILENT:
                ingestion.leaving.wait()
                self.close_connection = True
            case Mode.ABRUPT:
                self.close_connection = True
            case Mode.SLOW:
                ingestion.leaving.wait(ingestion.delay)
                self._say(HTTPStatus.OK, _track(items, []))
            case Mode.OK:
                self._say(HTTPStatus.OK, _track(items, []))
            case Mode.GARBAGE:
                self._say(HTTPStatus.OK, b"<html>no")
            case Mode.PARTIAL if self.path != TRACK:
                self._say(HTTPStatus.OK, REFUSED, "application/x-protobuf")
            case Mode.PARTIAL:
                error = {"index": 0, "statusCode": 400, "message": "not this one"}
                self._say(HTTPStatus.PARTIAL_CONTENT, _track(items, [error]))
            case status:
                error = {"index": 0, "statusCode": int(status), "message": "no"}
                self._say(HTTPStatus(int(status)), _track(items, [error] * items))

    def _say(self, status: HTTPStatus, answer: bytes, kind: str = "application/json") -> None:
        ours = self.path == TRACK or kind != "application/json"
        body = answer if ours else b""  # an empty body is a good answer in OTLP
        self.send_response(status)
        if status is HTTPStatus.PERMANENT_REDIRECT:
            self.send_header("Location", f"http://elsewhere.invalid{self.path}")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Print nothing."""


def _track(items: int, errors: list[dict[str, Any]]) -> bytes:
    accepted = items - len(errors)
    return json.dumps({"itemsReceived": items, "itemsAccepted": accepted, "errors": errors}).encode()


class BlackHole:
    """An address where connecting never ends: its backlog is full and nobody accepts."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._fillers: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        for _ in range(3):
            filler = socket.socket()
            filler.settimeout(0)
            filler.connect_ex(self._listener.getsockname())
            self._fillers.append(filler)
        return self

    def __exit__(self, *_: object) -> None:
        for each in (*self._fillers, self._listener):
            each.close()


def connection_string(url: str) -> str:
    """Return an Application Insights connection string for an ingestion endpoint."""
    return f"InstrumentationKey={KEY};IngestionEndpoint={url}"


def refusing_url() -> str:
    """Return an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
