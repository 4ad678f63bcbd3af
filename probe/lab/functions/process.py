"""The host's end of a worker process: starts it with an exact environment, invokes functions in it, ends it.

Rules: the worker sees the app settings and a minimal base, nothing of the lab's own environment; it runs in a
session of its own, so that Ctrl-C reaches only the host; when it ends, every invocation in it has failed;
`stop` is bounded and leaves no process behind. The protocol is told in `probe.lab.functions.worker`.

What the app prints is logged by Azure's host as `Host.Function.Console`, line by line: standard output at
Information, standard error at the level that its words speak of.
Source: azure-functions-host, src/WebJobs.Script/Workers/ProcessManagement/WorkerProcess.cs
(ParseErrorMessageAndLog), src/WebJobs.Script/Workers/WorkerConstants.cs.
"""

import asyncio
import base64
import contextlib
import importlib.util
import json
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

from probe.lab.functions.config import HostError

PACKAGE_ROOT: Final = Path(__file__).parents[3]
BASE_VARIABLES: Final = ("PATH", "HOME", "VIRTUAL_ENV")
LONGEST_LINE: Final = 64 * 2**20
LEAVE_BOUND: Final = 0.8
"""Seconds that a worker has that was told to leave; it is itself stricter with its app."""
TERMINATE_BOUND: Final = 0.2
DRAIN_BOUND: Final = 0.2
RESTART_PAUSE: Final = 1.0
KEPT_OUTPUT: Final = 50
KEPT_LOGS: Final = 1000
CONSOLE: Final = "Host.Function.Console"
ERROR_WORDS: Final = ("error", "fail", "severe")

type Data = Mapping[str, Any]
"""`{kind: value}`, as the protocol writes values."""


def string(value: str) -> Data:
    return {"string": value}


def as_json(value: str) -> Data:
    return {"json": value}


def as_bytes(value: bytes) -> Data:
    return {"bytes": base64.b64encode(value).decode()}


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """The W3C trace context that an invocation carries."""

    trace_parent: str
    trace_state: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One invocation as it is sent to the worker."""

    id: str
    function_id: str
    inputs: Mapping[str, Data]
    trigger_metadata: Mapping[str, Data]
    trace_context: TraceContext


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One log record of the worker; `system` ones are the runtime's; outside of invocations it has no id."""

    level: int
    category: str
    system: bool
    message: str
    invocation_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an invocation failed: `ExceptionName: text`, and the traceback where there is one."""

    message: str
    stack_trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the worker answered to a call."""

    failure: Failure | None
    return_value: Data | None = None
    outputs: Mapping[str, Data] = field(default_factory=dict)


class WorkerLost(Exception):  # noqa: N818  # it says what happened, as the queue and timer listeners catch it
    """The worker ended before it answered."""


type Listener = Callable[[LogLine], None]
type Tell = Callable[[str], None]
"""Takes a line for the terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What Azure's platform decides for an app: the worker runtime, and the event loop that it runs on.

    `runtime` is the folder that holds the runtime's package (empty: the installed one). Azure's worker takes
    uvloop where it can be imported, so that is what the lab does unless told otherwise.
    Source: azure-functions-python-worker, workers/proxy_worker/start_worker.py.
    """

    runtime: str = ""
    loop: str = "uvloop"

    @classmethod
    def told(cls) -> Self:
        """Return what `LAB_RUNTIME` (a folder) and `LAB_LOOP` (asyncio, uvloop) say. Raises: HostError."""
        usual = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
        loop = os.environ.get("LAB_LOOP") or usual
        runtime = os.environ.get("LAB_RUNTIME", "")
        if loop not in {"asyncio", "uvloop"}:
            raise HostError(f"LAB_LOOP={loop!r} is not an event loop: it is asyncio or uvloop")
        if runtime and not (Path(runtime) / "azure_functions_runtime").is_dir():
            raise HostError(f"LAB_RUNTIME={runtime!r} holds no runtime: `make test-runtimes` installs them")
        return cls(runtime=str(Path(runtime).resolve()) if runtime else "", loop=loop)


def console_level(line: str, *, error: bool) -> int:
    """Return the level at which Azure's host logs a line that the worker printed."""
    words = line.lower()
    if not error:
        return logging.INFO
    if "warn" in words:
        return logging.WARNING
    return logging.ERROR if any(word in words for word in ERROR_WORDS) else logging.INFO


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Give the app's whole environment: a minimal base, then the app settings, which win."""
    base = {name: os.environ[name] for name in BASE_VARIABLES if name in os.environ}
    return {**base, "FUNCTIONS_WORKER_RUNTIME": "python", **settings}


