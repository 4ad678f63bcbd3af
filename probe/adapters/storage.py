"""Writes the canary to the primary, and takes away what this process made.

Rules kept here: a write is one PUT under one deadline, and more only where its docstring says; the stamp's
time is from before the PUT; only what this process made, and nobody else has changed since, is taken away.
"""

import mimetypes
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from probe.adapters.authorization import TokenSource
from probe.adapters.blobs import (
    CONTAINER_MISSING,
    ERRORS,
    Failure,
    create_container,
    failure_of,
    opened,
    put,
    ready,
    service_error,
    unchanged,
    where,
)
from probe.adapters.phases import Stopwatch
from probe.core import canary
from probe.core.canary import Stamp
from probe.core.connection import Connection
from probe.core.errors import ConfigurationError
from probe.core.reading import Purpose, Reading
from probe.core.target import Location, Target
from probe.ports import Clock

PICTURE = Path(__file__).parent.parent / "HelloWorld.png"
"""The canary's body where the user names no other file."""
BODY_LIMIT = 1024 * 1024
"""The most bytes of a canary's body: it is sent whole once a tick and read whole several times."""
_CREATED = 201


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The canary's bytes and what they are."""

    content: bytes
    content_type: str


def read_body(path: Path = PICTURE) -> Body:
    """Read the canary's body. Raises ``ConfigurationError`` when it cannot be read, is empty or too big."""
    try:
        with path.open("rb") as file:
            content = file.read(BODY_LIMIT + 1)
    except OSError as error:
        problem = f"{error.strerror or error}; name a file that this user can read"
        raise ConfigurationError((f"the canary's file {path} cannot be read: {problem}",)) from None
    if not content or len(content) > BODY_LIMIT:
        what = "is bigger than 1 MiB" if content else "is empty"
        raise ConfigurationError((f"the canary's file {path} {what}; name one of 1 byte to 1 MiB",))
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Body(content=content, content_type=content_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """What a clean-up took away; ``kept`` says why anything stayed that this process made."""

    blob: bool = False
    container: bool = False
    kept: str | None = None


class CanaryWriter:
    """Writes canaries, and remembers what this process made so that it can take exactly that away again."""

    def __init__(self, *, tokens: TokenSource, clock: Clock, writer: str, body: Body) -> None:
        self._tokens = tokens
        self._clock = clock
        self._writer = writer
        self._body = body
        self._written: set[str] = set()
        self._created: set[str] = set()
        self._found: set[str] = set()

    def created(self, target: Target) -> bool:
        """Return whether this process created the target's container."""
        return target.name in self._created

    async def write(
        self, target: Target, connection: Connection, sequence: int, replacing: str | None
    ) -> tuple[Reading, Stamp | None]:
        """Write the canary to the primary: one PUT, and what was written, ``None`` on a failure.

        ``replacing`` is the ETag of the version that it takes the place of; ``None``: there must be none.
        More requests are made in one case only: a missing container is created and the PUT made again, all
        under the one deadline.
        """
        started_at, watch, request_id = self._clock(), Stopwatch(), str(uuid4())
        try:
            await ready(connection, self._tokens)
            started_at, watch = self._clock(), Stopwatch()
            async with self._opened(target, connection, watch) as service:
                stamp, headers = await self._write(service, target, sequence, replacing, request_id)
                watch.begin(None)
                duration = watch.elapsed()
        except ERRORS as error:
            failure = failure_of(error, where(connection.primary, watch))
            return _failed(failure, started_at, watch, request_id), None
        reading = Reading(
            location=Location.PRIMARY,
            purpose=Purpose.WRITE,
            started_at=started_at,
            duration=duration,
            phases=watch.phases(),
            status_code=_CREATED,
            etag=headers.get("etag"),
            request_id=headers.get("request_id"),
            client_request_id=request_id,
        )
        return reading, stamp

    async def clean_up(self, target: Target, connection: Connection) -> Cleanup:
        """Take away the blob that this process made, and its container if this process created it.

        A blob that a write found there stays, as does what somebody else has made of ours since. Raises
        nothing on account of the endpoint.
        """
        if target.name not in self._written:
            return Cleanup()
        if target.name in self._found:
            return Cleanup(kept="the blob was there before")
        watch = Stopwatch()
        try:
            async with self._opened(target, connection, watch) as service:
                return await self._clean_up(service, target)
        except ERRORS as error:
            return Cleanup(kept=failure_of(error, where(connection.primary, watch)).detail)

    def _opened(
        self, target: Target, connection: Connection, watch: Stopwatch
    ) -> AbstractAsyncContextManager[BlobServiceClient]:
        return opened(
            connection,
            self._tokens,
            watch=watch,
            bound=target.policy.deadline,
            connect_timeout=target.policy.connect_timeout,
        )

    async def _write(
        self,
        service: BlobServiceClient,
        target: Target,
        sequence: int,
        replacing: str | None,
        request_id: str,
    ) -> tuple[Stamp, Mapping[str, Any]]:
        blob = service.get_blob_client(target.container, target.blob)
        if replacing is not None and target.name not in self._written:
            self._found.add(target.name)
        self._written.add(target.name)
        try:
            return await self._put(blob, sequence, replacing, request_id)
        except HttpResponseError as error:
            if service_error(error) != CONTAINER_MISSING:
                raise
        if await create_container(service, target.container, request_id):
            self._created.add(target.name)
        return await self._put(blob, sequence, None, request_id)

    async def _put(
        self, blob: BlobClient, sequence: int, replacing: str | None, request_id: str
    ) -> tuple[Stamp, Mapping[str, Any]]:
        # The time before the PUT, not after: lag is counted from it and must never be told too small.
        stamp = self._stamp(sequence)
        headers = await put(
            blob,
            self._body.content,
            content_type=self._body.content_type,
            metadata=canary.encode(stamp),
            condition=unchanged(replacing),
            request_id=request_id,
        )
        return stamp, headers

    def _stamp(self, sequence: int) -> Stamp:
        return canary.stamp(
            body=self._body.content, sequence=sequence, written_at=self._clock(), writer=self._writer
        )

    async def _clean_up(self, service: BlobServiceClient, target: Target) -> Cleanup:
        blob = service.get_blob_client(target.container, target.blob)
        gone, kept = await self._delete_blob(blob)
        if not self.created(target):
            return Cleanup(blob=gone, kept=kept)
        async for name in service.get_container_client(target.container).list_blob_names(results_per_page=1):
            return Cleanup(blob=gone, kept=kept or f"the container holds more than the canary: {name}")
        await service.delete_container(target.container)
        self._created.discard(target.name)
        return Cleanup(blob=gone, container=True)

    async def _delete_blob(self, blob: BlobClient) -> tuple[bool, str | None]:
        """Delete the blob while it carries our stamp; return whether it went, and why not."""
        try:
            shown = await blob.get_blob_properties()
            if not self._is_ours(canary.decode(shown.metadata)):
                return False, "the blob was written by somebody else since"
            await blob.delete_blob(etag=shown.etag, match_condition=MatchConditions.IfNotModified)
        except ResourceNotFoundError:
            return False, None
        except ResourceModifiedError:
            return False, "the blob was written by somebody else just now"
        return True, None

    def _is_ours(self, found: Stamp | None) -> bool:
        """Return whether a stamp names this writer, in the spelling that a header allows."""
        return found is not None and found.writer == canary.encode(self._stamp(0))["writer"]


def _failed(failure: Failure, started_at: datetime, watch: Stopwatch, request_id: str) -> Reading:
    return Reading(
        location=Location.PRIMARY,
        purpose=Purpose.WRITE,
        started_at=started_at,
        duration=watch.elapsed(),
        phases=watch.phases(),
        error_type=failure.error_type,
        status_code=failure.status_code,
        detail=failure.detail,
        service_error=failure.service_error,
        request_id=failure.request_id,
        client_request_id=request_id,
    )
