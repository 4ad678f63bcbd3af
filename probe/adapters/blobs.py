"""Owns every use of azure-storage-blob: clients, credentials, conditions, and what the SDK's errors mean.

Rules kept here: SDK types come in and ours go out, through the one table ``MEANINGS``; a client goes to one
host, follows no redirect, and lives for one call, under one deadline, so that no connection outlives its
tick; a PUT is never repeated, by the SDK or by aiohttp under it; no message carries a query, where a
signature is.
"""

import asyncio
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType, ClientMiddlewareType
from azure.core import MatchConditions
from azure.core import exceptions as azure
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob import ContentSettings
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from probe.adapters import failures
from probe.adapters.authorization import TokenError, TokenSource
from probe.adapters.failures import RAISED, Where, plain
from probe.adapters.phases import Stopwatch, timing, tls_context, trace_config
from probe.adapters.resolver import ThreadPerLookup
from probe.core.connection import Connection, Entra, Sas, SharedKey
from probe.core.reading import Fault, error_of_status, fault_of
from probe.core.redaction import without_queries

CONTAINER_MISSING = "ContainerNotFound"
MISSING = frozenset({CONTAINER_MISSING, "BlobNotFound"})
"""The service's codes for what is not there; a 404 with another code came from somebody else."""
CHANGED = MISSING | {"ConditionNotMet", "BlobAlreadyExists"}
"""The service's codes for a conditional PUT that lost to somebody else's PUT or delete."""
_SDK = ("azure", "aiohttp", "isodate")
_CONNECT_TIMEOUT = timedelta(seconds=2)


class Meaning(Enum):
    """Where an SDK exception says what happened."""

    STATUS = auto()
    """In the status of the response that it carries."""
    CAUSE = auto()
    """In the transport's exception under it."""
    ITSELF = auto()
    """In its own class."""


class AnswerError(Exception):
    """The SDK stumbled over an answer, with whatever its codecs and parsers raise: no answer of Azure's."""


MEANINGS: dict[type[Exception], tuple[Meaning, str]] = {
    AnswerError: (Meaning.ITSELF, "protocol"),
    # What the service answered; the second is the error.type where the exception carries no response.
    azure.HttpResponseError: (Meaning.STATUS, "protocol"),
    azure.ClientAuthenticationError: (Meaning.STATUS, "401"),
    azure.ResourceExistsError: (Meaning.STATUS, "409"),
    azure.ResourceNotFoundError: (Meaning.STATUS, "404"),
    azure.ResourceModifiedError: (Meaning.STATUS, "412"),
    azure.ResourceNotModifiedError: (Meaning.STATUS, "protocol"),
    azure.ODataV4Error: (Meaning.STATUS, "protocol"),
    azure.TooManyRedirectsError: (Meaning.STATUS, "protocol"),
    azure.DecodeError: (Meaning.STATUS, "protocol"),
    azure.IncompleteReadError: (Meaning.ITSELF, "truncated"),
    azure.DeserializationError: (Meaning.ITSELF, "protocol"),
    # What happened on the way; the second is the error.type where nothing is under the exception.
    azure.AzureError: (Meaning.CAUSE, "protocol"),
    azure.ServiceRequestError: (Meaning.CAUSE, "refused"),
    azure.ServiceRequestTimeoutError: (Meaning.CAUSE, "connect_timeout"),
    azure.ServiceResponseError: (Meaning.CAUSE, "protocol"),
    azure.ServiceResponseTimeoutError: (Meaning.CAUSE, "timeout"),
    azure.StreamConsumedError: (Meaning.ITSELF, "protocol"),
    azure.StreamClosedError: (Meaning.ITSELF, "protocol"),
    azure.ResponseNotReadError: (Meaning.ITSELF, "protocol"),
    # A request of ours that cannot even be put into words.
    azure.SerializationError: (Meaning.ITSELF, "400"),
}
"""Every exception of azure.core, and where its ``error.type`` is found; a subclass is as its base."""

ERRORS: tuple[type[BaseException], ...] = (
    AnswerError,
    azure.AzureError,
    azure.DeserializationError,
    azure.SerializationError,
    *RAISED,
)
"""What a call of the SDK raises when storage, or the way to it, fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a failed call showed, free of secrets; ``remedy`` says what to do about it."""

    error_type: str
    detail: str
    remedy: str
    status_code: int | None = None
    service_error: str | None = None
    request_id: str | None = None


def failure_of(error: BaseException, where: Where) -> Failure:
    """Return what an exception of the SDK, or of the transport under it, means.

    Raises ``ProbeError`` where it says something of this machine, as the transport's own table does.
    """
    meaning, otherwise = next(
        (MEANINGS[each] for each in type(error).__mro__ if each in MEANINGS), (Meaning.CAUSE, "protocol")
    )
    said = f"{where.address}: {_said(error)}"
    match meaning:
        case Meaning.CAUSE:
            cause = _transport_error(error)
            under = failures.failure_of(cause, where) if cause else None
            return _failure(error, under.error_type if under else otherwise, under.detail if under else said)
        case Meaning.STATUS:
            status = getattr(getattr(error, "response", None), "status_code", None)
            code = " ".join(str(each) for each in (status, service_error(error)) if each)
            said = ": ".join(part for part in (where.address, code, _said(error)) if part)
            return _failure(error, (error_of_status(status) if status else None) or otherwise, said)
        case Meaning.ITSELF:
            return _failure(error, otherwise, said)


