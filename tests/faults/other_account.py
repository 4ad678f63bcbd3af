"""A geo-redundant account of another make than the lab's: no Azurite, no proxy, nothing of the lab's code.

Written from Azure's reference alone, so that what the probe was built beside is not what it is judged by. It
answers on two real sockets under names of its own, host-style as Azure does, checks every condition and what
a SAS permits, replicates in order with a lag, and fails over in the ways an account does. Where Azure is
harsher: replication is out of order across blobs, LastSyncTime moves every few minutes, and a failover
takes an hour in which anything may be answered.

Sources: https://learn.microsoft.com/rest/api/storageservices/put-blob, /get-blob, /create-container,
/get-blob-service-stats, /specifying-conditional-headers-for-blob-service-operations, and
https://learn.microsoft.com/azure/storage/common/storage-failover-customer-managed-unplanned.
"""

import asyncio
import contextlib
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

PRIMARY, SECONDARY = "primary", "secondary"
XML = '\ufeff<?xml version="1.0" encoding="utf-8"?>'
PAGE = b"<!doctype html><title>Sign in</title><form>Room number</form>"

type Lines = dict[str, str]
type Answer = tuple[int, Lines, bytes]
type Region = dict[str, dict[str, "Blob"]]
"""Blobs by container and name."""


@dataclass(frozen=True)
class Blob:
    """One version of a blob. A replica has the ETag and the time of the original, as in Azure."""

    content: bytes
    headers: Lines
    etag: str
    modified: datetime

    @property
    def stamp(self) -> Lines:
        return {name.removeprefix("x-ms-meta-"): value for name, value in self.headers.items()}


