"""The Function App: triggers, wired to ``probe.compose``; no logic."""

import typing

import azure.functions as func

from probe import compose, hosted, responses

hosted.prepare()
app = func.FunctionApp()


@app.function_name("probe_tick")
@app.timer_trigger(
    arg_name="timer",
    schedule=compose.binding("PROBE_SCHEDULE"),
    run_on_startup=False,
    use_monitor=compose.monitored(),
)
@app.queue_output(
    arg_name="shards", queue_name=compose.binding("PROBE_QUEUE"), connection="AzureWebJobsStorage"
)
async def probe_tick(
    timer: func.TimerRequest,
    shards: func.Out[typing.List[str]],  # noqa: UP006 - the worker's indexing refuses list[str]
    context: func.Context,
) -> None:
    """Run the only shard, or send one message for each."""
    with hosted.telling():
        messages = await compose.app().timer(past_due=timer.past_due, parent=compose.parent(context))
    if messages:
        shards.set(messages)


@app.function_name("probe_shard")
@app.queue_trigger(
    arg_name="message", queue_name=compose.binding("PROBE_QUEUE"), connection="AzureWebJobsStorage"
)
async def probe_shard(message: func.QueueMessage, context: func.Context) -> None:
    """Run the shard that a message names."""
    with hosted.telling():
        await compose.app().shard(message.get_body().decode(), parent=compose.parent(context))


@app.function_name("status")
@app.route(
    "status",
    methods=["GET"],
    auth_level=func.AuthLevel.ANONYMOUS if hosted.signs_in() else func.AuthLevel.FUNCTION,
)
async def status(req: func.HttpRequest) -> func.HttpResponse:
    """Return the status of every target, as a page or as JSON."""
    return func.HttpResponse(**await responses.status(req.headers, req.params))


@app.function_name("health")
@app.route("health", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the binding wants it
    """Answer 200 while ticks are fresh, else 503; no details, since anybody may ask."""
    return func.HttpResponse(**await responses.health())
