"""Owns HTTP/1.1 as bytes: reads one request from a stream, and writes answers in full.

Rules: bodies are read whole, since the lab's blobs are small, and bounded; what is not HTTP/1.1 raises
`ValueError`. A library would hide the very bytes that the faults are made of.
"""

import asyncio
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus

from multidict import CIMultiDict

HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 512 * 1024 * 1024

HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
)

# Azure's own error codes. Source: Common REST API error codes, Blob service error codes.
ERROR_CODES = {
    400: "InvalidInput",
    401: "NoAuthenticationInformation",
    403: "AuthorizationPermissionMismatch",
    404: "BlobNotFound",
    405: "UnsupportedHttpVerb",
    409: "Conflict",
    412: "ConditionNotMet",
    416: "InvalidRange",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServerBusy",
}
_BODILESS = frozenset({204, 304})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes = b""
    keep_alive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole response; `length` is the Content-Length promised where that is not the body's own (HEAD)."""

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""
    reason: str = ""
    length: str | None = None

    def head(self) -> bytes:
        reason = self.reason or _phrase(self.status)
        lines = [f"HTTP/1.1 {self.status} {reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.status not in _BODILESS:
            lines.append(f"Content-Length: {self.length if self.length is not None else len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def with_body(self, body: bytes) -> "Answer":
        return replace(self, body=body, length=None)

    def without_body(self) -> "Answer":
        """Return the same as HEAD does: the length stays promised."""
        length = self.length if self.length is not None else str(len(self.body))
        return replace(self, body=b"", length=length)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """Read the next request; None when the client has closed between two.

    Raises:
        ValueError: what came is not an HTTP/1.1 request, or is beyond the bounds.
        asyncio.IncompleteReadError: the client went away in the middle of it.

    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    except asyncio.LimitOverrunError:
        raise ValueError("the head of the request is too long") from None
    request = _parsed(head)
    if request.headers.get("Expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return replace(request, body=await _read_body(reader, request.headers))


def _parsed(head: bytes) -> Request:
    first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):  # noqa: PLR2004 (method, target, version)
        raise ValueError("not an HTTP/1.1 request line")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("not an HTTP header")
        headers.add(name.strip(), value.strip())
    connection = headers.get("Connection", "").lower()
    keep_alive = "close" not in connection and (parts[2] != "HTTP/1.0" or "keep-alive" in connection)
    return Request(method=parts[0].upper(), target=parts[1], headers=headers, keep_alive=keep_alive)


async def _read_body(reader: asyncio.StreamReader, headers: CIMultiDict[str]) -> bytes:
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return await _read_chunks(reader)
    length = int(headers.get("Content-Length", "0"))
    if not 0 <= length <= BODY_LIMIT:
        raise ValueError("the body of the request is too long")
    return await reader.readexactly(length)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        if len(body) + size > BODY_LIMIT:
            raise ValueError("the body of the request is too long")
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return bytes(body)


def azure_headers(request: Request | None = None) -> CIMultiDict[str]:
    """Return the headers that every answer of Azure Storage has."""
    headers = CIMultiDict(
        {
            "Server": "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0",
            "x-ms-request-id": str(uuid.uuid4()),
            "x-ms-version": "2021-10-04",
            "Date": format_datetime(datetime.now(UTC), usegmt=True),
        }
    )
    if request is not None:
        for name in ("x-ms-version", "x-ms-client-request-id"):
            if value := request.headers.get(name):
                headers[name] = value
    return headers


def azure_error(request: Request, status: int, code: str = "", message: str = "") -> Answer:
    """Return Azure's error document: status, `x-ms-error-code`, `x-ms-request-id` and the XML body."""
    code = code or ERROR_CODES.get(
        status, "InternalError" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "Other"
    )
    headers = azure_headers(request)
    if status < HTTPStatus.BAD_REQUEST:
        return Answer(status=status, headers=headers)
    headers["x-ms-error-code"] = code
    headers["Content-Type"] = "application/xml"
    message = message or f"{_phrase(status)}, as the lab was asked to answer."
    told = (
        f"{message}\nRequestId:{headers['x-ms-request-id']}\nTime:{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"
    )
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{told}</Message></Error>'
    )
    answer = Answer(status=status, headers=headers, body=body.encode())
    return answer.without_body() if request.method == "HEAD" else answer
