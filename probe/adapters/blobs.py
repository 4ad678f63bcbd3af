"""Owns every use of azure-storage-blob: clients, credentials, conditions, and what the SDK's errors mean.

Rules kept here: SDK types come in and ours go out, through the one table ``MEANINGS``; a client goes to one
host, follows no redirect, and lives for one call, under one deadline, so that no connection outlives its
tick (see ``transport``, which the SDK's requests go out by); a PUT is never repeated; whatever the SDK raises
over an answer is an answer that cannot be used, never a bug of the tick; no message carries a query, where a
signature is. The body of a failure is not read: its status and its ``x-ms-`` headers say enough.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from traceback import walk_tb
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from azure.core import MatchConditions
from azure.core import exceptions as azure
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.storage.blob import ContentSettings
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from probe.adapters.authorization import TokenSource
from probe.adapters.exchange import Limits
from probe.adapters.failures import plain
from probe.adapters.transport import ExchangeTransport, met
from probe.core.connection import Connection, Entra, Sas, SharedKey
from probe.core.errors import ProbeError
from probe.core.reading import Fault, error_of_status, fault_of

CONTAINER_MISSING = "ContainerNotFound"
MISSING = frozenset({CONTAINER_MISSING, "BlobNotFound"})
"""The service's codes for what is not there; a 404 with another code came from somebody else."""
CHANGED = MISSING | {"ConditionNotMet", "BlobAlreadyExists"}
"""The service's codes for a conditional PUT that lost to somebody else's PUT or delete."""
_CONNECT_TIMEOUT = timedelta(seconds=2)
_CONNECT_SHARE = 0.8
"""Of an act's bound: what a connection may take, so that what did not come about can still be named."""
SIZE_LIMIT = 128 * 1024
"""The most bytes of an answer's body where no blob is asked for: parsed, it takes up to 50 times as much."""
NAMES_PER_PAGE = 64
"""Blobs in one page of a listing; each takes about 1 KiB."""
_GOOD = range(200, 300)


class AnswerError(Exception):
    """An answer is not what the service says; ``status`` is the answer's, where it is known."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(f"the answer cannot be used ({why})")
        self.status = status


ERRORS: tuple[type[Exception], ...] = (
    azure.AzureError,
    azure.DeserializationError,
    azure.SerializationError,
    AnswerError,
    TimeoutError,
)
"""What a call of the SDK raises when storage, or the way to it, fails."""
_WITHOUT_ANSWER: dict[type[Exception], str] = {
    azure.ClientAuthenticationError: "401",  # no token could be had
    azure.SerializationError: "400",  # a request of ours that cannot even be put into words
    azure.IncompleteReadError: "truncated",
    TimeoutError: "timeout",
}
"""The ``error.type`` of what is raised without an answer or a failed exchange under it; else ``protocol``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a failed call showed, free of secrets; ``remedy`` says what to do about it."""

    error_type: str
    detail: str
    remedy: str
    status_code: int | None = None
    service_error: str | None = None
    request_id: str | None = None


def failure_of(error: Exception, url: str) -> Failure:
    """Return what one of ``ERRORS``, raised by a call to a URL, means."""
    found = met(error)
    if found is not None:
        return _told(error, found.failure.error_type, found.failure.detail, found.status)
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    code = " ".join(str(each) for each in (status, service_error(error)) if each)
    said = ": ".join(part for part in (_address(url), code, _said(error)) if part)
    otherwise = next((each for kind, each in _WITHOUT_ANSWER.items() if isinstance(error, kind)), "protocol")
    if isinstance(status, int):  # an answer to a PUT that is a 200, or to a GET that is a 201, is nobody's
        return _told(error, error_of_status(status) or "protocol", said, status)
    return _told(error, otherwise, said, None)


def is_too_large(error: Exception) -> bool:
    """Return whether an answer had a longer body than was asked for."""
    found = met(error)
    return found is not None and found.failure.error_type == "size"


def is_path_fault(error: Exception) -> bool:
    """Return whether a failure is the endpoint's or the path's, so that the same call may well succeed."""
    return fault_of(failure_of(error, "").error_type) is Fault.PATH


def _told(error: Exception, error_type: str, said: str, status: int | None) -> Failure:
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", None) or {}
    return Failure(
        error_type=error_type,
        detail=plain(": ".join((*getattr(error, "__notes__", ()), said))),
        remedy=_remedy(error_type),
        status_code=status,
        service_error=service_error(error),
        request_id=headers.get("x-ms-request-id"),
    )


def service_error(error: BaseException) -> str | None:
    """Return the service's own code for a failure."""
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", None) or {}
    code = headers.get("x-ms-error-code") or getattr(error, "error_code", None)
    return str(getattr(code, "value", code)) if code else None


