"""No secret on any output: planted in every setting, sent back by every server, looked for wherever we speak.

The server of these tests sends back what it was sent, and the secrets themselves, in every place that it has:
status line, headers, body. Each secret is looked for by any 16 characters of it, plain and percent-encoded.
"""

import asyncio
import base64
import codecs
import hashlib
import itertools
import json
import logging
import os
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from azure.core.exceptions import ClientAuthenticationError

from probe import cli, compose, hosted, responses, settings
from probe.core import canary
from tests.unit.test_settings_secrets import NAMES


def made(what: str, size: int = 32) -> str:
    """Return a secret of the shape that Azure's have."""
    return base64.b64encode(hashlib.shake_256(what.encode()).digest(size)).decode()


KEY = made("account key", 64)
SAS = made("shared access signature")
TOKEN = ".".join(
    made(part, 60).translate(str.maketrans("+/", "-_")) for part in ("eyJ", "claims", "signature")
)
TOKEN = f"eyJ{TOKEN}"
FUNCTION_KEY = made("function key", 40)
CLIENT_SECRET = f"abc8Q~{made('client secret', 24).replace('+', '-').replace('/', '_')}"
INGESTION_KEY = "9b1c6f2e-3d4a-4e5f-8a7b-0c1d2e3f4a5b"
SECRETS = (KEY, SAS, TOKEN, FUNCTION_KEY, CLIENT_SECRET)
SIGNED = f"sv=2026-02-06&ss=b&srt=sco&sp=rwdlac&se=2036-01-01T00%3A00%3A00Z&sig={quote(SAS, safe='')}"
BODY = b"a canary"
WINDOW = 16


def leaks(output: str | bytes, *more: str) -> list[str]:
    """Return the parts of secrets that an output has; ``more`` are secrets beside the planted ones."""
    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output
    text += text.replace("\\x00", "")  # UTF-16, as Python shows bytes
    forms = {form for each in (*SECRETS, *more) for form in (each, quote(each, safe=""))}
    return sorted(
        {
            form[at : at + WINDOW]
            for form in forms
            for at in range(len(form) - WINDOW)
            if form[at : at + WINDOW] in text
        }
    )


