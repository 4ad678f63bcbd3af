"""The canary to be written: its body and its stamp; its container, and the taking away of what was made.

Rules kept here: only what this process made, and nobody else has changed since, is taken away. The write
itself is an attempt (see ``endpoint``).
"""

import mimetypes
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from probe.adapters.authorization import TokenSource
from probe.adapters.blobs import (
    ERRORS,
    Failure,
    create_container,
    failure_of,
    opened,
)
from probe.core import canary
from probe.core.canary import Stamp
from probe.core.connection import Connection
from probe.core.errors import ConfigurationError
from probe.core.target import Target
from probe.ports import Clock

PICTURE = Path(__file__).parent.parent / "HelloWorld.png"
"""The canary's body where the user names no other file."""
BODY_LIMIT = 1024 * 1024
"""The most bytes of a canary's body: it is sent whole once a tick and read whole several times."""


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

    @property
    def body(self) -> Body:
        return self._body

    def stamp(self, sequence: int, writer: str) -> Stamp:
        """Return the stamp of a canary that is written now."""
        return canary.stamp(
            body=self._body.content, sequence=sequence, written_at=self._clock(), writer=writer
        )

    def writes(self, target: Target, *, replacing: str | None) -> None:
        """Remember a write that is about to be made, onto a blob of this ETag or onto none."""
        if replacing is not None and target.name not in self._written:
            self._found.add(target.name)
        self._written.add(target.name)

    async def create_container(self, target: Target, connection: Connection) -> Failure | None:
        """Create the target's container, and return why it could not be; somebody else's is as good."""
        try:
            async with self._opened(target, connection) as service:
                if await create_container(service, target.container):
                    self._created.add(target.name)
        except ERRORS as error:
            return failure_of(error, connection.primary)
        return None

    async def clean_up(self, target: Target, connection: Connection) -> Cleanup:
        """Take away the blob that this process made, and its container if this process created it.

        A blob that a write found there stays, as does what somebody else has made of ours since. Raises
        nothing on account of the endpoint.
        """
        if target.name not in self._written:
            return Cleanup()
        if target.name in self._found:
            return Cleanup(kept="the blob was there before")
        try:
            async with self._opened(target, connection) as service:
                return await self._clean_up(service, target)
        except ERRORS as error:
            return Cleanup(kept=failure_of(error, connection.primary).detail)

    def _opened(
        self, target: Target, connection: Connection
    ) -> AbstractAsyncContextManager[BlobServiceClient]:
        return opened(
            connection,
            self._tokens,
            bound=target.policy.deadline,
            connect_timeout=target.policy.connect_timeout,
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
        return found is not None and found.writer == canary.writer_name(self._writer)
