"""The package, with exactly the settings of the default snapshot, ticks in the real worker runtime.

Only what must differ does: endpoints and credentials point at the lab's accounts instead of Azure's.
"""

import asyncio
import json

import aiohttp
import pytest
import pytest_asyncio

from probe.lab.account.pair import Pair
from probe.lab.functions.host import Host
from probe.lab.telemetry.ingestion import Ingestion
from tests.infra import package
from tests.infra.judges import of_type
from tests.infra.snapshots import resources, settings
from tests.infra.test_azd import module
from tests.integration.probe_runs import seed

session_loop = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def pair():
    """Make a pair of its own: a second tick of the same minute would be skipped as a duplicate."""
    async with Pair(host=True) as found:
        yield found


def replaced(held, pair, ingestion):
    """Return the deployed settings with the lab's accounts and backend in place of Azure's."""
    connections = {"AzureWebJobsStorage": pair.host_connection_string}
    connections |= {each["connection"]: pair.connection_string for each in json.loads(held["PROBE_TARGETS"])}
    kept = {name: value for name, value in held.items() if name.split("__")[0] not in connections}
    # No token is sent over http, which is what the lab speaks.
    del kept["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"]
    return {
        **kept,
        **connections,
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
        "FUNCTIONS_WORKER_RUNTIME": "python",
    }


def watched(url):
    """Return what the hook after a deployment sees of the app, within a minute of its tick."""
    publish = module()
    publish.function_key = lambda _: "any: the lab asks for none"
    watch = publish.Watch("func-probe", url)
    watch.look(60)
    return watch


@pytest.mark.azurite
@pytest.mark.platform
@pytest.mark.usefixtures("worker_loop")
@session_loop
async def test_the_deployed_app_ticks_with_the_settings_of_the_default_snapshot(pair, tmp_path):
    (site,) = of_type(resources("default"), "Microsoft.Web/sites")
    with Ingestion() as ingestion:
        held = replaced(settings(site), pair, ingestion)
        app = package.laid_out(tmp_path)
        await seed(held, pair)
        async with Host(app, held, port=0, schedules=False, tell=lambda _: None) as running:
            fired = await running.fire("probe_tick")
            async with aiohttp.ClientSession() as session, session.get(running.url("health")) as answer:
                health = answer.status
            seen = await asyncio.to_thread(watched, running.url("health"))

    results = {
        base["name"]: (base["success"], base["runLocation"])
        for each in ingestion.envelopes
        if (base := each["data"]["baseData"]) and each["data"]["baseType"] == "AvailabilityData"
    }
    assert fired.succeeded
    assert health == 200
    assert seen.ticked
    assert [line.split(": ")[:2] for line in seen.verdicts()] == [["  store", "ok"]]
    assert results == {f"store {what}": (True, "francecentral") for what in ("primary", "secondary", "reads")}
