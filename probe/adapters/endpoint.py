"""The measured attempt: what one request to one endpoint showed, told as a reading.

A read, a trial and a check GET the blob, the stats are a GET as well, and a write is one PUT of it: the same
way, signed alike, measured alike.

Rules kept here: whatever an endpoint does is data; only what says nothing of it is raised (see
``failures``). An attempt is one request (see ``exchange``); the two locations never share a connection, even
where one server is both. The token, where one is needed, is had before the attempt begins and is no part of
its duration. No secret, and no text of a stranger unwashed, gets into a reading.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ssl import SSLContext
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from probe import __version__
from probe.adapters import service_stats
from probe.adapters.answer import Headers
from probe.adapters.authorization import Grant, TokenError, TokenSource, grant
from probe.adapters.exchange import Exchange, Limits, Line, Request, target_of, tls_context
from probe.adapters.failures import plain
from probe.core import canary
from probe.core.canary import Stamp
from probe.core.connection import Connection
from probe.core.reading import OK_STATUS, Purpose, Reading, error_of_status
from probe.core.replication import Sync
from probe.core.target import Location, Target
from probe.ports import Clock

if TYPE_CHECKING:  # they bring the storage SDK, which a read-only probe by identity need not wait for
    from probe.adapters.blobs import Failure
    from probe.adapters.storage import Body

API_VERSION = "2023-11-03"
"""``x-ms-version``: stable, and new enough for everything asked here."""
_HEADERS = {
    "x-ms-version": API_VERSION,
    "User-Agent": f"geo-storage-probe/{__version__}",
    "Accept-Encoding": "identity",
}
_METADATA = "x-ms-meta-"
_ID_LIMIT = 64
_REQUEST_ID = "x-ms-request-id"
"""In every answer of Azure Storage: https://learn.microsoft.com/rest/api/storageservices/get-blob"""
_CREATED = 201


class Canaries(Protocol):
    """What is written, and where it is put: ``storage.CanaryWriter``."""

    @property
    def body(self) -> "Body":
        """The canary's bytes, and what they are."""
        ...

    def stamp(self, sequence: int, writer: str) -> Stamp:
        """Return the stamp of a canary that is written now."""
        ...

    def writes(self, target: Target, *, replacing: str | None) -> None:
        """Remember a write that is about to be made."""
        ...

    async def create_container(self, target: Target, connection: Connection) -> "Failure | None":
        """Create the target's container, and return why it could not be."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """The way to one location: its connections, what is shown to the service, and where the canary is.

    ``canary`` is path and query, signed: made once, since a tick reads it many times.
    """

    line: Line
    grant: Grant
    canary: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is asked, and where: known before anything is. ``target`` is path and query, as they go out.

    ``good`` is the only status of a good answer, ``size`` what is read of its body at most, ``None``: none.
    """

    location: Location
    purpose: Purpose
    target: str = field(repr=False)
    size: int | None
    good: int = OK_STATUS
    method: str = "GET"
    address: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Endpoints:
    """Opens the connections to targets (``ports.Endpoints``); ``connections`` has one for each name."""

    def __init__(
        self,
        *,
        connections: Mapping[str, Connection],
        tokens: TokenSource,
        canaries: Canaries,
        clock: Clock,
        tls: Callable[[], SSLContext] = tls_context,
    ) -> None:
        self._connections = connections
        self._tokens = tokens
        self._canaries = canaries
        self._clock = clock
        self._tls = tls

    def open(self, target: Target) -> "TargetSession":
        """Return the way to a target; nothing is connected yet, and ``aclose`` must follow.

        Raises ``ConfigurationError`` for a connection that cannot be used as it is.
        """
        connection = self._connections[target.name]
        now = self._clock()
        ways = {each: self._way(target, each, connection, now) for each in target.locations}
        return TargetSession(
            target=target,
            ways=ways,
            tokens=self._tokens,
            clock=self._clock,
            canaries=self._canaries,
            connection=connection,
        )

    def _way(self, target: Target, location: Location, connection: Connection, now: datetime) -> _Way:
        shown = grant(connection, target.service_url(location), now=now)
        return _Way(
            line=self._line(target, location),
            grant=shown,
            canary=_signed(target.blob_url(location), shown),
        )

    def _line(self, target: Target, location: Location) -> Line:
        limits = Limits(
            deadline=target.policy.deadline.total_seconds(),
            connect=target.policy.connect_timeout.total_seconds(),
        )
        return Line(url=target.service_url(location), limits=limits, tls=self._tls)


