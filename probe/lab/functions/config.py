"""What a Functions host is told: host.json, app settings and each function's bindings, checked and resolved.

Rules: a setting that a binding names and that is not there is an error with its name, never an empty string;
what the lab's host does not do (retry policies, identity-based connections, other triggers) is an error,
never silence.

Source: the host.json reference of Azure Functions 4.x for names and defaults; `%NAME%` and the `AzureWebJobs`
prefix of connections as the Functions host resolves them.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Self

from probe.lab.account.azurite import ACCOUNT, KEY
from probe.lab.errors import LabError

FLEX_FUNCTION_TIMEOUT: Final = timedelta(minutes=30)
UNBOUNDED: Final = "-1"
LOG_LEVELS: Final = {
    "Trace": logging.DEBUG,
    "Debug": logging.DEBUG,
    "Information": logging.INFO,
    "Warning": logging.WARNING,
    "Error": logging.ERROR,
    "Critical": logging.CRITICAL,
    "None": logging.CRITICAL + 1,
}
_SPAN: Final = re.compile(r"(?:(?P<days>\d+)\.)?(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+(?:\.\d+)?)")
_SETTING: Final = re.compile(r"%([^%]+)%")

DEVELOPMENT_STORAGE: Final = ";".join(
    [
        "DefaultEndpointsProtocol=http",
        f"AccountName={ACCOUNT}",
        f"AccountKey={KEY}",
        f"BlobEndpoint=http://127.0.0.1:10000/{ACCOUNT}",
        f"QueueEndpoint=http://127.0.0.1:10001/{ACCOUNT}",
        f"TableEndpoint=http://127.0.0.1:10002/{ACCOUNT}",
    ]
)


class HostError(LabError):
    """The app cannot be hosted as it is; the message says why and what to do."""


class Trigger(StrEnum):
    TIMER = "timerTrigger"
    QUEUE = "queueTrigger"
    HTTP = "httpTrigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One binding as the runtime indexed it, with its settings resolved; `details` are its own fields."""

    name: str
    type: str
    direction: Literal["in", "out"]
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function of the app: its name, the runtime's id for it, and its bindings."""

    name: str
    id: str
    bindings: tuple[Binding, ...]

    @property
    def trigger(self) -> Binding:
        return next(binding for binding in self.bindings if binding.type in Trigger)

    @property
    def kind(self) -> Trigger:
        return Trigger(self.trigger.type)

    @property
    def auth_level(self) -> str:
        """The level that Azure's host asks of a caller, in lower case; the lab's host asks for none."""
        return str(self.trigger.details.get("authLevel", "function")).lower()

    @property
    def queue_outputs(self) -> tuple[Binding, ...]:
        return tuple(binding for binding in self.bindings if binding.type == "queue")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """The `extensions.queues` section of host.json."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout: timedelta = timedelta(0)
    max_polling_interval: timedelta = timedelta(minutes=1)
    base64: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """The part of host.json that the lab's host applies; a timeout of None is unbounded."""

    function_timeout: timedelta | None = FLEX_FUNCTION_TIMEOUT
    route_prefix: str = "api"
    queues: QueueOptions = QueueOptions()
    log_levels: Mapping[str, int] = field(default_factory=lambda: {"default": logging.INFO})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read `folder`'s host.json. Raises: HostError."""
        path = folder / "host.json"
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise HostError(f"{path} is missing: a function app needs one, with at least a version") from None
        except ValueError as error:
            raise HostError(f"{path} is not JSON: {error}") from None
        return cls._parse(told, path)

    @classmethod
    def _parse(cls, told: Mapping[str, Any], path: Path) -> Self:
        if told.get("version") != "2.0":
            raise HostError(f'{path}: version must be "2.0", not {told.get("version")!r}')
        extensions = told.get("extensions", {})
        timeout = told.get("functionTimeout")
        try:
            return cls(
                function_timeout=FLEX_FUNCTION_TIMEOUT if timeout is None else _timeout(timeout),
                route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
                queues=_queue_options(extensions.get("queues", {})),
                log_levels={"default": logging.INFO, **_log_levels(told)},
            )
        except ValueError as error:
            raise HostError(f"{path}: {error}") from None

    def log_level(self, category: str) -> int:
        """Return the least level of a category that is logged: the one set for its longest prefix."""
        prefixes = [prefix for prefix in self.log_levels if f"{category}.".startswith(f"{prefix}.")]
        return self.log_levels[max(prefixes, key=len, default="default")]


