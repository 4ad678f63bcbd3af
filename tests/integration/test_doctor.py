"""The doctor on the real lab: each grant, name, clock and setting broken in turn.

Each case says which rows fail, that no other does, whose fault it is, and which command mends it. What roles
allow is not in the lab's storage: there, a proxy answers as Azure does where a role is missing.
"""

import asyncio
import json
import signal
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from azure.storage.blob import AccountSasPermissions, ResourceTypes, Services, generate_account_sas
from azure.storage.blob.aio import BlobServiceClient

from probe import doctor
from probe.adapters.exchange import tls_context
from probe.doctor import Outcome, Row
from probe.lab.account import names
from probe.lab.account.azurite import ACCOUNT, KEY
from probe.lab.telemetry.ingestion import Ingestion, Mode, connection_string, refusing_url
from probe.remedies import Whose
from tests.integration.probe_runs import QUICK, command, environment, running
from tests.integration.test_probe_identity import identity  # noqa: F401 - a fixture
from tests.timing import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.azurite]
PRIMARY, SECONDARY = f"{ACCOUNT} primary", f"{ACCOUNT} secondary"
CLIENT = "00000000-0000-0000-0000-000000000001"
READS = {("read", PRIMARY), ("read", SECONDARY), ("stats", SECONDARY)}


def failed(rows: list[Row]) -> set[tuple[str, str]]:
    return {(each.step, each.subject) for each in rows if each.outcome is Outcome.FAILED}


def row(rows: list[Row], step: str, subject: str) -> Row:
    (found,) = [each for each in rows if (each.step, each.subject) == (step, subject)]
    return found


async def left_behind(text: str) -> set[str]:
    """Return every container and blob of an account, as names."""
    async with BlobServiceClient.from_connection_string(text, api_version="2023-11-03") as service:
        found = set()
        async for container in service.list_containers():
            client = service.get_container_client(container.name)
            found |= {
                container.name,
                *[f"{container.name}/{each.name}" async for each in client.list_blobs()],
            }
        return found


async def with_canary(pair, settings: dict[str, str]) -> None:
    """Put a canary there, on both sides."""
    async with BlobServiceClient.from_connection_string(
        pair.connection_string, api_version="2023-11-03"
    ) as service:
        await service.create_container(settings["PROBE_CONTAINER"])
        await service.get_blob_client(settings["PROBE_CONTAINER"], "HelloWorld.png").upload_blob(b"canary")
    await pair.replicator.caught_up()


def signed(pair, settings: dict[str, str], permission: str, kinds: str, life: float = 1) -> dict[str, str]:
    """Return settings with a SAS of its own in the place of the key."""
    token = generate_account_sas(
        ACCOUNT,
        KEY,
        ResourceTypes.from_string(kinds),
        AccountSasPermissions.from_string(permission),
        datetime.now(UTC) + timedelta(hours=life),
        services=Services(blob=True),
    )
    ends = f"BlobEndpoint={pair.primary_url};BlobSecondaryEndpoint={pair.secondary_url}"
    return {**settings, "ProbedStorage": f"{ends};SharedAccessSignature={token}"}


# -- all is well -----------------------------------------------------------------------------------------


async def test_where_all_is_well_every_row_says_so_and_nothing_is_left_behind(pair):
    settings = environment(pair, "AzureWebJobsStorage")
    before = await left_behind(pair.connection_string), await left_behind(pair.host_connection_string)

    ran = await command(settings, "doctor")

    assert (ran.code, ran.err) == (0, "")
    assert "FAILED" not in ran.out
    assert "made, and taken away again" in ran.out
    assert ran.out.splitlines()[-1].startswith("All ")
    assert before == (
        await left_behind(pair.connection_string),
        await left_behind(pair.host_connection_string),
    )
    assert KEY not in ran.out