class Printed:
    """The host's end of one of a worker's standard streams.

    The pipe is our own: asyncio's `wait` for a process also waits for the end of the pipes that asyncio made,
    which what the app started can hold open.
    """

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self.reader = reader
        self.close = transport.close

    @classmethod
    async def open(cls, pipe: int) -> Self:
        reader = asyncio.StreamReader(limit=LONGEST_LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", buffering=0)
        )
        return cls(reader, transport)


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The host's ends of a worker's socket, standard output and standard error."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    output: Printed
    error: Printed

    @classmethod
    async def open(cls, connection: socket.socket, output: int, error: int) -> Self:
        reader, writer = await asyncio.open_connection(sock=connection, limit=LONGEST_LINE)
        return cls(
            reader=reader,
            writer=writer,
            output=await Printed.open(output),
            error=await Printed.open(error),
        )

    async def close(self) -> None:
        self.output.close()
        self.error.close()
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class WorkerProcess:
    """One worker, from start to end; `functions` is what the runtime indexed, `version` the runtime's."""

    def __init__(
        self, process: asyncio.subprocess.Process, streams: Streams, app: Path, listener: Listener
    ) -> None:
        self._process = process
        self._streams = streams
        self._app = app
        self._listener = listener
        self._reading = [
            asyncio.create_task(self._read()),
            asyncio.create_task(self._read_printed(streams.output, error=False)),
            asyncio.create_task(self._read_printed(streams.error, error=True)),
        ]
        self._waiting = asyncio.create_task(self._wait())
        self._calls: dict[str, asyncio.Future[Outcome]] = {}
        self._indexed: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._output: deque[str] = deque(maxlen=KEPT_OUTPUT)
        self.ended = asyncio.Event()
        self.functions: list[dict[str, Any]] = []
        self.version = ""
        self.capabilities: Mapping[str, str] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(
        cls, app: Path, settings: Mapping[str, str], listener: Listener, platform: Platform
    ) -> Self:
        """Start a worker and have it index `app`, an absolute path. Raises: HostError, with its own words."""
        ours, theirs = socket.socketpair()
        output, printed = os.pipe()
        error, complained = os.pipe()
        with theirs, os.fdopen(printed, "wb") as out, os.fdopen(complained, "wb") as err:
            streams = await Streams.open(ours, output, error)
            try:
                process = await _spawn(theirs, (out, err), (app, platform), settings)
            except BaseException:  # a host that leaves cancels what it starts
                await streams.close()
                raise
        worker = cls(process, streams, app, listener)
        try:
            await worker._index()
        except BaseException:
            await worker.stop()
            raise
        return worker

    async def _index(self) -> None:
        self._send({"type": "init", "directory": str(self._app)})
        try:
            answer = await self._indexed
        except WorkerLost as lost:
            raise HostError(f"{self._app} could not be indexed: {lost}") from None
        if error := answer.get("error"):
            raise HostError(
                f"{self._app} could not be indexed: {error['message']}\n{error['stack_trace']}".rstrip()
            )
        self.functions, self.version = answer["functions"], answer["runtime"]
        self.capabilities = answer["capabilities"]

    def _send(self, message: Mapping[str, Any]) -> None:
        self._streams.writer.write(json.dumps(message).encode() + b"\n")

    async def invoke(self, call: Call) -> Outcome:
        """Run one invocation to its end. Raises: WorkerLost."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if self.ended.is_set():
            raise WorkerLost(self.epitaph())
        self._calls[call.id] = answer
        trace = call.trace_context
        self._send(
            {
                "type": "invoke",
                "id": call.id,
                "function_id": call.function_id,
                "inputs": dict(call.inputs),
                "trigger_metadata": dict(call.trigger_metadata),
                "trace_context": {
                    "trace_parent": trace.trace_parent,
                    "trace_state": trace.trace_state,
                    "attributes": dict(trace.attributes),
                },
            }
        )
        try:
            return await answer
        finally:
            self._calls.pop(call.id, None)

    async def _wait(self) -> None:
        """Wait for the worker's end, not for its streams', which what it started may hold open."""
        await self._process.wait()
        await asyncio.wait(self._reading, timeout=DRAIN_BOUND)
        self.ended.set()
        lost = WorkerLost(self.epitaph())
        for call in self._calls.values():
            if not call.done():
                call.set_exception(lost)
        if not self._indexed.done():
            self._indexed.set_exception(lost)

    async def _read(self) -> None:
        with contextlib.suppress(OSError):
            async for line in self._streams.reader:
                self._heed(json.loads(line))

    def _heed(self, message: dict[str, Any]) -> None:
        kind = message.pop("type")
        if kind == "log":
            self._listener(LogLine(**message))
        elif kind == "init":
            self._indexed.set_result(message)
        else:
            answer = self._calls.get(message.pop("id"))
            if answer is not None and not answer.done():
                answer.set_result(_outcome(message))

    async def _read_printed(self, printed: Printed, *, error: bool) -> None:
        """Pass on what the app prints, outside of any invocation, as Azure's host does."""
        async for line in printed.reader:
            text = line.decode(errors="replace").rstrip()
            self._output.append(text)
            level = console_level(text, error=error)
            self._listener(
                LogLine(level=level, category=CONSOLE, system=False, message=text, invocation_id=None)
            )

    def epitaph(self) -> str:
        code = self._process.returncode
        how = (
            f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"exited with code {code}"
        )
        said = "\n  ".join(self._output)
        return f"worker process {self.pid} {how}" + (f"; it said:\n  {said}" if said else "")

    async def kill(self) -> None:
        """End the worker at once, and whatever it started in its session."""
        self._signal(signal.SIGKILL)
        await self._finish()

    async def end(self, number: signal.Signals, grace: float) -> None:
        """Signal the worker's own process, and kill it where it has not left within so many seconds."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)
        await self._left_within(grace)
        await self.kill()

    async def stop(self) -> None:
        """Tell the worker to leave, and end it where it does not."""
        self._streams.writer.close()
        if not await self._left_within(LEAVE_BOUND):
            self._signal(signal.SIGTERM)
            await self._left_within(TERMINATE_BOUND)
        await self.kill()

    async def _left_within(self, bound: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(bound):
                await self._process.wait()
        return self._process.returncode is not None

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _finish(self) -> None:
        await self._waiting
        for task in self._reading:
            task.cancel()
        await self._streams.close()


async def _spawn(
    connection: socket.socket,
    printed: tuple[IO[bytes], IO[bytes]],
    hosted: tuple[Path, Platform],
    settings: Mapping[str, str],
) -> asyncio.subprocess.Process:
    app, platform = hosted
    arguments = (str(connection.fileno()), str(os.getpid()), str(app), platform.loop, platform.runtime)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "probe.lab.functions.worker", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=printed[0],
        stderr=printed[1],
        pass_fds=[connection.fileno()],
        cwd=PACKAGE_ROOT,
        env=environment(settings),
        start_new_session=True,
    )


def _outcome(message: Mapping[str, Any]) -> Outcome:
    if error := message["error"]:
        return Outcome(failure=Failure(**error))
    return Outcome(failure=None, return_value=message["return_value"], outputs=message["outputs"])


class Supervisor:
    """Keeps one worker ready: starts it, and starts another when it has ended."""

    def __init__(self, app: Path, settings: Mapping[str, str], listener: Listener, tell: Tell) -> None:
        self._app = app
        self.platform = Platform.told()
        self._settings = settings
        self._listener = listener
        self._tell = tell
        self._starting = asyncio.Lock()
        self._worker: WorkerProcess | None = None
        self.starts = 0

    async def ready(self) -> WorkerProcess:
        """Give the living worker, started anew where it has ended. Raises: HostError."""
        async with self._starting:
            if self._worker is not None and self._worker.ended.is_set():
                await self._worker.kill()
                self._worker = None
            if self._worker is None:
                self._worker = await WorkerProcess.start(
                    self._app, self._settings, self._listener, self.platform
                )
                self.starts += 1
            return self._worker

    async def end(self, number: signal.Signals, grace: float) -> None:
        """End the living worker, if there is one, as the platform ends an instance's."""
        if self._worker is not None and not self._worker.ended.is_set():
            await self._worker.end(number, grace)

    async def watch(self) -> None:
        """Replace the worker whenever it ends, until cancelled."""
        while True:
            worker = await self._ready_at_last()
            await worker.ended.wait()
            self._tell(f"{worker.epitaph()}: starting another")

    async def _ready_at_last(self) -> WorkerProcess:
        while True:
            try:
                return await self.ready()
            except HostError as error:
                self._tell(f"No worker can be started, trying on: {error}")
                await asyncio.sleep(RESTART_PAUSE)

    async def stop(self) -> None:
        if self._worker is not None:
            await self._worker.stop()
