"""Owns the copying from the primary's Azurite to the secondary's: in order, each write after the lag.

Rules: every write that the primary's proxy saw succeed is replayed on the secondary, version by version,
`lag` seconds after it was acknowledged. `last_sync_time` never claims too much: every write before it is on
the secondary, writes still under way counted. Not replicated: what does not pass the proxy, leases,
snapshots. Other than in Azure, the copies have ETags and modification times of their own.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

import aiohttp
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from multidict import CIMultiDict
from yarl import URL

from probe.lab.account.azurite import ACCOUNT, KEY
from probe.lab.account.certificates import Certificates
from probe.lab.account.events import Events
from probe.lab.account.history import History, blob_path
from probe.lab.account.upstream import payload, upstream_session
from probe.lab.account.wire import HOP_BY_HOP, Answer, Request
from probe.lab.errors import LabError

VERSION = "2021-10-04"
RETRY_DELAY = 0.2
# Refused this often by a secondary that does answer, a write is given up: the last sync time stays before it.
RETRIES = 5

_SAS_PARAMETERS = frozenset(
    {"sv", "ss", "srt", "sr", "sp", "se", "st", "spr", "sig", "sip", "si", "sdd", "ses"}
    | {"skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid"}
)
# Another location has other ETags and no leases; authorization and date are ours to give.
_NOT_REPLAYED = frozenset(
    {
        *HOP_BY_HOP,
        "authorization",
        "content-length",
        "date",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "x-ms-date",
        "x-ms-if-tags",
        "x-ms-lease-id",
        "x-ms-lease-duration",
    }
)
_KEPT_OUT = frozenset({"lease", "snapshot", "block"})
# Refusals that mean the secondary is as the write wanted it already.
_ALREADY = {
    ("PUT", 409, "ContainerAlreadyExists"),
    ("DELETE", 404, "BlobNotFound"),
    ("DELETE", 404, "ContainerNotFound"),
}
_OWN_HEADERS = {
    "content-type": "x-ms-blob-content-type",
    "content-encoding": "x-ms-blob-content-encoding",
    "content-language": "x-ms-blob-content-language",
    "content-disposition": "x-ms-blob-content-disposition",
    "cache-control": "x-ms-blob-cache-control",
    "content-md5": "x-ms-blob-content-md5",
}


class Status(StrEnum):
    """Azure's own words for the state of geo-replication."""

    LIVE = "live"
    BOOTSTRAP = "bootstrap"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write to replay: when it began (UTC), when it was acknowledged (loop time), and the request."""

    began: datetime
    acknowledged: float
    request: Request


class Replicator:
    """The replication of one pair, as an async context manager; it is the witness of the primary's proxy.

    `primary` and `secondary` are the two Azurites' URLs. `lag` is in seconds, None while paused.
    """

    def __init__(
        self,
        *,
        primary: str,
        secondary: str,
        events: Events,
        lag: float | None = 0.0,
        certificates: Certificates | None = None,
    ) -> None:
        self.history: History | None = None
        self.replicated = 0
        self._primary = primary
        self._secondary = secondary
        self._events = events
        self._lag = _checked(lag)
        self._status = Status.LIVE
        self._certificates = certificates
        self._queue: deque[Write] = deque()
        self._begun: dict[int, datetime] = {}
        self._tokens = 0
        self._given_up: datetime | None = None
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._worker: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._sas = _account_sas()

    # -- what can be seen and switched -------------------------------------------------------------------

    @property
    def lag(self) -> float | None:
        return self._lag

    @lag.setter
    def lag(self, seconds: float | None) -> None:
        self._lag = _checked(seconds)
        self._events.emit("replication", "paused" if seconds is None else f"lag is {seconds:g} s")
        self._changed.set()

    @property
    def status(self) -> Status:
        return self._status

    @status.setter
    def status(self, status: Status | str) -> None:
        try:
            self._status = Status(status)
        except ValueError:
            raise LabError(
                f"no replication status is called {status!r}; they are: {', '.join(Status)}"
            ) from None
        self._events.emit("replication", f"status is {self._status}")
        self._changed.set()

    @property
    def pending(self) -> int:
        """How many acknowledged writes are not on the secondary yet."""
        return len(self._queue)

    @property
    def last_sync_time(self) -> datetime | None:
        """The whole second (UTC) before which every write is on the secondary; None unless it is live."""
        if self._status is not Status.LIVE:
            return None
        return min(self._unsettled(), default=_now()).replace(microsecond=0)

    def _unsettled(self) -> Iterator[datetime]:
        """Yield when each write began that is not on the secondary, as far as is known."""
        yield _now()
        yield from self._begun.values()
        yield from (write.began for write in self._queue)
        if self._given_up is not None:
            yield self._given_up

    def stats(self) -> bytes:
        """Return the body of the secondary's service stats."""
        synced = self.last_sync_time
        told = format_datetime(synced, usegmt=True) if synced else ""
        return (
            '<?xml version="1.0" encoding="utf-8"?><StorageServiceStats><GeoReplication>'
            f"<Status>{self._status}</Status><LastSyncTime>{told}</LastSyncTime>"
            "</GeoReplication></StorageServiceStats>"
        ).encode()

    async def caught_up(self) -> None:
        """Wait until every acknowledged write is on the secondary."""
        await self._empty.wait()

    def drop(self) -> int:
        """Lose the writes that are not on the secondary yet, as a failover does; return how many."""
        lost = len(self._queue)
        self._queue.clear()
        self._empty.set()
        return lost

    # -- the witness of the primary's proxy --------------------------------------------------------------

    def begin(self) -> int:
        self._tokens += 1
        self._begun[self._tokens] = _now()
        return self._tokens

    async def end(self, token: int, request: Request, answer: Answer | None) -> None:
        """Take a write in, before its client is told: from then on it counts as not replicated."""
        try:
            if answer is not None and answer.status < 300:  # noqa: PLR2004 (a write that Azurite took)
                for replay in await self._replays(request):
                    self._put(Write(began=self._begun[token], acknowledged=_clock(), request=replay))
        finally:
            del self._begun[token]

    def _put(self, write: Write) -> None:
        self._queue.append(write)
        self._empty.clear()
        self._changed.set()

    async def _replays(self, request: Request) -> list[Request]:
        """Return the requests that make the same of the secondary.

        Most writes replay as they are. What refers to something else (a copy, a block list, a batch) is
        replaced by the blob that it made.
        """
        comp = _query(request).get("comp", "")
        if comp in _KEPT_OUT:
            return []
        if comp == "batch":
            named = re.findall(rb"^(?:DELETE|PUT) (/[^ ?]+)\S* HTTP/1.1", request.body, re.MULTILINE)
            return [await self._as_it_is(path.decode()) for path in named]
        if comp in {"blocklist", "undelete", "copy"} or "x-ms-copy-source" in request.headers:
            return [await self._as_it_is(request.target.partition("?")[0])]
        return [replace(request, headers=CIMultiDict(_replayed(request.headers)))]

    async def _as_it_is(self, path: str) -> Request:
        """Return a request that makes the blob what it is on the primary now: put whole, or deleted."""
        got = await self._send(self._primary, Request(method="GET", target=path, headers=CIMultiDict()))
        if got.status == 404:  # noqa: PLR2004 (Not Found)
            return Request(method="DELETE", target=path, headers=CIMultiDict())
        headers = CIMultiDict((n, v) for n, v in got.headers.items() if n.lower().startswith("x-ms-meta-"))
        headers["x-ms-blob-type"] = "BlockBlob"
        for shown, put in _OWN_HEADERS.items():
            if value := got.headers.get(shown):
                headers[put] = value
        return Request(method="PUT", target=path, headers=headers, body=got.body)

    # -- replaying ---------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._session = upstream_session(self._certificates)
        self._worker = asyncio.get_running_loop().create_task(self._work())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        if self._session is not None:
            await self._session.close()

    async def _work(self) -> None:
        while True:
            self._changed.clear()
            wait = self._until_due()
            if wait is None or wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                continue
            await self._replay(self._queue[0])

    def _until_due(self) -> float | None:
        """Return in how many seconds the next write is due: None when nothing is to be done by itself."""
        if not self._queue or self._lag is None or self._status is not Status.LIVE:
            return None
        return self._queue[0].acknowledged + self._lag - _clock()

    async def _replay(self, write: Write) -> None:
        answer = None
        for _ in range(RETRIES):
            answer = await self._send(self._secondary, write.request)
            if _done(write.request, answer):
                break
            await asyncio.sleep(RETRY_DELAY)
        else:
            self._give_up(write, answer)
        self.replicated += 1
        if self.history is not None and answer is not None:
            self.history.saw(write.request, answer)
        # Not popped before: until it is done, the write counts as not replicated. A drop may have taken it.
        if self._queue and self._queue[0] is write:
            self._queue.popleft()
        if not self._queue:
            self._empty.set()

    def _give_up(self, write: Write, answer: Answer | None) -> None:
        self._given_up = min(self._given_up or write.began, write.began)
        told = f"{answer.status} {answer.headers.get('x-ms-error-code', '')}" if answer else "nothing"
        path = blob_path(write.request.target)
        self._events.emit("replication", f"gave up {write.request.method} {path}: the secondary said {told}")

    async def _send(self, upstream: str, request: Request) -> Answer:
        """Send a request with our own authorization, again and again while Azurite does not answer at all."""
        assert self._session is not None  # noqa: S101 (made on entering)
        url = URL(upstream + _signed(request, self._sas), encoded=True)
        headers = {"x-ms-version": VERSION, **request.headers}
        while True:
            try:
                async with self._session.request(
                    request.method, url, headers=headers, data=payload(request)
                ) as got:
                    return Answer(status=got.status, headers=got.headers.copy(), body=await got.read())
            except aiohttp.ClientError:
                await asyncio.sleep(RETRY_DELAY)


