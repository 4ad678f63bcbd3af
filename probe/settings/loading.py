"""A mapping of app settings in, one ``Settings`` value out, or every problem at once.

Rules kept here: the mapping is all that is looked at, and the files that it names; an empty setting counts as
unset. Pydantic parses and validates single values, this module relates them.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from probe.connections import LOOPBACK, same_place, unused
from probe.core.budget import saving
from probe.core.connection import Connection
from probe.core.errors import ConfigurationError
from probe.core.redaction import is_secret
from probe.core.target import Location, Target
from probe.settings.files import FileProblem, check_canary
from probe.settings.model import (
    FIELDS,
    FOREIGN,
    PER_TARGET,
    PROBED,
    SECRET,
    Environment,
    Settings,
    StateSettings,
    setting_name,
)
from probe.settings.problems import HIDDEN, Problems, shown
from probe.settings.schedule import interval
from probe.settings.targets import held, named_connection, relate_rules, targets_of

FUNCTION_TIMEOUT = timedelta(minutes=5)
"""``functionTimeout`` of host.json (a test holds the two together)."""
_OWN_TIMEOUT = "AzureFunctionsJobHost__functionTimeout"
"""Overrides it: https://learn.microsoft.com/azure/azure-functions/functions-host-json#override-hostjson-values"""
_AROUND_TICK = timedelta(seconds=30)
"""What a tick may take beside its budget and its flush: starting cold, above all."""
_UTC_NAMES = ("utc", "etc/utc", "gmt", "etc/gmt", "zulu")


def load(environment: Mapping[str, str]) -> Settings:
    """Return the settings that a mapping holds. Raises ``ConfigurationError`` with every problem."""
    settings, problems = examined(environment)
    if problems:
        raise ConfigurationError(problems)
    return settings


