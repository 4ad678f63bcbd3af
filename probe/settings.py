"""Settings: a mapping of app settings in, one ``Settings`` value out, or every problem at once.

Rules kept here: the mapping is all that is looked at (and a ``.json`` file that ``PROBE_TARGETS`` names);
each problem says the setting's name, what it holds and the remedy; what may hold a secret is never printed;
an empty setting counts as unset. Pydantic parses and validates single values, this module relates them.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from croniter import CroniterError, croniter
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails

from probe.connections import LOOPBACK, Complain, derived_secondary, resolve, service_url
from probe.core.connection import Connection, Entra
from probe.core.errors import ConfigurationError
from probe.core.target import Forced, Location, Policy, Target

PROBED = "ProbedStorage"
_NCRONTAB = re.compile(r"[0-9A-Za-z*,/-]+( +[0-9A-Za-z*,/-]+){4,5}")
_NAMES = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
    *("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
)
_ABBREVIATION = 3
_CONNECTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,79}")
_SECRET = re.compile(
    r"(key|signature|sig|secret|password|pwd|token|credential)[\"']?\s*[=:]"  # named so
    r"|//[^/]*@"  # a user and a password in a URL
    r"|[A-Za-z0-9+/_-]{20,}={1,2}|[A-Za-z0-9+]{44}|\beyJ[A-Za-z0-9_-]{10}",  # an account's key, a token
    re.IGNORECASE,
)

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


BlobName = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f?#\\]{1,1024}$"), AfterValidator(_without_dots)
]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class _Rules(BaseModel):
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


def setting_name(field_name: str) -> str:
    """Return the app setting's name of a field."""
    return "PROBE_WRITE_CANARY" if field_name == "write" else f"PROBE_{field_name.upper()}"


