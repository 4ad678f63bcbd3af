"""The pair over https: the handshake's failures as clients see them, and Entra bearer tokens."""

import base64
import json
import ssl
import time

import aiohttp
import pytest
import pytest_asyncio

from probe.lab.account.faults import TlsMode

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.azurite]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def https_pair(make_pair):
    """Start one pair over https for all of these tests."""
    return await make_pair(https=True)


@pytest_asyncio.fixture(loop_scope="session")
async def https(https_pair):
    """Make a client that trusts the lab's CA and nothing else."""
    https_pair.heal()
    timeout = aiohttp.ClientTimeout(total=5, sock_connect=0.5, sock_read=0.5)
    trust = aiohttp.TCPConnector(ssl=https_pair.certificates.client())
    async with aiohttp.ClientSession(timeout=timeout, connector=trust) as session:
        yield session


def unsigned_token() -> str:
    """Return a bearer token with the audience, issuer and expiry that storage expects, and no signature."""
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
    }
    parts = [{"alg": "none", "typ": "JWT"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "none"])


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {unsigned_token()}", "x-ms-version": "2021-10-04"}


async def test_a_bearer_token_writes_to_the_primary_and_reads_both_locations_and_the_stats(https_pair, https):
    container, blob = f"{https_pair.primary_url}/bearer", "bearer/blob"
    async with https.put(f"{container}?restype=container", headers=bearer()) as answer:
        assert answer.status == 201
    headers = {**bearer(), "x-ms-blob-type": "BlockBlob"}
    async with https.put(f"{container}/blob", data=b"body", headers=headers) as answer:
        assert answer.status == 201
    await https_pair.replicator.caught_up()

    seen = []
    roots = https_pair.primary_url, https_pair.secondary_url
    for url in (*(f"{root}/{blob}" for root in roots), f"{roots[1]}/?restype=service&comp=stats"):
        async with https.get(url, headers=bearer()) as answer:
            seen.append(answer.status)

    assert seen == [200, 200, 200]


@pytest.mark.parametrize(
    ("mode", "error", "told"),
    [
        (
            "untrusted",
            aiohttp.ClientConnectorCertificateError,
            "self-signed certificate in certificate chain|unable to get",
        ),
        ("expired", aiohttp.ClientConnectorCertificateError, "certificate has expired"),
        ("wrong_host", aiohttp.ClientConnectorCertificateError, "IP address mismatch"),
        ("plain", aiohttp.ClientConnectorSSLError, "WRONG_VERSION_NUMBER|wrong version|RECORD"),
    ],
)
async def test_a_handshake_fails_as_asked(https_pair, https, mode, error, told):
    https_pair.primary.fault("tls", mode=mode)

    with pytest.raises(error, match=told):
        await https.get(f"{https_pair.primary_url}/?comp=list")


async def test_every_way_a_handshake_fails_is_shown_above():
    shown = test_a_handshake_fails_as_asked.pytestmark[0].args[1]

    assert {mode for mode, _, _ in shown} == set(TlsMode)


async def test_a_connection_kept_alive_feels_a_broken_handshake_and_healing_restores_at_once(
    https_pair, https
):
    url = f"{https_pair.primary_url}/?comp=list"
    async with https.get(url, headers=bearer()) as before:
        await before.read()
    https_pair.primary.fault("tls", mode="expired")

    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await https.get(url, headers=bearer())
    https_pair.primary.heal()

    async with https.get(url, headers=bearer()) as after:
        assert after.status == before.status == 200


async def test_a_client_that_does_not_trust_the_labs_ca_is_refused_by_itself(https_pair):
    async with aiohttp.ClientSession() as stranger:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await stranger.get(https_pair.primary_url, ssl=ssl.create_default_context())
