"""The targets and their connections: the single one of ``ProbedStorage``, or those of ``PROBE_TARGETS``."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from probe.connections import Complain, derived_secondary, is_set, resolve, same_place, service_url
from probe.core.connection import Connection, Entra
from probe.core.redaction import is_secret
from probe.core.target import Location, Target
from probe.settings.files import FileProblem, text_of
from probe.settings.model import PER_TARGET, PROBED, Entry, Environment, Rules
from probe.settings.problems import Problems, shown

_CONNECTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,79}")


def targets_of(
    own: Environment, rules: dict[str, Any], found: Mapping[str, str], problems: Problems
) -> tuple[tuple[Target, ...], dict[str, Connection]]:
    """Return the targets, and the connection of each by its name; what is wrong with them is added.

    ``rules`` are the rules that are set for all targets.
    """
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
            problems.add(f"{label}.name", f"holds {shown(built[0].name)} again", "Names are used once.")
        elif built:
            targets.append(built[0])
            connections[built[0].name] = built[1]
    _one_writer_each(targets, problems)
    return tuple(targets), connections


def _one_writer_each(targets: Sequence[Target], problems: Problems) -> None:
    """Refuse two targets that write one blob: each would take the other's writes for a rollback."""
    writers: dict[str, str] = {}
    for each in targets:
        if not each.write:
            continue
        url = each.blob_url(Location.PRIMARY)
        if (other := writers.setdefault(same_place(url), each.name)) != each.name:
            remedy = "Give one of them another `blob` or `container`, or `write`: false."
            problems.add(
                "PROBE_TARGETS", f"has two targets that write {url}: {other} and {each.name}", remedy
            )


def _entries(text: str, problems: Problems) -> list[dict[str, Any]]:
    remedy = (
        'Give an array such as [{"name": "a", "connection": "StorageA"}], or the path of a .json file of it.'
    )
    if not text.lstrip().startswith(("[", "{")):
        try:
            text = text_of(Path(text.strip()))
        except FileProblem as problem:
            problems.add("PROBE_TARGETS", f"holds {shown(text)}, a file that {problem}", remedy)
            return []
    try:
        entries = json.loads(text)
    except ValueError as error:
        problems.add("PROBE_TARGETS", f"is not JSON: {error}", remedy)
        return []
    except RecursionError:
        problems.add("PROBE_TARGETS", "is nested too deep", remedy)
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
    problems: Problems
    budget: float


def _entry(label: str, entry: dict[str, Any], around: _Around) -> tuple[Target, Connection] | None:
    try:
        value = Entry.model_validate({**around.rules, **entry})
    except ValidationError as error:
        around.problems.validation(error, prefix=label)
        return None
    overridden = set(entry) & set(PER_TARGET)
    if overridden:
        relate_rules(value, around.problems, lambda name: f"{label}.{name}")
    if "deadline" in overridden and value.deadline > around.budget:
        problem = f"holds {value.deadline:g}, more than PROBE_TICK_BUDGET ({around.budget:g})"
        around.problems.add(f"{label}.deadline", problem, "No attempt could ever end; set it lower.")
    connection = _entry_connection(label, value, around)
    return (_target(value.name, connection, value), connection) if connection else None


def _entry_connection(label: str, entry: Entry, around: _Around) -> Connection | None:
    complain = around.problems.add
    if bool(entry.connection) == bool(entry.primary):
        remedy = "Give the name of a connection's settings, or the primary blob endpoint (and the secondary)."
        complain(label, "needs either `connection` or `primary`", remedy)
        return None
    if entry.connection:
        return named_connection(f"{label}.connection", entry.connection, around.found, complain)
    primary = service_url(f"{label}.primary", entry.primary or "", complain, identity=True)
    secondary = None
    if entry.secondary is not None:
        secondary = service_url(f"{label}.secondary", entry.secondary, complain, identity=True)
    if primary is None or (entry.secondary is not None and secondary is None):
        return None
    if "secondary" not in entry.model_fields_set:
        secondary = derived_secondary(primary)
    return Connection(primary=primary, secondary=secondary, authorization=Entra())


def named_connection(
    name: str, connection: str, found: Mapping[str, str], complain: Complain
) -> Connection | None:
    """Return the connection that a setting names; a connection string in its place is told, not shown."""
    if is_set(found, connection) or (_CONNECTION_NAME.fullmatch(connection) and not is_secret(connection)):
        return resolve(found, connection, complain)
    remedy = "Name the setting that holds the connection string, or the prefix of its `__serviceUri`."
    complain(name, f"holds {shown(connection)}, which is not the name of a connection's settings", remedy)
    return None


def _target(name: str, connection: Connection, rules: Rules) -> Target:
    return Target(
        name=name,
        primary=connection.primary,
        secondary=connection.secondary,
        container=rules.container,
        blob=rules.blob,
        write=rules.write,
        policy=rules.policy(),
    )


def _account(url: str) -> str:
    parts = urlsplit(url)
    path = parts.path.strip("/")
    return path.split("/")[0] if path else (parts.hostname or "").split(".")[0]


def held(rules: Rules, name: str) -> str:
    """Return how a number is said: what was set, or the default that nobody set."""
    value = f"{getattr(rules, name):g}"
    return f"holds {value}" if name in rules.model_fields_set else f"is {value} where it is not set"


def relate_rules(rules: Rules, problems: Problems, name: Callable[[str], str]) -> None:
    """Check the values of one target's rules against each other; unset ones follow (see ``Rules.policy``).

    ``name`` returns how a rule is called where it was set.
    """
    pairs = (
        ("connect_timeout", "deadline", "An attempt ends at its deadline; set it lower."),
        ("slow_after", "deadline", "Slower attempts have timed out; set it lower."),
        ("minimum_samples", "window", "The rate would never count; set it lower."),
    )
    for small, large, remedy in pairs:
        low, high = getattr(rules, small), getattr(rules, large)
        if small in rules.model_fields_set and low > high and not {name(small), name(large)} & problems.bad:
            problems.add(name(small), f"{held(rules, small)}, more than {name(large)} ({high:g})", remedy)
    if {name("force"), name("force_until")} & problems.bad:
        return
    if rules.force and not rules.force_until:
        remedy = "Set it to the UTC time at which forcing ends, for example 2026-01-31T18:00:00Z."
        problems.add(name("force_until"), f"is not set, but {name('force')} is", remedy)
    if rules.force_until and not rules.force:
        problems.add(
            name("force"), f"is not set, but {name('force_until')} is", "Set it to primary or secondary."
        )
