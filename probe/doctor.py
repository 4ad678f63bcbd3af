"""The doctor: tries every thing that a tick needs, one after the other, and says what mends what fails.

Rules kept here: nothing is changed but what a row says, and that is taken away again whatever happens, also
on Ctrl-C (one trace that telemetry took stays, and is told); what cannot be tried because something before
it failed is not blamed; no secret is shown.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

from probe import compose, fleet, remedies, settings
from probe.adapters import service_stats, telemetry
from probe.adapters.authorization import TokenError
from probe.adapters.checkup import Answer, Checkup
from probe.adapters.credentials import SCOPE, Tokens
from probe.adapters.exchange import Limits
from probe.adapters.state import FileStateStore
from probe.adapters.telemetry.settings import Ingestion, TelemetrySettings, identity, ingestion
from probe.connections import queue_service
from probe.core.connection import Authorization, Connection, Entra
from probe.core.errors import ConfigurationError, StateError
from probe.core.record import ShardRecord
from probe.core.replication import SyncStatus
from probe.core.target import Location, Policy, Target
from probe.ports import Clock
from probe.remedies import Need, Whose
from probe.settings import Settings
from probe.terminal import BAD, FAINT, GOOD, Fitting, Part, indented, stacked, styled, table

SCHEMA = 1
SKEW = timedelta(seconds=5)
"""What a clock may be off: as much as a slot of the schedule may be run early. Dates tell whole seconds."""
_STEP, _OUTCOME, _DETAIL = 9, 7, 30
_NAME = 8


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not tried, since something that it needs failed."""
    UNNEEDED = "unneeded"
    """Not tried, since a tick with these settings does not need it."""


class Of(StrEnum):
    """What fails when a row fails: it decides the exit code."""

    SETTINGS = "settings"
    PROBE = "probe"
    TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that was tried. ``whose`` and ``remedy`` are there where it failed."""

    step: str
    subject: str
    of: Of
    outcome: Outcome
    detail: str
    whose: Whose | None = None
    remedy: str | None = None


type Show = Callable[[Row], None]
"""Takes each row as soon as it is known."""
type Trying = Callable[[str], None]
"""Is told what is tried next."""


def exit_code(rows: list[Row]) -> int:
    """Return 0 where all is well, 2 for the settings, 3 for the probe's own means, 1 for a target."""
    failed = {each.of for each in rows if each.outcome is Outcome.FAILED}
    for of, code in ((Of.SETTINGS, 2), (Of.PROBE, 3), (Of.TARGET, 1)):
        if of in failed:
            return code
    return 0


def document(rows: list[Row]) -> dict[str, Any]:
    """Return the rows as JSON has them."""
    listed = [
        {
            "step": each.step,
            "subject": each.subject,
            "of": each.of,
            "outcome": each.outcome,
            "detail": each.detail,
            "whose": each.whose,
            "remedy": each.remedy,
        }
        for each in rows
    ]
    return {"schema": SCHEMA, "exit_code": exit_code(rows), "rows": listed}


def lines(row: Row, width: int) -> list[Part]:
    """Return a row for the terminal, its subject padded to a width."""
    mark, style = {Outcome.OK: ("ok", GOOD), Outcome.FAILED: ("FAILED", BAD)}.get(row.outcome, ("-", FAINT))
    told = styled(f"{row.step:<{_STEP}}  {row.subject:<{width}}  ", (f"{mark:<{_OUTCOME}}", style))
    wide = table()
    wide.add_row(told, row.detail)
    short = styled(" ".join(filter(None, (row.step, row.subject))), ": ", (mark, style))
    narrow = stacked(short, indented(row.detail)) if row.detail else short
    out: list[Part] = [Fitting(wide, narrow, len(told) + _DETAIL)]
    if row.whose is not None:
        out += [indented(each, _STEP + 2) for each in (f"fault: {row.whose}", f"mend:  {row.remedy}")]
    return out


def summary(rows: list[Row]) -> str:
    """Return the last line."""
    failed = [each for each in rows if each.outcome is Outcome.FAILED]
    tried = [each for each in rows if each.outcome in (Outcome.OK, Outcome.FAILED)]
    if not failed:
        return f"All {len(tried)} things that were tried work."
    skipped = sum(each.outcome is Outcome.SKIPPED for each in rows)
    also = f"; {skipped} could not be tried for it" if skipped else ""
    return f"{len(failed)} of {len(tried)} things that were tried failed{also}."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """Something that was made here and has to go again; a container only while nobody put anything in it."""

    label: str
    url: str
    authorization: Authorization
    container: bool = False


