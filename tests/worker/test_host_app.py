"""A function app in the real worker runtime: what is indexed, what is shown at start, and what is refused."""

import socket
import textwrap

import pytest

from probe.lab.functions.config import HostError
from probe.lab.functions.host import Host, listing


@pytest.fixture
def app(tmp_path):
    """Give a maker of small apps: the text of a function_app.py to its folder."""

    def make(text):
        folder = tmp_path / "app"
        folder.mkdir()
        (folder / "host.json").write_text('{"version": "2.0"}')
        (folder / "function_app.py").write_text(textwrap.dedent(text))
        return folder

    return make


async def test_the_runtime_indexes_each_function_with_its_bindings(stage):
    settings = {"SCHEDULE": "0 */5 * * * *", "QUEUE": "shards"}

    async with stage.host("health", settings=settings) as host:
        indexed = {
            function.name: [
                (bound.type, bound.direction, bound.name, dict(bound.details)) for bound in function.bindings
            ]
            for function in host.functions
        }

    queue = {"queueName": "shards", "connection": "AzureWebJobsStorage"}
    assert {name: sorted(bindings, key=str) for name, bindings in indexed.items()} == {
        "tick": [
            ("queue", "out", "shards", queue),
            ("timerTrigger", "in", "timer", {"schedule": "0 */5 * * * *", "runOnStartup": False}),
        ],
        "shard": [("queueTrigger", "in", "message", queue)],
        "status": [
            ("http", "out", "$return", {}),
            (
                "httpTrigger",
                "in",
                "req",
                {"methods": ["GET", "POST"], "authLevel": "FUNCTION", "route": "status/{part}"},
            ),
        ],
        "health": [
            ("http", "out", "$return", {}),
            ("httpTrigger", "in", "req", {"methods": ["GET"], "authLevel": "ANONYMOUS", "route": "health"}),
        ],
    }


async def test_a_host_serves_the_functions_it_is_told_to(stage):
    async with stage.host("health", "status") as host:
        assert {function.name for function in host.served} == {"health", "status"}


async def test_the_listing_shows_triggers_urls_and_auth_levels(stage):
    async with stage.host("health") as host:
        shown = listing(host.functions, "http://127.0.0.1:7071", "api")

    assert shown == [
        "Functions:",
        "  health: [GET] http://127.0.0.1:7071/api/health (auth level anonymous, open here)",
        "  status: [GET,POST] http://127.0.0.1:7071/api/status/{part} (auth level function, open here)",
        "  shard: queueTrigger (none)",
        "  tick: timerTrigger (0 0 0 1 1 *)",
    ]


GOOD = """
    import azure.functions as func
    app = func.FunctionApp()
    @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
    async def tick(timer: func.TimerRequest) -> None: ...
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(
            GOOD.replace("tick(timer", "tick(clock"), "not in the function definition", id="argument"
        ),
        pytest.param("import no_such_module", "ModuleNotFoundError.*no_such_module", id="missing module"),
        pytest.param("def (", "SyntaxError", id="syntax"),
        pytest.param(GOOD + "    other = func.FunctionApp()", "More than one FunctionApp", id="two apps"),
        pytest.param("", "Could not find top level function app", id="no app"),
        pytest.param(
            GOOD.replace(
                "    async def",
                '    @app.queue_output(arg_name="out", queue_name="q", connection="C")\n    async def',
            ).replace("TimerRequest)", "TimerRequest, out: func.Out[list[str]])"),
            "tick",
            id="Out of list[str]",
        ),
        pytest.param(
            "raise SystemExit('no settings')", "exited with code 1; it said:\n  no settings", id="exit"
        ),
        pytest.param("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV", id="crash"),
    ],
)
async def test_an_indexing_error_is_told_with_its_cause(app, text, why):
    host = Host(app(text), {}, port=None, tell=lambda _: None)

    with pytest.raises(HostError, match=rf"(?s)could not be indexed: .*{why}"):
        await host.__aenter__()


async def test_a_missing_setting_is_told_with_the_function_that_needs_it(stage):
    settings = stage.settings
    del settings["SCHEDULE"]
    host = Host(stage.app, settings, port=None, tell=stage.lines.append)

    with pytest.raises(HostError, match="function 'tick': '%SCHEDULE%' does not resolve"):
        await host.__aenter__()


async def test_a_function_that_the_app_has_not_is_told_with_those_it_has(stage):
    with pytest.raises(HostError, match=r"no function 'tock'; it has: .*tick"):
        await stage.host("tock").__aenter__()


async def test_a_busy_port_is_told(stage):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(HostError, match=f"port {port} cannot be had"):
            await stage.host("health", port=port).__aenter__()
