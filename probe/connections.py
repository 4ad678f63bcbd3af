"""Connections: the app settings of one storage connection in, a ``Connection`` out, or problems told.

Rules kept here: a connection string is never printed, since it holds a key; identity-based connections are
https only, because a token is never sent over http; what cannot be used is told with its remedy.
"""

import base64
import binascii
import difflib
import re
from collections.abc import Callable, Iterator, Mapping
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

_HOST_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_HOST_LIMIT = 253
"""Characters of a host name, and 63 of each label: RFC 1035, section 2.3.4."""
_PATH = re.compile(r"(/[a-z0-9-]{1,63})*")
"""Of an emulator's URL, which names the account there. An encoded SAS, which would be shown, is none."""
_GUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_ID = {
    "clientId": re.compile(_GUID),
    "managedIdentityResourceId": re.compile(r"(/[A-Za-z0-9_.()-]+)+"),
    "tenantId": re.compile(rf"{_GUID}|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"),
}
"""A tenant can be named by one of its domains too."""
_OTHER_SERVICES = ("queueserviceuri", "tableserviceuri", "fileserviceuri")
"""What the host and its triggers need of the same connection; nothing here does."""
_IDENTITY = (
    *("accountName", "serviceUri", "blobServiceUri", "secondaryBlobServiceUri"),
    *("credential", "clientId", "managedIdentityResourceId", "tenantId", "clientSecret"),
)
"""What can be set of a connection by identity. The host takes the names in any case, and so do we.

Source: https://learn.microsoft.com/azure/azure-functions/functions-reference#connections, and of the identity
https://github.com/Azure/azure-sdk-for-net (Microsoft.Extensions.Azure, ClientFactory.cs)
"""


def resolve(found: Mapping[str, str], prefix: str, complain: Complain) -> Connection | None:
    """Return the connection whose settings begin with a prefix; ``None`` when a problem was told instead."""
    held = _held(found, prefix)
    if "" in held:
        name, text = held[""]
        return _of_string(name, text, complain)
    if not held:
        remedy = (
            f"Set it to a connection string (UseDevelopmentStorage=true for Azurite), or set "
            f"{prefix}__serviceUri to the primary blob endpoint to connect by identity."
        )
        complain(prefix, "is not set, and a storage account is needed", remedy)
        return None
    return _of_identity(prefix, held, complain)


def is_set(found: Mapping[str, str], prefix: str) -> bool:
    """Return whether anything is set of the connection whose settings begin with a prefix."""
    return bool(_held(found, prefix))


def unused(found: Mapping[str, str]) -> Iterator[str]:
    """Return a line for each part of a connection by identity that stands beside a connection string."""
    for name in sorted(found):
        prefix, parted, _ = name.partition("__")
        if parted and any(each.lower() == prefix.lower() for each in found):
            yield f"{name} is ignored, since {prefix} is set to a connection string"


def _held(found: Mapping[str, str], prefix: str) -> dict[str, tuple[str, str]]:
    """Return the settings of a connection as (name, value), by what follows the prefix, in small letters."""
    start = f"{prefix}__".lower()
    held = {}
    for name, value in found.items():
        lower = name.lower()
        if lower == prefix.lower():
            held[""] = (name, value)
        elif lower.startswith(start):
            held[lower.removeprefix(start)] = (name, value)
    return held


def _of_identity(prefix: str, held: Mapping[str, tuple[str, str]], complain: Complain) -> Connection | None:
    told = 0

    def count(name: str, problem: str, remedy: str) -> None:
        nonlocal told
        told += 1
        complain(name, problem, remedy)

    _unknown(held, count)
    primary = _primary(prefix, held, count)
    secondary = _url(held, "secondaryBlobServiceUri", count)
    entra = _entra(prefix, held, count)
    if told or primary is None:
        return None
    return Connection(primary=primary, secondary=secondary or derived_secondary(primary), authorization=entra)


def _unknown(held: Mapping[str, tuple[str, str]], complain: Complain) -> None:
    """Refuse what we do not know: ignored, it would leave another identity or endpoint in its place."""
    known = {each.lower(): each for each in _IDENTITY}
    for part, (name, _) in held.items():
        if part in known or part in _OTHER_SERVICES:
            continue
        near = difflib.get_close_matches(part, known, n=1)
        hint = f"Did you mean {known[near[0]]}? " if near else ""
        complain(
            name,
            "is not known, and nothing of a connection is ignored",
            f"{hint}Known are {', '.join(_IDENTITY)}.",
        )


def _primary(prefix: str, held: Mapping[str, tuple[str, str]], complain: Complain) -> str | None:
    by_name = {
        each: _url(held, each, complain) for each in ("serviceUri", "blobServiceUri") if each.lower() in held
    }
    if "accountname" in held and not by_name:
        name, account = held["accountname"]
        if not re.fullmatch("[a-z0-9]{3,24}", account.strip()):
            complain(
                name, "is no storage account's name", "It is 3 to 24 small letters and digits; copy it anew."
            )
            return None
        return f"https://{account.strip()}.blob.core.windows.net"
    if not by_name:
        remedy = f"Set {prefix}__serviceUri to the primary blob endpoint, https://NAME.blob.core.windows.net."
        complain(f"{prefix}__serviceUri", "is not set, though other parts of the connection are", remedy)
        return None
    if len(set(by_name.values())) > 1 and None not in by_name.values():
        remedy = "They are two names of one setting: keep one."
        complain(f"{prefix}__blobServiceUri", f"names another endpoint than {prefix}__serviceUri", remedy)
    return next(iter(by_name.values()))


