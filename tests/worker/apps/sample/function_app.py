"""A function app of the probe's shape, whose functions do what a test asks of them.

The timer reads what to do from a file that the setting `ORDERS` names (a JSON object), because a timer is
given nothing else; the queue function reads it from its message, HTTP from the body. They write what they saw
to the folder `SEEN`.
"""

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import time
import typing
import uuid
from pathlib import Path

import azure.functions as func

app = func.FunctionApp()
logger = logging.getLogger("sample")


def orders() -> dict[str, typing.Any]:
    path = Path(os.environ["ORDERS"])
    return json.loads(path.read_text()) if path.exists() else {}


def seen(what: str, told: dict[str, typing.Any]) -> None:
    folder = Path(os.environ["SEEN"])
    part = folder / f"{time.time_ns()}-{what}-{uuid.uuid4().hex}.part"
    part.write_text(json.dumps(told))
    part.rename(part.with_suffix(".json"))


async def obey(told: dict[str, typing.Any]) -> None:
    if "say" in told:
        logger.info(told["say"])
    if "print" in told:
        print(told["print"])  # noqa: T201  # what a user's code may do
    if "meet" in told:
        await meet(told["meet"], told["say"])
    if "stubborn" in told:
        await stubborn(told["stubborn"])
    if "spawn" in told:
        logger.info("spawned %s", spawned(told["spawn"]))
    if "sleep" in told:
        await asyncio.sleep(told["sleep"])
    if "block" in told:
        time.sleep(told["block"])  # noqa: ASYNC251  # the mistake that a test makes
    if "fail" in told:
        raise ValueError(told["fail"])
    if told.get("exit_once") and not (mark := Path(os.environ["SEEN"]) / "exited").exists():
        mark.touch()
        os._exit(3)


def spawned(seconds: str) -> int:
    """Start a process that inherits whatever it can, as a careless app may, and leave it."""
    command = ["sleep", seconds]
    return subprocess.Popen(command, close_fds=False).pid  # noqa: S603  # a test's own command


async def meet(count: int, name: str) -> None:
    """Go on only when as many invocations as that are here at once, and log once more."""
    here = Path(os.environ["SEEN"])
    (here / f"{name}.here").touch()
    while len(list(here.glob("*.here"))) < count:  # noqa: ASYNC240  # others may run in other processes
        await asyncio.sleep(0.01)
    logger.info("%s met", name)


async def stubborn(seconds: float) -> None:
    """Hang, and refuse to be cancelled."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)


@app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%", run_on_startup=False)
@app.queue_output(arg_name="shards", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
async def tick(
    timer: func.TimerRequest,
    shards: func.Out[typing.List[str]],  # noqa: UP006  # the runtime refuses to index list[str]
    context: func.Context,
):  # the return annotation would forbid what a test asks for
    began = time.time()
    told = orders()
    try:
        await obey(told)
    finally:
        seen(
            "tick",
            {
                "past_due": timer.past_due,
                "schedule": timer.schedule,
                "status": timer.schedule_status,
                "trace_parent": context.trace_context.trace_parent,
                "environment": sorted(os.environ),
                "began": began,
                "ended": time.time(),
            },
        )
    if "send" in told:
        shards.set(told["send"])
    return told.get("give")


@app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
async def shard(message: func.QueueMessage) -> None:
    told = json.loads(message.get_body())
    count = message.dequeue_count
    seen("shard", {"told": told, "count": count, "at": time.time(), "id": message.id})
    await obey(told)


@app.route(route="status/{part}", methods=["GET", "POST"], auth_level=func.AuthLevel.FUNCTION)
async def status(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    await obey(dict(json.loads(req.get_body() or b"{}")))
    told = {
        "method": req.method,
        "url": req.url,
        "query": dict(req.params),
        "route": dict(req.route_params),
        "accept": req.headers.get("accept"),
        "trace_parent": context.trace_context.trace_parent,
    }
    headers = {"Retry-After": "7", "Set-Cookie": "shown=1; Path=/; HttpOnly"}
    return func.HttpResponse(json.dumps(told), status_code=503, mimetype="application/json", headers=headers)


@app.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> str:  # noqa: ARG001  # the binding's name
    return "fresh"
