"""A function app of the probe's shape, whose functions do what a test asks of them.

The timer reads what to do from a file that the setting `ORDERS` names (a JSON object), because a timer is given
nothing else; the queue function reads it from its message. Both write what they saw to the folder `SEEN`.
"""

import asyncio
import json
import logging
import os
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
        logger.warning(told["say"])
    if "sleep" in told:
        await asyncio.sleep(told["sleep"])
    if "block" in told:
        time.sleep(told["block"])
    if "fail" in told:
        raise ValueError(told["fail"])
    if told.get("exit_once") and not (mark := Path(os.environ["SEEN"]) / "exited").exists():
        mark.touch()
        os._exit(3)


@app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%", run_on_startup=False)
@app.queue_output(arg_name="shards", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
async def tick(
    timer: func.TimerRequest, shards: func.Out[typing.List[str]], context: func.Context  # noqa: UP006
) -> None:
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
                "attributes": sorted(context.trace_context.attributes),
                "began": began,
                "ended": time.time(),
            },
        )
    if "send" in told:
        shards.set(told["send"])


@app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
async def shard(message: func.QueueMessage, context: func.Context) -> None:
    told = json.loads(message.get_body())
    count = message.dequeue_count
    seen("shard", {"told": told, "count": count, "inserted": str(message.insertion_time), "id": message.id})
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
        "environment": sorted(os.environ),
    }
    headers = {"Retry-After": "7", "Set-Cookie": "shown=1; Path=/; HttpOnly"}
    return func.HttpResponse(
        json.dumps(told), status_code=503, mimetype="application/json", headers=headers
    )


@app.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> str:
    return "fresh"
