"""Reads a deployed app's status over HTTP, for who has its address and a key, and none of its settings.

Rules kept here: the key goes in a header, to the one host that was named, and on no output; no redirect is
followed, which would carry it elsewhere; the whole is bounded in time and size; whatever answers, the failure
is told with its remedy, and no character of it reaches a terminal that is not plain text. It asks the app
itself, as the probe asks its endpoints: over no proxy of the environment.
"""

import json
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from probe import __version__
from probe.adapters.exchange import Limits, Line, Request, target_of
from probe.adapters.failures import Failure
from probe.core.errors import ConfigurationError, ProbeError
from probe.core.redaction import without_secrets
from probe.core.report import upgraded

PATH = "/api/status"
SCHEMAS = (1, 2)
BOUND = 20.0
"""Seconds for the whole of it: an app that was scaled to nothing takes some to start."""
SIZE_LIMIT = 16 * 1024 * 1024
"""The most bytes of an answer: a fleet of hundreds of targets."""
_OK = 200
_REDIRECTS = range(300, 400)
_UNAUTHORIZED, _NO_KEY = 401, -401
_KEYS = (
    "Set PROBE_STATUS_KEY to what this prints: az functionapp keys list --resource-group GROUP --name {app} "
    "--query functionKeys.default --output tsv"
)
_SIGNING_IN = (
    "set PROBE_STATUS_TOKEN to what this prints: az account get-access-token --resource api://CLIENT-ID "
    "--query accessToken --output tsv (CLIENT-ID: of the app registration that they sign in with)"
)
_STARTING = "is starting or broken. Try again in a minute; then look at the app's Log stream."
_FAILURES = {
    _OK: "answers, but not with a status of this probe. Is it the right app?",
    _NO_KEY: f"asks for a key (401). {_KEYS}",
    _UNAUTHORIZED: f"does not know the key (401). {_KEYS}",
    403: "lets nobody in from here (403): the app is stopped, or its access restrictions or private network "
    "keep this machine out. See az functionapp show --resource-group GROUP --name {app} --query state",
    404: f"has no {PATH} (404): the address is another app's, or the deployment has no function. "
    "Deploy again with azd deploy.",
    429: "answers 429, too many requests. Try again in a minute.",
    502: _STARTING,
    503: _STARTING,
    504: _STARTING,
}
"""What an app's answer means that is no status, and what to do, by its status code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an app's status is, and the key to it."""

    url: str
    host: str
    key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def app(self) -> str:
        """Return the app's name, as far as its address says it."""
        label, _, domain = self.host.partition(".")
        return label if domain == "azurewebsites.net" else "APP"


def address(url: str, key: str | None, token: str | None = None) -> Address:
    """Return where to ask. Raises ``ConfigurationError``; nothing of a query, where a key may be, is told."""
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigurationError(("--url: is no URL. Give https://APP.azurewebsites.net.",)) from None
    problems = []
    if parts.scheme not in ("http", "https") or not host:
        problems.append("--url: is no URL of a web page. Give https://APP.azurewebsites.net.")
    elif parts.scheme == "http" and not _is_loopback(host):
        problems.append("--url: would send the key in the clear. Begin it with https://.")
    if parts.username or parts.password:
        problems.append(
            "--url: holds a user or a password. Leave them out; a key goes into PROBE_STATUS_KEY."
        )
    if parts.query or parts.fragment:
        problems.append("--url: holds a query. Leave it out; a key goes into PROBE_STATUS_KEY.")
    for name, secret in (("key", key), ("token", token)):
        if secret is not None and not (secret.isascii() and secret.isprintable() and " " not in secret):
            problems.append(
                f"the {name} has characters that no {name} has. Copy it anew, without its quotes."
            )
    if problems:
        raise ConfigurationError(tuple(problems))
    path = parts.path.rstrip("/")
    path = path if path.endswith(PATH) else path + PATH
    return Address(url=f"{parts.scheme}://{parts.netloc}{path}", host=host, key=key, token=token)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def status(at: Address) -> dict[str, Any]:
    """Return a status document, of schema 2. Raises ``ProbeError``, which says what to do."""
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"probe/{__version__}",
        **({"x-functions-key": at.key} if at.key else {}),
        **({"Authorization": f"Bearer {at.token}"} if at.token else {}),
    }
    line = Line(url=at.url, limits=Limits(deadline=BOUND, connect=BOUND))
    try:
        exchange = await line.ask(Request(target=target_of(at.url), headers=headers), lambda _: SIZE_LIMIT)
    finally:
        await line.aclose()
    if exchange.failure is not None:
        raise ProbeError(_unread(at, exchange.failure))
    if exchange.too_large:
        limit = SIZE_LIMIT // 1024**2
        raise ProbeError(f"{at.url} answers with more than {limit} MiB: it is no status of this probe.")
    kind = (exchange.headers.get("content-type") or "").partition(";")[0].strip().lower()
    return _judged(at, exchange.status or 0, kind, exchange.body or b"")


