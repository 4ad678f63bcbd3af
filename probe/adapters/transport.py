"""The Azure SDK's way out: azure-core's transport over the probe's own exchange.

Rules kept here, because they are the exchange's: one request over one connection at most, bounded in time and
in size, to the host that was named: no redirect, no proxy of the environment, no cookie, no decompression,
no second sending. An answer's body is whole in memory, or the answer is none.

Source: https://github.com/Azure/azure-sdk-for-python/blob/main/sdk/core/azure-core/CLIENT_LIBRARY_DEVELOPER.md
"""

import json
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse
from azure.core.rest import HttpRequest as SdkRequest
from azure.core.utils import case_insensitive_dict

from probe.adapters.answer import Wanted
from probe.adapters.exchange import Exchange, Limits, Line, Request, target_of, tls_context
from probe.adapters.failures import Failure

_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
"""What the exchange says itself, and lower-case names so that nobody's spelling says it twice."""
_ERRORS = range(400, 600)
_PHRASES = {each.value: each.phrase for each in HTTPStatus}


class Failed(Exception):  # noqa: N818 - it carries what was met
    """Carries the failure of an exchange through the SDK, under one of the SDK's own exceptions."""

    def __init__(self, failure: Failure, status: int | None) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.status = status


def met(error: BaseException | None) -> Failed | None:
    """Return what the exchange met under one of the SDK's exceptions, if it is that."""
    while error is not None and not isinstance(error, Failed):
        error = error.__cause__
    return error


class ExchangeTransport(AsyncHttpTransport[SdkRequest, "Response"]):
    """Sends what a pipeline sends over connections of its own, one line to each host."""

    def __init__(self, *, limits: Limits, wanted: Wanted) -> None:
        """``wanted`` says how much of an answer's body is read, by its status."""
        self._limits, self._wanted = limits, wanted
        self._lines: dict[tuple[str, str], Line] = {}
        self.status: int | None = None
        """Of the last answer: what the SDK raises after it is said of that."""
        self.met: Failed | None = None
        """What the last exchange met that failed: what an act was waiting for when its time was over."""

    async def send(
        self, request: SdkRequest, *, connection_timeout: float | None = None, **_: object
    ) -> "Response":
        """Send a request once. Raises the SDK's own exceptions, with ``Failed`` under them."""
        self.status = None
        ours = Request(
            method=request.method,
            target=target_of(request.url),
            headers={name: each for name, each in request.headers.items() if name.lower() not in _OURS},
            body=_content(request),
        )
        wanted = self._wanted if request.method != "HEAD" else _nothing
        exchange = await self._exchange(request.url, ours, wanted, connection_timeout)
        self.status = exchange.status
        if exchange.failure is not None:
            self.met = Failed(exchange.failure, exchange.status)
            kind = ServiceRequestError if exchange.status is None else ServiceResponseError
            raise kind(exchange.failure.detail) from self.met
        if exchange.too_large:
            failure = Failure(error_type="size", detail="the answer is larger than it has reason to be")
            self.met = Failed(failure, exchange.status)
            raise ServiceResponseError(failure.detail) from self.met
        return Response(request, exchange)

    async def _exchange(self, url: str, request: Request, wanted: Wanted, _: float | None) -> Exchange:
        parts = urlsplit(url)
        place = parts.scheme, parts.netloc
        if place not in self._lines:
            self._lines[place] = Line(url=url, limits=self._limits, tls=tls_context)
        return await self._lines[place].ask(request, wanted)

    async def open(self) -> None:
        """Connect nothing yet."""

    async def close(self) -> None:
        lines, self._lines = list(self._lines.values()), {}
        for each in lines:
            await each.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class PassingTransport(ExchangeTransport):
    """As its base, for a client that outlives its ticks: no connection outlives its request.

    ``connection_timeout`` is heeded: azure-identity gives the metadata service of a machine a second to show
    that it is there at all.
    """

    async def _exchange(
        self, url: str, request: Request, wanted: Wanted, connection_timeout: float | None
    ) -> Exchange:
        connect = min(self._limits.connect, connection_timeout or self._limits.connect)
        line = Line(url=url, limits=replace(self._limits, connect=connect), tls=tls_context)
        try:
            return await line.ask(request, wanted)
        finally:
            await line.aclose()


def _nothing(_status: int) -> None:
    """Want no body: after a HEAD none comes, whatever the length says."""


def _content(request: SdkRequest) -> bytes | None:
    """Return a request's body as it goes out, in whichever of azure-core's shapes it comes."""
    match found := getattr(request, "_data", None) or getattr(request, "data", None) or request.content:
        case None:
            return b"" if request.method in ("PUT", "POST") else None
        case bytes():
            return found
        case str():
            return found.encode()
        case dict():
            return urlencode(found).encode()
        case _ if callable(read := getattr(found, "read", None)):
            return bytes(read())
        case _:
            raise TypeError(f"a body of this kind is not sent here: {type(found).__name__}")


class _Parts(AsyncIterator[bytes]):
    """A body in one part; the SDK hangs what it knows of a blob on it."""

    def __init__(self, response: "Response") -> None:
        self.response = response
        self.content_length = len(response.content)
        self._left = iter((response.content,))

    async def __anext__(self) -> bytes:
        for each in self._left:
            return each
        raise StopAsyncIteration


class Response(AsyncHttpResponse):
    """An answer as azure-core wants it, whole in memory."""

    def __init__(self, request: SdkRequest, exchange: Exchange) -> None:
        self._request = request
        self._status = exchange.status or 0
        self._headers = case_insensitive_dict(dict(exchange.headers.items()))
        self._body = exchange.body or b""
        self._encoding: str | None = None
        self.context: dict[str, Any] = {}

    @property
    def request(self) -> SdkRequest:
        return self._request

    @property
    def status_code(self) -> int:
        return self._status

    @property
    def headers(self) -> MutableMapping[str, str]:
        return self._headers

    @property
    def reason(self) -> str:
        """The usual words: what the other side says there is not kept."""
        return _PHRASES.get(self._status, "")

    @property
    def content_type(self) -> str | None:
        return self._headers.get("content-type")

    @property
    def is_closed(self) -> bool:
        return True

    @property
    def is_stream_consumed(self) -> bool:
        return True

    @property
    def encoding(self) -> str | None:
        return self._encoding

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        self._encoding = value

    @property
    def url(self) -> str:
        return self._request.url

    @property
    def content(self) -> bytes:
        return self._body

    def body(self) -> bytes:
        return self._body

    def text(self, encoding: str | None = None) -> str:
        return self._body.decode(encoding or self._encoding or "utf-8-sig")

    def json(self) -> Any:  # noqa: ANN401 - as its base has it
        return json.loads(self._body)

    def raise_for_status(self) -> None:
        if self._status in _ERRORS:
            raise HttpResponseError(response=self)

    async def read(self) -> bytes:
        return self._body

    async def load_body(self) -> None:
        """Do nothing: it is loaded."""

    def iter_raw(self, **_: object) -> AsyncIterator[bytes]:
        return _Parts(self)

    def iter_bytes(self, **_: object) -> AsyncIterator[bytes]:
        """Return it as it came: nothing is decompressed."""
        return _Parts(self)

    def stream_download(self, *_: object, **__: object) -> AsyncIterator[bytes]:
        return self.iter_raw()

    async def close(self) -> None:
        """Do nothing: it is closed."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: it is closed."""
