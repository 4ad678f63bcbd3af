"""What an attempt shows the service: a signed query, or a bearer token to be had from a token source.

Rules kept here: a bearer token never goes over http; a signature that is made here does one thing, reading or
writing blobs, lives for ``LIFETIME`` at most, and is good over https alone where the endpoint is.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from probe.core.canary import EPOCH
from probe.core.connection import Connection, Entra, Sas, SharedKey
from probe.core.errors import ConfigurationError

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

LIFETIME = timedelta(hours=1)
"""Of a signature when it is made here: longer than any tick, and of any clock's usual error."""
_SIGNED_FOR = timedelta(minutes=10)
"""One signature serves the ticks of so long: to make one costs more than to send a request with it."""


class TokenError(Exception):
    """No token can be had; the message names the cause and the remedy, without secrets."""


class TokenSource(Protocol):
    """Where tokens for storage come from, for our own requests and for the SDK's; they are kept there."""

    async def get(self, entra: Entra) -> str:
        """Return a token that is still good for a while. Raises ``TokenError``; bounded in time."""
        ...

    def credential(self, entra: Entra) -> "AsyncTokenCredential":
        """Return a credential that hands out what is kept, and raises ``ClientAuthenticationError``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """``query`` is added to each URL as it is; ``entra`` is whose token goes into the header."""

    query: str = field(default="", repr=False)
    entra: Entra | None = None


def grant(connection: Connection, url: str, *, now: datetime, write: bool = False) -> Grant:
    """Return what is shown to the service at a URL, to read there, or to ``write`` a blob.

    Raises ``ConfigurationError`` where nothing may be.
    """
    https = urlsplit(url).scheme == "https"
    match connection.authorization:
        case Sas(token=token):
            return Grant(query=token.lstrip("?"))
        case SharedKey() as key:
            begun = now - (now - EPOCH) % _SIGNED_FOR
            return Grant(query=_signed(key, https=https, expiry=begun + LIFETIME, write=write))
        case Entra() as entra if https:
            return Grant(entra=entra)
        case Entra():
            problem = (
                f"{url}: an Entra token is not sent over http, where anybody on the way could take it; "
                "use the https endpoint, or a connection string or SAS for an emulator"
            )
            raise ConfigurationError((problem,))


@lru_cache(maxsize=1024)
def _signed(key: SharedKey, *, https: bool, expiry: datetime, write: bool) -> str:
    # Imported here: it costs a cold start about 0.3 s, which a connection by identity need not pay.
    from azure.storage.blob import (  # noqa: PLC0415
        AccountSasPermissions,
        ResourceTypes,
        Services,
        generate_account_sas,
    )

    try:
        return generate_account_sas(
            key.account,
            key.key,
            resource_types=ResourceTypes(service=not write, object=True),
            permission=AccountSasPermissions(read=not write, write=write),
            expiry=expiry,
            services=Services(blob=True),
            protocol="https" if https else None,
        )
    except ValueError as error:
        problem = f"the account key of {key.account} is not base64; copy it whole from the account's keys"
        raise ConfigurationError((problem,)) from error