@dataclass(slots=True, kw_only=True)
class Doctor:
    """One examination; ``rows`` grow while it runs."""

    environment: Mapping[str, str]
    clock: Clock
    show: Show = lambda _: None
    trying: Trying = lambda _: None
    rows: list[Row] = field(default_factory=list)
    _found: Settings = field(init=False)
    _tokens: Tokens = field(init=False)
    _checkup: Checkup = field(init=False)
    _skews: dict[str, timedelta] = field(default_factory=dict)
    _without_token: set[Entra] = field(default_factory=set)
    _made: list[_Made] = field(default_factory=list)
    _id: str = field(default_factory=lambda: uuid4().hex[:_NAME])

    async def run(self) -> list[Row]:
        """Try everything, and return the rows."""
        self._found, problems = settings.examined(self.environment)
        self._settings(problems)
        self._tokens = Tokens(clock=self.clock)
        self._checkup = Checkup(tokens=self._tokens, clock=self.clock, limits=_limits(Policy()))
        try:
            await self._tokens_for_storage()
            for target in self._found.targets:
                await self._target(target)
            await self._state()
            await self._queue()
            await self._telemetry()
        finally:
            await self._take_away()
            await self._tokens.aclose()
        return self.rows

    # -- settings and tokens -------------------------------------------------------------------------------

    def _settings(self, problems: tuple[str, ...]) -> None:
        sending = telemetry.problems(self._sending())
        for each in problems:  # NAME: PROBLEM. REMEDY.
            name, _, rest = each.partition(": ")
            problem, _, remedy = rest.partition(". ")
            self._failed("settings", name, Of.SETTINGS, problem, Whose.OURS, remedy)
        for each in sending:  # NAME PROBLEM: REMEDY
            name, _, rest = each.partition(" ")
            problem, _, remedy = rest.partition(": ")
            self._failed("settings", name, Of.SETTINGS, problem, Whose.OURS, remedy or "Set it so.")
        if not (problems or sending):
            told = len(self._found.warnings)
            note = f"valid, with {told} warning(s): python -m probe check" if told else "valid"
            self._ok("settings", "", Of.SETTINGS, note)

    def _sending(self) -> TelemetrySettings:
        return TelemetrySettings(
            connection_string=self.environment.get("APPLICATIONINSIGHTS_CONNECTION_STRING"),
            authentication_string=self.environment.get("APPLICATIONINSIGHTS_AUTHENTICATION_STRING"),
        )

    async def _tokens_for_storage(self) -> None:
        connections = list(self._found.connections.values())
        if self._found.state.connection:
            connections.append(self._found.state.connection)
        for each in dict.fromkeys(each.authorization for each in connections):
            if isinstance(each, Entra):
                await self._token(each, SCOPE, "storage")

    def _lists(self) -> bool:
        """Return whether there is a list of targets, in the place of the single one."""
        return bool(self.environment.get("PROBE_TARGETS", "").strip())

    async def _token(self, entra: Entra, scope: str, audience: str) -> str | None:
        """Tell whether an identity gives a token, and return it."""
        subject = f"{audience}, as {_named(entra)}"
        self.trying(f"token for {subject}")
        try:
            token = (await self._tokens.held(entra, (scope,))).token
        except TokenError as error:
            self._without_token.add(entra)
            self._failed("token", subject, Of.PROBE, str(error), Whose.OURS, remedies.no_token(entra))
            return None
        self._ok("token", subject, Of.PROBE, "given")
        return token

    # -- the way to an endpoint ----------------------------------------------------------------------------

    async def _reached(
        self, subject: str, url: str, of: Of, need: Need, *, beside: str | None = None
    ) -> bool:
        """Try name, TCP, TLS, answer and clock of an endpoint, and return whether anybody answered.

        Nothing is shown there: who is asked without a grant still answers. ``beside`` is the primary's
        subject where this is a secondary.
        """
        self.trying(f"the way to {subject}")
        answer = await self._checkup.ask(url, None)
        steps = {"name": answer.error_type != "dns", "tcp": answer.phases.connect is not None}
        if url.startswith("https:"):
            steps["tls"] = answer.phases.tls is not None
        steps["answer"] = (
            answer.status is not None and answer.is_azures and answer.status not in _SERVER_ERRORS
        )
        alive = True
        for step, works in steps.items():
            if not alive:
                self._skipped(step, subject, of, "not reached")
            elif works:
                self._ok(step, subject, of, _host(url) if step == "name" else _said(step, answer))
            else:
                alive = False
                if step == "answer" and answer.status is not None and answer.error_type is None:
                    answer = replace(
                        answer, error_type="protocol", detail=f"{answer.status}, not of Azure Storage"
                    )
                judged = remedies.diagnosis(need, answer, None)
                if step == "name" and beside and self._works("answer", beside):
                    judged = remedies.lost_secondary(need)
                self._failed(step, subject, of, answer.detail, judged.whose, judged.remedy)
        if alive:
            self._time(subject, answer.skew)
        return alive

    def _time(self, subject: str, skew: timedelta | None) -> None:
        if skew is None:
            self._skipped("clock", subject, Of.PROBE, "no Date in the answer")
            return
        self._skews[subject] = skew
        detail = f"ours is {abs(skew.total_seconds()):.1f} s {'ahead' if skew > timedelta(0) else 'behind'}"
        if abs(skew) <= SKEW:
            self._ok("clock", subject, Of.PROBE, detail)
            return
        others = [each for each in self._skews.values() if abs(each) <= SKEW]
        whose = Whose.SERVICE if others else Whose.OURS
        remedy = "Other servers agree with our clock: this one's is off." if others else remedies.clock()
        self._failed("clock", subject, Of.PROBE, detail, whose, remedy)

    def _skew(self) -> timedelta | None:
        """Return how far our clock is off, where it is worth telling."""
        off = [each for each in self._skews.values() if abs(each) > SKEW]
        return off[0] if off and len(off) == len(self._skews) else None

    # -- a target ------------------------------------------------------------------------------------------

    async def _target(self, target: Target) -> None:
        authorization = self._found.connections[target.name].authorization
        self._checkup = Checkup(tokens=self._tokens, clock=self.clock, limits=_limits(target.policy))
        need = Need(
            url=target.primary,
            authorization=authorization,
            role=remedies.CONTRIBUTOR if target.write else remedies.READER,
            container=target.container,
            prefix=f"the connection of {target.name}" if self._lists() else settings.PROBED,
            sas="rwdc" if target.write else "r",
        )
        primary, secondary = (f"{target.name} {each}" for each in Location)
        there = await self._reached(primary, target.blob_url(Location.PRIMARY), Of.TARGET, need)
        if askable := self._can(primary, need, there):
            await self._read(target, Location.PRIMARY, need)
        if target.secondary:
            url = target.blob_url(Location.SECONDARY)
            there = await self._reached(secondary, url, Of.TARGET, need, beside=primary)
            if self._can(secondary, need, there):
                await self._read(target, Location.SECONDARY, need)
                await self._stats(target, need)
        else:
            self._unneeded("name", secondary, Of.TARGET, "the target has no secondary")
        if target.write and askable:
            await self._write(target, need)
        elif target.write:
            self._skipped("write", primary, Of.TARGET, "it cannot be asked")

    def _can(self, subject: str, need: Need, there: bool) -> bool:  # noqa: FBT001 - what was found
        """Return whether an endpoint can be asked anything; tell where it cannot."""
        if there and need.authorization in self._without_token:
            self._skipped("read", subject, Of.TARGET, "no token")
            return False
        if not there:
            self._skipped("read", subject, Of.TARGET, "nobody answers there")
        return there

    async def _read(self, target: Target, location: Location, need: Need) -> None:
        """Try to read the canary; one that a tick would write, or that is on its way, may be missing."""
        subject = f"{target.name} {location}"
        self.trying(f"read of {subject}")
        answer = await self._checkup.ask(target.blob_url(location), need.authorization)
        waits = target.write or location is Location.SECONDARY
        if answer.ok:
            self._ok("read", subject, Of.TARGET, "the canary is there")
        elif answer.status == _NOT_FOUND and waits and answer.is_azures:
            self._ok("read", subject, Of.TARGET, "allowed; the canary is not there yet")
        else:
            judged = remedies.diagnosis(need, answer, self._skew())
            if answer.code == "BlobNotFound":
                judged = replace(judged, remedy=f"Upload it: {remedies.upload(need, target.blob)}")
            step = "container" if answer.code == "ContainerNotFound" else "read"
            self._failed(step, subject, Of.TARGET, answer.detail, judged.whose, judged.remedy)

    async def _stats(self, target: Target, need: Need) -> None:
        subject = f"{target.name} secondary"
        self.trying(f"stats of {subject}")
        base = target.service_url(Location.SECONDARY)
        answer = await self._checkup.ask(f"{base}/?restype=service&comp=stats", need.authorization)
        need = replace(need, role=remedies.ACCOUNT_READER, container=None)
        if not answer.ok:
            judged = remedies.diagnosis(need, answer, self._skew())
            self._failed("stats", subject, Of.TARGET, answer.detail, judged.whose, judged.remedy)
            return
        sync = service_stats.sync_of(answer.body)
        if sync is None:
            remedy = "Something between answered in the place of Azure Storage: look at proxies."
            self._failed("stats", subject, Of.TARGET, "the answer is not the stats", Whose.PATH, remedy)
            return
        note = (
            "" if sync.status is SyncStatus.LIVE else "; az storage account show --expand geoReplicationStats"
        )
        self._ok("stats", subject, Of.TARGET, f"replication is {sync.status}{note}")

    async def _write(self, target: Target, need: Need) -> None:
        """Try to write a blob beside the canary."""
        subject = f"{target.name} primary"
        self.trying(f"write to {subject}")
        name = f"doctor-{self._id}"
        answer = await self._put(need, name, subject, Of.TARGET)
        if answer is None:
            self._skipped("write", subject, Of.TARGET, "there is no container")
        elif answer.ok:
            self._ok("write", subject, Of.TARGET, f"wrote {name} beside the canary, and takes it away again")
        else:
            judged = remedies.diagnosis(need, answer, self._skew())
            self._failed("write", subject, Of.TARGET, answer.detail, judged.whose, judged.remedy)
        await self._take_away()

    async def _put(self, need: Need, name: str, subject: str, of: Of) -> Answer | None:
        """Write a blob that must not be there, and its container where a tick would make it too.

        Returns ``None`` where there is no container and none can be made.
        """
        answer = await self._put_once(need, name)
        if answer.code != "ContainerNotFound":
            return answer
        if not await self._make(f"{need.url}/{need.container}", need, subject, of):
            return None
        return await self._put_once(need, name)

    async def _put_once(self, need: Need, name: str) -> Answer:
        url, label = f"{need.url}/{need.container}/{name}", f"{need.container}/{name}"
        self._made.append(_Made(label=label, url=url, authorization=need.authorization))
        headers = {"x-ms-blob-type": "BlockBlob", "If-None-Match": "*", "Content-Type": "text/plain"}
        body = b"python -m probe doctor"
        answer = await self._checkup.ask(url, need.authorization, method="PUT", headers=headers, body=body)
        if answer.status in _REFUSED:
            self._made.pop()  # nothing was made; of any other failure that cannot be known
        return answer

    async def _make(self, url: str, need: Need, subject: str, of: Of) -> bool:
        """Make a container that is missing, as the probe does, and return whether it is there."""
        made = _Made(label=url, url=url, authorization=need.authorization, container=True)
        self._made.append(made)
        answer = await self._checkup.ask(
            f"{url}?restype=container", need.authorization, method="PUT", body=b""
        )
        if answer.ok:
            self._ok("container", subject, of, f"{need.container} was missing: made, and taken away again")
            return True
        self._made.remove(made)  # somebody else's, or none
        if answer.code == "ContainerAlreadyExists":
            return True
        detail = f"{need.container} is missing and cannot be made: {answer.detail}"
        self._failed("container", subject, of, detail, Whose.OURS, remedies.make_container(need))
        return False

    # -- the probe's own means -----------------------------------------------------------------------------

    async def _state(self) -> None:
        state = self._found.state
        self._checkup = Checkup(tokens=self._tokens, clock=self.clock, limits=_limits(Policy()))
        if state.connection:
            await self._state_in(state.connection, state.container)
        elif state.path:
            await self._state_file(state.path)
        elif self.environment.get("PROBE_STATE", "").strip() == "memory":
            self._ok("state", "memory", Of.PROBE, "kept in the process alone")
        else:
            self._skipped("state", "", Of.PROBE, "its settings cannot be used")

    async def _state_in(self, connection: Connection, container: str) -> None:
        need = Need(
            url=connection.primary,
            authorization=connection.authorization,
            role=remedies.CONTRIBUTOR,
            prefix=self.environment.get("PROBE_STATE", "").strip() or "AzureWebJobsStorage",
            container=container,
            sas="rwdc",
        )
        name = f"doctor-{self._id}/shard-0.json"
        base = f"{connection.primary}/{container}"
        if not await self._reached("state", f"{base}/{name}", Of.PROBE, need):
            return
        if need.authorization in self._without_token:
            self._skipped("state", container, Of.PROBE, "no token")
            return
        self.trying("saving and loading the state")
        saved = await self._put(need, name, "state", Of.PROBE)
        stored = saved is not None and saved.ok
        loaded = await self._checkup.ask(f"{base}/{name}", need.authorization) if stored else None
        for step, answer in (("save", saved), ("load", loaded)):
            if answer is None:
                self._skipped(step, "state", Of.PROBE, "nothing was saved")
            elif answer.ok:
                self._ok(step, "state", Of.PROBE, f"{container}/{name}, which is taken away again")
            else:
                judged = remedies.diagnosis(need, answer, self._skew())
                self._failed(step, "state", Of.PROBE, answer.detail, judged.whose, judged.remedy)
        await self._take_away()

    async def _state_file(self, path: Path) -> None:
        """Save and load a document beside the state's, with the very store that keeps it."""
        mine = path.with_name(f"{path.name}.doctor-{self._id}")
        new_folders = [each for each in mine.parents if not each.exists()]
        try:
            store = FileStateStore(mine)
            tag = await store.save(0, ShardRecord(targets={}), None)
            same = (await store.load(0)).tag == tag
        except (StateError, ConfigurationError) as error:
            said, _, remedy = str(error).partition("; ")
            self._failed("state", "file", Of.PROBE, said, Whose.OURS, remedy or "Name another path.")
        else:
            told = f"saved and loaded beside {path}, and taken away again"
            if same:
                self._ok("state", "file", Of.PROBE, told)
            else:
                self._failed(
                    "state", "file", Of.PROBE, "what was saved is not loaded", Whose.OURS, "Check its disk."
                )
        finally:
            for each in (mine, *(mine.with_name(mine.name + more) for more in (".lock", ".tmp"))):
                with suppress(OSError):
                    each.unlink()
            for each in new_folders:
                with suppress(OSError):
                    each.rmdir()

    async def _queue(self) -> None:
        """Look at the queue, where there are shards; a message would run one, so none is sent."""
        if len(fleet.shards(self._found.targets, self._found.shard_size)) <= 1:
            self._unneeded("queue", "", Of.PROBE, "one shard needs none")
            return
        problems: list[Row] = []
        connection = queue_service(
            self.environment,
            "AzureWebJobsStorage",
            lambda name, problem, remedy: problems.append(_problem(name, problem, remedy)),
        )
        if connection is None:
            for each in problems:
                self._add(each)
            return
        need = Need(
            url=connection.primary,
            authorization=connection.authorization,
            role=remedies.QUEUE,
            prefix="AzureWebJobsStorage",
            sas="rap",
        )
        url = f"{connection.primary}/{self._found.queue}/messages?peekonly=true"
        if not await self._reached("queue", url, Of.PROBE, need):
            return
        if need.authorization in self._without_token:
            self._skipped("queue", self._found.queue, Of.PROBE, "no token")
            return
        self.trying("the queue")
        answer = await self._checkup.ask(url, need.authorization)
        if answer.ok:
            self._ok(
                "queue", self._found.queue, Of.PROBE, "looked into; nothing was put in, since it would run"
            )
        elif answer.code == "QueueNotFound":
            self._ok("queue", self._found.queue, Of.PROBE, "not there yet: the host makes it")
        else:
            judged = remedies.diagnosis(need, answer, self._skew())
            self._failed("queue", self._found.queue, Of.PROBE, answer.detail, judged.whose, judged.remedy)

    async def _telemetry(self) -> None:
        sending = self._sending()
        place = None if telemetry.problems(sending) else ingestion(sending)
        endpoint = self._found.otlp_endpoint
        if place:
            await self._azure_monitor(place, sending)
        if endpoint:
            await self._otlp(endpoint)
        if not (place or endpoint):
            self._unneeded("telemetry", "", Of.PROBE, "none is set")

    async def _azure_monitor(self, place: Ingestion, sending: TelemetrySettings) -> None:
        headers, who = {"Content-Type": "application/json"}, identity(sending)
        entra = Entra(managed=True, client_id=who.client_id) if who else None
        if entra:
            token = await self._token(entra, place.scope, "telemetry")
            if token is None:
                self._skipped("telemetry", "Azure Monitor", Of.PROBE, "no token")
                return
            headers["Authorization"] = f"Bearer {token}"
        self.trying("the telemetry's endpoint")
        url, body = f"{place.endpoint}/v2.1/track", json.dumps([_trace(place.key, self.clock())]).encode()
        answer = await self._checkup.ask(url, None, method="POST", headers=headers, body=body)
        if answer.status == _OK:
            self._ok(
                "telemetry", "Azure Monitor", Of.PROBE, "took one trace, which says that it is the doctor's"
            )
            return
        if answer.status in (401, 403) and entra:
            remedy = remedies.publish(entra)
        elif answer.status in (400, 401, 403):
            remedy = (
                "Copy APPLICATIONINSIGHTS_CONNECTION_STRING anew; a resource with local authentication off "
                "wants APPLICATIONINSIGHTS_AUTHENTICATION_STRING=Authorization=AAD"
            )
        else:
            remedy = f"Let the way to {_host(url)} through firewalls, proxies and private links."
        whose = Whose.OURS if answer.status in (400, 401, 403) else _fault(answer)
        self._failed("telemetry", "Azure Monitor", Of.PROBE, answer.detail, whose, remedy)

    async def _otlp(self, endpoint: str) -> None:
        """Send an empty request, which is a good one: it shows the way and the grant, and leaves nothing."""
        self.trying("the collector")
        headers = {"Content-Type": "application/x-protobuf", **_otlp_headers(self.environment)}
        try:
            answer = await self._checkup.ask(
                f"{endpoint.rstrip('/')}/v1/logs", None, method="POST", headers=headers, body=b""
            )
        except ConfigurationError:
            remedy = "Set OTEL_EXPORTER_OTLP_ENDPOINT to one, for example http://localhost:4318."
            self._failed("telemetry", "OTLP", Of.SETTINGS, "is no http(s) URL", Whose.OURS, remedy)
            return
        if answer.ok:
            self._ok("telemetry", "OTLP", Of.PROBE, "took an empty request")
            return
        denied = answer.status in (401, 403)
        remedy = (
            "Set OTEL_EXPORTER_OTLP_HEADERS as the collector wants it."
            if denied
            else "Check OTEL_EXPORTER_OTLP_ENDPOINT (http/protobuf, usually port 4318) and the way to "
            f"{_host(endpoint)}."
        )
        whose = Whose.OURS if denied else _fault(answer)
        self._failed("telemetry", "OTLP", Of.PROBE, answer.detail, whose, remedy)

    # -- rows, and what was made -------------------------------------------------------------------------

    async def _take_away(self) -> None:
        """Take away what was made here, the newest first; what cannot be is told with the command for it."""
        while self._made:
            each = self._made.pop()
            if why := await self._kept(each):
                step = "container" if each.container else "blob"
                place = f"--account-name {remedies.account(each.url)} --auth-mode login"
                parts = each.label.partition("/")
                named = (
                    f"--name {each.url.rpartition('/')[2]}"
                    if each.container
                    else f"--container-name {parts[0]} --name {parts[2]}"
                )
                remedy = f"Delete it: az storage {step} delete {place} {named}"
                detail = f"{each.label} could not be taken away again: {why}"
                self._failed("clean-up", "", Of.PROBE, detail, Whose.OURS, remedy)

    async def _kept(self, made: _Made) -> str | None:
        """Delete what was made, and return why it is still there."""
        if not made.container:
            answer = await self._checkup.ask(made.url, made.authorization, method="DELETE")
            return None if answer.ok or answer.status == _NOT_FOUND else _why_kept(answer)
        url = f"{made.url}?restype=container"
        inside = await self._checkup.ask(f"{url}&comp=list&maxresults=1", made.authorization)
        if inside.status == _NOT_FOUND:
            return None
        if not inside.ok or b"<Name>" in inside.body:
            return "something else is in it by now" if inside.ok else _why_kept(inside)
        answer = await self._checkup.ask(url, made.authorization, method="DELETE")
        return None if answer.ok or answer.status == _NOT_FOUND else _why_kept(answer)

    def _works(self, step: str, subject: str) -> bool:
        return any(
            each.outcome is Outcome.OK and (each.step, each.subject) == (step, subject) for each in self.rows
        )

    def _ok(self, step: str, subject: str, of: Of, detail: str) -> None:
        self._add(Row(step=step, subject=subject, of=of, outcome=Outcome.OK, detail=detail))

    def _skipped(self, step: str, subject: str, of: Of, detail: str) -> None:
        self._add(
            Row(step=step, subject=subject, of=of, outcome=Outcome.SKIPPED, detail=f"not tried: {detail}")
        )

    def _unneeded(self, step: str, subject: str, of: Of, detail: str) -> None:
        self._add(Row(step=step, subject=subject, of=of, outcome=Outcome.UNNEEDED, detail=detail))

    def _failed(self, step: str, subject: str, of: Of, detail: str, whose: Whose, remedy: str) -> None:  # noqa: PLR0913, PLR0917 - a row's parts
        self._add(
            Row(
                step=step,
                subject=subject,
                of=of,
                outcome=Outcome.FAILED,
                detail=detail,
                whose=whose,
                remedy=remedy,
            )
        )

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        self.show(row)


