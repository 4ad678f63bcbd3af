"""The lab's Functions host: runs an app in the real Python worker runtime, and fires what Azure would.

Rules: one worker process for each host, replaced when it ends or a function outlives its timeout; timers,
queues and HTTP are served as `timer`, `queue` and `http` say, for all functions or only
those named, so that several hosts over one storage stand for the instances of a plan; an invocation that
fails is told with its exception and ends nothing else; so is a function that cannot be served, as a timer
with a bad schedule; leaving takes three seconds at most and leaves no process behind.

With `churn` a worker lives for one tick, as an instance on Flex Consumption may: when the last invocation of
a timer or a queue message has ended, the worker is ended, by SIGTERM with a grace or by SIGKILL in turn.
Source: https://github.com/Azure/azure-functions-host/issues/12007 and 11943.

`python -m probe.lab.functions.host --app FOLDER` serves an app until Ctrl-C, much as `func start` does.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import re
import secrets
import signal
import socket
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web
from azure.core.exceptions import AzureError

from probe.lab.functions.config import (
    Function,
    HostError,
    HostOptions,
    Trigger,
    connection_string,
    function,
    selected,
)
from probe.lab.functions.http import SHUTDOWN_TIMEOUT, application, methods, route
from probe.lab.functions.process import (
    CONSOLE,
    KEPT_LOGS,
    Call,
    Data,
    Failure,
    LogLine,
    Outcome,
    Supervisor,
    Tell,
    TraceContext,
    WorkerLost,
    as_json,
    string,
)
from probe.lab.functions.queue import LEASE, QueueDelivery, QueueListener, QueueService
from probe.lab.functions.timer import Schedule, StatusStore, Timer, utc_now

ADDRESS: Final = "127.0.0.1"
DEFAULT_PORT: Final = 7071
GRACE: Final = 0.5
"""Seconds that running invocations have to end when the host leaves."""
KEPT_INVOCATIONS: Final = 1000
KEPT_LINES: Final = 1000
CHURN_GRACE: Final = 5.0
"""Seconds that a worker has to leave after a SIGTERM, before it is killed; the probe's flush takes less."""
CHURN_SIGNALS: Final = (signal.SIGTERM, signal.SIGKILL)
RUNTIME_FRAME: Final = "/azure_functions_runtime/"
_TRACE_PARENT: Final = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")

