"""Settings: a mapping of app settings in, one ``Settings`` value out, or every problem at once.

Rules kept here: the mapping is all that is looked at (and a ``.json`` file that ``PROBE_TARGETS`` names);
each problem says the setting's name, what it holds and the remedy; what may hold a secret is never printed;
an empty setting counts as unset. Pydantic parses and validates single values, this module relates them.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from croniter import CroniterError, croniter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from probe.connections import LOOPBACK, derived_secondary, resolve, service_url
from probe.core.connection import Connection, Entra
from probe.core.errors import ConfigurationError
from probe.core.target import Forced, Location, Policy, Target

PROBED = "ProbedStorage"
_NCRONTAB = re.compile(r"[0-9A-Za-z*,/-]+( +[0-9A-Za-z*,/-]+){4,5}")
_HASHED = re.compile(r"\b[hrlw]\b", re.IGNORECASE)

Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
SecondsOrZero = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1000)]
ContainerName = Annotated[
    str, StringConstraints(min_length=3, max_length=63, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
]
BlobName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f?#\\]{1,1024}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class _Rules(BaseModel):
    """What can be set for all targets (``PROBE_…``) and for one (the same name, lower case)."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)

    container: ContainerName = Field("health-probe", description="the canary's container")
    blob: BlobName = Field("HelloWorld.png", description="the canary's name")
    write: bool = Field(
        default=True,
        alias="PROBE_WRITE_CANARY",
        description="`false`: probe a blob that is there already, read-only; no lag by canary",
    )
    reads: Count = Field(5, description="reads through the breaker in a tick")
    attempts: Annotated[int, Field(ge=1, le=10)] = Field(
        2, description="attempts at one location within one read"
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
    force_until: AwareDatetime | None = Field(
        None, description="when forcing ends, UTC, for example `2026-01-31T18:00:00Z`; required with it"
    )
    rpo: Seconds = Field(900, description="seconds that the secondary may be behind")


class _Environment(_Rules):
    """Every setting of ours; the field's alias is the app setting's name."""

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


def setting_name(field_name: str) -> str:
    """Answer the app setting's name of a field."""
    return "PROBE_WRITE_CANARY" if field_name == "write" else f"PROBE_{field_name.upper()}"


FIELDS = {setting_name(name): (name, info) for name, info in _Environment.model_fields.items()}
PER_TARGET = tuple(_Rules.model_fields)
FOREIGN = (
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
"""Standard settings that we read too, under the names that they have everywhere."""
SECRET = (PROBED, "APPLICATIONINSIGHTS_CONNECTION_STRING")
"""Settings whose value is never printed."""


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
    connection_string: str | None = field(repr=False)
    authentication_string: str | None
    otlp_endpoint: str | None
    warnings: tuple[str, ...] = ()


class _Problems:
    """Collects problems; ``bad`` are the settings whose own value is wrong, which no other check looks at."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bad: set[str] = set()

    def add(self, name: str, problem: str, remedy: str) -> None:
        self.bad.add(name)
        self.lines.append(f"{name}: {problem}. {remedy}")

    def validation(self, error: ValidationError, prefix: str = "") -> None:
        for each in error.errors(include_url=False):
            name = str(each["loc"][0]) if each["loc"] else ""
            if prefix:
                known = ", ".join(("name", "connection", "primary", "secondary", *PER_TARGET))
                remedy = f"Known are {known}." if each["type"] == "extra_forbidden" else _remedy(name)
                self.add(f"{prefix}.{name}", f"holds {_shown(each['input'])}: {_said(each['msg'])}", remedy)
            else:
                setting = name if name in FIELDS else setting_name(name)
                self.add(setting, f"holds {_shown(each['input'])}: {_said(each['msg'])}", _remedy(setting))


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"  # noqa: PLR2004 - a terminal line


def _said(message: str) -> str:
    return message[:1].lower() + message[1:]


def _remedy(name: str) -> str:
    _, info = FIELDS.get(name) or FIELDS.get(setting_name(name)) or (name, None)
    if info is None:
        return (
            "Use letters, digits, dots, underscores and dashes, 63 at most." if name == "name" else "Mend it."
        )
    default = "unset" if info.default is None else f"default {_shown(info.default)}"
    return f"It means: {info.description} ({default})."


def load(environment: Mapping[str, str]) -> Settings:
    """Answer the settings that a mapping holds. Raises ``ConfigurationError`` with every problem."""
    found = {name: value for name, value in environment.items() if value.strip()}
    problems = _Problems()
    own = _environment(found, problems)
    shortest = _interval(own, problems)
    _relate(own, shortest, problems)
    rules = own.model_dump(include=set(PER_TARGET) & own.model_fields_set)
    targets, connections = _targets(own, rules, found, problems)
    state = _state(own, found, problems)
    _keep_apart(state, connections, problems)
    if problems.lines:
        raise ConfigurationError(tuple(problems.lines))
    return Settings(
        schedule=own.schedule,
        interval=shortest,
        targets=targets,
        connections=connections,
        canary_file=Path(own.canary_file) if own.canary_file else None,
        tick_budget=timedelta(seconds=own.tick_budget),
        state=state,
        shard_size=own.shard_size,
        queue=own.queue,
        vantage=own.vantage or _vantage(found),
        traces=own.traces,
        flush=timedelta(seconds=own.flush),
        connection_string=found.get("APPLICATIONINSIGHTS_CONNECTION_STRING"),
        authentication_string=found.get("APPLICATIONINSIGHTS_AUTHENTICATION_STRING"),
        otlp_endpoint=found.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
        warnings=_warnings(own, targets, found),
    )


def _environment(found: Mapping[str, str], problems: _Problems) -> _Environment:
    """Answer the parsed settings; those that are wrong are told, and stand at their defaults meanwhile."""
    values = {name: found[setting] for setting, (name, _) in FIELDS.items() if setting in found}
    try:
        return _Environment.model_validate(values)
    except ValidationError as error:
        problems.validation(error)
        good = {name: value for name, value in values.items() if setting_name(name) not in problems.bad}
        return _Environment.model_validate(good)


def _vantage(found: Mapping[str, str]) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "", found.get("REGION_NAME", "").lower())[:63] or "local"


def occurrences(schedule: str, start: datetime) -> croniter:
    """Answer an iterator over a schedule's times. Raises ``ValueError`` for one that is no NCRONTAB.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
    """
    if not _NCRONTAB.fullmatch(schedule.strip()) or _HASHED.search(schedule):
        raise ValueError("not five or six fields of numbers, names, * , - and /")
    try:
        return croniter(schedule.strip(), start, second_at_beginning=True)
    except (CroniterError, ValueError, KeyError) as error:
        raise ValueError(str(error)) from error


def scheduled_before(schedule: str, now: datetime, tolerance: timedelta) -> datetime:
    """Answer the schedule's last time at or before ``now``; a timer may fire early by the tolerance."""
    found: datetime = occurrences(schedule, now + tolerance + timedelta(microseconds=1)).get_prev(datetime)
    return found.astimezone(UTC)


def interval(schedule: str) -> timedelta:
    """Answer the shortest time between two of a schedule's next 200 times. Raises ``ValueError``."""
    times = occurrences(schedule, datetime(2026, 1, 1, tzinfo=UTC))
    try:
        found: list[datetime] = [times.get_next(datetime) for _ in range(200)]
    except CroniterError as error:
        raise ValueError(str(error)) from error
    return min(later - earlier for earlier, later in pairwise(found))


def _interval(own: _Environment, problems: _Problems) -> timedelta:
    try:
        return interval(own.schedule)
    except ValueError as error:
        remedy = "Give six fields: second minute hour day month weekday; `0 * * * * *` is each minute."
        problems.add("PROBE_SCHEDULE", f"holds {_shown(own.schedule)}: {error}", remedy)
        return timedelta(days=1)


def _relate(own: _Environment, shortest: timedelta, problems: _Problems) -> None:
    seconds = shortest.total_seconds()
    if "PROBE_TICK_BUDGET" not in problems.bad and own.tick_budget >= seconds:
        remedy = f"Set it below {seconds:g}, or let PROBE_SCHEDULE fire less often."
        problem = f"holds {own.tick_budget:g}, but the schedule {own.schedule!r} fires every {seconds:g} s"
        problems.add("PROBE_TICK_BUDGET", problem, remedy)
    if not {"PROBE_TICK_BUDGET", "PROBE_DEADLINE"} & problems.bad and own.deadline > own.tick_budget:
        problem = f"holds {own.deadline:g}, more than PROBE_TICK_BUDGET ({own.tick_budget:g})"
        problems.add("PROBE_DEADLINE", problem, "No attempt could ever end; set it lower.")
    _relate_rules(own, problems, setting_name)


def _relate_rules(rules: _Rules, problems: _Problems, name: Callable[[str], str]) -> None:
    """Check the values of one target's rules against each other; unset ones follow (see ``_policy``)."""
    pairs = (
        ("connect_timeout", "deadline", "An attempt ends at its deadline; set it lower."),
        ("slow_after", "deadline", "Slower attempts have timed out; set it lower."),
        ("minimum_samples", "window", "The rate would never count; set it lower."),
    )
    for small, large, remedy in pairs:
        low, high = getattr(rules, small), getattr(rules, large)
        if small in rules.model_fields_set and low > high and not {name(small), name(large)} & problems.bad:
            problems.add(name(small), f"holds {low:g}, more than {name(large)} ({high:g})", remedy)
    if {name("force"), name("force_until")} & problems.bad:
        return
    if rules.force and not rules.force_until:
        remedy = "Set it to the UTC time at which forcing ends, for example 2026-01-31T18:00:00Z."
        problems.add(name("force_until"), f"is not set, but {name('force')} is", remedy)
    if rules.force_until and not rules.force:
        problems.add(
            name("force"), f"is not set, but {name('force_until')} is", "Set it to primary or secondary."
        )


def _targets(
    own: _Environment, rules: dict[str, Any], found: Mapping[str, str], problems: _Problems
) -> tuple[tuple[Target, ...], dict[str, Connection]]:
    if "PROBE_TARGETS" not in found:
        connection = resolve(found, PROBED, problems.add)
        if connection is None:
            return (), {}
        target = _target(_account(connection.primary), connection, own)
        return (target,), {target.name: connection}
    targets: list[Target] = []
    connections: dict[str, Connection] = {}
    for index, entry in enumerate(_entries(own.targets or "", problems)):
        label = f"PROBE_TARGETS[{index}]"
        built = _entry(label, entry, rules, found, problems)
        if built and built[0].name in connections:
            problems.add(f"{label}.name", f"holds {_shown(built[0].name)} again", "Names are used once.")
        elif built:
            targets.append(built[0])
            connections[built[0].name] = built[1]
    return tuple(targets), connections


def _entries(text: str, problems: _Problems) -> list[dict[str, Any]]:
    remedy = (
        'Give an array such as [{"name": "a", "connection": "StorageA"}], or the path of a .json file of it.'
    )
    if not text.lstrip().startswith("["):
        try:
            text = Path(text.strip()).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            problems.add("PROBE_TARGETS", f"holds {_shown(text)}, which cannot be read: {error}", remedy)
            return []
    try:
        entries = json.loads(text)
    except ValueError as error:
        problems.add("PROBE_TARGETS", f"is not JSON: {error}", remedy)
        return []
    if not isinstance(entries, list) or not entries or not all(isinstance(each, dict) for each in entries):
        problems.add("PROBE_TARGETS", "is not an array of objects with at least one", remedy)
        return []
    return entries


class _Entry(_Rules):
    name: Name
    connection: str | None = None
    primary: str | None = None
    secondary: str | None = None


def _entry(
    label: str, entry: dict[str, Any], rules: dict[str, Any], found: Mapping[str, str], problems: _Problems
) -> tuple[Target, Connection] | None:
    try:
        value = _Entry.model_validate({**rules, **entry})
    except ValidationError as error:
        problems.validation(error, prefix=label)
        return None
    overridden = set(entry) & set(PER_TARGET)
    if overridden:
        _relate_rules(value, problems, lambda name: f"{label}.{name}")
    connection = _entry_connection(label, value, found, problems)
    return (_target(value.name, connection, value), connection) if connection else None


def _entry_connection(
    label: str, entry: _Entry, found: Mapping[str, str], problems: _Problems
) -> Connection | None:
    if bool(entry.connection) == bool(entry.primary):
        remedy = "Give the name of a connection's settings, or the primary blob endpoint (and the secondary)."
        problems.add(label, "needs either `connection` or `primary`", remedy)
        return None
    if entry.connection:
        return resolve(found, entry.connection, problems.add)
    primary = service_url(f"{label}.primary", entry.primary or "", problems.add, identity=True)
    secondary = entry.secondary and service_url(
        f"{label}.secondary", entry.secondary, problems.add, identity=True
    )
    if primary is None or (entry.secondary and secondary is None):
        return None
    return Connection(
        primary=primary, secondary=secondary or derived_secondary(primary), authorization=Entra()
    )


def _target(name: str, connection: Connection, rules: _Rules) -> Target:
    return Target(
        name=name,
        primary=connection.primary,
        secondary=connection.secondary,
        container=rules.container,
        blob=rules.blob,
        write=rules.write,
        policy=_policy(rules),
    )


def _policy(rules: _Rules) -> Policy:
    """Answer the policy; a default that another setting undercuts follows it down."""
    rules = rules.model_copy(
        update={
            "connect_timeout": min(rules.connect_timeout, rules.deadline),
            "slow_after": min(rules.slow_after, rules.deadline),
            "minimum_samples": min(rules.minimum_samples, rules.window),
        }
    )
    forced = None
    if rules.force and rules.force_until:
        forced = Forced(location=rules.force, until=rules.force_until.astimezone(UTC))
    values: dict[str, Any] = {"forced": forced}
    for each in fields(Policy):
        if each.name == "forced":
            continue
        value = getattr(rules, each.name)
        values[each.name] = timedelta(seconds=value) if isinstance(each.default, timedelta) else value
    return Policy(**values)


def _account(url: str) -> str:
    parts = urlsplit(url)
    path = parts.path.strip("/")
    return path.split("/")[0] if path else (parts.hostname or "").split(".")[0]


def _state(own: _Environment, found: Mapping[str, str], problems: _Problems) -> StateSettings:
    if own.state == "memory":
        return StateSettings(container=own.state_container)
    if own.state.startswith("file:"):
        path = own.state.removeprefix("file:")
        if not path:
            problems.add("PROBE_STATE", "names no file", "Give a path: file:probe-state.json.")
        return StateSettings(path=Path(path), container=own.state_container)

    def complain(name: str, problem: str, remedy: str) -> None:
        again = f"It keeps the state; PROBE_STATE can be `file:PATH` or `memory` instead. {remedy}"
        problems.add(name, problem, again)

    connection = resolve(found, own.state, complain)
    return StateSettings(connection=connection, container=own.state_container)


def _keep_apart(state: StateSettings, connections: Mapping[str, Connection], problems: _Problems) -> None:
    """Refuse to keep the state on a probed account, whose fate it would share; an emulator may."""
    if state.connection is None or urlsplit(state.connection.primary).hostname in LOOPBACK:
        return
    for name, each in connections.items():
        if each.primary == state.connection.primary:
            remedy = "Keep it in the function app's own account (AzureWebJobsStorage), in another region."
            problems.add("PROBE_STATE", f"is the probed account {name} itself", remedy)


def _warnings(own: _Environment, targets: tuple[Target, ...], found: Mapping[str, str]) -> tuple[str, ...]:
    lines = []
    for name in sorted(found):
        if name.startswith("PROBE_") and name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            lines.append(f"{name} is no setting of the probe, and is ignored{hint}")
    if "PROBE_TARGETS" in found and any(name.split("__")[0] == PROBED for name in found):
        named = own.targets and PROBED in own.targets
        if not named:
            lines.append(f"{PROBED} is ignored, since PROBE_TARGETS takes its place")
    for target in targets:
        lines += _target_warnings(target, own)
    return tuple(lines)


def _target_warnings(target: Target, own: _Environment) -> list[str]:
    lines = []
    if target.secondary is None:
        lines.append(f"{target.name} has no secondary endpoint: its primary is probed alone")
    worst = worst_tick(target)
    if worst.total_seconds() > own.tick_budget:
        lines.append(
            f"{target.name}: with a silent primary a tick takes up to {worst.total_seconds():g} s, more than "
            f"PROBE_TICK_BUDGET ({own.tick_budget:g}); it would be cut short"
        )
    return lines


def worst_tick(target: Target) -> timedelta:
    """Answer how long a tick takes whose primary never answers while its secondary does at once."""
    policy = target.policy
    attempts = min(policy.failure_threshold, policy.reads * policy.attempts)
    write = policy.deadline if target.write else timedelta(0)
    return write + attempts * policy.deadline + attempts * policy.retry_delay


def effective(environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Answer (setting, value, ``set`` or ``default``) of every setting, for ``check``; secrets masked."""
    rows = []
    for name in (PROBED, *FIELDS, *FOREIGN):
        held = environment.get(name, "").strip()
        default = FIELDS[name][1].default if name in FIELDS else None
        value = "(set, not shown)" if held and name in SECRET else held or _default(default)
        rows.append((name, value, "set" if held else "default"))
    return rows


def _default(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
