"""The child process that owns the Functions Python runtime: it indexes one app and runs its invocations.

Rules: one app for each process, because the runtime's state is module-global. The protocol is one JSON
object to a line over an inherited socket pair. A socket pair, because one descriptor carries both
directions, standard input and output stay the app's own (a print can corrupt nothing), nothing is left in
the file system, and its end of file says that the parent is gone; the worker then leaves, by force where
the app does not let it.

From the parent: `init {directory}`, `invoke {id, function_id, inputs, trigger_metadata, trace_context}`.
To the parent: `init {functions, runtime, capabilities | error}`, `result {id, error, return_value, outputs}`,
`log {level, category, system, message, invocation_id}`.
Data is `{kind: value}` with the kinds of the host's TypedData: string, json, bytes (as base64), http.

The runtime is the one in a folder that the parent names, else the one that is installed; the event loop is
uvloop where the parent says so. Both are as in Azure, where the platform brings a runtime and uvloop of its
own along, whatever the app's requirements say.
Source: azure-functions-python-worker, workers/proxy_worker/start_worker.py and workers/pyproject.toml.

Source: azure-functions-runtime 1.3.0 (handle_event, loader, functions, bindings.datumdef, bindings.meta)
and azure-functions 2.3.0 (timer, queue, http, meta). What was read there: a request is
`.request.<name>_request` with `.properties`; the message classes come in as the namespace `protos` and
are only built, never parsed, so plain classes do; an input's data must raise AttributeError for the name
`TypedData`; numbers in trigger metadata must be of kind json, since int and double cannot be read; a
queue body is string or bytes, a timer json, a request http with a body that has a kind; `trace_context`
gives trace_parent, trace_state and attributes to the function's context.
"""

import asyncio
import base64
import contextlib
import ctypes
import importlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, Final

EXIT_BOUND: Final = 0.6
"""Seconds that the app has to leave once its parent has gone; then the process ends, whatever it is doing."""

PR_SET_PDEATHSIG: Final = 1
SYSTEM_CATEGORY: Final = "azure.functions"
"""The runtime's own logger."""


class Message(SimpleNamespace):
    """A stand-in for a protobuf message: the runtime only builds them by keyword and reads their fields."""


class TypedData:
    """A value and its kind; any other kind's name raises AttributeError, which the runtime relies on."""

    __slots__ = ("kind", "value")

    def __init__(self, **field: Any) -> None:  # noqa: ANN401  # one field, of any kind
        ((self.kind, self.value),) = field.items()

    def WhichOneof(self, _: str) -> str:  # noqa: N802  # protobuf's own name
        return self.kind

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # the value of that kind
        if name == self.kind:
            return self.value
        raise AttributeError(name)


class ParameterBinding(Message):
    def WhichOneof(self, _: str) -> str:  # noqa: N802  # protobuf's own name
        return "data"


class StatusResult(Message):
    Failure, Success = 0, 1


class BindingInfo(Message):
    undefined = 0
    out, inout = 1, 2


class RpcHttpCookie(Message):
    SameSite = SimpleNamespace(**{"None": None}, Lax="Lax", Strict="Strict", ExplicitNone="None")


PLAIN_MESSAGES: Final = (
    "FunctionLoadResponse",
    "FunctionMetadataResponse",
    "InvocationResponse",
    "NullableBool",
    "NullableDouble",
    "NullableString",
    "NullableTimestamp",
    "RpcException",
    "RpcFunctionMetadata",
    "RpcHttp",
    "RpcRetryOptions",
    "Timestamp",
    "WorkerInitResponse",
    "WorkerMetadata",
)
PROTOS: Final = SimpleNamespace(
    **{name: type(name, (Message,), {}) for name in PLAIN_MESSAGES},
    BindingInfo=BindingInfo,
    ParameterBinding=ParameterBinding,
    RpcHttpCookie=RpcHttpCookie,
    StatusResult=StatusResult,
    TypedData=TypedData,
)


def decoded(data: Mapping[str, Any]) -> TypedData:
    """Give the runtime's form of `{kind: value}`."""
    ((kind, value),) = data.items()
    match kind:
        case "bytes":
            return TypedData(bytes=base64.b64decode(value))
        case "http":
            return TypedData(http=Message(**{**value, "body": decoded(value["body"])}))
        case _:
            return TypedData(**{kind: value})


def encoded(data: TypedData | None) -> dict[str, Any] | None:
    """`{kind: value}` of what the runtime returned; nothing for nothing."""
    if data is None:
        return None
    match data.kind:
        case "bytes":
            return {"bytes": base64.b64encode(data.value).decode()}
        case "http":
            return {"http": encoded_response(data.value)}
        case kind:
            return {kind: data.value}


def encoded_response(response: Message) -> dict[str, Any]:
    cookies = [encoded_cookie(cookie) for cookie in response.cookies or ()]
    return {
        "status_code": int(response.status_code),
        "headers": response.headers,
        "cookies": cookies,
        "body": encoded(response.body),
    }


def encoded_cookie(cookie: RpcHttpCookie) -> dict[str, Any]:
    """Unwrap the cookie's fields: a nullable one is its value or nothing, a time is in seconds since 1970."""
    fields = {name: getattr(field, "value", field) for name, field in vars(cookie).items()}
    return {**fields, "expires": getattr(fields["expires"], "seconds", None)}


def described(error: Any) -> dict[str, str]:  # noqa: ANN401  # the runtime's RpcException
    return {"message": error.message, "stack_trace": error.stack_trace}


def described_function(metadata: Any) -> dict[str, Any]:  # noqa: ANN401  # the runtime's RpcFunctionMetadata
    return {
        "name": metadata.name,
        "id": metadata.function_id,
        "bindings": [json.loads(binding) for binding in metadata.raw_bindings],
        "retries": metadata.retry_options is not None,
    }