type Listen = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One finished invocation: what it was, how it ended, what it returned, sent and logged."""

    id: str
    function: str
    trace_parent: str
    started_at: datetime
    duration: timedelta
    failure: Failure | None
    return_value: Data | None = None
    outputs: Mapping[str, Data] = field(default_factory=dict)
    logs: tuple[LogLine, ...] = ()

    @property
    def succeeded(self) -> bool:
        return self.failure is None


class Host:
    """A function app's host, as an async context manager.

    `settings` are the app settings: the app's whole environment but for a minimal base. `functions` names
    those to serve, else all. `port` is the HTTP port (0: the system chooses; None: no HTTP). Without
    `schedules`, timers fire only by `fire`. `schedule_folder` keeps the timers' statuses, by which a
    later host knows what is past due. With `churn` a worker lives for one tick. `tell` is given each line for
    the terminal.
    """

    def __init__(  # noqa: PLR0913  # each is a choice that a test or the lab makes
        self,
        app: Path,
        settings: Mapping[str, str],
        *,
        functions: Sequence[str] | None = None,
        port: int | None = DEFAULT_PORT,
        schedules: bool = True,
        schedule_folder: Path | None = None,
        queue_lease: timedelta = LEASE,
        churn: bool = False,
        tell: Tell | None = None,
    ) -> None:
        self._app = app.resolve()
        self._settings = settings
        self._wanted = functions
        self._port = port
        self._schedules = schedules
        self._status_store = StatusStore(schedule_folder)
        self._lease = queue_lease
        self._churn = churn
        self._tell = tell or tell_terminal
        self._id = str(uuid.uuid4())
        self._cleanup = contextlib.AsyncExitStack()
        self._logs: dict[str, deque[LogLine]] = {}
        self._timers: dict[str, Timer[Invocation]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._leaving = False
        self._worker_exports = False
        self.functions: tuple[Function, ...] = ()
        self.served: tuple[Function, ...] = ()
        self.invocations: deque[Invocation] = deque(maxlen=KEPT_INVOCATIONS)
        self.churned: list[signal.Signals] = []
        self.exported: deque[LogLine] = deque(maxlen=KEPT_LINES)
        """The log lines that Azure's host would export to Application Insights."""

    async def __aenter__(self) -> Self:
        """Start the worker, index the app and serve it. Raises: HostError."""
        try:
            await self._start()
        except BaseException:
            await self._cleanup.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _start(self) -> None:
        self._idle.set()
        self._options = HostOptions.read(self._app)
        self._supervisor = Supervisor(self._app, self._settings, self._log, self._tell)
        self._cleanup.push_async_callback(self._supervisor.stop)
        worker = await self._supervisor.ready()
        runtime = f"azure-functions-runtime {worker.version}, {self._supervisor.platform.loop}"
        self._tell(f"Worker process {worker.pid} started ({runtime})")
        self._worker_exports = worker.capabilities.get("WorkerOpenTelemetryEnabled") == "true"
        self.functions = tuple(function(told, self._settings) for told in worker.functions)
        self.served = selected(self.functions, self._wanted)
        self.served = tuple(function for function in self.served if self._is_sound(function))
        listeners = [*self._timer_listeners(), *self._queue_listeners()]
        await self._serve_http()
        for line in listing(self.served, self._url_root, self._options.route_prefix):
            self._tell(line)
        self._cleanup.push_async_callback(self._cancel_tasks)
        for listen in (self._supervisor.watch, *listeners):
            self._spawn(listen())

    def _is_sound(self, checked: Function) -> bool:
        """Tell of a function that cannot be served, and go on with the others, as Azure's host does."""
        try:
            if checked.kind is Trigger.TIMER:
                Schedule.parse(checked.trigger.details["schedule"])
        except HostError as error:
            self._tell(f"The '{checked.name}' function is in error: {error}")
            return False
        return True

    def _of(self, kind: Trigger) -> tuple[Function, ...]:
        return tuple(function for function in self.served if function.kind is kind)

    def _timer_listeners(self) -> list[Listen]:
        for timed in self._of(Trigger.TIMER):
            self._timers[timed.name] = Timer(timed, self._status_store, self._run_timer)
        return [timer.listen for timer in self._timers.values()] if self._schedules else []

    def _queue_listeners(self) -> list[Listen]:
        bindings = [bound for served in self.served for bound in served.queue_outputs]
        bindings += [queued.trigger for queued in self._of(Trigger.QUEUE)]
        names = {bound.details["connection"] for bound in bindings}
        connections = {name: connection_string(name, self._settings) for name in names}
        self._queues = QueueService(connections, self._options.queues)
        self._cleanup.push_async_callback(self._queues.close)
        return [
            QueueListener(queued, self._queues, self._run_queue, self._tell, self._lease).listen
            for queued in self._of(Trigger.QUEUE)
        ]

    async def _serve_http(self) -> None:
        self._url_root = ""
        if self._port is None:
            return
        served = application(
            self._of(Trigger.HTTP), self._options.route_prefix, self._run_http, self._run_by_name
        )
        runner = web.AppRunner(served, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
        await runner.setup()
        self._cleanup.push_async_callback(runner.cleanup)
        listening = _listen(self._port)
        await web.SockSite(runner, listening).start()
        self._url_root = f"http://{ADDRESS}:{listening.getsockname()[1]}"

    def url(self, name: str) -> str:
        """Give an HTTP function's URL. Raises: HostError."""
        found = self._find(name, self._of(Trigger.HTTP), "HTTP function")
        return self._url_root + route(found, self._options.route_prefix)

    @property
    def root(self) -> str:
        """The HTTP server's root, such as `http://127.0.0.1:7071`; empty where there is none."""
        return self._url_root

    @property
    def worker_starts(self) -> int:
        return self._supervisor.starts

    async def worker_pid(self) -> int:
        return (await self._supervisor.ready()).pid

    @staticmethod
    def _find(name: str, among: Sequence[Function], what: str) -> Function:
        for candidate in among:
            if candidate.name == name:
                return candidate
        known = ", ".join(candidate.name for candidate in among) or "none"
        raise HostError(f"this host serves no {what} {name!r}; it serves: {known}")

    async def fire(
        self,
        name: str,
        *,
        scheduled_at: datetime | None = None,
        past_due: bool = False,
        trace_parent: str | None = None,
    ) -> Invocation:
        """Run a timer function now, as if for `scheduled_at`, after its running one. Raises: HostError."""
        self._find(name, self._of(Trigger.TIMER), "timer function")
        if self._leaving:
            raise HostError(f"{name!r} cannot be fired: its host is leaving")
        return await self._timers[name].fire(scheduled_at, past_due=past_due, trace_parent=trace_parent)

    async def _run_timer(self, timed: Function, payload: str, trace_parent: str | None) -> Invocation:
        return await self._invoke(timed, as_json(payload), trace_parent=trace_parent)

    async def _run_queue(self, delivery: QueueDelivery) -> bool:
        finished = await self._invoke(delivery.function, delivery.body, delivery.metadata)
        return finished.succeeded

    async def _run_http(self, served: Function, request: Data, trace_parent: str | None) -> Data | None:
        return (await self._invoke(served, request, trace_parent=trace_parent)).return_value

    def _run_by_name(self, name: str, given: str) -> bool:
        """Start a function that has no URL; the caller does not wait for it."""
        if name in self._timers:
            self._spawn(self.fire(name))
            return True
        for queued in self._of(Trigger.QUEUE):
            if queued.name == name:
                self._spawn(self._invoke(queued, string(given)))
                return True
        return False

    async def _invoke(
        self,
        invoked: Function,
        data: Data,
        metadata: Mapping[str, Data] | None = None,
        trace_parent: str | None = None,
    ) -> Invocation:
        """Run one invocation to its end, whatever that is, and tell how it failed."""
        if self._leaving:
            await asyncio.get_running_loop().create_future()
        call = self._call(invoked, data, metadata or {}, trace_parent)
        started_at, began = utc_now(), time.perf_counter()
        with self._tracked(call.id) as logs:
            outcome = await self._attempt(invoked, call)
            finished = Invocation(
                id=call.id,
                function=invoked.name,
                trace_parent=call.trace_context.trace_parent,
                started_at=started_at,
                duration=timedelta(seconds=time.perf_counter() - began),
                failure=outcome.failure,
                return_value=outcome.return_value,
                outputs=outcome.outputs,
                logs=tuple(logs),
            )
        self._note(finished)
        if self._churn and invoked.kind is not Trigger.HTTP:
            await self._end_worker()
        return finished

    async def _end_worker(self) -> None:
        """End the worker as the platform does with an instance that has nothing to do."""
        if self._logs or self._leaving:
            return
        number = CHURN_SIGNALS[len(self.churned) % len(CHURN_SIGNALS)]
        self.churned.append(number)
        await self._supervisor.end(number, CHURN_GRACE)

    def _call(
        self, invoked: Function, data: Data, metadata: Mapping[str, Data], trace_parent: str | None
    ) -> Call:
        attributes = {"HostInstanceId": self._id, "ProcessId": str(os.getpid())}
        trace = TraceContext(trace_parent=continued(trace_parent), attributes=attributes)
        return Call(
            id=str(uuid.uuid4()),
            function_id=invoked.id,
            inputs={invoked.trigger.name: data},
            trigger_metadata=metadata,
            trace_context=trace,
        )

    @contextlib.contextmanager
    def _tracked(self, call_id: str) -> Iterator[deque[LogLine]]:
        logs = self._logs[call_id] = deque(maxlen=KEPT_LOGS)
        self._idle.clear()
        try:
            yield logs
        finally:
            del self._logs[call_id]
            if not self._logs:
                self._idle.set()

    async def _attempt(self, invoked: Function, call: Call) -> Outcome:
        try:
            outcome = await self._bounded(invoked, call)
            if outcome.failure is None:
                await self._send_outputs(invoked, outcome)
        except (WorkerLost, HostError, AzureError) as error:
            return Outcome(failure=Failure(message=f"{type(error).__name__}: {error}"))
        return outcome

    async def _bounded(self, invoked: Function, call: Call) -> Outcome:
        worker = await self._supervisor.ready()
        timeout = self._options.function_timeout
        try:
            async with asyncio.timeout(timeout.total_seconds() if timeout else None):
                return await worker.invoke(call)
        except TimeoutError:
            # As Azure does: the function cannot be stopped, so its worker is, with whatever else runs in it.
            await worker.kill()
            message = f"FunctionTimeout: {invoked.name!r} exceeded {timeout}; its worker was ended"
            return Outcome(failure=Failure(message=message))

    async def _send_outputs(self, invoked: Function, outcome: Outcome) -> None:
        for bound in invoked.queue_outputs:
            if bound.name in outcome.outputs:
                await self._queues.send(bound, outcome.outputs[bound.name])

    def _note(self, finished: Invocation) -> None:
        self.invocations.append(finished)
        if finished.failure is not None:
            milliseconds = finished.duration / timedelta(milliseconds=1)
            told = f"'{finished.function}' failed after {milliseconds:.0f} ms (invocation {finished.id})"
            why = without_runtime(finished.failure.stack_trace) or finished.failure.message
            self._tell(f"{told}: {why.rstrip()}")

    def _log(self, line: LogLine) -> None:
        if line.invocation_id in self._logs:
            self._logs[line.invocation_id].append(line)
        if self._is_exported(line):
            self.exported.append(line)
        if line.level >= (logging.WARNING if line.system else logging.INFO):
            level = "" if line.level < logging.WARNING else f"{logging.getLevelName(line.level)} "
            self._tell(level + line.message)

    def _is_exported(self, line: LogLine) -> bool:
        """Return whether Azure's host would export a line to Application Insights, in OpenTelemetry mode.

        What is logged outside of an invocation belongs to no function, and what a function logs is left to
        the worker where that has said that it exports telemetry itself.
        Source: azure-functions-host, OpenTelemetryConfigurationExtensions.cs
        (AddDefaultOpenTelemetryFilters).
        """
        if line.category == CONSOLE:
            return line.level >= self._options.log_level(CONSOLE)
        if line.system or line.invocation_id is None or self._worker_exports:
            return False
        return line.level >= self._options.log_level("Function")

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._tell(f"A part of the host has ended: {type(error).__name__}: {error}")

    async def _cancel_tasks(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    async def close(self) -> None:
        """Leave: running invocations get a short grace, then everything is ended."""
        self._leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self._idle.wait()
        await self._cleanup.aclose()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((ADDRESS, port))
    except OSError as error:
        raise HostError(f"port {port} cannot be had ({error.strerror}): choose another with --port") from None


def without_runtime(stack_trace: str) -> str:
    """Leave out the runtime's own frames, which every traceback of a function begins with."""
    head, *frames = re.split(r"^(?=  File )", stack_trace, flags=re.MULTILINE)
    return head + "".join(frame for frame in frames if RUNTIME_FRAME not in frame.partition("\n")[0])


def continued(trace_parent: str | None) -> str:
    """Give a new span's traceparent: in the given one's trace, or in a trace of its own."""
    found = _TRACE_PARENT.fullmatch(trace_parent or "")
    trace, flags = found.groups() if found else (secrets.token_hex(16), "01")
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"


def listing(served: Sequence[Function], root: str, prefix: str) -> list[str]:
    """Write what is served, much as Core Tools does at start."""
    ordered = sorted(served, key=lambda shown: (shown.kind, shown.name))
    return ["Functions:", *(f"  {shown.name}: {_described(shown, root, prefix)}" for shown in ordered)]


def _described(shown: Function, root: str, prefix: str) -> str:
    details = shown.trigger.details
    match shown.kind:
        case Trigger.TIMER:
            return f"{shown.kind} ({details['schedule']})"
        case Trigger.QUEUE:
            return f"{shown.kind} ({details['queueName']})"
        case Trigger.HTTP:
            named = ",".join(methods(shown)) or "ALL"
            place = root + route(shown, prefix) if root else "not served"
            return f"[{named}] {place} (auth level {shown.auth_level}, open here)"


def tell_terminal(line: str) -> None:
    sys.stdout.write(f"[{utc_now():%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z] {line}\n")
    sys.stdout.flush()


def read_settings(path: Path) -> dict[str, str]:
    """Read app settings from a local.settings.json, or from a plain object of them. Raises: HostError."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HostError(f"{path} is missing: copy local.settings.sample.json to it") from None
    except ValueError as error:
        raise HostError(f"{path} is not JSON: {error}") from None
    values = told.get("Values", told)
    return {str(name): str(value) for name, value in values.items()}


def interruptible(work: Coroutine[Any, Any, None]) -> int:
    """Run `work` until it ends or Ctrl-C or SIGTERM comes, which cancels it once; give the exit code."""

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine that runs has one
        interrupted = False

        def interrupt() -> None:
            nonlocal interrupted
            if not interrupted:
                task.cancel()
            interrupted = True

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
        with contextlib.suppress(asyncio.CancelledError):
            await work

    try:
        asyncio.run(run())
    except HostError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


async def serve(host: Host) -> None:
    async with host:
        await asyncio.get_running_loop().create_future()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m probe.lab.functions.host", description="Serve a function app."
    )
    parser.add_argument("--app", type=Path, default=Path(), help="the app's folder (default: this one)")
    parser.add_argument("--settings", type=Path, help="default: local.settings.json in the app's folder")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="the HTTP port (default: %(default)s)")
    parser.add_argument("--functions", nargs="+", metavar="NAME", help="serve only these")
    parser.add_argument("--schedules", type=Path, metavar="FOLDER", help="keep the timers' statuses here")
    told = parser.parse_args(arguments)
    try:
        settings = read_settings(told.settings or told.app / "local.settings.json")
    except HostError as error:
        parser.error(str(error))
    host = Host(told.app, settings, functions=told.functions, port=told.port, schedule_folder=told.schedules)
    return interruptible(serve(host))


if __name__ == "__main__":
    sys.exit(main())