def _log_levels(told: Mapping[str, Any]) -> dict[str, int]:
    levels = told.get("logging", {}).get("logLevel", {})
    unknown = [level for level in levels.values() if level not in LOG_LEVELS]
    if unknown:
        raise ValueError(f"logLevel {unknown[0]!r} is not one of {', '.join(LOG_LEVELS)}")
    return {category: LOG_LEVELS[level] for category, level in levels.items()}


def _timeout(told: str) -> timedelta | None:
    return None if told == UNBOUNDED else span(told)


def span(told: str) -> timedelta:
    """Read a .NET TimeSpan such as `00:05:00` or `1.00:00:00`. Raises: ValueError."""
    found = _SPAN.fullmatch(told)
    if found is None:
        raise ValueError(f"{told!r} is not a time span: write it as hh:mm:ss")
    return timedelta(**{unit: float(amount or 0) for unit, amount in found.groupdict().items()})


def _queue_options(told: Mapping[str, Any]) -> QueueOptions:
    defaults = QueueOptions()
    batch_size = int(told.get("batchSize", defaults.batch_size))
    polling = told.get("maxPollingInterval")
    return QueueOptions(
        batch_size=batch_size,
        new_batch_threshold=int(told.get("newBatchThreshold", batch_size // 2)),
        max_dequeue_count=int(told.get("maxDequeueCount", defaults.max_dequeue_count)),
        visibility_timeout=span(told.get("visibilityTimeout", "00:00:00")),
        max_polling_interval=defaults.max_polling_interval if polling is None else _polling(polling),
        base64=str(told.get("messageEncoding", "base64")).lower() == "base64",
    )


def _polling(told: str | float) -> timedelta:
    """Give maxPollingInterval, which may be a time span or a number of milliseconds."""
    return span(told) if isinstance(told, str) else timedelta(milliseconds=told)


def resolve(expression: str, settings: Mapping[str, str]) -> str:
    """Put the app settings into a binding expression's `%NAME%`s. Raises: HostError."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in settings:
            raise HostError(f"'%{name}%' does not resolve to a value: there is no app setting {name!r}")
        return settings[name]

    return _SETTING.sub(value, expression)


def connection_string(name: str, settings: Mapping[str, str]) -> str:
    """Find the connection that a binding names, as the Functions host does. Raises: HostError."""
    for setting in (f"AzureWebJobs{name}", name):
        if found := settings.get(setting):
            development = found.replace(" ", "").rstrip(";").lower() == "usedevelopmentstorage=true"
            return DEVELOPMENT_STORAGE if development else found
    if any(setting.startswith(f"{name}__") for setting in settings):
        raise HostError(f"connection {name!r} is identity-based: the lab's host needs a connection string")
    raise HostError(f"there is no app setting {name!r} that holds the connection string of a queue binding")


def function(told: Mapping[str, Any], settings: Mapping[str, str]) -> Function:
    """Make a Function of what the worker told of one. Raises: HostError."""
    name = told["name"]
    if told["retries"]:
        raise HostError(f"function {name!r} has a retry policy: the lab's host does not carry those out")
    try:
        bindings = tuple(_binding(binding, settings) for binding in told["bindings"])
    except HostError as error:
        raise HostError(f"function {name!r}: {error}") from None
    if not any(binding.type in Trigger for binding in bindings):
        types = ", ".join(binding.type for binding in bindings) or "none"
        raise HostError(f"function {name!r} has no trigger that the lab's host knows (its bindings: {types})")
    return Function(name=name, id=told["id"], bindings=bindings)


def _binding(told: Mapping[str, Any], settings: Mapping[str, str]) -> Binding:
    details = {
        key: resolve(value, settings) if isinstance(value, str) else value for key, value in told.items()
    }
    direction: Literal["in", "out"] = "out" if str(details.pop("direction")).lower() == "out" else "in"
    kind = str(details.pop("type"))
    if direction == "out" and kind not in {"queue", "http"}:
        raise HostError(f"an output binding of type {kind!r} is not one that the lab's host writes")
    return Binding(name=str(details.pop("name")), type=kind, direction=direction, details=details)


def selected(functions: Sequence[Function], names: Sequence[str] | None) -> tuple[Function, ...]:
    """Choose the functions that this host serves: those named, or all. Raises: HostError."""
    known = [function.name for function in functions]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise HostError(f"the app has no function {unknown[0]!r}; it has: {', '.join(known) or 'none'}")
    return tuple(function for function in functions if names is None or function.name in names)