FIELDS = {setting_name(name): (name, info) for name, info in _Environment.model_fields.items()}
PER_TARGET = tuple(_Rules.model_fields)
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
                self._of_entry(f"{prefix}.{name}", name, each)
            else:
                setting = setting_name(name)
                self.add(setting, f"holds {_shown(each['input'])}: {_said(name, each)}", _remedy(setting))

    def _of_entry(self, label: str, name: str, error: ErrorDetails) -> None:
        if error["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, ENTRY, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            self.add(label, "is not known", f"{hint}Known are {', '.join(ENTRY)}.")
        elif error["type"] == "missing":
            self.add(label, "is missing", _remedy(name))
        else:
            self.add(label, f"holds {_shown(error['input'])}: {_said(name, error)}", _remedy(name))


def _shown(value: object) -> str:
    """Return a value to print, cut to a line; one that may hold a secret is not shown."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    if _SECRET.search(text):
        return "(not shown, as it may hold a secret)"
    return text if len(text) <= 80 else f"{text[:77]}…"  # noqa: PLR2004 - a terminal line


_ENTRY_REMEDIES = {
    "name": "Give each target a name of its own; it names the results.",
    "connection": "Give the name of a connection's settings, as text.",
    "primary": "Give the primary blob endpoint, as text.",
    "secondary": "Give the secondary blob endpoint, as text, or null where there is none.",
}


_FORMS = {
    "blob": "1 to 1024 characters without control characters, ?, # and backslashes",
    "name": "letters, digits, dots, underscores and dashes, 63 at most",
    "vantage": "letters, digits, dots, underscores and dashes, 63 at most",
}
_CONTAINER_FORM = "3 to 63 lower-case letters, digits and single dashes"


def _said(name: str, error: ErrorDetails) -> str:
    if error["type"] in ("string_pattern_mismatch", "string_too_long", "string_too_short"):
        return f"it takes {_FORMS.get(name, _CONTAINER_FORM)}"
    return error["msg"][:1].lower() + error["msg"][1:]


def _remedy(name: str) -> str:
    _, info = FIELDS.get(name) or FIELDS.get(setting_name(name)) or (name, None)
    if info is None:
        return _ENTRY_REMEDIES[name]
    default = "unset" if info.default is None else f"default {_shown(info.default)}"
    return f"It means: {info.description} ({default})."


def load(environment: Mapping[str, str]) -> Settings:
    """Return the settings that a mapping holds. Raises ``ConfigurationError`` with every problem."""
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
    """Return the parsed settings; those that are wrong are told, and stand at their defaults meanwhile."""
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
    """Return an iterator over a schedule's times. Raises ``ValueError`` for one that is no NCRONTAB.

    Where a day of the month and a weekday are given, both must hold, as the host has it.
    Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
    """
    text = re.sub("[A-Za-z]+", _abbreviated, schedule.strip())
    if not _NCRONTAB.fullmatch(text):
        raise ValueError("not five or six fields of numbers, names, * , - and /")
    if re.search(r"(?<!/)\b7\b", text.split()[-1]):
        raise ValueError("weekdays are 0 (Sunday) to 6")
    try:
        return croniter(text, start, second_at_beginning=True, day_or=False)
    except (CroniterError, ValueError, KeyError) as error:
        raise ValueError("a field is out of range, or not written as it should be") from error


def _abbreviated(name: re.Match[str]) -> str:
    """Return the three letters of a month's or a weekday's name, written out or not."""
    word = name[0].lower()
    if len(word) < _ABBREVIATION or not any(each.startswith(word) for each in _NAMES):
        raise ValueError(f"{word[:20]!r} is no month and no weekday")
    return word[:_ABBREVIATION]


def scheduled_before(schedule: str, now: datetime, tolerance: timedelta) -> datetime:
    """Return the schedule's last time at or before ``now``; a timer may fire early by the tolerance."""
    found: datetime = occurrences(schedule, now + tolerance + timedelta(microseconds=1)).get_prev(datetime)
    return found.astimezone(UTC)


def interval(schedule: str) -> timedelta:
    """Return the shortest time between two of a schedule's next 200 times. Raises ``ValueError``."""
    times = occurrences(schedule, datetime(2026, 1, 1, tzinfo=UTC))
    try:
        found: list[datetime] = [times.get_next(datetime) for _ in range(200)]
    except CroniterError as error:
        raise ValueError("it would never fire") from error
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
        problem = f"{_held(own, 'tick_budget')}, but the schedule {own.schedule!r} fires every {seconds:g} s"
        problems.add("PROBE_TICK_BUDGET", problem, remedy)
    if not {"PROBE_TICK_BUDGET", "PROBE_DEADLINE"} & problems.bad and own.deadline > own.tick_budget:
        problem = f"{_held(own, 'deadline')}, more than PROBE_TICK_BUDGET ({own.tick_budget:g})"
        problems.add("PROBE_DEADLINE", problem, "No attempt could ever end; set it lower.")
    _relate_rules(own, problems, setting_name)


def _held(rules: _Rules, name: str) -> str:
    """Return how a number is said: what was set, or the default that nobody set."""
    value = f"{getattr(rules, name):g}"
    return f"holds {value}" if name in rules.model_fields_set else f"is {value} where it is not set"


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
            problems.add(name(small), f"{_held(rules, small)}, more than {name(large)} ({high:g})", remedy)
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
    around = _Around(rules=rules, found=found, problems=problems, budget=own.tick_budget)
    targets: list[Target] = []
    connections: dict[str, Connection] = {}
    for index, entry in enumerate(_entries(own.targets or "", problems)):
        label = f"PROBE_TARGETS[{index}]"
        built = _entry(label, entry, around)
        if built and built[0].name in connections:
            problems.add(f"{label}.name", f"holds {_shown(built[0].name)} again", "Names are used once.")
        elif built:
            targets.append(built[0])
            connections[built[0].name] = built[1]
    _one_writer_each(targets, problems)
    return tuple(targets), connections


def _one_writer_each(targets: Sequence[Target], problems: _Problems) -> None:
    """Refuse two targets that write one blob: each would take the other's writes for a rollback."""
    writers: dict[str, str] = {}
    for each in targets:
        if not each.write:
            continue
        url = each.blob_url(Location.PRIMARY)
        if (other := writers.setdefault(url, each.name)) != each.name:
            remedy = "Give one of them another `blob` or `container`, or `write`: false."
            problems.add(
                "PROBE_TARGETS", f"has two targets that write {url}: {other} and {each.name}", remedy
            )


def _entries(text: str, problems: _Problems) -> list[dict[str, Any]]:
    remedy = (
        'Give an array such as [{"name": "a", "connection": "StorageA"}], or the path of a .json file of it.'
    )
    if not text.lstrip().startswith(("[", "{")):
        try:
            text = Path(text.strip()).read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            problems.add("PROBE_TARGETS", f"holds {_shown(text)}, a file that cannot be read: {why}", remedy)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What an entry of ``PROBE_TARGETS`` stands among: the rules set for all, and the other settings."""

    rules: dict[str, Any]
    found: Mapping[str, str]
    problems: _Problems
    budget: float


class _Entry(_Rules):
    name: Name
    connection: str | None = None
    primary: str | None = None
    secondary: str | None = None


def _entry(label: str, entry: dict[str, Any], around: _Around) -> tuple[Target, Connection] | None:
    try:
        value = _Entry.model_validate({**around.rules, **entry})
    except ValidationError as error:
        around.problems.validation(error, prefix=label)
        return None
    overridden = set(entry) & set(PER_TARGET)
    if overridden:
        _relate_rules(value, around.problems, lambda name: f"{label}.{name}")
    if "deadline" in overridden and value.deadline > around.budget:
        problem = f"holds {value.deadline:g}, more than PROBE_TICK_BUDGET ({around.budget:g})"
        around.problems.add(f"{label}.deadline", problem, "No attempt could ever end; set it lower.")
    connection = _entry_connection(label, value, around)
    return (_target(value.name, connection, value), connection) if connection else None


def _entry_connection(label: str, entry: _Entry, around: _Around) -> Connection | None:
    complain = around.problems.add
    if bool(entry.connection) == bool(entry.primary):
        remedy = "Give the name of a connection's settings, or the primary blob endpoint (and the secondary)."
        complain(label, "needs either `connection` or `primary`", remedy)
        return None
    if entry.connection:
        return _resolve(f"{label}.connection", entry.connection, around.found, complain)
    primary = service_url(f"{label}.primary", entry.primary or "", complain, identity=True)
    secondary = None
    if entry.secondary is not None:
        secondary = service_url(f"{label}.secondary", entry.secondary, complain, identity=True)
    if primary is None or (entry.secondary is not None and secondary is None):
        return None
    if "secondary" not in entry.model_fields_set:
        secondary = derived_secondary(primary)
    return Connection(primary=primary, secondary=secondary, authorization=Entra())


def _resolve(name: str, connection: str, found: Mapping[str, str], complain: Complain) -> Connection | None:
    """Resolve a connection that a setting names; a connection string in its place is told, not shown."""
    if _CONNECTION_NAME.fullmatch(connection) and not _SECRET.search(connection):
        return resolve(found, connection, complain)
    remedy = "Name the setting that holds the connection string, or the prefix of its `__blobServiceUri`."
    complain(name, f"holds {_shown(connection)}, which is not the name of a connection's settings", remedy)
    return None


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
    """Return the policy; a default that another setting undercuts follows it down."""
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

    connection = _resolve("PROBE_STATE", own.state, found, complain)
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
            ours = {each.removeprefix("PROBE_"): each for each in FIELDS}
            near = difflib.get_close_matches(name.removeprefix("PROBE_"), ours, n=1, cutoff=0.55)
            hint = f"; did you mean {ours[near[0]]}?" if near else ""
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
        if target.policy.forced and target.policy.forced.location is Location.SECONDARY:
            lines.append(f"{target.name} cannot be forced to a secondary that it does not have")
    worst = worst_tick(target)
    if worst.total_seconds() > own.tick_budget:
        lines.append(
            f"{target.name}: with a silent primary a tick takes up to {worst.total_seconds():g} s, more than "
            f"PROBE_TICK_BUDGET ({own.tick_budget:g}); it would be cut short"
        )
    return lines


def worst_tick(target: Target) -> timedelta:
    """Return how long a tick takes whose primary never answers while its secondary does at once."""
    policy = target.policy
    attempts = min(policy.failure_threshold, policy.reads * policy.attempts)
    write = policy.deadline if target.write else timedelta(0)
    return write + attempts * policy.deadline + attempts * policy.retry_delay


def effective(environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (setting, value, ``set`` or ``default``) of every setting, for ``check``; secrets masked."""
    rows = []
    for name in (PROBED, *FIELDS, *FOREIGN):
        held = environment.get(name, "").strip()
        default = FIELDS[name][1].default if name in FIELDS else None
        hidden = name in SECRET or _SECRET.search(held)
        value = "(set, not shown)" if held and hidden else held or _default(default)
        rows.append((name, value, "set" if held else "default"))
    return rows


def _default(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
