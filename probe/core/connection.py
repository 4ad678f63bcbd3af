"""A connection to a storage account as Functions spells them, resolved: where, and as whom.

Rules kept here: a secret never shows in a ``repr``; a bearer token is only ever meant for https (settings
refuse the rest); URLs carry neither query nor trailing slash.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedKey:
    """The account's key, from a connection string; the SDK signs with it."""

    account: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sas:
    """A shared access signature, without the leading question mark."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entra:
    """An identity: managed where ``managed`` is set, else whatever DefaultAzureCredential finds."""

    managed: bool = False
    client_id: str | None = None


type Authorization = SharedKey | Sas | Entra


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One account: its blob service URLs (``secondary`` ``None`` where it has none) and the authorization."""

    primary: str
    secondary: str | None
    authorization: Authorization