@dataclass(frozen=True)
class Asked:
    """One request; names of headers and of the query in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: Lines
    body: bytes


def refusal(status: int, code: str) -> Answer:
    """Return an error as Azure spells one: the code in a header and in XML with a byte order mark."""
    xml = f"{XML}<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return status, {"x-ms-error-code": code, "Content-Type": "application/xml"}, xml.encode()


@dataclass
class Account:
    """An account named ``name``; ``lag`` is replication's, ``None`` while nothing is replicated.

    ``plays`` takes the place of a location's answers: a function of the request, or ``None`` for the true
    answer, or a word: ``hang`` (says nothing), ``portal`` (a sign-in page to everybody).
    """

    name: str
    names: dict[str, str]
    clock: Callable[[], datetime]
    lag: timedelta | None = timedelta(0)
    status: str = "live"
    """What the stats say; ``403`` refuses them, ``empty`` is live without a time."""
    readonly: bool = False
    redundant: bool = True
    plays: dict[str, Callable[[Asked], Answer | str | None]] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=lambda: {PRIMARY: {}, SECONDARY: {}})
    cache: Region | None = None
    """What a cache in front of the primary answers reads with."""
    synced: datetime | None = None
    _pending: list[tuple[datetime, str, str | None, Blob | None]] = field(default_factory=list)
    _ports: dict[str, int] = field(default_factory=dict)
    _servers: dict[str, asyncio.Server] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        for location in (PRIMARY, SECONDARY):
            await self._listen(location, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for location in list(self._servers):
            self._leave(location)

    async def _listen(self, location: str, port: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(location, reader, writer)

        self._servers[location] = await asyncio.start_server(serve, "127.0.0.1", port, limit=2**20)
        self._ports[location] = self._servers[location].sockets[0].getsockname()[1]
        self.names[self.host(location)] = "127.0.0.1"

    def _leave(self, location: str) -> None:
        """Have a location's name and port go away."""
        self._servers.pop(location).close()
        self.names.pop(self.host(location), None)

    def host(self, location: str) -> str:
        return f"{self.name}{'-secondary' if location == SECONDARY else ''}.blob.other"

    def port(self, location: str) -> int:
        return self._ports[location]

    @property
    def connection_string(self) -> str:
        url = {each: f"http://{self.host(each)}:{port}" for each, port in self._ports.items()}
        ends = f"BlobEndpoint={url[PRIMARY]};BlobSecondaryEndpoint={url[SECONDARY]}"
        return f"DefaultEndpointsProtocol=http;AccountName={self.name};AccountKey=a2V5a2V5a2V5;{ends}"

    # What happens to an account

    def write(self, container: str, name: str, content: bytes, headers: Lines) -> Blob:
        """Put a version in place, whoever it is, and have it replicated when its time has come."""
        self.replicate()
        blob = Blob(content, headers, f'"0x8D{uuid.uuid4().hex[:13].upper()}"', self.clock())
        self.change(container, name, blob)
        return blob

    def change(self, container: str, name: str | None = None, blob: Blob | None = None) -> None:
        """Put, or delete, a blob, or a container where no name is given."""
        _apply(self.regions[PRIMARY], container, name, blob)
        self._pending.append((self.clock(), container, name, blob))
        self.replicate()

    def replicate(self) -> None:
        if self.lag is None or not self.redundant:
            return
        now = self.clock()
        while self._pending and self._pending[0][0] <= now - self.lag:
            _, container, name, blob = self._pending.pop(0)
            _apply(self.regions[SECONDARY], container, name, blob)
        owed = self._pending[0][0] if self._pending else now
        self.synced = owed.replace(microsecond=0)

    def fail_over_unplanned(self) -> int:
        """Have the secondary's data become the primary's, and the secondary go; return the writes lost."""
        lost, self._pending = len(self._pending), []
        self.regions = {PRIMARY: self.regions[SECONDARY], SECONDARY: {}}
        self.redundant, self.plays = False, {}
        self._leave(SECONDARY)
        return lost

    def fail_over_planned(self) -> None:
        """Wait for replication, and swap the regions; the account stays geo-redundant."""
        self.lag = timedelta(0)
        self.replicate()
        self.regions = {PRIMARY: self.regions[SECONDARY], SECONDARY: self.regions[PRIMARY]}

    async def make_redundant(self) -> None:
        """Have a secondary again, which is being filled."""
        await self._listen(SECONDARY, self._ports[SECONDARY])
        self.redundant, self.status, self.lag, self._pending = True, "bootstrap", None, []

    def filled(self) -> None:
        """Have the new secondary hold everything."""
        self.regions[SECONDARY] = {each: dict(blobs) for each, blobs in self.regions[PRIMARY].items()}
        self.status, self.lag, self._pending = "live", timedelta(0), []

    def cached(self) -> None:
        """Put a cache before the primary that goes on showing what is there now."""
        self.cache = {each: dict(blobs) for each, blobs in self.regions[PRIMARY].items()}

    # What is answered

    async def _serve(self, location: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await _asked(reader)
                answer = self._answer(location, asked)
                if answer is None:
                    await asyncio.sleep(30)
                    return
                status, headers, body = answer
                lines = [f"{name}: {value}" for name, value in headers.items()]
                head = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}"]
                writer.write("\r\n".join([*head, *lines, "", ""]).encode("latin-1") + body)
                await writer.drain()
        finally:
            writer.close()

    def _answer(self, location: str, asked: Asked) -> Answer | None:
        play = self.plays.get(location)
        played = play(asked) if play else None
        if played == "hang":
            return None
        if played == "portal":
            return 200, {"Content-Type": "text/html"}, PAGE
        answer = self._true_answer(location, asked) if played is None else played
        assert not isinstance(answer, str), f"no such word: {answer}"
        common = {"x-ms-request-id": str(uuid.uuid4()), "Date": _date(self.clock())}
        return answer[0], {**common, **answer[1]}, answer[2]

    def _true_answer(self, location: str, asked: Asked) -> Answer:
        self.replicate()
        if not _permitted(asked):
            return refusal(403, "AuthenticationFailed")
        if asked.query.get("comp") == "stats":
            return self._stats(location)
        container, _, name = asked.path.strip("/").partition("/")
        if asked.method == "PUT" and (self.readonly or location == SECONDARY):
            return refusal(403, "AuthorizationPermissionMismatch")
        if asked.method == "PUT":
            return self._put(asked, container, name)
        region = self.cache if self.cache and location == PRIMARY else self.regions[location]
        return _got(region.get(container), name, asked)

    def _stats(self, location: str) -> Answer:
        if location == PRIMARY:
            return refusal(400, "InvalidQueryParameterValue")
        if self.status == "403":
            return refusal(403, "AuthorizationPermissionMismatch")
        known = self.synced if self.status == "live" else None
        time = f"<LastSyncTime>{_date(known)}</LastSyncTime>" if known else "<LastSyncTime />"
        word = "live" if self.status == "empty" else self.status
        xml = f"<GeoReplication><Status>{word}</Status>{time}</GeoReplication>"
        body = f"{XML}<StorageServiceStats>{xml}</StorageServiceStats>".encode()
        return 200, {"Content-Type": "application/xml"}, body

    def _put(self, asked: Asked, container: str, name: str) -> Answer:
        blobs, match = self.regions[PRIMARY].get(container), asked.headers.get("if-match")
        if "restype" in asked.query:
            if blobs is None:
                self.change(container, None, Blob(b"", {}, "", self.clock()))
            return (201, {}, b"") if blobs is None else refusal(409, "ContainerAlreadyExists")
        if blobs is None:
            return refusal(404, "ContainerNotFound")
        there = blobs.get(name)
        if asked.headers.get("if-none-match") == "*" and there:
            return refusal(409, "BlobAlreadyExists")
        if match is not None and (there is None or match not in (there.etag, "*")):
            return refusal(412, "ConditionNotMet")
        kept = ("x-ms-meta-", "content-type")
        headers = {name: value for name, value in asked.headers.items() if name.startswith(kept)}
        blob = self.write(container, name, asked.body, headers)
        return 201, {"ETag": blob.etag, "Last-Modified": _date(blob.modified)}, b""


