"""What one attempt showed, and whose fault a failure is.

Rules kept here: ``error.type`` is a closed list; every value of it has exactly one fault; a reading is what
was seen and never says what it means (that is ``verdict``'s word).
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from probe.core.canary import Stamp
from probe.core.target import Location


class Purpose(StrEnum):
    """Why an attempt was made."""

    READ = "read"
    TRIAL = "trial"
    CHECK = "check"
    STATS = "stats"
    WRITE = "write"


class Outcome(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"


class Fault(StrEnum):
    """Whose fault a failure is; only ``PATH`` counts for the breaker."""

    PATH = "path"
    """The endpoint's or the path's: an outage as a client sees it."""
    OURS = "ours"
    """Ours: a grant, a request that the service refuses."""
    CONTENT = "content"
    """The endpoint answered, with the wrong content or none."""


PATH_ERRORS = (
    "dns",
    "refused",
    "reset",
    "connect_timeout",
    "tls",
    "timeout",
    "truncated",
    "protocol",
)
CONTENT_ERRORS = ("404", "digest", "size", "rollback", "unreadable")
OK_STATUS = 200
_STATUS = re.compile("[45][0-9]{2}")
_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = range(500, 600)
_RETRIABLE_CLIENT_ERRORS = (408, 429)


def error_of_status(status: int) -> str | None:
    """Return the ``error.type`` of an HTTP status; ``None`` for 200, the only good answer to our GET.

    A redirect or another 2xx is ``protocol``: somebody who is not Azure Storage answered.
    """
    if status == OK_STATUS:
        return None
    if status in _CLIENT_ERRORS or status in _SERVER_ERRORS:
        return str(status)
    return "protocol"


def fault_of(error_type: str) -> Fault:
    """Return whose fault an ``error.type`` is. Raises ``ValueError`` for one outside the closed list."""
    if error_type in PATH_ERRORS:
        return Fault.PATH
    if error_type in CONTENT_ERRORS:
        return Fault.CONTENT
    status = int(error_type) if _STATUS.fullmatch(error_type) else 0
    if status in _SERVER_ERRORS or status in _RETRIABLE_CLIENT_ERRORS:
        return Fault.PATH
    if status in _CLIENT_ERRORS:
        return Fault.OURS
    raise ValueError(f"not an error.type: {error_type!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Durations of one attempt's phases; ``None`` where a phase did not happen or did not end."""

    dns: timedelta | None = None
    connect: timedelta | None = None
    tls: timedelta | None = None
    ttfb: timedelta | None = None
    transfer: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one attempt showed.

    ``etag`` is the tag of the version that was read, or that a write made.

    ``detail`` is a short human sentence about a failure, free of secrets. ``service_error`` is Azure's own
    code (``x-ms-error-code``), ``request_id`` its ``x-ms-request-id``, ``client_request_id`` ours.
    """

    location: Location
    purpose: Purpose
    started_at: datetime
    duration: timedelta
    error_type: str | None = None
    status_code: int | None = None
    phases: Phases = field(default_factory=Phases)
    canary: Stamp | None = None
    etag: str | None = None
    detail: str | None = None
    service_error: str | None = None
    request_id: str | None = None
    client_request_id: str | None = None

    @property
    def outcome(self) -> Outcome:
        return Outcome.FAILURE if self.error_type else Outcome.SUCCESS

    @property
    def ok(self) -> bool:
        return self.error_type is None

    @property
    def fault(self) -> Fault | None:
        return fault_of(self.error_type) if self.error_type else None

    @property
    def ended_at(self) -> datetime:
        return self.started_at + self.duration

    @property
    def canary_age(self) -> timedelta | None:
        """Return how old the canary was when it was read; a writer's clock ahead of ours makes it 0."""
        return max(self.ended_at - self.canary.written_at, timedelta(0)) if self.canary else None

    @property
    def is_azures(self) -> bool:
        """Return whether Azure Storage gave this answer, good or bad: all of its answers carry its id.

        Source: https://learn.microsoft.com/rest/api/storageservices/common-rest-api-headers
        """
        return self.request_id is not None or self.ok


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a client asked for once: its attempts in order, and who served it (``None``: nobody)."""

    started_at: datetime
    duration: timedelta
    served_by: Location | None
    attempts: tuple[Reading, ...]