class LogForwarder(logging.Handler):
    """Sends each record of the app, its libraries and the runtime to the parent, with its invocation's id."""

    def __init__(self, worker: "Worker") -> None:
        super().__init__()
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        self._worker.send(
            type="log",
            level=record.levelno,
            category=record.name,
            system=record.name.startswith(SYSTEM_CATEGORY),
            message=self.format(record),
            invocation_id=self._worker.runtime.invocation_id_cv.get(),
        )


class Worker:
    def __init__(self, connection: socket.socket, runtime: ModuleType) -> None:
        self.runtime = runtime
        self._connection = connection
        self._sending = threading.Lock()
        self._leaving = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._invocations: set[asyncio.Task[None]] = set()

    def send(self, **message: Any) -> None:  # noqa: ANN401  # the fields of a message
        line = json.dumps(message).encode() + b"\n"
        # A parent that is gone is noticed where lines are received; there is nobody to tell.
        with self._sending, contextlib.suppress(OSError):
            self._connection.sendall(line)

    async def serve(self) -> None:
        self.runtime.start_threadpool_executor()
        threading.Thread(target=self._listen, name="host", daemon=True).start()
        await self._leaving.wait()

    def _listen(self) -> None:
        """Receive in a thread: the parent's end is noticed even while the app blocks the event loop."""
        with contextlib.suppress(OSError), self._connection.makefile("rb") as lines:
            for line in lines:
                self._loop.call_soon_threadsafe(self._receive, json.loads(line))
        watchdog = threading.Timer(EXIT_BOUND, os._exit, (1,))
        watchdog.daemon = True
        watchdog.start()
        self._loop.call_soon_threadsafe(self._leaving.set)

    def _receive(self, message: dict[str, Any]) -> None:
        act = self._init if message["type"] == "init" else self._invoke
        task = self._loop.create_task(act(message))
        self._invocations.add(task)
        task.add_done_callback(self._invocations.discard)

    async def _init(self, message: dict[str, Any]) -> None:
        init = Message(capabilities={}, function_app_directory=message["directory"])
        request = Message(
            name="WorkerInitRequest",
            request=Message(worker_init_request=init),
            properties={"protos": PROTOS, "host": "127.0.0.1"},
        )
        response = await self.runtime.worker_init_request(request)
        if response.result.status != StatusResult.Success:
            self.send(type="init", error=described(response.result.exception))
            return
        request = Message(name="WorkerMetadataRequest", request=Message(), properties={})
        metadata = await self.runtime.functions_metadata_request(request)
        functions = [described_function(entry) for entry in metadata.function_metadata_results or ()]
        self.send(
            type="init",
            functions=functions,
            runtime=response.worker_metadata.worker_version,
            capabilities=response.capabilities,
        )

    async def _invoke(self, message: dict[str, Any]) -> None:
        self.runtime.invocation_id_cv.set(message["id"])
        request = Message(
            name="FunctionInvocationRequest",
            request=Message(invocation_request=invocation(message)),
            properties={},
        )
        try:
            response = await self.runtime.invocation_request(request)
        except asyncio.CancelledError:
            # The runtime answers nothing here, and Azure's host would wait for the timeout: tell it instead.
            error = {"message": "CancelledError: the function's task was cancelled", "stack_trace": ""}
            self.send(type="result", id=message["id"], error=error)
            raise
        self.send(type="result", id=message["id"], **described_result(response))


def invocation(message: Mapping[str, Any]) -> Message:
    trace = message["trace_context"]
    return Message(
        invocation_id=message["id"],
        function_id=message["function_id"],
        input_data=[
            ParameterBinding(name=name, data=decoded(data)) for name, data in message["inputs"].items()
        ],
        trigger_metadata={name: decoded(data) for name, data in message["trigger_metadata"].items()},
        trace_context=Message(
            trace_parent=trace["trace_parent"],
            trace_state=trace["trace_state"],
            attributes=trace["attributes"],
        ),
        retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
    )


def described_result(response: Any) -> dict[str, Any]:  # noqa: ANN401  # the runtime's InvocationResponse
    if response.result.status != StatusResult.Success:
        return {"error": described(response.result.exception)}
    outputs = {output.name: encoded(output.data) for output in response.output_data}
    return {"error": None, "return_value": encoded(response.return_value), "outputs": outputs}


def die_with_parent(parent: int) -> None:
    """Ask Linux to end this process with its parent, even if the app holds the interpreter."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def enable_logging(worker: Worker) -> None:
    """As Azure's worker: one handler on the root logger, INFO unless the setting asks for DEBUG."""
    debug = os.environ.get("PYTHON_ENABLE_DEBUG_LOGGING", "").strip().lower() in {
        "1",
        "true",
        "t",
        "yes",
        "y",
    }
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    root.addHandler(LogForwarder(worker))


async def serve(descriptor: int, runtime: ModuleType) -> None:
    os.set_inheritable(descriptor, False)  # noqa: FBT003  # the only way to say it
    worker = Worker(socket.socket(fileno=descriptor), runtime)
    enable_logging(worker)
    await worker.serve()


def main(descriptor: str, parent: str, directory: str, loop: str, runtime_folder: str) -> None:
    die_with_parent(int(parent))
    # The interpreter put this package's folder first; the app's own takes its place, as in Azure.
    sys.path[0] = directory
    if runtime_folder:
        sys.path.insert(0, runtime_folder)
    os.chdir(directory)
    runtime = importlib.import_module("azure_functions_runtime")
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(serve(int(descriptor), runtime))


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "uvloop":
        found: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
        return found
    return asyncio.new_event_loop


if __name__ == "__main__":
    main(*sys.argv[1:])