def is_path_fault(error: BaseException) -> bool:
    """Return whether a failure is the endpoint's or the path's, so that the same call may well succeed."""
    nowhere = Where(address="", phase=None)
    return fault_of(failure_of(error, nowhere).error_type) is Fault.PATH


def _transport_error(error: BaseException) -> BaseException | None:
    """Return the transport's exception under one of the SDK's, or the exception itself where it is one."""
    seen: BaseException | None = error
    while seen is not None and (isinstance(seen, _DroppedError) or not isinstance(seen, RAISED)):
        seen = getattr(seen, "inner_exception", None) or seen.__cause__
    return seen


def _failure(error: BaseException, error_type: str, said: str) -> Failure:
    response = getattr(error, "response", None)
    headers: Mapping[str, str] = getattr(response, "headers", None) or {}
    notes = getattr(error, "__notes__", ())
    return Failure(
        error_type=error_type,
        detail=plain(": ".join((*notes, said))),
        remedy=_remedy(error_type),
        status_code=getattr(response, "status_code", None),
        service_error=service_error(error),
        request_id=headers.get("x-ms-request-id"),
    )


def service_error(error: BaseException) -> str | None:
    """Return the service's own code for a failure."""
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", None) or {}
    code = headers.get("x-ms-error-code") or getattr(error, "error_code", None)
    return str(getattr(code, "value", code)) if code else None


def _said(error: BaseException) -> str:
    """Return the first line of what the service said, without queries; the rest repeats ids."""
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return without_queries(first).rstrip(".")


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


def where(url: str, watch: Stopwatch) -> Where:
    """Return where a call to a URL is, for what its failure is told as."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Where(address=f"{parts.hostname}:{port}", phase=watch.phase, reused=watch.reused)


async def ready(connection: Connection, tokens: TokenSource) -> None:
    """Have the token at hand before a call is timed: a slow identity is not a slow endpoint.

    Raises ``ClientAuthenticationError``, as the call itself would.
    """
    match connection.authorization:
        case Entra() as entra:
            try:
                await tokens.get(entra)
            except TokenError as error:
                raise azure.ClientAuthenticationError(f"no token: {error}") from error
        case _:
            return


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


class _DroppedError(aiohttp.ClientConnectionError):
    """Carries, as its cause, what aiohttp would answer with a second request."""


class _Transport(AioHttpTransport):  # type: ignore[misc] # azure-core exports it untyped
    """The SDK's transport over a session that goes the way of the measured attempts, timed like them."""

    def __init__(self, watch: Stopwatch, *, bound: timedelta, connect_timeout: timedelta) -> None:
        super().__init__(
            session=_session(self._once),
            connection_timeout=connect_timeout.total_seconds(),
            read_timeout=bound.total_seconds(),
        )
        self._watch = watch
        self._answers: list[aiohttp.ClientResponse] = []

    async def send(self, request: Any, **options: Any) -> Any:  # noqa: ANN401 - as its base has it
        return await super().send(request, trace_request_ctx=self._watch, **options)

    def _get_request_data(self, request: Any) -> Any:  # noqa: ANN401 - as its base has it
        """Hand a body over as a stream: aiohttp warns of long ones in one piece, which hold the loop up."""
        data = super()._get_request_data(request)
        return BytesIO(data) if isinstance(data, bytes) else data

    async def close(self) -> None:
        """Close what the SDK left open as well: an answer whose body failed keeps its connection."""
        for answer in self._answers:
            answer.close()
        await super().close()

    async def _once(self, request: aiohttp.ClientRequest, send: ClientHandlerType) -> aiohttp.ClientResponse:
        """Keep aiohttp from repeating a PUT whose connection was dropped: the first may well have arrived."""
        try:
            answer = await send(request)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise _DroppedError from error
        self._answers.append(answer)
        return answer


def _session(middleware: ClientMiddlewareType) -> aiohttp.ClientSession:
    """Return a session with no proxies, cookies, cached names or repetition."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=ThreadPerLookup(), use_dns_cache=False, ssl=tls_context()),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trace_configs=[trace_config()],
        middlewares=[middleware],
    )


@asynccontextmanager
async def opened(
    connection: Connection,
    tokens: TokenSource,
    *,
    watch: Stopwatch,
    bound: timedelta,
    connect_timeout: timedelta = _CONNECT_TIMEOUT,
) -> AsyncIterator[BlobServiceClient]:
    """Open a client to the primary for one call, which ``watch`` times; ``TimeoutError`` after ``bound``."""
    client = BlobServiceClient(
        connection.primary,
        credential=_credential(connection, tokens),
        retry_total=0,
        transport=_Transport(watch, bound=bound, connect_timeout=connect_timeout),
        permit_redirects=False,
    )
    token = timing.set(watch)
    try:
        async with asyncio.timeout(bound.total_seconds()), client:
            yield client
    except ERRORS:
        raise
    except Exception as error:
        if not _is_the_sdks(error):
            raise
        raise AnswerError(f"the answer cannot be read ({type(error).__name__})") from error
    finally:
        timing.reset(token)


def _is_the_sdks(error: BaseException) -> bool:
    """Return whether an exception came out of the SDK or what is under it, and so is no bug of ours.

    What its codecs and parsers raise over a hostile answer is a long list that no table would hold.
    """
    frames = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(each.partition(".")[0] in _SDK for each in frames)


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
