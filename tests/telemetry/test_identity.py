"""Entra: the managed identity's token arrives with the telemetry, and only over https."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from probe.adapters import telemetry
from probe.lab.telemetry import capture
from probe.lab.telemetry.ingestion import Ingestion, Mode
from tests.telemetry.conftest import reports

CLIENT = "11111111-2222-3333-4444-555555555555"
TOKEN = "a-token-of-the-tests"  # noqa: S105 - nobody's


class IdentityEndpoint(ThreadingHTTPServer):
    """The endpoint that Functions gives an app for its managed identity."""

    daemon_threads = True
    asked: list[dict[str, list[str]]]
    status = 200


class _Handler(BaseHTTPRequestHandler):
    server: IdentityEndpoint

    def do_GET(self) -> None:
        self.server.asked.append(parse_qs(urlsplit(self.path).query))
        token = {
            "access_token": TOKEN,
            "expires_on": "4102444800",
            "resource": "https://monitor.azure.com",
            "token_type": "Bearer",
        }
        body = json.dumps(token if self.server.status == 200 else {"message": "no such identity"}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def identity_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    server = IdentityEndpoint(("127.0.0.1", 0), _Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header-of-the-tests")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def https(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[Ingestion]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Ingestion(tls=context) as running:
        yield running


@contextmanager
def sending(ingestion: Ingestion, authentication: str | None) -> Iterator[telemetry.ProcessTelemetry]:
    made = telemetry.build(
        replace(
            capture.SETTINGS,
            connection_string=ingestion.connection_string,
            authentication_string=authentication,
        )
    )
    yield made
    made.close()


async def test_the_token_of_a_user_assigned_identity_arrives_with_every_request(https, identity_endpoint):
    with sending(https, f"ClientId={CLIENT};Authorization=AAD") as made:
        for report in reports("failing_primary"):
            made.emit(report, None)
            await made.flush()

    assert {each.headers["authorization"] for each in https.requests} == {f"Bearer {TOKEN}"}
    assert {each["client_id"][0] for each in identity_endpoint.asked} == {CLIENT}
    assert {each["resource"][0] for each in identity_endpoint.asked} == {"https://monitor.azure.com/"}
    assert len(identity_endpoint.asked) <= 3, "the token is kept, not asked for in each tick"


async def test_the_system_assigned_identity_is_asked_for_without_a_client(https, identity_endpoint):
    with sending(https, "Authorization=AAD") as made:
        made.emit(reports("healthy")[0], None)
        await made.flush()

    assert all("client_id" not in each for each in identity_endpoint.asked)
    assert {each.headers["authorization"] for each in https.requests} == {f"Bearer {TOKEN}"}


async def test_without_an_authentication_string_no_identity_is_asked_for(https, identity_endpoint):
    with sending(https, None) as made:
        made.emit(reports("healthy")[0], None)
        await made.flush()

    assert identity_endpoint.asked == []
    assert all("authorization" not in each.headers for each in https.requests)


@pytest.mark.usefixtures("identity_endpoint")
async def test_an_identity_that_has_no_grant_is_told_with_the_role_it_needs(https, caplog):
    https.mode = Mode.FORBIDDEN
    with sending(https, "Authorization=AAD") as made:
        for _ in range(3):
            made.emit(reports("healthy")[0], None)
            await made.flush()

    (said,) = [each.getMessage() for each in caplog.records]
    assert "403" in said
    assert "Monitoring Metrics Publisher" in said


async def test_an_identity_that_is_not_there_is_told_once_and_sends_nothing(https, identity_endpoint, caplog):
    identity_endpoint.status = 400
    with sending(https, f"ClientId={CLIENT};Authorization=AAD") as made:
        for _ in range(3):
            made.emit(reports("healthy")[0], None)
            await made.flush()

    assert https.requests == []
    assert len(caplog.records) == 1
    assert TOKEN not in caplog.text
