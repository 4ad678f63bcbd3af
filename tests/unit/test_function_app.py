"""The Function App: its triggers, what they are bound to, and that each hands on to the composition root."""

import asyncio
import importlib
import inspect
import json
import logging
import sys
from types import SimpleNamespace

import azure.functions as func
import pytest

from probe import compose, hosted
from probe.core.errors import ConfigurationError
from probe.lab.world import MINUTE
from probe.ports import TraceParent
from probe.status import Health
from tests.browser import staged

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def indexed(monkeypatch):
    """Import the app anew, as a worker does, with the environment of the test."""

    def index(**environment: str):
        for name in ("PROBE_SCHEDULE", "PROBE_QUEUE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delitem(sys.modules, "function_app", raising=False)
        module = importlib.import_module("function_app")
        monkeypatch.delitem(sys.modules, "function_app")
        return module

    yield index
    for name in ("probe", "probe.hosted"):
        logging.getLogger(name).removeHandler(hosted._STREAM)


def bindings(module) -> dict[str, dict[str, dict[str, object]]]:
    """Return each function's bindings by their type."""
    return {
        each.get_function_name(): {
            binding["type"]: binding for binding in json.loads(each.get_function_json())["bindings"]
        }
        for each in module.app.get_functions()
    }


def test_the_app_has_these_functions_and_no_other(indexed):
    assert set(bindings(indexed())) == {"probe_tick", "probe_shard", "status", "health"}


def test_without_settings_the_triggers_are_bound_to_the_defaults(indexed):
    found = bindings(indexed())

    timer, queue = found["probe_tick"]["timerTrigger"], found["probe_tick"]["queue"]
    assert (timer["schedule"], timer["runOnStartup"], timer["useMonitor"]) == (
        "0 * * * * *",
        False,
        True,
    )
    assert (queue["direction"], queue["queueName"], queue["connection"]) == (
        "OUT",
        "probe-shards",
        "AzureWebJobsStorage",
    )
    assert found["probe_shard"]["queueTrigger"]["queueName"] == "probe-shards"


def test_the_triggers_follow_their_settings(indexed):
    found = bindings(indexed(PROBE_SCHEDULE="*/30 * * * * *", PROBE_QUEUE="mine"))

    assert found["probe_tick"]["timerTrigger"]["schedule"] == "*/30 * * * * *"
    assert found["probe_tick"]["queue"]["queueName"] == "mine"
    assert found["probe_shard"]["queueTrigger"]["queueName"] == "mine"


@pytest.mark.parametrize(
    ("schedule", "monitored"),
    [("0 * * * * *", True), ("* * * * *", True), ("*/30 * * * * *", False), ("nonsense", False)],
)
def test_the_timer_is_persisted_only_where_its_interval_allows(indexed, schedule, monitored):
    timer = bindings(indexed(PROBE_SCHEDULE=schedule))["probe_tick"]["timerTrigger"]

    assert timer["useMonitor"] is monitored


@pytest.mark.parametrize(
    ("told", "level"), [("True", "ANONYMOUS"), ("False", "FUNCTION"), ("", "FUNCTION"), ("yes", "FUNCTION")]
)
def test_where_the_platform_asks_for_a_sign_in_no_key_is_asked_for_on_top(indexed, told: str, level: str):
    found = bindings(indexed(WEBSITE_AUTH_ENABLED=told))

    assert found["status"]["httpTrigger"]["authLevel"] == level
    assert found["health"]["httpTrigger"]["authLevel"] == "ANONYMOUS"


@pytest.mark.parametrize(("who", "code"), [(None, 401), ("", 401), ("7f2c", 200)])
async def test_who_has_not_signed_in_is_told_nothing(serve, monkeypatch, who: str | None, code: int):
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    headers = {} if who is None else {"X-MS-CLIENT-PRINCIPAL-ID": who}
    asked = func.HttpRequest("GET", "https://app/api/status", headers=headers, body=b"")

    response = await serve(App())["status"](asked)

    assert response.status_code == code
    assert (b"contoso" in response.get_body()) is (code == 200)


def test_the_status_needs_a_key_and_health_does_not(indexed):
    found = bindings(indexed())

    status, health = (found[each]["httpTrigger"] for each in ("status", "health"))
    assert (status["authLevel"], status["route"], status["methods"]) == ("FUNCTION", "status", ["GET"])
    assert (health["authLevel"], health["route"], set(health["methods"])) == (
        "ANONYMOUS",
        "health",
        {"GET", "HEAD"},
    )


def test_every_function_is_async_so_that_it_gets_the_trace_context(indexed):
    assert all(
        inspect.iscoroutinefunction(each.get_user_function()) for each in indexed().app.get_functions()
    )


class App:
    """What the composition root would build; it remembers what it was asked."""

    def __init__(self, *, messages=(), health=Health.FRESH, error=None):
        self.asked, self.messages, self.found, self.error = [], list(messages), health, error
        self.settings = SimpleNamespace(interval=MINUTE, runbook_url="https://example.org/runbook.md")

    async def timer(self, *, past_due, parent):
        self.asked.append(("timer", past_due, parent))
        return self.messages

    async def shard(self, text, *, parent):
        self.asked.append(("shard", text, parent))

    async def status(self):
        if self.error:
            raise self.error
        return await asyncio.to_thread(staged.document, "outage")

    async def shown(self, target):
        self.asked.append(("shown", target))
        return await self.status()

    async def health(self):
        if self.error:
            raise self.error
        return self.found


@pytest.fixture
def serve(monkeypatch, indexed):
    """Return the app's module with a composition root that answers the given one."""

    def given(app: App):
        monkeypatch.setattr(compose, "app", lambda: app)
        return {each.get_function_name(): each.get_user_function() for each in indexed().app.get_functions()}

    return given


CONTEXT = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=PARENT, trace_state="a=b"))
NO_TRACE = SimpleNamespace(trace_context=SimpleNamespace(trace_parent="", trace_state=""))


