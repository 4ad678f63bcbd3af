"""What telemetry is told: where to send, how much, and as whom; and what is wrong with it.

Rules kept here: nothing of OpenTelemetry or Azure is imported, so that settings can be checked for nothing;
a secret or an instrumentation key never stands in a message.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

_CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
_AUTHENTICATION = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"
_KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""As strict as the exporter is, so that it has nothing left to refuse."""
_GLOBAL = "https://dc.services.visualstudio.com"
"""Where the exporter sends when the connection string names no endpoint."""
_AUDIENCE = "https://monitor.azure.com/"
"""Whom the exporter's token is for when the connection string names nobody."""
_COPY = "copy it whole from the Application Insights resource's overview"


class Traces(StrEnum):
    """Which attempts become spans (setting ``PROBE_TRACES``)."""

    OFF = "off"
    FAILURES = "failures"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Where telemetry goes. With no connection string, no ``otlp`` and no ``debug``: nowhere.

    ``otlp`` says that an OTLP endpoint is set; which one, its headers, its timeout and its compression the
    exporter reads from the standard ``OTEL_EXPORTER_OTLP_*`` variables. ``flush_seconds`` is what a tick may
    lose by flushing (setting ``PROBE_FLUSH``). ``debug`` prints what is sent, or would be, to stderr.
    ``on_sigterm`` drains what is buffered when the process is told to end.
    """

    connection_string: str | None = None
    authentication_string: str | None = None
    otlp: bool = False
    traces: Traces = Traces.FAILURES
    flush_seconds: float = 2.0
    vantage: str = "local"
    region: str | None = None
    service_name: str = "probe"
    service_version: str = "0"
    faas_name: str | None = None
    faas_instance: str | None = None
    debug: bool = False
    on_sigterm: bool = True

    @property
    def exports(self) -> bool:
        return bool(self.connection_string) or self.otlp


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Send as a managed identity: the system-assigned one when ``client_id`` is ``None``."""

    client_id: str | None = None


def identity(settings: TelemetrySettings) -> Identity | None:
    """Return as whom to send, for settings without problems; ``None``: the instrumentation key will do."""
    if not settings.authentication_string:
        return None
    return Identity(client_id=_pairs(settings.authentication_string).get("clientid"))


def connection(settings: TelemetrySettings) -> str | None:
    """Return the connection string without blanks and with its key in lower case.

    The exporter does not know a name with a blank beside it, and would send to the global endpoint instead.
    """
    if not settings.connection_string:
        return None
    pairs = _pairs(settings.connection_string)
    pairs["instrumentationkey"] = pairs["instrumentationkey"].lower()
    return ";".join(f"{name}={value}" for name, value in pairs.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingestion:
    """Where Azure Monitor takes rows: the endpoint, the resource's key, and the scope of a token for it."""

    endpoint: str
    key: str
    scope: str


def ingestion(settings: TelemetrySettings) -> Ingestion | None:
    """Return where the exporter sends to, for settings without problems."""
    if not settings.connection_string:
        return None
    pairs = _pairs(settings.connection_string)
    audience = pairs.get("aadaudience") or _AUDIENCE
    return Ingestion(
        endpoint=(pairs.get("ingestionendpoint") or _GLOBAL).rstrip("/"),
        key=pairs["instrumentationkey"].lower(),
        scope=f"{audience}/.default",
    )


def problems(settings: TelemetrySettings) -> tuple[str, ...]:
    """Return a line for each thing that is wrong, with its remedy."""
    found = [*_authentication(settings), *_connection(settings)]
    if settings.flush_seconds <= 0:
        found.append(
            f"PROBE_FLUSH is {settings.flush_seconds:g}: give the seconds that a flush may take, above 0"
        )
    return tuple(found)


def _authentication(settings: TelemetrySettings) -> list[str]:
    if not settings.authentication_string:
        return []
    pairs = _pairs(settings.authentication_string)
    known = set(pairs) <= {"authorization", "clientid"}
    if pairs.get("authorization", "").lower() == "aad" and known and pairs.get("clientid") != "":
        return []
    return [f"{_AUTHENTICATION} is not of the form 'Authorization=AAD' or 'ClientId=ID;Authorization=AAD'"]


def _connection(settings: TelemetrySettings) -> list[str]:
    if not settings.connection_string:
        return []
    if any(each.count("=") != 1 for each in settings.connection_string.split(";")):
        return [f"{_CONNECTION} is not NAME=VALUE pairs with a ';' between them (none at the end): {_COPY}"]
    pairs = _pairs(settings.connection_string)
    found = []
    if not _KEY.fullmatch(pairs.get("instrumentationkey", "").lower()):
        found.append(f"{_CONNECTION} holds no valid InstrumentationKey: {_COPY}")
    endpoint = _url(pairs.get("ingestionendpoint", "https://global"))
    if endpoint is None:
        found.append(f"{_CONNECTION} holds an IngestionEndpoint that is no http or https URL: {_COPY}")
    elif settings.authentication_string and endpoint.scheme == "http":
        found.append(
            f"{_CONNECTION} has an http IngestionEndpoint while {_AUTHENTICATION} asks for Entra: a token is "
            f"never sent in the clear; use an https endpoint or remove {_AUTHENTICATION}"
        )
    return found


def _url(text: str) -> SplitResult | None:
    """Return an http or https URL with a host and a port that can be, or ``None``."""
    try:
        found = urlsplit(text)
        usable = found.scheme in ("http", "https") and found.hostname and found.port != 0
    except ValueError:  # no port, or no address, that there can be
        return None
    return found if usable else None


def _pairs(text: str) -> dict[str, str]:
    parts = (each.partition("=") for each in text.split(";") if each.strip())
    return {key.strip().lower(): value.strip() for key, _, value in parts}