async def test_json_is_one_document_of_rows(pair):
    ran = await command(environment(pair, "memory"), "doctor", "--json", "--verbose")

    assert set(ran.document) == {"schema", "exit_code", "rows"}
    assert (ran.document["schema"], ran.document["exit_code"], ran.code) == (1, 0, 0)
    assert {tuple(each) for each in ran.document["rows"]} == {
        ("step", "subject", "of", "outcome", "detail", "whose", "remedy")
    }
    assert {each["step"] for each in ran.document["rows"]} == {
        *("settings", "name", "tcp", "answer", "clock", "read", "stats", "container", "write", "state"),
        *("queue", "telemetry"),
    }


async def test_a_target_that_is_only_read_needs_no_right_to_write(pair):
    settings = {**environment(pair, "memory"), "PROBE_WRITE_CANARY": "false"}
    await with_canary(pair, settings)

    rows = await doctor.examine(signed(pair, settings, "r", "so"))

    assert failed(rows) == set()
    assert "write" not in {each.step for each in rows}


async def test_several_targets_are_tried_one_after_the_other(pair):
    settings = environment(pair, "memory")
    entries = [{"name": each, "connection": "ProbedStorage", "blob": f"{each}.png"} for each in "ab"]
    await with_canary(pair, settings)
    settings["PROBE_TARGETS"] = json.dumps([*entries, {**entries[0], "name": "c", "write": False}])

    rows = await doctor.examine(settings)

    assert [each.subject for each in rows if each.step == "write"] == ["a primary", "b primary"]
    assert failed(rows) == {("read", "c primary")}
    assert row(rows, "read", "c primary").remedy.startswith("Upload it: az storage blob upload ")
    assert doctor.exit_code(rows) == 1


# -- settings --------------------------------------------------------------------------------------------


async def test_with_settings_wrong_what_can_be_tried_is_tried(pair):
    settings = {**environment(pair, "Nowhere"), "PROBE_READS": "x"}

    rows = await doctor.examine(settings)

    assert failed(rows) == {("settings", "PROBE_READS"), ("settings", "Nowhere")}
    assert "(default 5)" in row(rows, "settings", "PROBE_READS").remedy
    assert row(rows, "write", PRIMARY).outcome is Outcome.OK
    assert row(rows, "state", "").outcome is Outcome.SKIPPED
    assert doctor.exit_code(rows) == 2


async def test_a_telemetry_setting_that_cannot_be_used_is_a_row_too(pair):
    more = {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=c2VjcmV0"}

    rows = await doctor.examine({**environment(pair, "memory"), **more})

    assert failed(rows) == {("settings", "APPLICATIONINSIGHTS_CONNECTION_STRING")}
    told = row(rows, "settings", "APPLICATIONINSIGHTS_CONNECTION_STRING")
    assert told.detail == "holds no valid InstrumentationKey"
    assert told.remedy.startswith("copy it whole from")
    assert row(rows, "telemetry", "").outcome is Outcome.UNNEEDED
    assert doctor.exit_code(rows) == 2


async def test_without_any_setting_the_table_still_stands(tmp_path):
    ran = await command({"PROBE_STATE": f"file:{tmp_path}/state.json", "ProbedStorage": ""}, "doctor")

    assert ran.code == 2
    assert ran.out.startswith("settings   ProbedStorage")
    assert "saved and loaded beside" in ran.out
    assert list(tmp_path.iterdir()) == []


# -- the way there ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "fault", "options", "step", "whose", "remedy"),
    [
        ("primary", "refuse", {}, "tcp", Whose.PATH, "start the emulator"),
        ("secondary", "refuse", {}, "tcp", Whose.PATH, "start the emulator"),
        ("primary", "connect_drop", {}, "tcp", Whose.PATH, "start the emulator"),
        ("primary", "black_hole", {}, "answer", Whose.PATH, "proxies and firewalls"),
        ("primary", "garbage", {}, "answer", Whose.PATH, "proxies and firewalls"),
        ("secondary", "status", {"code": 503}, "answer", Whose.SERVICE, "status.azure.com"),
    ],
)
async def test_an_endpoint_that_is_not_reached_fails_where_it_fails(
    pair, side, fault, options, step, whose, remedy
):
    getattr(pair, side).fault(fault, **options)

    rows = await doctor.examine(environment(pair, "memory"))

    assert failed(rows) == {(step, f"{ACCOUNT} {side}")}
    told = row(rows, step, f"{ACCOUNT} {side}")
    assert told.whose == whose
    assert remedy in told.remedy
    assert doctor.exit_code(rows) == 1


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def any_named_pair(make_pair):
    return await make_pair(names=True)