class Out:
    value = None

    def set(self, value):
        self.value = value


@pytest.mark.parametrize("messages", [[], ["a", "b"]], ids=["one shard", "several"])
async def test_the_timer_hands_on_and_sends_a_message_for_each_of_several_shards(serve, messages):
    app, out = App(messages=messages), Out()

    answer = await serve(app)["probe_tick"](SimpleNamespace(past_due=True), out, CONTEXT)

    assert answer is None
    assert app.asked == [("timer", True, TraceParent(traceparent=PARENT, tracestate="a=b"))]
    assert out.value == (messages or None)


async def test_the_queue_hands_on_the_messages_text(serve):
    app = App()

    await serve(app)["probe_shard"](func.QueueMessage(body=b'{"x": 1}'), NO_TRACE)

    assert app.asked == [("shard", '{"x": 1}', None)]


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def request(accept: str | None = None, **query: str) -> func.HttpRequest:
    headers = {} if accept is None else {"Accept": accept}
    return func.HttpRequest("GET", "https://app/api/status", headers=headers, params=query, body=b"")


@pytest.mark.parametrize(
    ("accept", "format_", "kind"),
    [
        (BROWSER, None, "text/html"),
        ("*/*", None, "application/json"),
        (None, None, "application/json"),
        ("application/json", None, "application/json"),
        ("text/html;q=0.4, application/json;q=0.9", None, "application/json"),
        ("text/html;q=0.9, application/json;q=0.4", None, "text/html"),
        ("TEXT/HTML", None, "text/html"),
        ("text/html;q=much", None, "application/json"),
        (BROWSER, "json", "application/json"),
        ("*/*", "html", "text/html"),
        (BROWSER, "pdf", "text/html"),
    ],
    ids=[
        "a browser", "curl", "nothing said", "status --url", "rather JSON", "rather HTML", "capitals",
        "no weight", "a browser for JSON", "curl for HTML", "an unknown format",
    ],
)  # fmt: skip
async def test_browsers_get_a_page_and_machines_json(serve, accept, format_, kind):
    query = {"format": format_} if format_ else {}

    response = await serve(App())["status"](request(accept, **query))

    assert (response.status_code, response.mimetype) == (200, kind)
    assert response.headers["Vary"] == "Accept"


