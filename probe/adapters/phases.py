"""The stopwatch of one attempt: when each phase began and ended, as aiohttp's hooks and TLS report it.

Rules kept here: a phase that did not happen or did not end is ``None``, never 0; the phase in progress is
always known, so that a deadline can say what it cut off. aiohttp has no hook between TCP and TLS, so the
handshake is timed where asyncio starts it, on the ``SSLObject``.
"""

import functools
import ssl
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import aiohttp

from probe.core.reading import Phases


class Phase(StrEnum):
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TTFB = "ttfb"
    TRANSFER = "transfer"


class Stopwatch:
    """Times one attempt, from its making on; ``reused`` says that no connection was opened.

    The first phase begins with the attempt and each other one where the last ended, so that the phases of an
    attempt add up to its duration.
    """

    __slots__ = ("_began", "_spent", "phase", "reused", "started")

    def __init__(self) -> None:
        self.started = self._began = time.perf_counter()
        self.phase: Phase | None = None
        self.reused = False
        self._spent: dict[str, timedelta] = {}

    def begin(self, phase: Phase | None) -> None:
        """End the phase in progress, if there is one, and begin this one; ``None`` ends the attempt."""
        if self.phase is not None:
            now = time.perf_counter()
            self._spent[self.phase.value] = timedelta(seconds=now - self._began)
            self._began = now
        self.phase = phase

    def insert(self, phase: Phase) -> None:
        """Begin this phase in the place of the one in progress, which has not really begun."""
        self.phase, self._began = phase, time.perf_counter()

    def elapsed(self) -> timedelta:
        """Return how long the attempt took: the sum of its phases to the microsecond, if it has ended."""
        if self._spent and self.phase is None:
            return sum(self._spent.values(), timedelta(0))
        return timedelta(seconds=time.perf_counter() - self.started)

    def phases(self) -> Phases:
        """Return the phases that ended."""
        return Phases(**self._spent)


timing: ContextVar[Stopwatch | None] = ContextVar("timing", default=None)
"""The stopwatch of the attempt that the current task makes; asyncio carries it into the TLS callbacks."""


class _TimedHandshake(ssl.SSLObject):
    def do_handshake(self) -> None:
        """Tell the stopwatch that TCP is connected and TLS begins; called again for each flight."""
        watch = timing.get()
        if watch is not None and watch.phase is Phase.CONNECT:
            watch.begin(Phase.TLS)
        super().do_handshake()


def timed(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have this context's handshakes tell the stopwatch."""
    context.sslobject_class = _TimedHandshake
    return context


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return the process's one TLS context; making it costs 20 ms. It honours ``SSL_CERT_FILE``."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return timed(context)


def _enters(phase: Phase) -> Callable[[aiohttp.ClientSession, SimpleNamespace, Any], Awaitable[None]]:
    async def hook(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.begin(phase)

    return hook


async def _looks_up(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.insert(Phase.DNS)


async def _reused(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.reused = True
    context.trace_request_ctx.begin(Phase.TTFB)


@functools.cache
def trace_config() -> aiohttp.TraceConfig:
    """Return the process's one set of hooks that time a request whose ``trace_request_ctx`` is its stopwatch.

    A numeric host is not looked up and begins with ``connect``.
    """
    hooks = aiohttp.TraceConfig()
    hooks.on_connection_create_start.append(_enters(Phase.CONNECT))
    hooks.on_dns_resolvehost_start.append(_looks_up)
    hooks.on_dns_resolvehost_end.append(_enters(Phase.CONNECT))
    hooks.on_connection_create_end.append(_enters(Phase.TTFB))
    hooks.on_connection_reuseconn.append(_reused)
    return hooks