def _apply(region: Region, container: str, name: str | None, blob: Blob | None) -> None:
    if name is None and blob is None:
        region.pop(container, None)
    elif name is None:
        region[container] = {}
    elif blob is None:
        region[container].pop(name, None)
    else:
        region.setdefault(container, {})[name] = blob


def _got(blobs: dict[str, Blob] | None, name: str, asked: Asked) -> Answer:
    if blobs is None or name not in blobs:
        return refusal(404, "ContainerNotFound" if blobs is None else "BlobNotFound")
    blob = blobs[name]
    headers = {**blob.headers, "ETag": blob.etag, "Last-Modified": _date(blob.modified)}
    if "x-ms-range" not in asked.headers:
        return 200, headers, blob.content
    size = len(blob.content)
    return 206, {**headers, "Content-Range": f"bytes 0-{size - 1}/{size}"}, blob.content


def _permitted(asked: Asked) -> bool:
    """Return whether the account's key, or an account SAS of the right kind and rights, comes with it."""
    if asked.headers.get("authorization", "").startswith("SharedKey "):
        return True
    kind = "s" if "comp" in asked.query else "c" if "restype" in asked.query else "o"
    rights = "cw" if asked.method == "PUT" else "r"
    found = asked.query
    return "sig" in found and kind in found.get("srt", "sco") and bool({*rights} & {*found.get("sp", "")})


async def _asked(reader: asyncio.StreamReader) -> Asked:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (each.split(":", 1) for each in lines)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    url = urlsplit(target)
    query = {name.lower(): values[0] for name, values in parse_qs(url.query).items()}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, unquote(url.path), query, headers, body)


def _date(at: datetime) -> str:
    return format_datetime(at, usegmt=True)


@contextlib.contextmanager
def resolving(names: dict[str, str]) -> Iterator[None]:
    """Have this process resolve these names and none else, numbers aside."""
    real = socket.getaddrinfo

    def look_up(host, *arguments, **more):
        if host not in names and not host[0].isdigit():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(names.get(host, host), *arguments, **more)

    socket.getaddrinfo = look_up
    try:
        yield
    finally:
        socket.getaddrinfo = real