class TargetSession:
    """The connections of one tick to one target (``ports.Session``)."""

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        *,
        target: Target,
        ways: "Mapping[Location, _Way]",
        tokens: TokenSource,
        clock: Clock,
        canaries: Canaries,
        connection: Connection,
    ) -> None:
        self._target = target
        self._ways = ways
        self._tokens = tokens
        self._clock = clock
        self._canaries = canaries
        self._connection = connection

    async def attempt(self, location: Location, purpose: Purpose, *, floor: Stamp | None) -> Reading:
        """Read the canary at a location once."""
        target = self._ways[location].canary
        asked = _Asked(location=location, purpose=purpose, target=target, size=canary.SIZE_LIMIT)
        reading, body, headers = await self._ask(asked)
        if body is None:
            return reading
        stamp, error = canary.verify(
            body=body,
            metadata=_metadata(headers),
            content_md5=headers.get("content-md5"),
            floor=floor,
            stamped=self._target.write,
        )
        if stamp is None and _REQUEST_ID not in headers:
            error = "protocol"  # a page of a proxy or a portal, which no Content-MD5 gives away
        reading = replace(reading, canary=stamp, etag=_etag(headers))
        if error is None:
            return reading
        self._ways[location].line.renew()
        return replace(reading, error_type=error, detail=_content_detail(error, stamp, floor))

    async def stats(self) -> tuple[Reading, Sync | None]:
        """Ask the secondary for its replication stats once. ``ValueError`` when the target has none."""
        location = Location.SECONDARY
        base = f"{self._target.service_url(location)}/?restype=service&comp=stats"
        target = _signed(base, self._ways[location].grant)
        asked = _Asked(location=location, purpose=Purpose.STATS, target=target, size=service_stats.SIZE_LIMIT)
        reading, body, _ = await self._ask(asked)
        if body is None:
            return reading, None
        sync = service_stats.sync_of(body)
        if sync is not None:
            return reading, sync
        self._ways[location].line.renew()
        detail = "the answer is not the stats of a blob service"
        return replace(reading, error_type="protocol", detail=detail), None

    async def write(
        self, *, sequence: int, replacing: str | None, writer: str, create: bool = False
    ) -> tuple[Reading, Stamp | None]:
        """Write the canary to the primary once; ``create``: make its container first.

        Where that fails there is no PUT, and the reading tells of the container's.
        """
        self._canaries.writes(self._target, replacing=replacing)
        if create and (failed := await self._uncreated()):
            return failed, None
        return await self._put(sequence, replacing, writer)

    async def _uncreated(self) -> Reading | None:
        """Create the container, and return what it showed if it could not be."""
        started_at, began = self._clock(), perf_counter()
        failure = await self._canaries.create_container(self._target, self._connection)
        if failure is None:
            return None
        return Reading(
            location=Location.PRIMARY,
            purpose=Purpose.WRITE,
            started_at=started_at,
            duration=timedelta(seconds=perf_counter() - began),
            error_type=failure.error_type,
            status_code=failure.status_code,
            service_error=failure.service_error,
            request_id=_washed(failure.request_id),
            detail=failure.detail,
        )

    async def _put(self, sequence: int, replacing: str | None, writer: str) -> tuple[Reading, Stamp | None]:
        # The stamp's time is from before the PUT: lag is counted from it and must never be told too small.
        stamp, body, location = self._canaries.stamp(sequence, writer), self._canaries.body, Location.PRIMARY
        signed = grant(self._connection, self._target.service_url(location), now=stamp.written_at, write=True)
        host, port = self._target.address(location)
        asked = _Asked(
            location=location,
            address=f"{host}:{port}",
            purpose=Purpose.WRITE,
            target=_signed(self._target.blob_url(location), signed),
            size=None,  # the status and the headers say it all
            good=_CREATED,
            method="PUT",
            headers={
                "x-ms-blob-type": "BlockBlob",
                "Content-Type": body.content_type,
                **{f"{_METADATA}{name}": value for name, value in canary.encode(stamp).items()},
                **({"If-Match": replacing} if replacing else {"If-None-Match": "*"}),
            },
            body=body.content,
        )
        reading, _, headers = await self._ask(asked)
        etag = _etag(headers)
        if reading.ok and etag is None:
            detail = f"{asked.address}: {_CREATED} without an ETag: something in between may have given it"
            reading = replace(reading, error_type="protocol", detail=detail)
        return replace(reading, etag=etag if reading.ok else None), stamp if reading.ok else None

    async def aclose(self) -> None:
        for way in self._ways.values():
            await way.line.aclose()

    async def _ask(self, asked: _Asked) -> tuple[Reading, bytes | None, Headers]:
        """Make the request, and return what it showed short of its content, and the body that was wanted."""
        way = self._ways[asked.location]
        started_at, began = self._clock(), perf_counter()
        headers = {**_HEADERS, "x-ms-client-request-id": asked.request_id, **asked.headers}
        try:
            request = Request(
                method=asked.method,
                target=asked.target,
                headers=await self._authorized(headers, asked.location),
                body=asked.body,
            )
        except TokenError as error:
            return _without_token(asked, error, started_at, perf_counter() - began), None, Headers()
        started_at = self._clock()
        exchange = await way.line.ask(request, lambda status: asked.size if status == asked.good else None)
        reading = _told(asked, exchange, started_at)
        if not reading.ok:
            way.line.renew()
        return reading, exchange.body, exchange.headers

    async def _authorized(self, headers: dict[str, str], location: Location) -> dict[str, str]:
        entra = self._ways[location].grant.entra
        if entra is not None:
            headers["Authorization"] = f"Bearer {await self._tokens.get(entra)}"
        return headers


