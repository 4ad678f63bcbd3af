"""What is probed and by which rules: targets, their two locations, and the policy numbers.

Rules kept here: a URL never carries a query (SAS tokens are added by the adapter, late); a target without
a secondary is legal (plain ZRS) and is judged on its primary alone.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from urllib.parse import quote, urlsplit


class Location(StrEnum):
    """Azure's own words for the two sides of a geo-redundant account."""

    PRIMARY = "primary"
    SECONDARY = "secondary"

    @property
    def other(self) -> "Location":
        return Location.SECONDARY if self is Location.PRIMARY else Location.PRIMARY


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """A location that the operator forces reads to, and until when (aware UTC)."""

    location: Location
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """A window that the operator declared (aware UTC): what goes wrong in it is measured; nobody is paged."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers a target is probed and judged by; defaults are the settings' defaults."""

    reads: int = 5
    attempts: int = 2
    retry_delay: timedelta = timedelta(seconds=0.2)
    connect_timeout: timedelta = timedelta(seconds=2)
    deadline: timedelta = timedelta(seconds=5)
    slow_after: timedelta = timedelta(seconds=2)
    failure_threshold: int = 5
    failure_rate: float = 0.5
    window: int = 20
    minimum_samples: int = 10
    secondary_reads: int = 20
    cooldown: timedelta = timedelta(0)
    success_threshold: int = 3
    rpo: timedelta = timedelta(minutes=15)
    lag_look: timedelta = timedelta(0)
    forced: Forced | None = None
    maintenance: Maintenance | None = None

    def forced_at(self, now: datetime) -> Forced | None:
        """Return where the operator forces reads to now, ``None`` where that is not so or is over."""
        return self.forced if self.forced and now < self.forced.until else None


def maintenance_end(policy: Policy, now: datetime) -> datetime | None:
    """Return when the declared maintenance ends that goes on now; ``None`` where none does."""
    declared = policy.maintenance
    return declared.until if declared and declared.since <= now < declared.until else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One storage account with its canary.

    ``primary`` and ``secondary`` are blob service URLs without query and trailing slash, for example
    ``https://NAME.blob.core.windows.net`` and ``https://NAME-secondary.blob.core.windows.net``.
    """

    name: str
    primary: str
    secondary: str | None
    container: str = "health-probe"
    blob: str = "HelloWorld.png"
    write: bool = True
    policy: Policy = field(default_factory=Policy)

    @property
    def locations(self) -> tuple[Location, ...]:
        return (Location.PRIMARY, Location.SECONDARY) if self.secondary else (Location.PRIMARY,)

    def service_url(self, location: Location) -> str:
        """Return the blob service URL of a location; ``ValueError`` when it has none."""
        url = self.primary if location is Location.PRIMARY else self.secondary
        if url is None:
            raise ValueError(f"{self.name} has no {location}")
        return url

    def blob_url(self, location: Location) -> str:
        """Return the canary's URL at a location: the endpoint."""
        return f"{self.service_url(location)}/{self.container}/{quote(self.blob, safe='/')}"

    def address(self, location: Location) -> tuple[str, int]:
        """Return host and port of a location, as ``server.address`` and ``server.port`` want them."""
        return _address(self.service_url(location))


@lru_cache(maxsize=1024)
def _address(url: str) -> tuple[str, int]:
    """Return host and port of a URL; remembered, since every row of a tick's telemetry asks for them."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