@pytest.mark.parametrize(
    ("side", "whose", "remedy"),
    [
        ("primary", Whose.PATH, "nslookup "),
        ("secondary", Whose.SERVICE, f"az storage account update --name {ACCOUNT} --sku Standard_RAGZRS"),
    ],
)
async def test_a_name_that_does_not_resolve_fails_by_itself(any_named_pair, tmp_path, side, whose, remedy):
    pair, state = any_named_pair, f"file:{tmp_path}/state.json"
    settings = {**QUICK, "ProbedStorage": pair.connection_string, "PROBE_STATE": state}
    undo = names.install(pair.names.file)
    try:
        getattr(pair, side).fault("dns")
        rows = await doctor.examine(settings)
    finally:
        undo()
        pair.heal()

    assert failed(rows) == {("name", f"{ACCOUNT} {side}")}
    assert row(rows, "name", f"{ACCOUNT} {side}").whose == whose
    assert remedy in row(rows, "name", f"{ACCOUNT} {side}").remedy


# -- the clock -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "said"), [(10, "ahead"), (-10, "behind")])
async def test_a_clock_that_is_off_is_told_with_how_far_and_nothing_else_fails(pair, minutes, said):
    settings = environment(pair, "AzureWebJobsStorage")

    rows = await doctor.examine(settings, clock=lambda: datetime.now(UTC) + timedelta(minutes=minutes))

    assert failed(rows) == {("clock", each) for each in (PRIMARY, SECONDARY, "state")}
    told = row(rows, "clock", PRIMARY)
    assert said in told.detail
    assert 599 <= float(told.detail.split()[2]) <= 601
    assert told.whose == Whose.OURS
    assert "timedatectl set-ntp true" in told.remedy
    assert doctor.exit_code(rows) == 3


async def test_a_denial_that_the_clock_may_have_caused_names_the_clock_first(pair):
    """A SAS that is signed an hour ago by our clock is over by theirs."""
    pair.primary.fault("status", code=403, error="AuthenticationFailed", path="sig=")

    rows = await doctor.examine(
        environment(pair, "memory"), clock=lambda: datetime.now(UTC) - timedelta(hours=2)
    )

    assert row(rows, "read", PRIMARY).remedy.startswith("The clock is off, which alone can be the cause")


# -- grants ----------------------------------------------------------------------------------------------


async def test_a_key_that_is_not_the_accounts_is_told_with_where_to_copy_it(pair):
    settings = environment(pair, "memory")
    wrong = KEY.replace("Eby8", "Eby9")
    await with_canary(pair, settings)
    settings["ProbedStorage"] = settings["ProbedStorage"].replace(KEY, wrong)

    rows = await doctor.examine(settings)

    assert failed(rows) == {*READS, ("write", PRIMARY)}
    told = row(rows, "read", PRIMARY)
    assert told.whose == Whose.OURS
    assert f"into ProbedStorage: az storage account keys list --account-name {ACCOUNT}" in told.remedy
    assert wrong not in "".join(f"{each}" for each in rows)


@pytest.mark.parametrize(
    ("permission", "kinds", "life", "fails"),
    [
        ("r", "so", 1, {("write", PRIMARY)}),
        ("rwdc", "co", 1, {("stats", SECONDARY)}),
        ("rwdc", "sco", -1, {*READS, ("write", PRIMARY)}),
    ],
    ids=["may not write", "not for the service", "over"],
)
async def test_a_sas_that_does_not_allow_it_fails_there_alone(pair, permission, kinds, life, fails):
    settings = environment(pair, "memory")
    await with_canary(pair, settings)

    rows = await doctor.examine(signed(pair, settings, permission, kinds, life))

    assert failed(rows) == fails
    for step, subject in fails:
        assert row(rows, step, subject).whose == Whose.OURS
        assert "az storage account generate-sas" in row(rows, step, subject).remedy
    assert "--permissions rwdc" in row(rows, *next(iter(fails))).remedy