_OK, _NOT_FOUND = 200, 404
_SERVER_ERRORS = range(500, 600)
_REFUSED = range(400, 500)


def _limits(policy: Policy) -> Limits:
    return Limits(deadline=policy.deadline.total_seconds(), connect=policy.connect_timeout.total_seconds())


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _said(step: str, answer: Answer) -> str:
    """Return how long a step took, or what was answered to who showed nothing."""
    if step == "answer":
        return (
            f"{answer.status}{'' if answer.status == _OK else ', as it should'}, to a request without a grant"
        )
    took = answer.phases.connect if step == "tcp" else answer.phases.tls
    return f"{took.total_seconds() * 1000:.0f} ms" if took else ""


def _named(entra: Entra) -> str:
    if entra.client_secret:
        return f"application {entra.client_id}"
    if entra.managed:
        return f"managed identity {entra.client_id or entra.resource_id or '(system-assigned)'}"
    return "whoever is signed in here"


def _problem(name: str, problem: str, remedy: str) -> Row:
    return Row(
        step="settings",
        subject=name,
        of=Of.SETTINGS,
        outcome=Outcome.FAILED,
        detail=problem,
        whose=Whose.OURS,
        remedy=remedy,
    )


def _fault(answer: Answer) -> Whose:
    return Whose.SERVICE if answer.status in _SERVER_ERRORS or answer.status == 429 else Whose.PATH  # noqa: PLR2004


