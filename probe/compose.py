"""The composition root: settings in, one working ``App`` out; nothing is built at import.

Rules kept here: it alone knows every part; what lives across ticks (tokens, telemetry, the last known
records) lives in the ``App``, what belongs to one tick does not outlive it. Heavy imports happen on build.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from probe import __version__, fleet, lines, settings, status, tick
from probe.adapters import telemetry
from probe.adapters.telemetry import TelemetrySettings, Traces
from probe.core.canary import writer_name
from probe.core.errors import ConfigurationError
from probe.core.report import Result, TickReport
from probe.core.target import Target
from probe.fleet import Message
from probe.ports import ManyVantages, SignOfLife, StateStore, TraceParent
from probe.settings import Settings, StateSettings
from probe.status import Health, Memory, Page
from probe.tick import Firing, World

if TYPE_CHECKING:
    from probe.adapters.credentials import Tokens
    from probe.adapters.storage import CanaryWriter

log = logging.getLogger("probe")
ticks = logging.getLogger("probe.ticks")
"""Each tick's lines; a logger of its own, since a command that shows its tick need not log it as well."""


HEALTH_KEPT = timedelta(seconds=5)
"""How long a health is answered again: anybody may ask for it, and each look decodes all the state."""


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class App:
    """The probe as one process runs it."""

    settings: Settings
    world: World
    tokens: "Tokens"
    writer: "CanaryWriter"
    sending: telemetry.ProcessTelemetry | None = None
    shards: Sequence[Sequence[Target]] = field(init=False)
    memory: Memory = field(init=False)
    running: set[int] = field(init=False, default_factory=set)
    """The shards whose tick is under way in this process."""
    _health: tuple[datetime, Health] | None = field(init=False, default=None)
    _looking: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.memory = Memory(ticks=self.world.last_known)
        self.shards = fleet.shards(self.settings.targets, self.settings.shard_size)

    async def fire(self, firing: Firing) -> TickReport:
        """Run one tick of a shard and log its line; one at a time, or what is slow would become slower."""
        if firing.shard in self.running:
            return await self._skipped(firing, "the tick before it is still running in this process")
        self.running.add(firing.shard)
        try:
            report = await tick.run(self.world, self.shards[firing.shard], firing)
        finally:
            self.running.discard(firing.shard)
        self._health = None
        for level, line in lines.tick(report, self.unsaved_since(firing.shard)):
            ticks.log(level, line)
        return report

    def unsaved_since(self, shard: int) -> datetime | None:
        """Return since when no tick of a shard could be saved, as this process knows it."""
        known = self.world.last_known.get(shard)
        return known.unsaved_since if known else None

    async def timer(self, *, past_due: bool, parent: TraceParent | None) -> list[str]:
        """Run the only shard, or return the messages that make others run theirs."""
        scheduled_at = self.scheduled_at()
        if len(self.shards) == 1:
            await self.fire(Firing(scheduled_at=scheduled_at, past_due=past_due, parent=parent))
            return []
        count = len(self.shards)
        return [
            fleet.encode(Message(shard=each, shards=count, scheduled_at=scheduled_at, past_due=past_due))
            for each in range(count)
        ]

    async def shard(self, text: str, *, parent: TraceParent | None) -> None:
        """Run the shard that a queue message names, or drop it and count that."""
        message = fleet.decode(text)
        why = fleet.dropped(
            message, now=self.world.clock(), interval=self.settings.interval, shards=len(self.shards)
        )
        firing = Firing(
            scheduled_at=message.scheduled_at, shard=message.shard, past_due=message.past_due, parent=parent
        )
        if why is None:
            await self.fire(firing)
        else:
            await self._skipped(firing, why)

    async def _skipped(self, firing: Firing, why: str) -> TickReport:
        """Count a tick that is not run."""
        log.warning("the tick of shard %d at %s was skipped: %s", firing.shard, firing.scheduled_at, why)
        report = TickReport(
            scheduled_at=firing.scheduled_at,
            started_at=self.world.clock(),
            duration=timedelta(0),
            past_due=firing.past_due,
            vantage=self.settings.vantage,
            shard=firing.shard,
            result=Result.SKIPPED,
            reason=why,
        )
        self.world.telemetry.emit(report, firing.parent)
        await self.world.telemetry.flush()
        return report

    def scheduled_at(self) -> datetime:
        """Return the schedule's time that a timer firing now stands for; it may fire up to 1 s early."""
        tolerance = min(timedelta(seconds=1), self.settings.interval / 2)
        return settings.scheduled_before(self.settings.schedule, self.world.clock(), tolerance)

    async def status(self, vantage: str | None = None) -> dict[str, Any]:
        """Return the status document from the saved state of all shards, of this vantage or another."""
        store, page, memory = self.world.store, self._page(), self.memory
        if vantage is not None and vantage != page.vantage:
            store, memory = _store(self.settings.state, vantage, self.tokens), Memory()
            page = replace(page, vantage=vantage)
        return await status.document(store, page, memory, self.world.clock())

    async def shown(self, target: str | None) -> dict[str, Any]:
        """Return the status as a page needs it: a target whole, or of a fleet what its headlines need."""
        page, now = self._page(), self.world.clock()
        if target is None and sum(map(len, self.shards)) > 1:
            return await status.overview(self.world.store, page, self.memory, now)
        return await status.document(self.world.store, page, self.memory, now, only=target)

    async def vantages(self) -> list[str]:
        """Return the vantages that have saved state beside this one's; none where a store has only one."""
        store = self.world.store
        return await store.vantages() if isinstance(store, ManyVantages) else []

    async def health(self) -> Health:
        """Return whether ticks of every shard run, as far as this process can know.

        However often it is asked, the state is looked at once in ``HEALTH_KEPT``, and after each tick.
        """
        async with self._looking:
            now = self.world.clock()
            if self._health is None or not timedelta(0) <= now - self._health[0] < HEALTH_KEPT:
                found = await status.health(self.world.store, self._page(), self.memory, now)
                self._health = (now, found)
            return self._health[1]

    def _page(self) -> Page:
        return Page(
            shards=self.shards,
            vantage=self.settings.vantage,
            interval=self.settings.interval,
            budget=self.settings.tick_budget,
        )

    async def aclose(self) -> None:
        """Send what is buffered, and end what lives across ticks; for the process's own end."""
        await self.world.telemetry.flush()
        if self.sending:
            await asyncio.to_thread(self.sending.close)
        await self.tokens.aclose()