async def test_a_container_that_is_missing_and_cannot_be_made_is_told_with_the_command(pair):
    settings = environment(pair, "memory")

    rows = await doctor.examine(signed(pair, settings, "rwdl", "so"))

    assert failed(rows) == {("container", PRIMARY)}
    assert row(rows, "container", PRIMARY).remedy == (
        f"az storage container create --account-name {ACCOUNT} --name {settings['PROBE_CONTAINER']} "
        "--auth-mode login"
    )


# -- identity --------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def https_pair(make_pair):
    return await make_pair(https=True)


@pytest_asyncio.fixture(loop_scope="session")
async def as_identity(https_pair, identity, monkeypatch):  # noqa: F811 - the fixture
    """Return settings by managed identity, in a process that has one and trusts the lab."""
    endpoint, _ = identity
    https_pair.heal()
    monkeypatch.setenv("SSL_CERT_FILE", str(https_pair.certificates.ca))
    tls_context.cache_clear()
    monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    yield {
        **QUICK,
        "PROBE_DEADLINE": "2",
        "ProbedStorage__serviceUri": https_pair.primary_url,
        "ProbedStorage__secondaryBlobServiceUri": https_pair.secondary_url,
        "ProbedStorage__credential": "managedIdentity",
        "ProbedStorage__clientId": CLIENT,
        "PROBE_CONTAINER": f"doctor-{uuid.uuid4().hex[:8]}",
        "PROBE_STATE": "memory",
    }
    https_pair.heal()
    tls_context.cache_clear()


async def test_by_identity_all_is_tried_over_tls_with_one_token(as_identity):
    rows = await doctor.examine(as_identity)

    assert failed(rows) == set()
    assert row(rows, "token", f"storage, as managed identity {CLIENT}").outcome is Outcome.OK
    assert row(rows, "tls", PRIMARY).outcome is row(rows, "tls", SECONDARY).outcome is Outcome.OK


async def test_an_identity_without_a_token_fails_once_and_blames_no_endpoint(as_identity, monkeypatch):
    monkeypatch.setenv("IDENTITY_HEADER", "lost")

    rows = await doctor.examine(as_identity)

    assert failed(rows) == {("token", f"storage, as managed identity {CLIENT}")}
    assert "az functionapp identity assign" in next(each.remedy for each in rows if each.remedy)
    assert row(rows, "tls", PRIMARY).outcome is Outcome.OK
    assert row(rows, "read", PRIMARY).outcome is Outcome.SKIPPED
    assert doctor.exit_code(rows) == 3


@pytest.mark.parametrize("mode", ["untrusted", "expired", "wrong_host", "plain"])
async def test_tls_that_fails_fails_by_itself(https_pair, as_identity, mode):
    https_pair.primary.fault("tls", mode=mode)

    rows = await doctor.examine(as_identity)

    assert failed(rows) == {("tls", PRIMARY)}
    assert row(rows, "tls", PRIMARY).whose == Whose.PATH
    assert "SSL_CERT_FILE" in row(rows, "tls", PRIMARY).remedy


ACCOUNT_SCOPE = f"$(az storage account show --name {ACCOUNT} --query id --output tsv)"


