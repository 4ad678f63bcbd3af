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
    """An identity: a managed one, an application with its secret, or whatever DefaultAzureCredential finds.

    ``managed`` says the first, and which one by ``client_id`` or by ``resource_id`` (the system-assigned one
    where neither is set). ``tenant_id`` and ``client_secret`` come together, with ``client_id``.
    """

    managed: bool = False
    client_id: str | None = None
    resource_id: str | None = None
    tenant_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)


type Authorization = SharedKey | Sas | Entra


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One account: its blob service URLs (``secondary`` ``None`` where it has none) and the authorization."""

    primary: str
    secondary: str | None
    authorization: Authorization
