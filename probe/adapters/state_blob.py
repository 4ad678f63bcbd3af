"""Keeps a shard's record in a blob, guarded by its ETag: the state store of the deployed function app.

Rules kept here: those of ``state``; and a save is never repeated by itself, because one whose answer was lost
would come back as a conflict, and its facts be folded twice.
"""

import asyncio
import hashlib
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from azure.core.exceptions import HttpResponseError
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from probe.adapters import blobs
from probe.adapters.authorization import TokenSource
from probe.adapters.state import (
    BOUND,
    GLANCE,
    SIZE_LIMIT,
    TOO_BIG,
    Encoder,
    UnreadableError,
    aside_name,
    brief_of,
    decode,
    glanced,
    told_replaced,
)
from probe.core.brief import Brief
from probe.core.connection import Connection
from probe.core.errors import ProbeError, StateConflict, StateError
from probe.core.record import ShardRecord
from probe.ports import Loaded

_LOAD_PAUSES = (0.1, 0.4)
"""Seconds before each further try of a load, within its bound: one 503 should not cost a tick its memory."""
_PREFIX_LIMIT = 60
_SHARD = re.compile(r"^[^/]+/shard-[0-9]+\.json$")


class BlobStateStore:
    """State in blobs ``PREFIX/shard-N.json`` of one container, guarded by their ETags.

    A connection is made for each call: two calls a minute do not earn one that is kept and may go stale.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        container: str,
        prefix: str,
        tokens: TokenSource,
        bound: timedelta = BOUND,
    ) -> None:
        self._encoders: defaultdict[int, Encoder] = defaultdict(Encoder)
        self._connection = connection
        self._container = container
        self._vantage, self._prefix = prefix, safe(prefix)
        self._tokens = tokens
        self._bound = bound

    async def load(self, shard: int, known: str | None = None) -> Loaded:
        name = self._name(shard)
        async with self._opened("loaded", name, size=SIZE_LIMIT) as service:
            stored = await _downloaded(service.get_blob_client(self._container, name))
            if stored is None:
                return Loaded(record=None, tag=None)
            document, tag, changed_at = stored
            if tag == known:
                return Loaded(record=None, tag=tag)
            try:
                return Loaded(record=decode(document), tag=tag)
            except UnreadableError as error:
                aside = aside_name(name, changed_at)
                await _keep(service.get_blob_client(self._container, aside), document)
                return Loaded(record=None, tag=tag, replaced=told_replaced(str(error), aside))

    async def glance(self, shard: int) -> Brief | None:
        name = self._name(shard)
        async with self._opened("loaded", name, size=GLANCE) as service:
            stored = await _downloaded(service.get_blob_client(self._container, name), first=GLANCE)
        return (stored and glanced(stored[0])) or brief_of(await self.load(shard))

    async def save(self, shard: int, record: ShardRecord, tag: str | None) -> str:
        name = self._name(shard)
        document = self._encoders[shard].encode(record)
        async with self._opened("saved", name) as service:
            return await self._save(service, name, document, tag)

    async def _save(self, service: BlobServiceClient, name: str, document: bytes, tag: str | None) -> str:
        blob = service.get_blob_client(self._container, name)
        try:
            return await _upload(blob, document, tag)
        except HttpResponseError as error:
            if blobs.service_error(error) != blobs.CONTAINER_MISSING or tag is not None:
                raise
        await blobs.create_container(service, self._container)
        return await _upload(blob, document, tag)

    async def vantages(self) -> list[str]:
        """Return whose state is in this container: the first parts of its blobs' names."""
        async with self._opened("listed", "") as service:
            names = service.get_container_client(self._container).list_blob_names(
                results_per_page=blobs.NAMES_PER_PAGE
            )
            found = {name.partition("/")[0] async for name in names if _SHARD.search(name)}
        return sorted(self._vantage if each == self._prefix else each for each in found)

    def _name(self, shard: int) -> str:
        return f"{self._prefix}/shard-{shard}.json"

    @asynccontextmanager
    async def _opened(
        self, act: str, name: str, *, size: int = blobs.SIZE_LIMIT
    ) -> AsyncIterator[BlobServiceClient]:
        """Open a client for one call, and turn what the service says into what the port names."""
        try:
            async with blobs.opened(self._connection, self._tokens, bound=self._bound, size=size) as service:
                yield service
        except blobs.ERRORS as error:
            if act == "saved" and blobs.service_error(error) in blobs.CHANGED:
                raise StateConflict from None
            failure = blobs.failure_of(error, self._connection.primary)
            told, kind = f"{failure.detail}; {failure.remedy}", failure.error_type
            raise StateError(f"{self._place(act, name)}: {told}", error_type=kind) from error
        except StateError:
            raise
        except (
            ProbeError
        ) as ours:  # this machine or the settings, not the store; as lost to the tick all the same
            raise StateError(f"{self._place(act, name)}: {ours}", error_type="unreadable") from ours

    def _place(self, act: str, name: str) -> str:
        return f"the state in {self._connection.primary}/{self._container}/{name} could not be {act}"


async def _downloaded(blob: BlobClient, first: int | None = None) -> tuple[bytes, str, datetime] | None:
    """Return what ``_download`` does, tried again where the path failed."""
    for pause in _LOAD_PAUSES:
        try:
            return await _download(blob, first)
        except blobs.ERRORS as error:
            if not blobs.is_path_fault(error):
                raise
        await asyncio.sleep(pause)
    return await _download(blob, first)


async def _download(blob: BlobClient, first: int | None) -> tuple[bytes, str, datetime] | None:
    """Return a blob's bytes, or its first ones, ETag and time of change; ``None`` where there is none."""
    try:
        found = await blob.download_blob(offset=None if first is None else 0, length=first)
        document = await found.readall()
    except blobs.ERRORS as error:
        if blobs.service_error(error) in blobs.MISSING:
            return None
        if blobs.is_too_large(error):
            message = f"the state in {blob.blob_name}: {TOO_BIG}; move it away"
            raise StateError(message, error_type="unreadable") from error
        raise
    tag, changed_at = found.properties.etag, found.properties.last_modified
    if not tag or not changed_at:
        raise blobs.AnswerError("it has no ETag, or no time of change")
    return document, str(tag), changed_at


async def _upload(blob: BlobClient, document: bytes, tag: str | None) -> str:
    """Put a document in the place of the version with this tag, or of none, and return the new tag."""
    headers = await blobs.put(blob, document, content_type="application/json", condition=blobs.unchanged(tag))
    if not headers.get("etag"):
        raise blobs.AnswerError("it has no ETag")
    return str(headers["etag"])


async def _keep(blob: BlobClient, document: bytes) -> None:
    """Keep a document aside, unless it is already."""
    try:
        await _upload(blob, document, None)
    except HttpResponseError as error:
        if blobs.service_error(error) != "BlobAlreadyExists":
            raise


def safe(prefix: str) -> str:
    """Return a prefix as one segment of a blob's name; one that had to be changed ends in its digest."""
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", prefix).strip("-")[:_PREFIX_LIMIT]
    if kept and kept == prefix:
        return kept
    digest = hashlib.sha256(prefix.encode()).hexdigest()[:8]
    return f"{kept}-{digest}".lstrip("-")