@pytest.mark.parametrize(
    ("side", "options", "step", "role", "at_container"),
    [
        ("secondary", {"path": "comp=stats"}, "stats", "Reader", False),
        ("primary", {"path": "/doctor-"}, "write", "Storage Blob Data Contributor", True),
        ("primary", {"path": "HelloWorld.png"}, "read", "Storage Blob Data Contributor", True),
        ("secondary", {"path": "HelloWorld.png"}, "read", "Storage Blob Data Contributor", True),
    ],
)
async def test_a_role_that_is_missing_is_named_with_its_scope(
    https_pair, as_identity, side, options, step, role, at_container
):
    if step == "write":  # the container's own name begins so too
        as_identity["PROBE_CONTAINER"] = f"canary-{uuid.uuid4().hex[:8]}"
    answers = {"code": 403, "error": "AuthorizationPermissionMismatch"}
    getattr(https_pair, side).fault("status", **answers, **options)

    rows = await doctor.examine(as_identity)

    assert failed(rows) == {(step, f"{ACCOUNT} {side}")}
    container = f"/blobServices/default/containers/{as_identity['PROBE_CONTAINER']}" if at_container else ""
    assert row(rows, step, f"{ACCOUNT} {side}").remedy == (
        f'az role assignment create --role "{role}" --scope "{ACCOUNT_SCOPE}{container}" --assignee {CLIENT}'
    )


async def test_a_closed_firewall_is_told_apart_from_a_missing_role(https_pair, as_identity):
    https_pair.primary.fault("status", code=403, error="AuthorizationFailure", path="HelloWorld.png")

    rows = await doctor.examine(as_identity)

    assert "network-rule add" in row(rows, "read", PRIMARY).remedy
    assert "role assignment" not in row(rows, "read", PRIMARY).remedy


# -- the probe's own means -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "options", "fails", "remedy"),
    [
        ("refuse", {}, "tcp", "start the emulator"),
        ("status", {"code": 403, "error": "AuthenticationFailed", "only": "writes"}, "save", "keys list"),
        ("status", {"code": 403, "error": "AuthenticationFailed", "path": "sig="}, "save", "keys list"),
    ],
)
async def test_a_state_store_that_fails_is_the_probes_own(pair, fault, options, fails, remedy):
    pair.host.fault(fault, **options)

    rows = await doctor.examine(environment(pair, "AzureWebJobsStorage"))

    assert failed(rows) == {(fails, "state")}
    assert remedy in row(rows, fails, "state").remedy
    assert doctor.exit_code(rows) == 3


async def test_a_state_that_cannot_be_loaded_again_fails_by_itself(pair):
    container = f"state-{uuid.uuid4().hex[:8]}"
    settings = {**environment(pair, "AzureWebJobsStorage"), "PROBE_STATE_CONTAINER": container}
    pair.host.fault("status", code=403, only="reads", path=f"{container}/doctor")

    rows = await doctor.examine(settings)

    assert failed(rows) == {("load", "state")}
    assert container not in await left_behind(pair.host_connection_string)


def sharded(pair) -> dict[str, str]:
    entries = [{"name": each, "connection": "ProbedStorage", "blob": f"{each}.png"} for each in "ab"]
    settings = {**environment(pair, "memory"), "PROBE_TARGETS": json.dumps(entries)}
    return {**settings, "PROBE_SHARD_SIZE": "1", "PROBE_QUEUE": f"q-{uuid.uuid4().hex[:8]}"}


async def test_with_shards_the_queue_is_looked_into(pair):
    rows = await doctor.examine(sharded(pair))

    assert failed(rows) == set()
    assert [each.detail for each in rows if each.step == "queue"] == ["not there yet: the host makes it"]


async def test_a_queue_that_cannot_be_reached_fails_by_itself(pair):
    settings = sharded(pair)
    parts = settings["AzureWebJobsStorage"].split(";")
    kept = [each for each in parts if each and not each.startswith("QueueEndpoint")]
    settings["AzureWebJobsStorage"] = ";".join([*kept, f"QueueEndpoint={refusing_url()}/{ACCOUNT}"])

    rows = await doctor.examine(settings)

    assert failed(rows) == {("tcp", "queue")}
    assert doctor.exit_code(rows) == 3