class Mirror:
    """A server on loopback that answers with one status, and sends back what it can in every place."""

    def __init__(self) -> None:
        self.status = 503
        self.sent: list[bytes] = []
        self.signatures: set[str] = set()
        self._turn = itertools.count()
        handler = type("Handler", (_Handler,), {"mirror": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def image(self, target: str, authorization: str) -> str:
        """Return what is sent back, a different part of it first in each answer, since it may be cut."""
        parts = [part for part in (target, authorization, *SECRETS, f"sig={SAS}", f"Bearer {TOKEN}") if part]
        first = next(self._turn) % len(parts)
        return " ".join((*parts[first:], *parts[:first]))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mirror: Mirror

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.mirror.sent.append(body)
        self.mirror.signatures |= set(parse_qs(urlsplit(self.path).query).get("sig", ()))
        image = self.mirror.image(self.path, self.headers.get("Authorization") or "")
        content = self._content(image)
        self.send_response_only(self.mirror.status, image)
        stamp = canary.encode(
            canary.stamp(body=content, sequence=7, written_at=datetime.now(UTC), writer="x")
        )
        for name, value in {
            **{f"x-ms-meta-{name}": value for name, value in stamp.items()},
            "x-ms-meta-writer": image,
            "x-ms-request-id": image,
            "x-ms-error-code": image,
            "x-ms-client-request-id": image,
            "ETag": f'"{SAS}"',
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            "Location": f"http://127.0.0.1:{self.mirror.port}/{image}".replace(" ", "/"),
            "WWW-Authenticate": f'Bearer realm="{image}"',
            "Server": image,
            "Content-Type": self._kind(),
            "Content-Length": str(len(content)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - the base's names

    def _kind(self) -> str:
        return "application/json" if self.command == "POST" or "/api/" in self.path else "application/xml"

    def _content(self, image: str) -> bytes:
        if "/api/" in self.path:
            return json.dumps(_status(image, problems=self.mirror.status != 200)).encode()
        if self.command == "POST":
            error = {"index": 0, "statusCode": self.mirror.status, "message": image}
            return json.dumps({"itemsReceived": 1, "itemsAccepted": 0, "errors": [error]}).encode()
        if "/canary/" in self.path and self.mirror.status == 200:
            return BODY
        escaped = image.replace("&", "&amp;")
        return (
            f'<?xml version="1.0"?><Error><Code>{escaped}</Code><Message>{escaped}</Message></Error>'.encode()
        )

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Print nothing."""


def _status(image: str, *, problems: bool) -> dict[str, Any]:
    if problems:
        return {"schema": 2, "problems": [image], "targets": [], "shards": []}
    shard = {"shard": 0, "fresh": True, "source": "saved", "error": image, "last_completed_at": None}
    target = {"name": "a", "shard": 0, "at": None, "verdict": None, "reason": image}
    now = datetime.now(UTC).isoformat()
    return {
        "schema": 2,
        "generated_at": now,
        "vantage": image,
        "fresh": True,
        "shards": [shard],
        "targets": [target],
    }


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    with Mirror() as running:
        yield running


@pytest.fixture(autouse=True)
def as_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine's, no handler of pytest's: what is logged is printed, as it would be."""
    for name in (*settings.FIELDS, *settings.FOREIGN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(hosted, "_STREAM", hosted.ErrorStream())
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(tmp_path)


def environment(mirror: Mirror, grant: str) -> dict[str, str]:
    """Return the settings of a probe all of whose servers are the mirror."""
    base = f"http://127.0.0.1:{mirror.port}"
    rows = f"InstrumentationKey={INGESTION_KEY};IngestionEndpoint={base}"
    shown = f"AccountName=acct;AccountKey={KEY}" if grant == "key" else f"SharedAccessSignature={SIGNED}"
    probed = {
        "ProbedStorage": f"BlobEndpoint={base}/acct;BlobSecondaryEndpoint={base}/acct-secondary;{shown}"
    }
    if grant == "entra":
        probed = {
            "ProbedStorage__serviceUri": f"https://127.0.0.1:{mirror.port}",
            "ProbedStorage__tenantId": "contoso.example",
            "ProbedStorage__clientId": "5c1f2a4e-93a1-4d3c-8f5e-0f3b8f6f1c11",
            "ProbedStorage__clientSecret": CLIENT_SECRET,
        }
    return {
        **probed,
        "AzureWebJobsStorage": f"BlobEndpoint={base}/host;AccountName=host;AccountKey={KEY}",
        "PROBE_CONTAINER": "canary",
        "PROBE_READS": "1",
        "PROBE_ATTEMPTS": "1",
        "PROBE_TRACES": "all",
        "PROBE_VANTAGE": "here",
        "APPLICATIONINSIGHTS_CONNECTION_STRING": rows,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{base}/{quote(FUNCTION_KEY, safe='')}",
        "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={FUNCTION_KEY},malformed {FUNCTION_KEY}",
        "AZURE_AUTHORITY_HOST": f"https://127.0.0.1:{mirror.port}",
        "PROBE_STATUS_KEY": FUNCTION_KEY,
    }


COMMANDS = {
    "check": ("check",),
    "check --json": ("check", "--json"),
    "once": ("once",),
    "once --json": ("once", "--json"),
    "once --debug": ("--verbose", "once", "--debug"),
    "status": ("status",),
    "status --json": ("status", "--json"),
    "status --url": ("status", "--url", "http://127.0.0.1:{port}"),
    "status --url --json": ("status", "--json", "--url", "http://127.0.0.1:{port}"),
    "doctor": ("doctor",),
    "doctor --json": ("doctor", "--json"),
    "watch": ("watch", "--reads", "1", "--wait", "0"),
    "watch --json": ("watch", "--json", "--reads", "1", "--wait", "0", "--cleanup"),
}
STATUSES = (200, 201, 302, 400, 401, 403, 404, 409, 412, 500, 503)


def run(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], given: dict[str, str]
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    cli.main([each.format(port=mirror.port) for each in command])


def check(mirror: Mirror, capsys: pytest.CaptureFixture[str]) -> None:
    """Fail when anything that was printed, or sent but for the headers that must have it, has a secret."""
    printed = capsys.readouterr()
    told = f"{printed.out}\n{printed.err}"
    sent, mirror.sent = mirror.sent, []
    signatures, mirror.signatures = mirror.signatures, set()

    assert told.strip()
    assert leaks(told, *signatures) == [], told
    for each in sent:
        assert leaks(each, *signatures) == [], each


@pytest.mark.parametrize("status", STATUSES)
def test_no_tick_tells_what_servers_send_back(mirror, monkeypatch, capsys, status: int):
    mirror.status = status

    run(mirror, monkeypatch, COMMANDS["once --debug"], environment(mirror, "sas"))

    check(mirror, capsys)


def test_no_saved_state_and_no_status_of_it_holds_what_servers_send_back(mirror, monkeypatch, capsys):
    mirror.status = 200
    given = {**environment(mirror, "sas"), "PROBE_STATE": "file:state.json"}

    for command in ("once", "once", "status", "status --json"):
        run(mirror, monkeypatch, COMMANDS[command], given)

    check(mirror, capsys)
    assert leaks(Path("state.json").read_bytes()) == []


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_command_tells_what_servers_send_back(mirror, monkeypatch, capsys, command, status: int):
    mirror.status = status

    run(mirror, monkeypatch, command, environment(mirror, "key"))

    check(mirror, capsys)


class Refused:
    """azure-identity's client, where the sign-in service sends back what it was sent."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    async def get_token_info(self, *_: object, **__: object) -> None:
        said = f"AADSTS7000215: Invalid client secret {CLIENT_SECRET}, assertion {TOKEN}, Bearer {TOKEN}"
        logging.getLogger("azure.identity.aio._internal.decorators").warning("failed: %s", said)
        raise ClientAuthenticationError(message=said)

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("command", ["once --debug", "doctor", "watch", "status"])
def test_no_command_tells_what_the_sign_in_service_sends_back(mirror, monkeypatch, capsys, command: str):
    monkeypatch.setattr("azure.identity.aio.ClientSecretCredential", Refused)
    mirror.status = 403

    run(mirror, monkeypatch, COMMANDS[command], environment(mirror, "entra"))

    check(mirror, capsys)


@pytest.mark.parametrize("status", [200, 403, 503])
def test_no_function_tells_what_servers_send_back(mirror, monkeypatch, capsys, status: int):
    """The timer's function, its lines and rows; the status as page and as JSON; the health."""
    for name, value in environment(mirror, "sas").items():
        monkeypatch.setenv(name, value)
    mirror.status = status

    async def invoked() -> list[str]:
        hosted.prepare()
        app = compose.build(dict(os.environ))
        monkeypatch.setattr(compose, "app", lambda: app)
        try:
            with hosted.telling():
                await app.timer(past_due=False, parent=None)
        finally:
            answers = [
                await responses.status({"accept": kind}, {}) for kind in ("text/html", "application/json")
            ]
            answers.append(await responses.health())
            await app.aclose()
        return [str(each) for each in answers]

    answered = asyncio.run(invoked())

    assert leaks("".join(answered)) == []

    check(mirror, capsys)


BUG = f"no way to https://contoso.blob.core.windows.net/?{SIGNED} with {KEY} nor with Bearer {TOKEN}"


@pytest.mark.parametrize("broken", ["endpoint.Endpoints.open", "storage.CanaryWriter.stamp", "life.places"])
@pytest.mark.parametrize("command", ["once", "once --debug", "once --json", "watch"])
def test_no_bug_of_ours_tells_what_it_stumbled_over(mirror, monkeypatch, capsys, command: str, broken: str):
    """Its traces go to the terminal, to the log, into the rows and the state."""

    def stumble(*_: object, **__: object) -> None:
        raise RuntimeError(BUG)

    monkeypatch.setattr(f"probe.adapters.{broken}", stumble)
    mirror.status = 200
    given = {**environment(mirror, "sas"), "PROBE_STATE": "file:state.json"}

    run(mirror, monkeypatch, COMMANDS[command], given)

    check(mirror, capsys)
    state = Path("state.json")
    assert not state.exists() or leaks(state.read_bytes()) == []


def stumbling() -> None:
    logging.getLogger("probe").error("it stumbled: %s", BUG, exc_info=RuntimeError(BUG))
    raise RuntimeError(BUG)


def test_no_function_tells_what_a_bug_of_ours_stumbled_over(capsys):
    """Nor does what the platform prints: the exception as it leaves the function, and what was logged."""
    hosted.prepare()
    logging.root.addHandler(logging.StreamHandler())
    with pytest.raises(RuntimeError) as left, hosted.telling():
        stumbling()

    told = capsys.readouterr().err
    assert "it stumbled: no way to https://contoso" in told
    assert "\nRuntimeError: no way to" in told
    assert "probe error: RuntimeError" in told
    assert leaks(told) == []
    assert leaks("".join(traceback.format_exception(left.value))) == []


PLANTED = {
    "a connection string": f"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey={KEY}",
    "a key": KEY,
    "a key without its padding": KEY.rstrip("="),
    "a SAS": SIGNED,
    "an encoded SAS": quote(SIGNED, safe=""),
    "a URL with a SAS": f"https://contoso.blob.core.windows.net/?{SIGNED}",
    "a URL with an encoded SAS": f"https://contoso.blob.core.windows.net/%3F{quote(SIGNED, safe='')}",
    "a client secret": CLIENT_SECRET,
    "a token": f"Bearer {TOKEN}",
}
OTEL = (
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
)
QUIET = {
    "ProbedStorage": PLANTED["a connection string"],
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
}


@pytest.mark.parametrize("secret", PLANTED.values(), ids=PLANTED)
def test_no_setting_s_value_is_told_by_a_check_or_by_the_app_s_start(monkeypatch, capsys, secret: str):
    """Each setting with each secret: ``test_settings_secrets``; here it is printed and logged as well."""
    first = list(PLANTED.values()).index(secret)
    for name in sorted({*NAMES, *OTEL})[first % 5 :: 5]:
        with monkeypatch.context() as given:
            for other, value in {**QUIET, name: secret}.items():
                given.setenv(other, value)
            cli.main(COMMANDS["check"])
            hosted.prepare()

        printed = capsys.readouterr()
        assert leaks(printed.out + printed.err) == [], name


@pytest.mark.parametrize(
    ("name", "secret"), list(zip(OTEL, itertools.cycle((KEY, SIGNED, CLIENT_SECRET)), strict=False)), ids=OTEL
)
def test_no_setting_of_opentelemetry_is_told_where_it_is_used(
    mirror, monkeypatch, capsys, name: str, secret: str
):
    mirror.status = 200

    run(mirror, monkeypatch, COMMANDS["once"], {**environment(mirror, "sas"), name: secret})

    check(mirror, capsys)


@pytest.mark.parametrize("secret", PLANTED.values(), ids=PLANTED)
def test_no_key_of_a_target_and_no_option_is_told(monkeypatch, capsys, secret: str):
    entry = {"name": "a", "primary": "https://a.blob.core.windows.net", secret: "x"}
    monkeypatch.setenv("AzureWebJobsStorage", QUIET["AzureWebJobsStorage"])
    monkeypatch.setenv("PROBE_TARGETS", json.dumps([entry]))
    cli.main(COMMANDS["check"])
    monkeypatch.delenv("PROBE_TARGETS")
    monkeypatch.setenv("ProbedStorage", QUIET["ProbedStorage"])
    monkeypatch.setenv("PROBE_STATE", "memory")
    cli.main(["status", "--target", secret])
    cli.main(["watch", "--target", secret])
    cli.main(["status", "--url", secret])

    printed = capsys.readouterr()
    assert leaks(printed.out + printed.err) == []


ENCODINGS = {
    "UTF-8": ("utf-8", b""),
    "UTF-8 with its mark": ("utf-8", codecs.BOM_UTF8),
    "UTF-16 LE": ("utf-16-le", b""),
    "UTF-16 LE with its mark": ("utf-16-le", codecs.BOM_UTF16_LE),
    "UTF-16 BE": ("utf-16-be", b""),
    "UTF-16 BE with its mark": ("utf-16-be", codecs.BOM_UTF16_BE),
    "cp1252": ("cp1252", b""),
    "UTF-32": ("utf-32", b""),
}


@pytest.mark.parametrize(("encoding", "mark"), ENCODINGS.values(), ids=ENCODINGS)
def test_no_settings_file_is_told_in_whatever_encoding_it_is(capsys, tmp_path, encoding: str, mark: bytes):
    values = {**QUIET, "PROBE_READS": f"\xfcber {KEY}", "Other": CLIENT_SECRET}
    text = json.dumps({"Values": values}, ensure_ascii=False)
    for number, content in enumerate((text, text[:-3], text[: len(text) // 2])):
        path = tmp_path / f"{number}.json"
        path.write_bytes(mark + content.encode(encoding))
        for name in ("check", "once", "status", "doctor", "watch"):
            cli.main(["--settings", str(path), *COMMANDS[name]])

    printed = capsys.readouterr()
    assert "The settings cannot be used" in printed.err
    assert leaks(printed.out + printed.err) == []
