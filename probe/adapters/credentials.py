"""Entra tokens from azure-identity, one keeper for the attempts and for the storage SDK's clients alike.

Rules kept here: a token is kept until shortly before it expires, or until its issuer asks for a newer one;
one fetch at a time for each identity, bounded in time; a fetch that failed is not repeated at once, so that
one lost identity cannot eat a tick's budget; a token that is still good is handed out when a newer one
cannot be had; no connection outlives its request. azure-identity is imported when the first token is asked
for, since that costs a cold start about 0.2 s.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from probe.adapters.authorization import TokenError
from probe.adapters.exchange import Limits
from probe.core.connection import Entra
from probe.ports import Clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions

    from probe.adapters.transport import PassingTransport

SCOPE = "https://storage.azure.com/.default"
EARLY = timedelta(minutes=5)
"""How long before its end a token is replaced: the service may have another clock."""
FETCH_LIMIT = timedelta(seconds=10)
"""Of one fetch. A managed identity answers in a second, a developer's command line tool in a few."""
CONNECT_LIMIT = timedelta(seconds=5)
"""Of one connection within a fetch, TLS included, so that what does not come about can still be named."""
SIZE_LIMIT = 64 * 1024
"""The most bytes of an answer on the way to a token; one has about 2 KiB, a tenant's description 5."""
AGAIN_AFTER = timedelta(seconds=30)
"""How long a failed fetch, or a token that came with hardly any life left, is left alone."""


class Source(Protocol):
    """What is needed of an azure-identity credential."""

    async def get_token_info(
        self, *scopes: str, options: "TokenRequestOptions | None" = None
    ) -> "AccessTokenInfo": ...

    async def close(self) -> None: ...


def identity(entra: Entra) -> "Identity":
    """Return azure-identity's credential for an identity, on the probe's own way out."""
    from azure.identity.aio import (  # noqa: PLC0415 - only who needs a token pays for the import
        ClientSecretCredential,
        DefaultAzureCredential,
        ManagedIdentityCredential,
    )

    from probe.adapters.transport import PassingTransport  # noqa: PLC0415 - as above: it brings azure-core

    limits = Limits(deadline=FETCH_LIMIT.total_seconds(), connect=CONNECT_LIMIT.total_seconds())
    way = PassingTransport(limits=limits, wanted=lambda _: SIZE_LIMIT)
    credential: Source
    if entra.managed and entra.resource_id:
        kind = {"resource_id": entra.resource_id}
        credential = ManagedIdentityCredential(identity_config=kind, transport=way)
    elif entra.managed:
        credential = ManagedIdentityCredential(client_id=entra.client_id, transport=way)
    elif entra.tenant_id and entra.client_id and entra.client_secret:
        credential = ClientSecretCredential(
            entra.tenant_id, entra.client_id, entra.client_secret, transport=way
        )
    else:
        credential = DefaultAzureCredential(managed_identity_client_id=entra.client_id, transport=way)
    return Identity(credential=credential, way=way)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A credential and its way out, which knows what a fetch met that took too long (a ``Source``)."""

    credential: Source
    way: "PassingTransport"

    async def get_token_info(
        self, *scopes: str, options: "TokenRequestOptions | None" = None
    ) -> "AccessTokenInfo":
        self.way.met = None
        try:
            return await self.credential.get_token_info(*scopes, options=options)
        except asyncio.CancelledError as error:
            # azure-identity tries again until it is cut off, and the cut alone would tell nothing.
            raise error from self.way.met

    async def close(self) -> None:
        await self.credential.close()


class Tokens:
    """Hands out tokens (``authorization.TokenSource``), and credentials for the SDK that share them."""

    def __init__(
        self,
        *,
        clock: Clock,
        source: "Callable[[Entra], Source]" = identity,
        limit: timedelta = FETCH_LIMIT,
    ) -> None:
        self._clock = clock
        self._source = source
        self._limit = limit
        self._sources: dict[Entra, Source] = {}
        self._keepers: dict[tuple[Entra, tuple[str, ...]], _Keeper] = {}

    async def get(self, entra: Entra) -> str:
        """Return a token for storage. Raises ``TokenError``."""
        return (await self.held(entra, (SCOPE,))).token

    async def held(self, entra: Entra, scopes: tuple[str, ...]) -> "AccessTokenInfo":
        """Return a token for any scopes, with its times. Raises ``TokenError``."""
        keeper = self._keepers.get((entra, scopes))
        if keeper is None:
            keeper = _Keeper(entra=entra, clock=self._clock)
            self._keepers[entra, scopes] = keeper
        return await keeper.held(lambda: self.fetch(entra, scopes, None))

    async def fetch(
        self, entra: Entra, scopes: tuple[str, ...], options: "TokenRequestOptions | None"
    ) -> "AccessTokenInfo":
        """Ask the identity for a new token, within the limit."""
        if entra not in self._sources:
            self._sources[entra] = self._source(entra)
        async with asyncio.timeout(self._limit.total_seconds()):
            return await self._sources[entra].get_token_info(*scopes, options=options)

    def credential(self, entra: Entra) -> "SharedCredential":
        """Return a credential for the SDK's async clients; closing it closes nothing of ours."""
        return SharedCredential(tokens=self, entra=entra)

    async def aclose(self) -> None:
        sources, self._sources = list(self._sources.values()), {}
        self._keepers.clear()
        for each in sources:
            await each.close()