def _unread(at: Address, failure: Failure) -> str:
    """Return what it means that an app did not answer, and what to do."""
    match failure.error_type:
        case "dns":
            told = (
                f"the name {at.host} does not resolve. Compare it with: "
                "az functionapp list --query '[].defaultHostName' --output tsv"
            )
        case "timeout" | "connect_timeout":
            told = (
                f"{at.url} did not answer within {BOUND:g} s. An app that was at rest may need that to "
                "start: try again; then look at the app's Log stream."
            )
        case "tls":
            told = f"{failure.detail}; the key was not sent. Something in between, or another host, answers."
        case _:
            told = f"{at.url} could not be read: {failure.detail}. Is the app running?"
    if urlsplit(at.url).scheme in getproxies() and not proxy_bypass(at.host):
        told += " The proxy that the environment names was not used: this command asks the app itself."
    return told


def _judged(at: Address, code: int, kind: str, body: bytes) -> dict[str, Any]:
    document = _document(body) if kind == "application/json" else None
    if code == _OK and document is not None:
        return _ours(at, document)
    if document is not None and document.get("problems"):
        told = "\n  ".join(str(each) for each in document["problems"])
        raise ProbeError(f"the app at {at.host} runs and cannot work; its settings:\n  {told}")
    raise ProbeError(_failure(at, code, kind))


def _failure(at: Address, code: int, kind: str) -> str:
    """Return what an answer that is no status means, and what to do."""
    if code in _REDIRECTS or (code == _OK and kind == "text/html"):
        return (
            f"{at.host} answers with a sign-in or another page, not with a status: something stands before "
            f"the app. Where people sign in to it, {_SIGNING_IN}. A proxy or a portal: ask from a network "
            "without it."
        )
    if code == _UNAUTHORIZED and at.key is None:
        code = _NO_KEY
    told = _FAILURES.get(code, f"answers {code} in place of a status. Look at the app's Log stream.")
    return f"{at.host} {told.format(app=at.app)}"


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return _plain(found) if isinstance(found, dict) else None


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return JSON values whose texts have no secret, and nothing that a terminal would obey."""
    match value:
        case str():
            return "".join(each if each.isprintable() else "?" for each in without_secrets(value))
        case dict():
            return {_plain(name): _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case _:
            return value


def _ours(at: Address, document: dict[str, Any]) -> dict[str, Any]:
    schema, targets = document.get("schema"), document.get("targets")
    if not isinstance(schema, int) or not isinstance(targets, list) or "shards" not in document:
        raise ProbeError(_failure(at, _OK, "application/json"))
    if schema not in SCHEMAS:
        raise ProbeError(
            f"the app at {at.host} tells its status in schema {schema}; this command knows "
            f"{' and '.join(map(str, SCHEMAS))}. Use the version of the probe that was deployed."
        )
    try:
        known = [upgraded(each) if each["verdict"] else each for each in targets] if schema == 1 else targets
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ProbeError(_failure(at, _OK, "application/json")) from None
    return {**document, "schema": SCHEMAS[-1], "targets": known}
