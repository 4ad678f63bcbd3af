"""The settings that there are: each with its type, bounds, default and meaning; and what they become.

A field's description is the text of the README's table and of the remedies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from probe.core.connection import Connection
from probe.core.redaction import is_secret
from probe.core.target import Forced, Location, Maintenance, Policy, Target

PROBED = "ProbedStorage"
"""The connection of the single target."""

Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
SecondsOrZero = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1000)]
ContainerName = Annotated[
    str, StringConstraints(min_length=3, max_length=63, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
]


def _without_dots(name: str) -> str:
    """Refuse path segments that a client resolves on the way, so that another blob would be asked for."""
    if {".", ".."} & set(name.split("/")):
        raise ValueError("has a segment . or .., which no request keeps")
    return name


def _no_secret(name: str) -> str:
    """Refuse what was pasted into the wrong setting: a name is shown, and forty random letters are none."""
    if is_secret(name, shortest=40):
        raise ValueError("looks like a key or a signature, and would be shown")
    return name


def _in_utc(when: datetime) -> datetime:
    try:
        return when.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no time that can be told in UTC") from None


LONGEST_MAINTENANCE = timedelta(days=7)
"""A longer window would be forgotten, and the target with it."""


def _window(text: str) -> str:
    """Refuse what is no stretch of time ``begin/end``, each with its zone, of at most seven days."""
    found = window(text)
    if not timedelta(0) < found.until - found.since <= LONGEST_MAINTENANCE:
        raise ValueError("must end after it begins, and within seven days")
    return text


def window(text: str) -> Maintenance:
    """Return the window that ``begin/end`` stands for. Raises ``ValueError`` where it stands for none."""
    since, slash, until = text.partition("/")
    if not slash:
        raise ValueError("is no begin/end")
    ends = [datetime.fromisoformat(each.strip()) for each in (since, until)]
    if not all(each.tzinfo for each in ends):
        raise ValueError("has a time without its zone; end UTC times with Z")
    return Maintenance(since=_in_utc(ends[0]), until=_in_utc(ends[1]))


BlobName = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f?#\\]{1,1024}$"),
    AfterValidator(_without_dots),
    AfterValidator(_no_secret),
]
Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"), AfterValidator(_no_secret)
]
PageUrl = Annotated[str, StringConstraints(pattern=r"^https://[^\s#]+$"), AfterValidator(_no_secret)]


class Rules(BaseModel):
    """What can be set for all targets (``PROBE_…``) and for one (the same name, lower case)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    container: ContainerName = Field("health-probe", description="the canary's container")
    blob: BlobName = Field("HelloWorld.png", description="the canary's name")
    write: bool = Field(
        default=True,
        description="`false`: probe a blob that is there already, read-only; no lag by canary",
    )
    reads: Count = Field(5, description="reads through the breaker in a tick")
    attempts: Annotated[int, Field(ge=1, le=10)] = Field(
        2, description="attempts at one location within one read; none follows a slow one"
    )
    retry_delay: SecondsOrZero = Field(0.2, description="seconds before the second attempt; grows linearly")
    connect_timeout: Seconds = Field(2, description="seconds for TCP and TLS of one attempt")
    deadline: Seconds = Field(5, description="seconds for one attempt, all in all")
    slow_after: Seconds = Field(2, description="seconds after which an attempt counts as slow")
    failure_threshold: Count = Field(5, description="consecutive failed primary attempts that trip it")
    failure_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = Field(
        0.5, description="share of bad primary attempts that trips it"
    )
    window: Count = Field(20, description="primary attempts that the rate looks back on")
    minimum_samples: Count = Field(10, description="primary attempts before the rate counts")
    secondary_reads: Count = Field(20, description="reads from the secondary before it is half-open")
    cooldown: SecondsOrZero = Field(0, description="seconds open before it is half-open; `0`: off")
    success_threshold: Count = Field(3, description="good trials in a row that close it")
    force: Location | None = Field(None, description="`primary` or `secondary`: reads go there")
    force_until: Annotated[AwareDatetime, AfterValidator(_in_utc)] | None = Field(
        None, description="when forcing ends, UTC, for example `2026-01-31T18:00:00Z`; required with it"
    )
    maintenance: Annotated[str, AfterValidator(_window)] | None = Field(
        None,
        description="a declared window, UTC, for example `2026-01-31T18:00Z/2026-01-31T20:00Z`, of at most "
        "7 days: what goes wrong in it is measured and shown, and pages nobody",
    )
    rpo: Seconds = Field(900, description="seconds that the secondary may be behind")
    lag_look: SecondsOrZero = Field(
        0, description="seconds after the write to look at the secondary a second time; `0`: not"
    )

    def policy(self) -> Policy:
        """Return the policy; a default that another setting undercuts follows it down."""
        forced = None
        if self.force and self.force_until:
            forced = Forced(location=self.force, until=self.force_until)
        return Policy(
            reads=self.reads,
            attempts=self.attempts,
            retry_delay=timedelta(seconds=self.retry_delay),
            connect_timeout=timedelta(seconds=min(self.connect_timeout, self.deadline)),
            deadline=timedelta(seconds=self.deadline),
            slow_after=timedelta(seconds=min(self.slow_after, self.deadline)),
            failure_threshold=self.failure_threshold,
            failure_rate=self.failure_rate,
            window=self.window,
            minimum_samples=min(self.minimum_samples, self.window),
            secondary_reads=self.secondary_reads,
            cooldown=timedelta(seconds=self.cooldown),
            success_threshold=self.success_threshold,
            rpo=timedelta(seconds=self.rpo),
            lag_look=timedelta(seconds=self.lag_look),
            forced=forced,
            maintenance=window(self.maintenance) if self.maintenance else None,
        )