@dataclass(slots=True)
class _Held:
    """What a keeper has: the token, and when to ask for another (Unix time)."""

    token: "AccessTokenInfo | None" = None
    ask_at: float = 0.0
    error: TokenError | None = None


class _Keeper:
    """Keeps one identity's token for its scopes."""

    def __init__(self, *, entra: Entra, clock: Clock) -> None:
        self._entra = entra
        self._clock = clock
        self._lock = asyncio.Lock()
        self._has = _Held()

    async def held(self, fetch: "Callable[[], Awaitable[AccessTokenInfo]]") -> "AccessTokenInfo":
        async with self._lock:
            if self._now() >= self._has.ask_at:
                await self._ask(fetch)
            if self._has.token is not None and self._now() < self._has.token.expires_on:
                return self._has.token
            raise self._has.error or TokenError("the identity answered with a token that has expired")

    async def _ask(self, fetch: "Callable[[], Awaitable[AccessTokenInfo]]") -> None:
        try:
            token = await fetch()
        except Exception as error:  # noqa: BLE001 - an identity chain raises what it likes; none of it is the endpoint's
            self._has.error = TokenError(_sentence(self._entra, error))
            self._has.ask_at = self._now() + AGAIN_AFTER.total_seconds()
        else:
            self._has = _Held(token=token, ask_at=self._replace_at(token))

    def _replace_at(self, token: "AccessTokenInfo") -> float:
        early = token.expires_on - EARLY.total_seconds()
        wanted = min(early, token.refresh_on) if token.refresh_on else early
        return max(wanted, self._now() + AGAIN_AFTER.total_seconds())

    def _now(self) -> float:
        return self._clock().timestamp()


def _sentence(entra: Entra, error: Exception) -> str:
    """Tell why there is no token and what to do; of the library's own words only its error code."""
    from probe.adapters.transport import met  # noqa: PLC0415 - as in ``identity``

    code, found = re.search(r"AADSTS\d+", str(error)), met(error)
    cause = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    if found:
        cause = found.failure.detail
    if code:
        cause = f"{cause} {code[0]}"
    if entra.client_secret:
        return f"the application gave none ({cause}); check its tenant, its client id and its secret"
    if entra.managed:
        return f"the managed identity gave none ({cause}); assign it to this app and check its client id"
    return f"no identity found here gave one ({cause}); sign in (az login) or set credential=managedidentity"


class SharedCredential:
    """An identity as azure-core's ``AsyncTokenCredential``, answered from the shared keeper.

    A request with a claims challenge or for another tenant goes to the identity itself.
    """

    def __init__(self, *, tokens: Tokens, entra: Entra) -> None:
        self._tokens = tokens
        self._entra = entra

    async def get_token_info(
        self, *scopes: str, options: "TokenRequestOptions | None" = None
    ) -> "AccessTokenInfo":
        """Return a token. Raises azure-core's ``ClientAuthenticationError``, as the SDK expects."""
        from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415 - as in ``identity``

        try:
            if options and (options.get("claims") or options.get("tenant_id")):
                return await self._tokens.fetch(self._entra, scopes, options)
            return await self._tokens.held(self._entra, scopes)
        except (TokenError, TimeoutError) as error:
            raise ClientAuthenticationError(message=f"no token: {error}") from error

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **_: object,
    ) -> "AccessToken":
        """Return a token in azure-core's older shape."""
        from azure.core.credentials import AccessToken  # noqa: PLC0415 - as in ``identity``

        options: TokenRequestOptions = {"enable_cae": enable_cae}
        if claims:
            options["claims"] = claims
        if tenant_id:
            options["tenant_id"] = tenant_id
        found = await self.get_token_info(*scopes, options=options)
        return AccessToken(found.token, found.expires_on)

    async def close(self) -> None:
        """Close nothing: the tokens belong to ``Tokens``."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close nothing, as ``close``."""
