"""Connections: the app settings of one storage connection in, a ``Connection`` out, or problems told.

Rules kept here: a connection string is never printed, since it holds a key; identity-based connections are
https only, because a token is never sent over http; what cannot be used is told with its remedy.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from azure.core.utils import parse_connection_string

from probe.core.connection import Authorization, Connection, Entra, Sas, SharedKey

AZURITE_ACCOUNT = "devstoreaccount1"
# Azurite's published key: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# ``z01.`` and the like: accounts with an Azure DNS zone endpoint.
# https://learn.microsoft.com/azure/storage/common/storage-account-overview#azure-dns-zone-endpoints-preview
_BLOB_HOST = re.compile(r"(z[0-9]{1,3}\.)?blob\.")

type Complain = Callable[[str, str, str], None]
"""Takes a setting's name, its problem and the remedy."""


def resolve(found: Mapping[str, str], prefix: str, complain: Complain) -> Connection | None:
    """Return the connection whose settings begin with a prefix; ``None`` when a problem was told instead.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-reference#connections
    """
    if prefix in found:
        return _of_string(prefix, found[prefix], complain)
    uri_name = f"{prefix}__blobServiceUri"
    uri = found.get(uri_name)
    if uri is None and f"{prefix}__accountName" in found:
        uri = f"https://{found[f'{prefix}__accountName']}.blob.core.windows.net"
    if uri is None:
        remedy = (
            f"Set it to a connection string (UseDevelopmentStorage=true for Azurite), or set {uri_name} "
            "to the primary blob endpoint to connect by identity."
        )
        complain(prefix, "is not set, and a storage account is needed", remedy)
        return None
    return _of_identity(prefix, uri_name, uri, found, complain)


def _of_identity(
    prefix: str, uri_name: str, uri: str, found: Mapping[str, str], complain: Complain
) -> Connection | None:
    primary = service_url(uri_name, uri, complain, identity=True)
    secondary = None
    secondary_name = f"{prefix}__secondaryBlobServiceUri"
    if secondary_name in found:
        secondary = service_url(secondary_name, found[secondary_name], complain, identity=True)
    credential = found.get(f"{prefix}__credential")
    if credential not in (None, "managedidentity"):
        remedy = "Set it to managedidentity, or leave it out to use whatever identity the machine has."
        complain(f"{prefix}__credential", "is something else than managedidentity", remedy)
        return None
    if primary is None or (secondary_name in found and secondary is None):
        return None
    entra = Entra(managed=credential == "managedidentity", client_id=found.get(f"{prefix}__clientId"))
    return Connection(primary=primary, secondary=secondary or derived_secondary(primary), authorization=entra)


def service_url(name: str, text: str, complain: Complain, *, identity: bool) -> str | None:
    """Return a service URL without its trailing slash; a query may be a SAS, so the value is not printed."""
    example = "Give a blob service URL such as https://NAME.blob.core.windows.net."
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.scheme not in ("http", "https"):
        complain(name, "is not an http(s) URL with a host", example)
    elif parts.query or parts.fragment or parts.username:
        complain(name, "has a query, a fragment or a user, which do not belong there", example)
    elif identity and parts.scheme != "https":
        complain(name, "is http, over which a token is never sent", f"Use https. {example}")
    else:
        return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"
    return None


def derived_secondary(primary: str) -> str | None:
    """Return the secondary's URL by Azure's naming, for ``*.blob.*`` hosts and the emulator's paths."""
    parts = urlsplit(primary)
    account, dot, rest = parts.netloc.partition(".")
    if dot and _BLOB_HOST.match(rest):
        return f"{parts.scheme}://{account}-secondary.{rest}{parts.path}"
    if parts.hostname in LOOPBACK and parts.path.strip("/") == AZURITE_ACCOUNT:
        return f"{primary}-secondary"
    return None


def _of_string(name: str, text: str, complain: Complain) -> Connection | None:
    """Return the connection of a connection string. The string is never printed: it holds a key."""
    try:
        parts = dict(parse_connection_string(text))
    except ValueError:
        complain(
            name, "is not a connection string", "It is KEY=VALUE pairs with semicolons between; copy it anew."
        )
        return None
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        parts = _emulator(parts)
    authorization = _authorization(name, parts, complain)
    primary = parts.get("blobendpoint") or _default_endpoint(parts)
    if primary is None:
        remedy = "Copy the whole string from the portal's “Access keys”, or give BlobEndpoint."
        complain(name, "names neither AccountName nor BlobEndpoint", remedy)
    url = service_url(name, primary, complain, identity=False) if primary else None
    other = parts.get("blobsecondaryendpoint")
    secondary = (
        service_url(name, other, complain, identity=False) if other else url and derived_secondary(url)
    )
    if url is None or authorization is None or (other and secondary is None):
        return None
    return Connection(primary=url, secondary=secondary, authorization=authorization)


def _emulator(parts: Mapping[str, str]) -> dict[str, str]:
    base = parts.get("developmentstorageproxyuri", "http://127.0.0.1").rstrip("/")
    return {
        "accountname": AZURITE_ACCOUNT,
        "accountkey": AZURITE_KEY,
        "blobendpoint": f"{base}:10000/{AZURITE_ACCOUNT}",
    }


def _authorization(name: str, parts: Mapping[str, str], complain: Complain) -> Authorization | None:
    if parts.get("accountname") and parts.get("accountkey"):
        if not _is_base64(parts["accountkey"]):
            complain(
                name, "has an AccountKey that is not base64", "It was cut short or changed; copy it anew."
            )
            return None
        return SharedKey(account=parts["accountname"], key=parts["accountkey"])
    if parts.get("sharedaccesssignature"):
        return Sas(token=parts["sharedaccesssignature"].lstrip("?"))
    remedy = f"Copy the whole string, or connect by identity with {name}__blobServiceUri."
    complain(name, "has neither AccountName with AccountKey nor SharedAccessSignature", remedy)
    return None


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False


def _default_endpoint(parts: Mapping[str, str]) -> str | None:
    if not parts.get("accountname"):
        return None
    scheme = parts.get("defaultendpointsprotocol", "https")
    return f"{scheme}://{parts['accountname']}.blob.{parts.get('endpointsuffix', 'core.windows.net')}"