def _why_kept(answer: Answer) -> str:
    return answer.detail or "no reason was given"


def _otlp_headers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that the standard setting holds: percent-encoded pairs with commas between.

    Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
    """
    pairs = (
        each.partition("=")
        for each in environment.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",")
        if "=" in each
    )
    return {
        unquote(name).strip(): quote(unquote(value).strip(), safe=" -._~!#$&'()*+,/:;=?@[]")
        for name, _, value in pairs
    }


def _trace(key: str, now: datetime) -> dict[str, Any]:
    """Return one trace as Application Insights takes it: the least that shows whether we may send.

    Source: https://github.com/microsoft/ApplicationInsights-Home (EndpointSpecs/Schemas/Bond, MessageData)
    """
    message = "python -m probe doctor tried whether telemetry is taken."
    return {
        "name": "Microsoft.ApplicationInsights.Message",
        "time": now.astimezone(UTC).isoformat(timespec="milliseconds"),
        "iKey": key,
        "tags": {"ai.cloud.role": "probe doctor"},
        "data": {"baseType": "MessageData", "baseData": {"ver": 2, "message": message, "severityLevel": 1}},
    }


def width(environment: Mapping[str, str]) -> int:
    """Return how wide the subjects will be, so that rows are aligned while they come."""
    found, _ = settings.examined(environment)
    names = [f"{target.name} secondary" for target in found.targets]
    return max(len(each) for each in ("Azure Monitor", *names))


async def examine(
    environment: Mapping[str, str],
    *,
    clock: Clock = compose.utc_now,
    show: Show = lambda _: None,
    trying: Trying = lambda _: None,
) -> list[Row]:
    """Try everything that a tick needs with these settings, and return the rows."""
    return await Doctor(environment=environment, clock=clock, show=show, trying=trying).run()


def run(environment: Mapping[str, str], show: Show, trying: Trying) -> list[Row]:
    """Examine in an event loop of its own."""
    return asyncio.run(examine(environment, show=show, trying=trying))
