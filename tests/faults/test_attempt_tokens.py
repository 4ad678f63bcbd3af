"""Tokens from each kind of identity, through the real azure-identity, over the probe's own exchange."""

import asyncio
import gzip
import json
import os
import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.core.rest import HttpRequest

from probe.adapters import credentials
from probe.adapters.authorization import TokenError
from probe.adapters.credentials import Tokens
from probe.adapters.exchange import Limits, tls_context
from probe.adapters.transport import PassingTransport, met
from probe.core.connection import Entra
from tests.faults.attempt_servers import FOREVER, Peer, endless, full_queue, once, serving

MANAGED = Entra(managed=True, client_id="c")
SECRET = Entra(tenant_id="tenant", client_id="c", client_secret="s3cret")  # noqa: S106 - it opens nothing
WORKLOAD = Entra()


def said(found: object, status: str = "200 OK") -> bytes:
    body = json.dumps(found).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def token() -> bytes:
    times = {"expires_in": 3600, "expires_on": int(time.time()) + 3600}
    return said({"access_token": "a-token", "token_type": "Bearer", "resource": "r", **times})


@pytest.fixture
def authority_tls(attempt_authority, monkeypatch, tmp_path):
    """Have the process trust a private authority as an administrator would: by ``SSL_CERT_FILE``."""
    attempt_authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls_context.cache_clear()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    attempt_authority.issue_cert("localhost").configure_cert(context)
    yield context
    tls_context.cache_clear()


@pytest.fixture
def fetch(attempt_loop, monkeypatch, tmp_path):
    """Fetch a token of an identity, in an environment in which a server is its issuer; close everything."""
    del attempt_loop

    async def fetched(entra: Entra, server, limit: float = 5) -> str:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.port}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"https://localhost:{server.port}")
        if entra == WORKLOAD:
            (tmp_path / "federated").write_text("assertion")
            monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
            monkeypatch.setenv("AZURE_CLIENT_ID", "c")
            monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "federated"))
        tokens = Tokens(clock=lambda: datetime.now(UTC), limit=timedelta(seconds=limit))
        try:
            return await tokens.get(entra)
        finally:
            await tokens.aclose()

    return fetched


async def test_a_managed_identity_is_asked_as_app_service_wants_it(fetch):
    async with serving(once(token())) as server:
        assert await fetch(MANAGED, server) == "a-token"

    (request,) = server.requests
    assert request.startswith(b"GET /msi/token?api-version=2019-08-01&resource=https://storage.azure.com")
    assert b"\r\nX-IDENTITY-HEADER: header\r\n" in request


@pytest.mark.parametrize("entra", [SECRET, WORKLOAD], ids=["client secret", "workload identity"])
async def test_an_application_is_asked_for_at_its_tenant_over_verified_tls(fetch, authority_tls, entra):
    bodies = []

    async def play(peer: Peer) -> None:
        header = await peer.request()
        length = int(header.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        bodies.append(await peer.reader.readexactly(length))
        await peer.send(token())

    async with serving(play, host="localhost", tls=authority_tls) as server:
        assert await fetch(entra, server) == "a-token"

    (request,), (body,) = server.requests, bodies
    assert request.startswith(b"POST /tenant/oauth2/v2.0/token HTTP/1.1\r\n")
    assert b"grant_type=client_credentials" in body
    assert (b"client_secret=s3cret" in body) is (entra == SECRET)
    assert (b"client_assertion=assertion" in body) is (entra == WORKLOAD)


async def test_an_issuer_with_a_certificate_that_nobody_vouches_for_gets_nothing(
    fetch, authority_tls, monkeypatch
):
    monkeypatch.delenv("SSL_CERT_FILE")
    async with serving(once(token()), host="localhost", tls=authority_tls) as server:
        with pytest.raises(TokenError, match=r"gave none \(localhost:\d+: TLS failed \(certificate:"):
            await fetch(SECRET, server, limit=2)

    assert not server.requests


async def test_no_connection_outlives_its_fetch(attempt_loop, monkeypatch):
    del attempt_loop

    async def play(peer: Peer) -> None:
        while True:  # kept alive for as long as the client likes
            await peer.request()
            await peer.send(token())

    async with serving(play) as server:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count is all that is wanted
        tokens = Tokens(clock=lambda: datetime.now(UTC), source=lambda _: credentials.identity(MANAGED))
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.port}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        await tokens.get(MANAGED)
        await asyncio.sleep(0.05)
        left = len(os.listdir("/proc/self/fd")) - before  # noqa: PTH208 - as above
        await tokens.aclose()

    assert left == 0


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BOMB = gzip.compress(b'{"access_token": "' + bytes(64 * 2**20))


async def silent(peer: Peer) -> None:
    await peer.request()
    await asyncio.sleep(FOREVER)


@pytest.mark.parametrize(
    ("play", "cause"),
    [
        pytest.param(silent, "", id="silent"),
        pytest.param(
            endless(HEAD + b"\r\n", bytes(2**16)),
            "the answer is larger than it has reason to be",
            id="endless",
        ),
        pytest.param(
            once(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB),
            "",
            id="gzip bomb",
        ),
        pytest.param(once(b"no HTTP at all"), "the answer is not valid HTTP", id="not HTTP"),
        pytest.param(
            once(b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
            "",
            id="redirect",
        ),
        pytest.param(once(said({"message": "no"}, "400 No")), "", id="refused"),
        pytest.param(once(HEAD + b"Content-Length: 3\r\n\r\n\xff\xfe{"), "", id="not text"),
    ],
)
async def test_an_issuer_that_answers_so_gives_no_token_and_costs_no_more_than_the_limit(fetch, play, cause):
    began = time.monotonic()
    async with serving(play) as server:
        with pytest.raises(TokenError) as raised:
            await fetch(MANAGED, server, limit=2 if cause else 0.5)

    assert time.monotonic() - began < 2 + 10
    assert cause in str(raised.value)
    assert "assign it to this app" in str(raised.value)


async def test_the_time_that_the_sdk_gives_a_connection_is_heeded(attempt_loop):
    """Without a metadata service nothing answers at its address: azure-identity waits a second."""
    del attempt_loop
    way = PassingTransport(limits=Limits(deadline=FOREVER, connect=FOREVER), wanted=lambda _: 10)
    async with full_queue() as port:
        with pytest.raises(ServiceRequestError) as raised:
            await way.send(HttpRequest("GET", f"http://127.0.0.1:{port}/"), connection_timeout=0.1)

    found = met(raised.value)
    assert found is not None
    assert found.failure.error_type == "connect_timeout"