def _signed(url: str, grant_: Grant) -> str:
    """Return a URL's path and query with the signature added as it was made: quoting it would break it."""
    joint = "&" if "?" in url else "?"
    return target_of(f"{url}{joint}{grant_.query}" if grant_.query else url)


def _without_token(asked: _Asked, error: TokenError, started_at: datetime, seconds: float) -> Reading:
    """Tell of a token that cannot be had: no request was made, and the fault is ours, as with any 401."""
    return Reading(
        location=asked.location,
        purpose=asked.purpose,
        started_at=started_at,
        duration=timedelta(seconds=seconds),
        error_type="401",
        detail=plain(f"no token: {error}"),
    )


def _told(asked: _Asked, exchange: Exchange, started_at: datetime) -> Reading:
    error, detail = _error(asked, exchange)
    if asked.purpose is Purpose.WRITE and error and not exchange.failure:
        said = (exchange.status, _washed(exchange.headers.get("x-ms-error-code")), detail)
        detail = plain(f"{asked.address}: {' '.join(str(each) for each in said if each)}")
    return Reading(
        location=asked.location,
        purpose=asked.purpose,
        started_at=started_at,
        duration=exchange.duration,
        error_type=error,
        status_code=exchange.status,
        phases=exchange.phases,
        detail=detail,
        service_error=_washed(exchange.headers.get("x-ms-error-code")),
        request_id=_washed(exchange.headers.get(_REQUEST_ID)),
        client_request_id=asked.request_id,
    )


def _error(asked: _Asked, exchange: Exchange) -> tuple[str | None, str | None]:
    """Return the ``error.type`` and the detail, short of the content."""
    if exchange.failure is not None:
        return exchange.failure.error_type, exchange.failure.detail
    if exchange.status is None:
        raise AssertionError("an exchange without a failure has a status")
    if exchange.too_large:
        return "size", "the body is larger than a canary may be"
    error = None if exchange.status == asked.good else error_of_status(exchange.status) or "protocol"
    if error == "protocol":
        return error, f"status {exchange.status} is no answer of Azure Storage to a plain {asked.method}"
    if _REQUEST_ID not in exchange.headers and (error or asked.size is None):  # a body speaks for itself
        detail = f"the answer has no {_REQUEST_ID}: something in between may have given it"
        return error or "protocol", detail
    return error, None


def _metadata(headers: Headers) -> dict[str, str]:
    """Return the blob's metadata; what comes twice, or is not printable ASCII, is as good as missing."""
    found = headers.starting(_METADATA)
    return {name: value for name, value in found.items() if value.isascii() and value.isprintable()}


def _content_detail(error: str, stamp: Stamp | None, floor: Stamp | None) -> str:
    match error:
        case "rollback" if stamp and floor:
            return f"sequence {stamp.sequence} came after {floor.sequence} had been shown here"
        case "unreadable":
            return "the blob carries no whole stamp: somebody else may have written it"
        case "protocol":
            return f"the answer has neither a stamp nor {_REQUEST_ID}: something in between may have given it"
        case "digest":
            return "the body does not have the digest that its header promises"
        case _:
            return "the content cannot be used"


def _etag(headers: Headers) -> str | None:
    """Return the blob's ETag, which is sent back as it came; one that cannot be is as good as none."""
    found = headers.get("etag") or ""
    return found if found and found == plain(found, _ID_LIMIT) else None


def _washed(text: str | None) -> str | None:
    return plain(text, _ID_LIMIT) if text else None