def _url(held: Mapping[str, tuple[str, str]], part: str, complain: Complain) -> str | None:
    if part.lower() not in held:
        return None
    name, text = held[part.lower()]
    return service_url(name, text, complain, identity=True)


def _entra(prefix: str, held: Mapping[str, tuple[str, str]], complain: Complain) -> Entra:
    """Return the identity; what would leave a part of it unused is told."""
    has = {each: held[each.lower()][1].strip() for each in _IDENTITY if each.lower() in held}
    managed = has.get("credential", "").lower() == "managedidentity"
    for each in set(_ID) & set(has):
        if not _ID[each].fullmatch(has[each]):  # a secret was pasted there, perhaps, so it is not shown
            remedy = "Copy it from the identity's overview; a client id is a GUID."
            complain(f"{prefix}__{each}", "is no id", remedy)
    unlike = f"{prefix}__credential"
    if "credential" in has and not managed:
        remedy = "Set it to managedidentity, or leave it out to use whatever identity the machine has."
        complain(unlike, "is something else than managedidentity", remedy)
    if managed:
        for each in {"tenantId", "clientSecret"} & set(has):
            remedy = f"Remove it, or remove {unlike} to sign in as an application with its secret."
            complain(
                f"{prefix}__{each}", f"is of no use to a managed identity, which {unlike} asks for", remedy
            )
        if {"clientId", "managedIdentityResourceId"} <= set(has):
            remedy = f"Remove it or {prefix}__clientId."
            complain(f"{prefix}__managedIdentityResourceId", "names the identity a second time", remedy)
    else:
        _application(prefix, has, complain)
    return Entra(
        managed=managed,
        client_id=has.get("clientId"),
        resource_id=has.get("managedIdentityResourceId"),
        tenant_id=has.get("tenantId"),
        client_secret=has.get("clientSecret"),
    )


def _application(prefix: str, has: Mapping[str, str], complain: Complain) -> None:
    if "managedIdentityResourceId" in has:
        remedy = f"Set {prefix}__credential to managedidentity."
        complain(
            f"{prefix}__managedIdentityResourceId", "names a managed identity that nothing asks for", remedy
        )
    needed = ("tenantId", "clientId", "clientSecret")
    if not {"tenantId", "clientSecret"} & set(has):
        return
    for each in needed:
        if each not in has:
            remedy = f"An application signs in with {', '.join(needed)} together."
            complain(f"{prefix}__{each}", "is not set, but others that go with it are", remedy)


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
    elif parts.query or parts.fragment or "@" in parts.netloc:
        complain(name, "has a query, a fragment or a user, which do not belong there", example)
    elif not _is_host(host):
        complain(name, "has a host that no name server can know", example)
    elif not _PATH.fullmatch(parts.path.rstrip("/")):
        complain(name, "has a path that is no account's name", example)
    elif identity and parts.scheme != "https":
        complain(name, "is http, over which a token is never sent", f"Use https. {example}")
    else:
        return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"
    return None


def _is_host(host: str) -> bool:
    """Return whether a host is an address, or a name that can be asked for; a dot may end it."""
    if ":" in host:
        return True  # an IPv6 address: urlsplit has looked at it
    labels = host.removesuffix(".").split(".")
    return len(host) <= _HOST_LIMIT and all(map(_HOST_LABEL.fullmatch, labels))


def same_place(url: str) -> str:
    """Return what two URLs have in common that lead to one place: without default port and final dot."""
    parts = urlsplit(url)
    port = parts.port if parts.port != {"http": 80, "https": 443}[parts.scheme] else None
    return f"{(parts.hostname or '').removesuffix('.')}:{port or ''}{parts.path}"


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
        "queueendpoint": f"{base}:10001/{AZURITE_ACCOUNT}",
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
    remedy = f"Copy the whole string, or connect by identity with {name}__serviceUri."
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


def queue_service(found: Mapping[str, str], prefix: str, complain: Complain) -> Connection | None:
    """Return the queue service of a connection; ``None`` when a problem was told instead."""
    blobs = resolve(found, prefix, complain)
    held = _held(found, prefix)
    if blobs is None:
        return None
    if "" in held:
        parts = dict(parse_connection_string(held[""][1]))
        if parts.get("usedevelopmentstorage", "").lower() == "true":
            url = _emulator(parts)["queueendpoint"]
        else:
            url = parts.get("queueendpoint") or blobs.primary.replace(".blob.", ".queue.", 1)
        found_url = service_url(held[""][0], url, complain, identity=False)
    elif "queueserviceuri" in held:
        found_url = _url(held, "queueServiceUri", complain)
    elif "accountname" in held:
        found_url = blobs.primary.replace(".blob.", ".queue.", 1)
    else:
        remedy = "Set it to https://NAME.queue.core.windows.net: the host's queue trigger needs it."
        complain(f"{prefix}__queueServiceUri", "is not set", remedy)
        return None
    if found_url is None:
        return None
    return Connection(primary=found_url, secondary=None, authorization=blobs.authorization)