def _now() -> datetime:
    return datetime.now(UTC)


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _checked(lag: float | None) -> float | None:
    if lag is not None and not 0 <= lag < float("inf"):
        raise LabError(f"a lag of {lag} is not possible: it is a number of seconds from 0, or paused")
    return lag


def _query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))


def _replayed(headers: CIMultiDict[str]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in headers.items() if name.lower() not in _NOT_REPLAYED)


def _signed(request: Request, sas: str) -> str:
    """Return the target with our SAS in the place of whatever authorized it."""
    path, _, query = request.target.partition("?")
    kept = [part for part in query.split("&") if part and part.partition("=")[0] not in _SAS_PARAMETERS]
    return f"{path}?{'&'.join([*kept, sas])}"


def _done(request: Request, answer: Answer) -> bool:
    refusal = (request.method, answer.status, answer.headers.get("x-ms-error-code", ""))
    return answer.status < 300 or refusal in _ALREADY  # noqa: PLR2004 (success)


def _account_sas() -> str:
    return generate_account_sas(
        ACCOUNT,
        KEY,
        resource_types=ResourceTypes(service=True, container=True, object=True),
        permission=AccountSasPermissions(
            read=True,
            write=True,
            delete=True,
            list=True,
            add=True,
            create=True,
            tag=True,
            permanent_delete=True,
        ),
        expiry=_now() + timedelta(days=30),
        start=_now() - timedelta(hours=1),
    )