def examined(environment: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings as far as they can be used, and every problem: what is wrong is at its default.

    A target, or the state, whose connection is wrong is left out.
    """
    found = {name: value for name, value in environment.items() if value.strip()}
    problems = Problems()
    own = _environment(found, problems)
    shortest = _interval(own, problems)
    _relate(own, shortest, found, problems)
    rules = own.model_dump(include=set(PER_TARGET) & own.model_fields_set)
    targets, connections = targets_of(own, rules, found, problems)
    state = _state(own, found, problems)
    _keep_apart(state, connections, problems)
    canary_file = _canary_file(own, problems)
    settings = Settings(
        schedule=own.schedule,
        interval=shortest,
        targets=targets,
        connections=connections,
        canary_file=canary_file,
        tick_budget=timedelta(seconds=own.tick_budget),
        state=state,
        shard_size=own.shard_size,
        queue=own.queue,
        vantage=own.vantage or _vantage(found),
        traces=own.traces,
        flush=timedelta(seconds=own.flush),
        runbook_url=own.runbook_url,
        connection_string=found.get("APPLICATIONINSIGHTS_CONNECTION_STRING"),
        authentication_string=found.get("APPLICATIONINSIGHTS_AUTHENTICATION_STRING"),
        otlp_endpoint=found.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
        warnings=tuple(_warnings(own, shortest, targets, found)),
    )
    return settings, tuple(problems.lines)


def _environment(found: Mapping[str, str], problems: Problems) -> Environment:
    """Return the parsed settings; those that are wrong are told, and stand at their defaults meanwhile."""
    values = {name: found[setting] for setting, (name, _) in FIELDS.items() if setting in found}
    try:
        return Environment.model_validate(values)
    except ValidationError as error:
        problems.validation(error)
        good = {name: value for name, value in values.items() if setting_name(name) not in problems.bad}
        return Environment.model_validate(good)


def _vantage(found: Mapping[str, str]) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "", found.get("REGION_NAME", "").lower())[:63] or "local"


def _interval(own: Environment, problems: Problems) -> timedelta:
    try:
        return interval(own.schedule)
    except ValueError as error:
        remedy = "Give six fields: second minute hour day month weekday; `0 * * * * *` is each minute."
        problems.add("PROBE_SCHEDULE", f"holds {shown(own.schedule)}: {error}", remedy)
        return timedelta(days=1)


def _relate(own: Environment, shortest: timedelta, found: Mapping[str, str], problems: Problems) -> None:
    seconds = shortest.total_seconds()
    if "PROBE_TICK_BUDGET" not in problems.bad and own.tick_budget >= seconds:
        remedy = f"Set it below {seconds:g}, or let PROBE_SCHEDULE fire less often."
        problem = f"{held(own, 'tick_budget')}, but the schedule {own.schedule!r} fires every {seconds:g} s"
        problems.add("PROBE_TICK_BUDGET", problem, remedy)
    if not {"PROBE_TICK_BUDGET", "PROBE_DEADLINE"} & problems.bad and own.deadline > own.tick_budget:
        problem = f"{held(own, 'deadline')}, more than PROBE_TICK_BUDGET ({own.tick_budget:g})"
        problems.add("PROBE_DEADLINE", problem, "No attempt could ever end; set it lower.")
    if not {"PROBE_TICK_BUDGET", "PROBE_FLUSH"} & problems.bad:
        _within_the_function(own, found, problems)
    relate_rules(own, problems, setting_name)


def _within_the_function(own: Environment, found: Mapping[str, str], problems: Problems) -> None:
    """Refuse a tick that the host would end before it has been saved and told."""
    limit = _function_timeout(found, problems)
    longest = timedelta(seconds=own.tick_budget + own.flush) + _AROUND_TICK
    if limit is None or longest <= limit:
        return
    name = "tick_budget" if own.tick_budget > own.flush else "flush"
    problem = (
        f"{held(own, name)}; with PROBE_{'FLUSH' if name == 'tick_budget' else 'TICK_BUDGET'} and "
        f"{_AROUND_TICK.total_seconds():g} s to start a tick could take {longest.total_seconds():g} s, and "
        f"the host ends a function after {limit.total_seconds():g} s"
    )
    remedy = f"Set it lower, or {_OWN_TIMEOUT} to a longer time, hh:mm:ss, as far as the plan allows."
    problems.add(setting_name(name), problem, remedy)


def _function_timeout(found: Mapping[str, str], problems: Problems) -> timedelta | None:
    """Return how long the host lets a function run; ``None``: as long as it likes, or told as a problem."""
    text = found.get(_OWN_TIMEOUT)
    if text is None:
        return FUNCTION_TIMEOUT
    if text.strip() == "-1":
        return None
    parts = re.fullmatch(r"(?:([0-9]{1,3})\.)?([0-9]{1,2}):([0-9]{2}):([0-9]{2})", text.strip())
    if parts is None:
        problems.add(_OWN_TIMEOUT, f"holds {shown(text)}, which is no time", "Give hh:mm:ss, or -1 for none.")
        return None
    days, hours, minutes, seconds = (int(each or 0) for each in parts.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _canary_file(own: Environment, problems: Problems) -> Path | None:
    if not own.canary_file:
        return None
    path = Path(own.canary_file)
    try:
        check_canary(path)
    except FileProblem as problem:
        remedy = "Leave it out for our own picture."
        problems.add("PROBE_CANARY_FILE", f"holds {shown(own.canary_file)}, which {problem}", remedy)
    return path


def _state(own: Environment, found: Mapping[str, str], problems: Problems) -> StateSettings:
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

    connection = named_connection("PROBE_STATE", own.state, found, complain)
    return StateSettings(connection=connection, container=own.state_container)


def _keep_apart(state: StateSettings, connections: Mapping[str, Connection], problems: Problems) -> None:
    """Refuse to keep the state on a probed account, whose fate it would share; an emulator may."""
    if state.connection is None or urlsplit(state.connection.primary).hostname in LOOPBACK:
        return
    for name, each in connections.items():
        if same_place(each.primary) == same_place(state.connection.primary):
            remedy = "Keep it in the function app's own account (AzureWebJobsStorage), in another region."
            problems.add("PROBE_STATE", f"is the probed account {name} itself", remedy)


def _warnings(
    own: Environment, shortest: timedelta, targets: tuple[Target, ...], found: Mapping[str, str]
) -> Iterator[str]:
    yield from _unknown(found)
    if "PROBE_TARGETS" in found and any(name.split("__")[0] == PROBED for name in found):
        named = own.targets and PROBED in own.targets
        if not named:
            yield f"{PROBED} is ignored, since PROBE_TARGETS takes its place"
    yield from unused(found)
    yield from _time_zone(found)
    if own.tick_budget + own.flush > shortest.total_seconds():
        yield (
            f"PROBE_TICK_BUDGET and PROBE_FLUSH together ({own.tick_budget + own.flush:g} s) are more than "
            f"the {shortest.total_seconds():g} s between two ticks: a silent backend would make them late"
        )
    for target in targets:
        yield from _target_warnings(target, own)


def _unknown(found: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(found):
        if name.startswith("PROBE_") and name not in FIELDS:
            ours = {each.removeprefix("PROBE_"): each for each in FIELDS}
            near = difflib.get_close_matches(name.removeprefix("PROBE_"), ours, n=1, cutoff=0.55)
            hint = f"; did you mean {ours[near[0]]}?" if near else ""
            yield f"{HIDDEN if is_secret(name) else name} is no setting of the probe, and is ignored{hint}"


def _time_zone(found: Mapping[str, str]) -> Iterator[str]:
    """Warn of a time zone: the host would read PROBE_SCHEDULE in it, and we read it in UTC.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-app-settings#website_time_zone
    """
    deployed = "WEBSITE_SITE_NAME" in found or "WEBSITE_HOSTNAME" in found  # a shell's own TZ fires no timer
    for name in ("WEBSITE_TIME_ZONE", "TZ") if deployed else ("WEBSITE_TIME_ZONE",):
        if name in found and found[name].strip().lower() not in _UTC_NAMES:
            yield (
                f"{name} is set: Flex Consumption does not support it, and it can break TLS there; on other "
                "plans the host fires by that local time, while the probe reads PROBE_SCHEDULE as UTC. "
                f"Remove {name}"
            )


def _target_warnings(target: Target, own: Environment) -> Iterator[str]:
    if target.secondary is None:
        yield f"{target.name} has no secondary endpoint: its primary is probed alone"
        if target.policy.forced and target.policy.forced.location is Location.SECONDARY:
            yield f"{target.name} cannot be forced to a secondary that it does not have"
    elif same_place(target.primary) == same_place(target.secondary):
        yield (
            f"{target.name} has one endpoint as primary and as secondary: an outage of one is one of both, "
            "and no lag can show. Name the account's real secondary, or null for none"
        )
    worst, whole = worst_tick(target), timedelta(seconds=own.tick_budget)
    if worst > whole - saving(whole):
        yield (
            f"{target.name}: with a silent primary a tick takes up to {worst.total_seconds():g} s, and of "
            f"PROBE_TICK_BUDGET ({own.tick_budget:g}) {saving(whole).total_seconds():g} s are for saving: "
            "it would be cut short"
        )


def worst_tick(target: Target) -> timedelta:
    """Return how long a tick takes whose primary never answers while its secondary does at once."""
    policy = target.policy
    look, write = 1, int(target.write)
    reads = min(policy.failure_threshold, policy.reads)  # one attempt each: a slow one is not made again
    return (look + write + reads) * policy.deadline


def effective(environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (setting, value, ``set`` or ``default``) of every setting, for ``check``; secrets masked."""
    rows = []
    for name in (PROBED, *FIELDS, *FOREIGN):
        text = environment.get(name, "").strip()
        default = FIELDS[name][1].default if name in FIELDS else None
        hidden = name in SECRET or is_secret(text)
        value = "(set, not shown)" if text and hidden else text or _default(default)
        rows.append((name, value, "set" if text else "default"))
    return rows


def _default(value: Any) -> str:  # noqa: ANN401 - whatever a setting's default is
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