def load(environment: Mapping[str, str]) -> Settings:
    """Return the settings. Raises ``ConfigurationError`` with every problem, telemetry's among them."""
    sending = TelemetrySettings(
        connection_string=environment.get("APPLICATIONINSIGHTS_CONNECTION_STRING"),
        authentication_string=environment.get("APPLICATIONINSIGHTS_AUTHENTICATION_STRING"),
    )
    problems = telemetry.problems(sending)
    try:
        found = settings.load(environment)
    except ConfigurationError as error:
        raise ConfigurationError((*error.problems, *problems)) from None
    if problems:
        raise ConfigurationError(problems)
    return found


def build(environment: Mapping[str, str], *, debug: bool = False, writer: str | None = None) -> App:
    """Return the app that the settings describe. Raises ``ConfigurationError`` with every problem.

    ``writer`` is the name that canaries are stamped with: the vantage's, if no other. Who writes beside a
    deployed probe needs a name of its own, or its stamps pass for the probe's.
    """
    found = load(environment)
    for line in found.warnings:
        log.warning(line)
    from probe.adapters.credentials import Tokens  # noqa: PLC0415 - cold start: settings are told first
    from probe.adapters.endpoint import Endpoints  # noqa: PLC0415
    from probe.adapters.storage import CanaryWriter, read_body  # noqa: PLC0415

    tokens = Tokens(clock=utc_now)
    body = read_body(found.canary_file) if found.canary_file else read_body()
    canaries = CanaryWriter(body=body, writer=writer or found.vantage, tokens=tokens, clock=utc_now)
    sending = telemetry.build(_telemetry(found, environment, debug=debug))
    world = World(
        endpoints=Endpoints(connections=found.connections, tokens=tokens, canaries=canaries, clock=utc_now),
        store=_store(found.state, found.vantage, tokens),
        telemetry=sending,
        clock=utc_now,
        vantage=found.vantage,
        writer=writer_name(writer or found.vantage),
        alive=_sign_of_life(found, environment),
        store_is_remote=found.state.connection is not None,
        budget=found.tick_budget,
    )
    return App(settings=found, world=world, tokens=tokens, writer=canaries, sending=sending)


