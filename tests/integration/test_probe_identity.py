"""The probe by managed identity: real azure-identity, real TLS, storage that takes bearer tokens.

Only the identity endpoint is ours: it answers as App Service's does, with the token that Azurite accepts.
"""

import time

import pytest
import pytest_asyncio
from aiohttp import web

from tests.integration.probe_runs import QUICK, command
from tests.integration.test_lab_https import unsigned_token

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def https_pair(make_pair):
    return await make_pair(https=True)


@pytest_asyncio.fixture(loop_scope="session")
async def identity():
    """Serve tokens as App Service does; `asked` are the queries that came."""
    asked = []

    async def answer(request):
        asked.append(dict(request.query))
        if request.headers.get("X-IDENTITY-HEADER") != "header":
            return web.json_response({"message": "wrong header"}, status=400)
        body = {
            "access_token": unsigned_token(),
            "expires_on": str(int(time.time()) + 3600),
            "resource": request.query["resource"],
            "token_type": "Bearer",
        }
        return web.json_response(body)

    app = web.Application()
    app.router.add_get("/msi/token", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/msi/token", asked
    await runner.cleanup()


def settings(pair, tmp_path, endpoint):
    # As deployed: what the lab serves with is not there.
    (tmp_path / "aiohttp.py").write_text('raise ImportError("not deployed")')
    return {
        **QUICK,
        "PYTHONPATH": str(tmp_path),
        "ProbedStorage__blobServiceUri": pair.primary_url,
        "ProbedStorage__secondaryBlobServiceUri": pair.secondary_url,
        "ProbedStorage__credential": "managedidentity",
        "ProbedStorage__clientId": "00000000-0000-0000-0000-000000000001",
        "PROBE_STATE": f"file:{tmp_path / 'state.json'}",
        "PROBE_CONTAINER": f"identity-{tmp_path.name[-8:].lower().strip('_').replace('_', '-')}",
        "PROBE_DEADLINE": "2",
        "SSL_CERT_FILE": str(pair.certificates.ca),
        "IDENTITY_ENDPOINT": endpoint,
        "IDENTITY_HEADER": "header",
    }


async def test_a_managed_identity_writes_reads_and_asks_for_the_stats(https_pair, identity, tmp_path):
    endpoint, asked = identity
    found = settings(https_pair, tmp_path, endpoint)

    await command(found, "once")
    await https_pair.replicator.caught_up()
    asked.clear()
    ran = await command(found, "once", "--json")
    target = ran.target

    assert (ran.code, target["verdict"]) == (0, "ok"), ran.err
    assert target["write"]["outcome"] == "success"
    assert target["endpoints"]["secondary"]["verdict"] == "healthy"
    assert target["replication"]["status"] == "live"
    assert target["endpoints"]["primary"]["phases"]["tls"] > 0
    assert len(asked) == 1, "one token for the attempts, the stats and the storage client"
    assert asked[0]["resource"] == "https://storage.azure.com"
    assert asked[0]["client_id"] == "00000000-0000-0000-0000-000000000001"


async def test_an_identity_that_gives_no_token_is_ours_and_no_outage(https_pair, identity, tmp_path):
    endpoint, _ = identity
    found = {**settings(https_pair, tmp_path, endpoint), "IDENTITY_HEADER": "lost"}

    ran = await command(found, "once", "--json")
    target = ran.target

    assert ran.code == 3
    assert target["verdict"] == "inconclusive"
    assert target["endpoints"]["primary"]["verdict"] == "denied"
    assert target["breaker"]["consecutive_failures"] == 0


async def test_a_certificate_nobody_vouches_for_is_a_tls_fault(https_pair, identity, tmp_path):
    endpoint, _ = identity
    found = settings(https_pair, tmp_path, endpoint)
    del found["SSL_CERT_FILE"]

    ran = await command(found, "once", "--json")

    assert ran.code == 1
    assert ran.target["endpoints"]["primary"]["error_type"] == "tls"
    assert ran.target["endpoints"]["primary"]["verdict"] == "down"