def _said(error: BaseException) -> str:
    """Return the first line of what the service said; the rest repeats ids."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return first.rstrip(".")


def _remedy(error_type: str) -> str:
    match fault_of(error_type), error_type:
        case Fault.PATH, _:
            return "the next tick tries again; if it stays so, check the endpoint and the network between"
        case Fault.OURS, "401" | "403":
            return (
                "check the key or SAS, or that the identity is Storage Blob Data Contributor on the container"
            )
        case Fault.OURS, "409" | "412":
            return "somebody deletes or leases it; the next tick tries again"
        case _:
            return "check the endpoint and the names of the container and the blob"


def _address(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.hostname}:{port}" if parts.hostname else ""


def _credential(
    connection: Connection, tokens: TokenSource
) -> AzureNamedKeyCredential | AzureSasCredential | AsyncTokenCredential:
    match connection.authorization:
        case SharedKey(account=account, key=key):
            return AzureNamedKeyCredential(account, key)
        case Sas(token=token):
            return AzureSasCredential(token)
        case Entra() as entra:
            return tokens.credential(entra)


@asynccontextmanager
async def opened(
    connection: Connection,
    tokens: TokenSource,
    *,
    bound: timedelta,
    connect_timeout: timedelta = _CONNECT_TIMEOUT,
    size: int = SIZE_LIMIT,
) -> AsyncIterator[BlobServiceClient]:
    """Open a client to the primary for the calls of one act; ``TimeoutError`` after ``bound``.

    ``size`` is the most bytes that an answer's body may have. Raises ``AnswerError`` where the SDK
    stumbles over an answer.
    """
    seconds = bound.total_seconds()
    transport = ExchangeTransport(
        limits=Limits(
            deadline=seconds, connect=min(seconds * _CONNECT_SHARE, connect_timeout.total_seconds())
        ),
        wanted=lambda status: size if status in _GOOD else None,
    )
    client = BlobServiceClient(
        connection.primary,
        credential=_credential(connection, tokens),
        retry_total=0,
        transport=transport,
        permit_redirects=False,
    )
    try:
        async with asyncio.timeout(seconds), client:
            yield client
    except TimeoutError as error:
        raise error from transport.met
    except Exception as error:
        known = isinstance(error, (*ERRORS, ProbeError))
        if not known and _is_of_the_sdk(error):
            raise AnswerError(type(error).__name__, transport.status) from error
        raise


def _is_of_the_sdk(error: Exception) -> bool:
    """Return whether an exception came up through the SDK's own code."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(str(frame.f_globals.get("__name__", "")).startswith("azure.") for frame in frames)


async def put(  # noqa: PLR0913 - a PUT's parts
    blob: BlobClient,
    body: bytes,
    *,
    content_type: str,
    metadata: dict[str, str] | None = None,
    condition: Mapping[str, Any] | None = None,
    request_id: str | None = None,
) -> Mapping[str, Any]:
    """PUT a block blob whole and return the response's headers, as the SDK spells them."""
    return await blob.upload_blob(
        body,
        metadata=metadata,
        content_settings=ContentSettings(content_type=content_type),
        client_request_id=request_id or str(uuid4()),
        **(condition or {"overwrite": True}),
    )


def unchanged(tag: str | None) -> Mapping[str, Any]:
    """Return the condition that a blob still has this ETag; ``None``: that there is none yet."""
    if tag is None:
        return {"overwrite": False}
    return {"overwrite": True, "etag": tag, "match_condition": MatchConditions.IfNotModified}


async def create_container(service: BlobServiceClient, name: str, request_id: str | None = None) -> bool:
    """Create a container and return whether this call did; somebody else's was as good."""
    try:
        await service.create_container(name, client_request_id=request_id or str(uuid4()))
    except azure.AzureError as error:
        if service_error(error) == "ContainerAlreadyExists":
            return False
        error.add_note("the container is missing and cannot be created")
        raise
    return True