# -- telemetry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "whose", "remedy"),
    [
        (Mode.BAD_REQUEST, Whose.OURS, "Copy APPLICATIONINSIGHTS_CONNECTION_STRING anew"),
        (Mode.UNAUTHORIZED, Whose.OURS, "Authorization=AAD"),
        (Mode.UNAVAILABLE, Whose.SERVICE, "firewalls"),
        (Mode.ABRUPT, Whose.PATH, "firewalls"),
    ],
)
async def test_a_telemetry_endpoint_that_refuses_is_the_probes_own(pair, mode, whose, remedy):
    with Ingestion(mode=mode) as backend:
        more = {"APPLICATIONINSIGHTS_CONNECTION_STRING": backend.connection_string}
        rows = await doctor.examine({**environment(pair, "memory"), **more})

    assert failed(rows) == {("telemetry", "Azure Monitor")}
    assert row(rows, "telemetry", "Azure Monitor").whose == whose
    assert remedy in row(rows, "telemetry", "Azure Monitor").remedy
    assert doctor.exit_code(rows) == 3


async def test_telemetry_is_tried_with_one_trace_that_says_whose_it_is(pair):
    with Ingestion() as backend:
        more = {"APPLICATIONINSIGHTS_CONNECTION_STRING": backend.connection_string}
        rows = await doctor.examine({**environment(pair, "memory"), **more})
        (envelope,) = backend.envelopes

    assert failed(rows) == set()
    assert "python -m probe doctor" in envelope["data"]["baseData"]["message"]


async def test_telemetry_by_identity_shows_a_token_and_names_the_role(https_pair, as_identity):
    with Ingestion(mode=Mode.FORBIDDEN, tls=https_pair.certificates.server()) as backend:
        more = {
            "APPLICATIONINSIGHTS_CONNECTION_STRING": connection_string(backend.url),
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": f"ClientId={CLIENT};Authorization=AAD",
        }
        rows = await doctor.examine({**as_identity, **more})
        (request,) = backend.requests

    assert request.headers["authorization"].startswith("Bearer ")
    assert failed(rows) == {("telemetry", "Azure Monitor")}
    told = row(rows, "telemetry", "Azure Monitor").remedy
    assert told.startswith('az role assignment create --role "Monitoring Metrics Publisher" --scope "')
    assert told.endswith(f"--assignee {CLIENT}")


@pytest.mark.parametrize(
    ("mode", "remedy"), [(Mode.OK, None), (Mode.UNAUTHORIZED, "OTEL_EXPORTER_OTLP_HEADERS")]
)
async def test_a_collector_is_asked_with_its_headers_and_left_without_a_row(pair, mode, remedy):
    with Ingestion(mode=mode) as backend:
        more = {"OTEL_EXPORTER_OTLP_ENDPOINT": backend.url, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b"}
        rows = await doctor.examine({**environment(pair, "memory"), **more})
        (request,) = backend.requests

    assert (request.path, request.headers["api-key"], request.body) == ("/v1/logs", "a b", b"")
    assert failed(rows) == ({("telemetry", "OTLP")} if remedy else set())
    assert remedy is None or remedy in row(rows, "telemetry", "OTLP").remedy


async def test_a_collector_that_is_no_url_is_a_setting(pair):
    more = {"OTEL_EXPORTER_OTLP_ENDPOINT": "nowhere?key=c2VjcmV0"}

    rows = await doctor.examine({**environment(pair, "memory"), **more})

    assert failed(rows) == {("telemetry", "OTLP")}
    assert "c2VjcmV0" not in "".join(map(str, rows))
    assert doctor.exit_code(rows) == 2


# -- interrupted -----------------------------------------------------------------------------------------


async def test_ctrl_c_in_the_middle_of_a_write_takes_away_what_was_made(pair):
    settings = {**environment(pair, "memory"), "PROBE_DEADLINE": "5", "PROBE_SLOW_AFTER": "5"}
    before = await left_behind(pair.connection_string)
    async with running(settings, "doctor") as process:
        pair.primary.fault("latency", seconds=1.5, path="/doctor-")
        while b"container" not in await asyncio.wait_for(process.stdout.readline(), PATIENCE):
            pass
        await asyncio.sleep(0.5)  # the PUT waits at the proxy
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), PATIENCE)

    assert process.returncode == 130
    assert b"Traceback" not in err
    assert await left_behind(pair.connection_string) == before