async def test_the_status_is_answered_as_json(serve):
    response = await serve(App())["status"](request())

    assert json.loads(response.get_body())["targets"][0]["verdict"] == "rerouted"


async def test_a_page_goes_out_with_headers_that_let_nothing_else_in(serve):
    response = await serve(App())["status"](request(BROWSER))

    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Refresh"] == "60"
    assert "https://example.org/runbook.md#rerouted" in response.get_body().decode()


async def test_a_page_that_is_paused_does_not_ask_for_itself_again(serve):
    response = await serve(App())["status"](request(BROWSER, refresh="off"))

    assert "Refresh" not in response.headers


async def test_settings_that_cannot_be_used_are_told_on_a_page_too(serve):
    error = ConfigurationError(("PROBE_READS: <b>many</b>",))

    response = await serve(App(error=error))["status"](request(BROWSER))

    assert (response.status_code, response.mimetype) == (500, "text/html")
    assert "PROBE_READS: &lt;b&gt;many&lt;/b&gt;" in response.get_body().decode()


@pytest.mark.parametrize(
    ("error", "problems"),
    [
        (ConfigurationError(("PROBE_READS: wrong", "PROBE_RPO: wrong")), 2),
        (RuntimeError("secret"), 1),
    ],
    ids=["settings", "bug"],
)
async def test_a_status_that_cannot_be_told_says_why(serve, error, problems):
    response = await serve(App(error=error))["status"](request())

    body = json.loads(response.get_body())
    assert (response.status_code, response.mimetype) == (500, "application/json")
    assert len(body["problems"]) == problems
    assert (body["fresh"], body["shards"], body["targets"]) == (False, [], [])
    assert "secret" not in response.get_body().decode()


@pytest.mark.parametrize(
    ("app", "code", "body"),
    [
        (App(), 200, b"fresh"),
        (App(health=Health.UNSAVED), 200, b"unsaved"),
        (App(health=Health.UNKNOWN), 503, b"unknown"),
        (App(health=Health.STALE), 503, b"stale"),
        (App(error=ConfigurationError(("PROBE_READS: secret",))), 503, b"stale"),
        (App(error=RuntimeError("secret")), 503, b"stale"),
    ],
    ids=["fresh", "unsaved", "unknown", "stale", "settings", "bug"],
)
async def test_health_says_no_more_than_whether_ticks_run(serve, app: App, code: int, body: bytes):
    response = await serve(app)["health"](None)

    assert (response.status_code, response.get_body()) == (code, body)


@pytest.mark.parametrize("name", ["status", "health"])
@pytest.mark.parametrize("error", [None, ConfigurationError(("wrong",)), RuntimeError()], ids=repr)
async def test_nothing_in_between_keeps_an_answer(serve, name: str, error: Exception | None):
    response = await serve(App(error=error))[name](request())

    assert response.headers["Cache-Control"] == "no-store"


def test_importing_the_app_builds_nothing(indexed, monkeypatch):
    def build(*_, **__):
        raise AssertionError("built at import")

    monkeypatch.setattr(compose, "build", build)

    indexed()


def test_settings_that_cannot_be_used_are_told_at_once_and_the_app_is_indexed(indexed, capsys, monkeypatch):
    """Else the host would show no function; and a timer with a bad schedule never fires to tell it."""
    monkeypatch.setattr(hosted, "_STREAM", hosted.ErrorStream())

    assert bindings(indexed(PROBE_READS="x", PROBE_SCHEDULE="x"))

    told = capsys.readouterr().err.splitlines()
    assert any(line.startswith("probe error: PROBE_READS") for line in told)
    assert any(line.startswith("probe error: PROBE_SCHEDULE") for line in told)
