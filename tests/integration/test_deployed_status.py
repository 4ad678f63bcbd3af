"""``status --url``: a deployed app's status over real HTTP, from it and from whatever else answers."""

# ruff: noqa: E501 - an answer stands on one line with what is said of it

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from probe import cli, status
from probe.lab.world import MINUTE, NOON, run, world
from probe.status import Memory, Page

KEY = "a-function-key-of-this-test"


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch, tmp_path):
    """Stand where there are no settings at all."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.environ", {})


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[str]]]:
    """Serve each connection with what is given; yield the URL and the heads of the requests."""
    heads: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                try:
                    heads.append(connection.recv(65536).decode("latin-1"))
                    answer(connection)
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}", heads
    finally:
        stop.set()
        server.close()


def response(body: bytes | str, code: int = 200, kind: str = "application/json", more: str = "") -> bytes:
    held = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {code} X\r\nContent-Type: {kind}\r\nContent-Length: {len(held)}\r\n{more}Connection: close\r\n\r\n"
    return head.encode() + held


def sends(data: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(data)


def document(*scripts: tuple[str, str], schema: int = 2) -> str:
    """Return what an app says after these ticks."""

    async def main() -> str:
        probe = world()
        probe.account.begin()
        for number, script in enumerate(scripts):
            await probe.until(NOON + number * MINUTE)
            probe.account.behave(*script)
            await probe.tick()
        page = Page(shards=(probe.targets,), vantage="francecentral", interval=MINUTE, budget=MINUTE / 2)
        now = NOON + (len(scripts) - 1) * MINUTE + MINUTE / 4
        return json.dumps({**await status.document(probe.store, page, Memory(), now), "schema": schema})

    return run(main())


OK, BROKEN, DEAD = ("ok", "ok"), ("503", "ok"), ("503", "503")


@pytest.mark.parametrize(
    ("scripts", "code", "said"),
    [
        ([OK], 0, "contoso: Reads from the primary since 12:00 UTC"),
        ([OK, BROKEN], 0, "contoso: Reads from the SECONDARY since 12:01 UTC, 15 s: primary answers 503."),
        ([OK, DEAD], 1, "contoso: NO READ SERVED since 12:01 UTC, 15 s: primary answers 503, secondary too."),
        ([OK, ("403", "403")], 3, "contoso: CANNOT TELL who is up"),
    ],
    ids=["ok", "rerouted", "unavailable", "inconclusive"],
)
def test_an_apps_status_is_read_without_any_of_its_settings(capsys, scripts, code: int, said: str):
    with answering(sends(response(document(*scripts)))) as (url, heads):
        assert cli.main(["status", "--url", url, "--key", KEY]) == code

    out, err = capsys.readouterr()
    assert " ".join(out.split()).startswith(said)
    assert "Seen from francecentral" in out
    assert heads[0].startswith("GET /api/status HTTP/1.1")
    assert f"x-functions-key: {KEY}" in heads[0]
    assert KEY not in out + err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("verdict", '"well"', "contoso"),
        ("verdict", '""', "contoso"),
        ("fresh", '"no"', "contoso"),
        ("name", "1e308", "no status of this probe"),
        ("since", '"9999-12-31T23:59:59-12:00"', "no status of this probe"),
        ("lag_seconds", "9" * 400, "no status of this probe"),
    ],
)
def test_an_answer_that_no_probe_gives_is_not_taken_for_well(capsys, name: str, value: str, said: str):
    told = re.sub(rf'"{name}": ("[^"]*"|[^,}}{{]*)', f'"{name}": {value}', document(OK))
    with answering(sends(response(told))) as (url, _):
        assert cli.main(["status", "--url", url]) == 3

    out, err = capsys.readouterr()
    assert said in out + err
    assert "unexpectedly" not in err


def test_the_key_may_stand_in_the_environment_and_the_path_may_be_given(monkeypatch):
    monkeypatch.setattr("os.environ", {"PROBE_STATUS_KEY": f"{KEY}\n"})
    with answering(sends(response(document(OK)))) as (url, heads):
        assert cli.main(["status", "--url", f"{url}/api/status/"]) == 0

    assert heads[0].startswith("GET /api/status HTTP/1.1")
    assert f"x-functions-key: {KEY}\r\n" in heads[0]


def test_several_apps_are_told_one_after_the_other_and_json_is_json(capsys):
    with (
        answering(sends(response(document(OK)))) as (one, _),
        answering(sends(response(document(OK, DEAD)))) as (other, _),
    ):
        assert cli.main(["status", "--url", one, "--url", other]) == 1
        assert capsys.readouterr().out.count("Seen from francecentral") == 2
        assert cli.main(["status", "--url", one, "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["targets"][0]["verdict"] == "ok"


def test_one_target_is_shown_or_those_that_there_are_are_named(capsys):
    with answering(sends(response(document(OK)))) as (url, _):
        assert cli.main(["status", "--url", url, "--target", "contoso"]) == 0
        assert cli.main(["status", "--url", url, "--target", "fabrikam"]) == 2

    assert "Name one of contoso." in capsys.readouterr().err


def test_an_app_that_cannot_work_tells_its_settings(capsys):
    body = json.dumps({"schema": 2, "problems": ["PROBE_RPO: is wrong."], "shards": [], "targets": []})
    with answering(sends(response(body, code=500))) as (url, _):
        assert cli.main(["status", "--url", url]) == 3

    assert "PROBE_RPO: is wrong." in capsys.readouterr().err


def test_silent_ticks_are_told(capsys):
    old = json.loads(document(OK))
    old |= {"fresh": False, "generated_at": "2026-03-01T12:40:00Z"}
    old["shards"][0]["fresh"] = False
    with answering(sends(response(json.dumps(old)))) as (url, _):
        assert cli.main(["status", "--url", url]) == 3

    assert "NO TICK for" in capsys.readouterr().out


PAGE = "<html>Sign in</html>"
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (response("", 401), "does not know the key (401). Set PROBE_STATUS_KEY to what this prints: az functionapp keys list"),
        (response("", 403), "lets nobody in from here (403)"),
        (response("", 404), "has no /api/status (404)"),
        (response("", 302, more="Location: https://login.example/\r\n"), "answers with a sign-in or another page"),
        (response(PAGE, kind="text/html"), "answers with a sign-in or another page"),
        (response(PAGE, 503, "text/html"), "is starting or broken"),
        (response("", 418), "answers 418 in place of a status"),
        (response("{}"), "not with a status of this probe"),
        (response("[]"), "not with a status of this probe"),
        (response(DEEP), "not with a status of this probe"),
        (response(b"\xff\xfe{"), "not with a status of this probe"),
        (response('{"schema": 2, "shards": [], "targets": [1]}'), "no status of this probe"),
        (response('{"schema": 2, "shards": [{}], "targets": [{"name": "x"}]}'), "no status of this probe"),
        (response('{"schema": 1, "shards": [], "targets": [{"verdict": "ok"}, 7]}'), "not with a status"),
        (response(document(OK, schema=3)), "schema 3; this command knows 1 and 2"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "could not be read"),
        (b"", "could not be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{", "could not be read"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, "could not be read"),
    ],
    ids=[
        "401", "403", "404", "a redirect", "a sign-in page", "503", "418", "an empty object", "a list", "deep",
        "no text", "targets of numbers", "a bare target", "schema 1 of another", "schema 3", "ssh", "silence",
        "cut short", "an endless head",
    ],
)  # fmt: skip
def test_whatever_answers_is_told_with_what_to_do(capsys, answer: bytes, said: str):
    with answering(sends(answer)) as (url, _):
        assert cli.main(["status", "--url", url, "--key", KEY]) == 3

    out, err = capsys.readouterr()
    assert out == ""
    assert said in " ".join(err.split())
    assert KEY not in err
    assert "Traceback" not in err


def test_a_token_goes_in_its_header_and_on_no_output(capsys, monkeypatch):
    monkeypatch.setenv("PROBE_STATUS_TOKEN", "t0ken.of.ours")
    with answering(sends(response(document(OK)))) as (url, heads):
        cli.main(["status", "--url", url])

    out, err = capsys.readouterr()
    assert "authorization: bearer t0ken.of.ours" in heads[0].lower()
    assert "t0ken" not in out + err


def test_without_a_key_it_says_so(capsys):
    with answering(sends(response("", 401))) as (url, heads):
        assert cli.main(["status", "--url", url]) == 3

    assert "asks for a key (401)" in capsys.readouterr().err
    assert "x-functions-key" not in heads[0]


def test_a_redirect_does_not_get_the_key():
    with answering(sends(response(document(OK)))) as (other, theirs):
        moved = response("", 307, more=f"Location: {other}/api/status\r\n")
        with answering(sends(moved)) as (url, _):
            assert cli.main(["status", "--url", url, "--key", KEY]) == 3

    assert theirs == []


def test_no_answer_makes_a_terminal_do_anything(capsys):
    body = json.loads(document(OK, BROKEN))
    body["targets"][0]["reason"] += "\x1b]0;owned\x07\x1b[2J\u202e"
    body["targets"][0]["endpoints"]["primary"]["reason"] = "\x1b[31m"
    with answering(sends(response(json.dumps(body)))) as (url, _):
        cli.main(["status", "--url", url])

    out, err = capsys.readouterr()
    assert "reads: rerouted:" in out
    assert not set("\x1b\x07\u202e") & set(out + err)


def test_a_server_that_drips_is_left_at_the_bound(capsys, monkeypatch):
    monkeypatch.setattr("probe.adapters.deployed.BOUND", 0.5)

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(200):
            connection.sendall(b" ")
            time.sleep(0.05)

    begun = time.monotonic()
    with answering(drip) as (url, _):
        assert cli.main(["status", "--url", url]) == 3

    assert time.monotonic() - begun < 5
    assert "did not answer within 0.5 s" in capsys.readouterr().err


def test_an_endless_answer_is_left_at_the_limit(capsys, monkeypatch):
    monkeypatch.setattr("probe.adapters.deployed.SIZE_LIMIT", 1024**2)

    def pour(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            connection.sendall(b" " * 65536)

    with answering(pour) as (url, _):
        assert cli.main(["status", "--url", url]) == 3

    assert "more than 1 MiB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("contoso.azurewebsites.net", "is no URL of a web page"),
        ("http://contoso.azurewebsites.net", "would send the key in the clear"),
        (f"https://contoso.azurewebsites.net/api/status?code={KEY}", "holds a query"),
        (f"https://user:{KEY}@contoso.azurewebsites.net", "holds a user or a password"),
        ("https://[", "is no URL"),
        ("file:///etc/passwd", "is no URL of a web page"),
    ],
    ids=["no scheme", "plain http", "a key in the query", "a password", "half a host", "a file"],
)
def test_an_address_that_cannot_be_used_is_told_and_nothing_of_its_secrets(capsys, url: str, said: str):
    assert cli.main(["status", "--url", url]) == 2

    err = capsys.readouterr().err
    assert said in err
    assert KEY not in err


def test_a_key_that_would_break_the_request_is_refused(capsys):
    assert cli.main(["status", "--url", "https://contoso.azurewebsites.net", "--key", "a\r\nX: b"]) == 2
    assert "characters that no key has" in capsys.readouterr().err


def test_a_name_that_does_not_resolve_and_a_port_where_nobody_is(capsys):
    assert cli.main(["status", "--url", "https://contoso.invalid"]) == 3
    assert "the name contoso.invalid does not resolve" in capsys.readouterr().err

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert cli.main(["status", "--url", f"http://127.0.0.1:{port}"]) == 3
    assert "could not be read" in capsys.readouterr().err


def test_a_proxy_that_the_environment_names_is_told_not_to_have_been_used(capsys, monkeypatch):
    monkeypatch.setattr("os.environ", {"https_proxy": "http://127.0.0.1:1"})

    assert cli.main(["status", "--url", "https://contoso.invalid"]) == 3
    assert "The proxy that the environment names was not used" in capsys.readouterr().err


def test_all_vantages_are_asked_one_by_one(capsys):
    assert cli.main(["status", "--url", "https://contoso.azurewebsites.net", "--all-vantages"]) == 2
    assert "Give --url once for each app" in capsys.readouterr().err