class Environment(Rules):
    """Every setting of ours; ``setting_name`` returns the app setting's name of a field."""

    schedule: str = Field("0 * * * * *", description="NCRONTAB of the timer, UTC")
    targets: str | None = Field(
        None,
        description="a JSON array, or the path of a `.json` file, of `{name, connection}` or "
        "`{name, primary, secondary?}`, plus any per-target setting in lower case; takes the place of "
        "`ProbedStorage`",
    )
    canary_file: str | None = Field(
        None, description="a file to write as canary, up to 1 MiB; else our picture"
    )
    tick_budget: Seconds = Field(45, description="seconds for a tick; less than the schedule's interval")
    state: str = Field(
        "AzureWebJobsStorage", description="where state is kept: a connection's name, `file:PATH` or `memory`"
    )
    state_container: ContainerName = Field("probe-state", description="the container of the state")
    shard_size: Annotated[int, Field(ge=1, le=500)] = Field(100, description="targets in one shard")
    queue: ContainerName = Field("probe-shards", description="the queue that carries shards")
    vantage: Name | None = Field(None, description="run location; else `REGION_NAME`, else `local`")
    traces: Literal["off", "failures", "all"] = Field("failures", description="which attempts become spans")
    flush: Seconds = Field(2, description="seconds that sending telemetry may add to a tick")
    runbook_url: (
        Annotated[str, StringConstraints(pattern=r"^https://[^\s#]+$"), AfterValidator(_no_secret)] | None
    ) = Field(None, description="where the runbook is, for the links of the status page: an https address")


class Entry(Rules):
    """One of ``PROBE_TARGETS``: a name, where it is, and rules of its own."""

    name: Name
    connection: str | None = None
    primary: str | None = None
    secondary: str | None = None


def setting_name(field_name: str) -> str:
    """Return the app setting's name of a field."""
    return "PROBE_WRITE_CANARY" if field_name == "write" else f"PROBE_{field_name.upper()}"


FIELDS = {setting_name(name): (name, info) for name, info in Environment.model_fields.items()}
PER_TARGET = tuple(Rules.model_fields)
ENTRY = ("name", "connection", "primary", "secondary", *PER_TARGET)
"""The keys of one of ``PROBE_TARGETS``."""
FOREIGN = (
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
"""Standard settings that we read too, under the names that they have everywhere."""
SECRET = (PROBED, "APPLICATIONINSIGHTS_CONNECTION_STRING")
"""Settings whose value is never printed; no other's is, where it looks like a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSettings:
    """Where state is kept: exactly one of the three is set (``memory`` when neither of the others)."""

    connection: Connection | None = None
    path: Path | None = None
    container: str = "probe-state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, valid and related; ``interval`` is the shortest time between two ticks of the schedule.

    ``connections`` has one for each target's name. ``warnings`` are lines that do not stop the probe.
    """

    schedule: str
    interval: timedelta
    targets: tuple[Target, ...]
    connections: Mapping[str, Connection] = field(repr=False)
    canary_file: Path | None
    tick_budget: timedelta
    state: StateSettings
    shard_size: int
    queue: str
    vantage: str
    traces: str
    flush: timedelta
    runbook_url: str | None
    connection_string: str | None = field(repr=False)
    authentication_string: str | None
    otlp_endpoint: str | None
    warnings: tuple[str, ...] = ()