def _sign_of_life(found: Settings, environment: Mapping[str, str]) -> SignOfLife:
    """Return who says whether there is a network: what this probe uses anyway, and the sign-in service."""
    from probe.adapters import life  # noqa: PLC0415 - cold start

    pairs = (each.partition("=") for each in (found.connection_string or "").split(";"))
    ingestion = {name.strip().lower(): value.strip() for name, _, value in pairs}.get("ingestionendpoint")
    store = found.state.connection.primary if found.state.connection else None
    hosts = life.places(
        (store, ingestion, found.otlp_endpoint),
        authority=environment.get("AZURE_AUTHORITY_HOST"),
        targets=found.targets,
    )
    # A store that is remote is part of the network that may be at fault.
    return life.Life(hosts, here=store is None and life.is_here(found.targets))


def _store(found: StateSettings, vantage: str, tokens: "Tokens") -> StateStore:
    from probe.adapters import state, state_blob  # noqa: PLC0415 - cold start

    if found.connection:
        return state_blob.BlobStateStore(
            connection=found.connection, container=found.container, prefix=vantage, tokens=tokens
        )
    return state.FileStateStore(found.path) if found.path else state.MemoryStateStore()


def _telemetry(found: Settings, environment: Mapping[str, str], *, debug: bool) -> TelemetrySettings:
    return TelemetrySettings(
        connection_string=found.connection_string,
        authentication_string=found.authentication_string,
        otlp=found.otlp_endpoint is not None,
        traces=Traces(found.traces),
        flush_seconds=found.flush.total_seconds(),
        vantage=found.vantage,
        region=environment.get("REGION_NAME"),
        service_name=environment.get("WEBSITE_SITE_NAME") or "probe",
        service_version=__version__,
        faas_name=environment.get("WEBSITE_SITE_NAME"),
        faas_instance=instance(environment),
        debug=debug,
    )


def instance(environment: Mapping[str, str]) -> str:
    """Return the name of the instance that this process runs on; on Flex Consumption it is the pod's.

    Source: opentelemetry-dotnet-contrib, OpenTelemetry.Resources.Azure: `faas.instance`, in this order.
    """
    names = ("WEBSITE_INSTANCE_ID", "WEBSITE_POD_NAME", "CONTAINER_NAME", "HOSTNAME")
    return next(filter(None, map(environment.get, names)), socket.gethostname())


@cache
def app() -> App:
    """Return this process's app, built from its environment on first use and kept after that.

    A failure is not kept: the next call tries again, and tells again.
    """
    return build(os.environ)


def binding(name: str) -> str:
    """Return what a trigger is bound to: a setting's value, or its default where it is not set.

    The host would resolve ``%NAME%`` as well, but would not start when the setting is missing.
    """
    return os.environ.get(name, "").strip() or str(settings.FIELDS[name][1].default)


def monitored() -> bool:
    """Return whether the host shall persist the timer's state; it may only for intervals of a minute or more.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#attributes
    """
    try:
        return settings.interval(binding("PROBE_SCHEDULE")) >= timedelta(minutes=1)
    except ValueError:
        return False


def parent(context: Any) -> TraceParent | None:  # noqa: ANN401 - azure.functions.Context, not imported here
    """Return the trace context of an invocation, where the host gave one."""
    found = getattr(context, "trace_context", None)
    if not found or not found.trace_parent:
        return None
    return TraceParent(traceparent=found.trace_parent, tracestate=found.trace_state or "")
