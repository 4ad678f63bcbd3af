"""One request to a service, with what it is shown, and what came back: for trying single things by hand.

A tick's attempts tell what they saw of the canary; this tells of any request what came of it, with the
server's time. It goes over the same exchange. Rule kept here: what is signed here may write and delete, so it
lives for minutes, and only who tries things by hand may use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from probe import __version__
from probe.adapters.authorization import TokenError, TokenSource
from probe.adapters.exchange import Exchange, Limits, Line, Request, target_of
from probe.adapters.failures import plain
from probe.core.connection import Authorization, Entra, Sas, SharedKey
from probe.core.reading import Phases, error_of_status
from probe.ports import Clock

API_VERSION = "2023-11-03"
LIFETIME = timedelta(minutes=15)
SIZE_LIMIT = 1024 * 1024
_GOOD = range(200, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one request. ``error_type`` is from the closed list of ``reading``, ``None`` for any 2xx.

    ``code`` is the service's own (``x-ms-error-code``). ``skew`` is how far our clock is ahead of the
    server's, known to half a second or so. ``is_azures`` says that Azure Storage itself answered.
    """

    error_type: str | None
    detail: str
    status: int | None = None
    code: str | None = None
    phases: Phases = field(default_factory=Phases)
    skew: timedelta | None = None
    is_azures: bool = False
    body: bytes = field(default=b"", repr=False)

    @property
    def ok(self) -> bool:
        return self.error_type is None


class Checkup:
    """Makes requests, each over a connection of its own."""

    def __init__(self, *, tokens: TokenSource, clock: Clock, limits: Limits) -> None:
        self._tokens = tokens
        self._clock = clock
        self._limits = limits

    async def ask(
        self,
        url: str,
        authorization: Authorization | None,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Make one request, ``authorization`` ``None``: showing nothing. What the other side does is data."""
        given = {"x-ms-version": API_VERSION, "User-Agent": f"geo-storage-probe/{__version__}"}
        try:
            query, shown = await self._shown(authorization)
        except TokenError as error:
            return Answer(error_type="401", detail=plain(f"no token: {error}"))
        if query:
            url = f"{url}{'&' if '?' in url else '?'}{query}"
        request = Request(
            method=method, target=target_of(url), headers={**given, **(headers or {}), **shown}, body=body
        )
        line = Line(url=url, limits=self._limits)
        asked_at = self._clock()
        try:
            exchange = await line.ask(request, lambda status: SIZE_LIMIT if status in _GOOD else None)
        finally:
            await line.aclose()
        return _told(exchange, asked_at)

    async def _shown(self, authorization: Authorization | None) -> tuple[str, dict[str, str]]:
        """Return the query and the headers that show who we are."""
        match authorization:
            case None:
                return "", {}
            case Sas(token=token):
                return token.lstrip("?"), {}
            case SharedKey() as key:
                return _signed(key, self._clock()), {}
            case Entra() as entra:
                return "", {"Authorization": f"Bearer {await self._tokens.get(entra)}"}


def _told(exchange: Exchange, asked_at: datetime) -> Answer:
    error, detail = None, ""
    if exchange.failure is not None:
        error, detail = exchange.failure.error_type, exchange.failure.detail
    elif exchange.status not in _GOOD:
        error = error_of_status(exchange.status or 0)
    code = exchange.headers.get("x-ms-error-code")
    return Answer(
        error_type=error,
        detail=detail or " ".join(str(each) for each in (exchange.status, plain(code or "", 64)) if each),
        status=exchange.status,
        code=plain(code, 64) if code else None,
        phases=exchange.phases,
        skew=_skew(exchange, asked_at),
        is_azures="x-ms-request-id" in exchange.headers,
        body=exchange.body or b"",
    )


def _skew(exchange: Exchange, asked_at: datetime) -> timedelta | None:
    """Return how far our clock is ahead of the answer's ``Date``, which is cut to the second."""
    try:
        date = parsedate_to_datetime(exchange.headers.get("date") or "")
        served_at = date.replace(tzinfo=date.tzinfo or UTC) + timedelta(seconds=0.5)
        return asked_at + exchange.duration / 2 - served_at
    except (ValueError, OverflowError):
        return None


def _signed(key: SharedKey, now: datetime) -> str:
    from azure.storage.blob import (  # noqa: PLC0415 - 0.3 s, which who has another grant need not pay
        AccountSasPermissions,
        ResourceTypes,
        Services,
        generate_account_sas,
    )

    return generate_account_sas(
        key.account,
        key.key,
        resource_types=ResourceTypes(service=True, container=True, object=True),
        permission=AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
        expiry=now + LIFETIME,
        services=Services(blob=True, queue=True),
    )
