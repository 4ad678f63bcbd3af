"""A tick and the end of its process, on real sockets, with parts of the world silent: within the budget."""

import asyncio
import socket
import threading
from contextlib import AsyncExitStack

import pytest

from probe import compose
from probe.core.report import Result
from probe.lab.telemetry.ingestion import Ingestion, Mode
from probe.tick import Firing
from tests.faults.attempt_servers import FOREVER, Peer, always, answer, serving
from tests.timing import soonest

BUDGET, FLUSH = 2.0, 0.5
KEY = "a2V5a2V5a2V5a2V5"
QUICK = {
    "PROBE_TICK_BUDGET": str(BUDGET),
    "PROBE_FLUSH": str(FLUSH),
    "PROBE_DEADLINE": "1",
    "PROBE_CONNECT_TIMEOUT": "0.8",
    "PROBE_SLOW_AFTER": "1",
    "AZURE_AUTHORITY_HOST": "https://127.0.0.1",
    "IDENTITY_HEADER": "header",
}
MISSING = answer(
    b"", status="404 X", stamp=None, headers=("x-ms-request-id: 1", "x-ms-error-code: BlobNotFound")
)
HANGING = "silent.example"


async def silent(_: Peer) -> None:
    await asyncio.sleep(FOREVER)


@pytest.fixture
def hanging_name():
    """Let the lookup of one name hang, as a resolver does whose servers are silent."""
    real, let_go = socket.getaddrinfo, threading.Event()

    def look_up(host, *given, **options):
        if host == HANGING:
            let_go.wait(FOREVER)
        return real(host, *given, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        yield
        let_go.set()


async def environment(stack: AsyncExitStack, what: set[str]) -> dict[str, str]:
    """Return the settings of a probe for which these are silent."""

    async def port(part: str, otherwise: bytes) -> int:
        play = silent if part in what else always(otherwise)
        return (await stack.enter_async_context(serving(play))).port

    endpoint = (
        f"http://{HANGING}" if "names" in what else f"http://127.0.0.1:{await port('endpoints', answer())}"
    )
    store = await port("store", MISSING)
    ingestion = stack.enter_context(Ingestion(mode=Mode.SILENT if "telemetry" in what else Mode.OK))
    found = {
        **QUICK,
        "AzureWebJobsStorage": f"DefaultEndpointsProtocol=http;AccountName=host;AccountKey={KEY};"
        f"BlobEndpoint=http://127.0.0.1:{store}/host",
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
        "IDENTITY_ENDPOINT": f"http://127.0.0.1:{await port('tokens', answer())}/msi",
    }
    if "tokens" in what:
        uris = {"blobServiceUri": "https://127.0.0.1:1", "secondaryBlobServiceUri": "https://127.0.0.1:2"}
        return {
            **found,
            "ProbedStorage__credential": "managedidentity",
            **{f"ProbedStorage__{name}": uri for name, uri in uris.items()},
        }
    place = f"BlobEndpoint={endpoint}/a;BlobSecondaryEndpoint={endpoint}/b"
    return {**found, "ProbedStorage": f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey={KEY};{place}"}


PARTS = ("store", "endpoints", "tokens", "telemetry", "names")


@pytest.mark.parametrize(
    "what", [*({each} for each in PARTS), {*PARTS} - {"names", "tokens"}, {*PARTS} - {"endpoints", "tokens"}],
    ids=lambda what: ", ".join(sorted(what)),
)  # fmt: skip
async def test_a_tick_and_the_end_of_its_process_keep_to_the_budget(
    what: set[str], hanging_name, monkeypatch
):
    del hanging_name
    reports = []

    async def tick_and_end() -> None:
        app = compose.build(held)
        reports.append(await app.fire(Firing(scheduled_at=compose.utc_now())))
        await app.aclose()

    async with AsyncExitStack() as stack:
        held = await environment(stack, what)
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_AUTHORITY_HOST"):
            monkeypatch.setenv(name, held[name])  # azure-identity reads them there
        await compose.build(held).aclose()  # what is imported on first use is no tick's doing
        took = await soonest(tick_and_end, within=BUDGET + FLUSH + 1)

    assert took < BUDGET + FLUSH + 1
    assert reports[-1].result in (Result.COMPLETED, Result.CUT_SHORT)
    assert len(reports[-1].targets) == 1
