"""The canary's stamp: how it is written into blob metadata, read back and verified.

Rules kept here: the digest is recomputed from the bytes that arrived; a stamp is whole or it is none;
verifying never raises, it returns an ``error.type``. Metadata keys are lower-case letters only, so that
they survive every client's idea of header case.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from probe.core.redaction import without_secrets

SIZE_LIMIT = 4 * 1024 * 1024
"""The most bytes of a body that are read; more is the error ``size``."""

SEQUENCE_LIMIT = 10**17
"""The highest sequence that a stamp may have. A write a second comes nowhere near it in a million years."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""No stamp is older: a clock that says so is wrong."""
WRITER_LIMIT = 128
"""The most characters of a writer's name; a header may have thousands, and every line would name them."""
_KEYS = ("sequence", "writtenat", "sha256", "writer")
_MARK = re.compile("#[0-9a-f]{8}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What the canary says of itself: ``written_at`` is aware UTC to the microsecond."""

    sequence: int
    written_at: datetime
    sha256: str
    writer: str

    @property
    def is_plausible(self) -> bool:
        """Return whether so high a sequence leaves room for all the writes that may follow it."""
        return self.sequence <= SEQUENCE_LIMIT // 2

    def is_behind(self, other: Self) -> bool:
        """Return whether this is an older canary of the one who wrote the other, or had no state yet."""
        is_older = self.sequence < other.sequence
        return is_older and self.writer in (other.writer, unmarked(other.writer))

    def covers(self, other: Self) -> bool:
        """Return whether who shows this stamp has seen ``other``: the same writer's later or equal one.

        So have those of one name, whatever their clocks say: each writes above what it replaces. Stamps of
        different names (two vantages on one blob) are ordered by the time written.
        """
        if self.writer == other.writer or unmarked(self.writer) == unmarked(other.writer):
            return self.sequence >= other.sequence
        return self.written_at >= other.written_at


def stamp(*, body: bytes, sequence: int, written_at: datetime, writer: str) -> Stamp:
    """Return the stamp of a body that is about to be written, equal to the one that will be read back.

    So ``writer`` is spelled as a header wants it.
    """
    digest = hashlib.sha256(body).hexdigest()
    return Stamp(sequence=sequence, written_at=written_at, sha256=digest, writer=writer_name(writer))


def writer_name(text: str) -> str:
    """Return a writer's name as a stamp carries it, and as it is read, since a stranger's is shown."""
    kept = without_secrets(text)
    if not (kept.isascii() and kept.isprintable()):  # nearly all are, and each read asks
        kept = "".join(c if c.isascii() and c.isprintable() else "-" for c in kept)
    return kept.strip()[:WRITER_LIMIT].strip() or "-"


def marked(name: str, identity: str) -> str:
    """Return the name of a writer that goes by one saved state: two probes of one name have two of these."""
    return f"{writer_name(name)[: WRITER_LIMIT - 9]}#{identity}" if identity else writer_name(name)


def is_mark(identity: str) -> bool:
    """Return whether this marks a state; nothing does where there is none yet."""
    return not identity or _MARK.fullmatch(f"#{identity}") is not None


def unmarked(writer: str) -> str:
    """Return the name that a writer shares with those of other states."""
    return _MARK.sub("", writer)


def encode(value: Stamp) -> dict[str, str]:
    """Return the blob metadata of a stamp."""
    return {
        "sequence": str(value.sequence),
        "writtenat": value.written_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "sha256": value.sha256,
        "writer": value.writer,
    }


def decode(metadata: Mapping[str, str]) -> Stamp | None:
    """Return the stamp in blob metadata, or ``None`` where there is none.

    What no probe writes, be it no number or no time, is read as the limit, a sequence that nobody comes to or
    1970: the stamp is whole, and one in our own name can be replaced.
    """
    found = {key.lower(): value for key, value in metadata.items()}
    if not all(key in found for key in _KEYS):
        return None
    return Stamp(
        sequence=_sequence(found["sequence"]),
        written_at=_written_at(found["writtenat"]),
        sha256=found["sha256"].lower(),
        writer=writer_name(found["writer"]),
    )


def _sequence(text: str) -> int:
    digits = text.isascii() and text.isdecimal() and len(text.lstrip("0")) < len(str(SEQUENCE_LIMIT))
    return int(text) if digits else SEQUENCE_LIMIT


def _written_at(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return EPOCH
    return max(when.astimezone(UTC), EPOCH) if when.utcoffset() == timedelta(0) else EPOCH


def verify(
    *,
    body: bytes,
    metadata: Mapping[str, str],
    content_md5: str | None,
    floor: Stamp | None,
    stamped: bool,
) -> tuple[Stamp | None, str | None]:
    """Return the stamp that a body carries and the ``error.type`` of what is wrong with it.

    ``floor`` is the newest stamp this location has already shown. ``stamped`` says that the probe writes the
    blob: once a stamp was there, there must be one. Any other blob is verified by its Content-MD5 where it
    has one, and so is one whose stamp is of another name: the bytes may be right where the stamp lies.
    """
    found = decode(metadata)
    if found is None:
        return None, "unreadable" if stamped and floor else _md5_error(body, content_md5)
    if hashlib.sha256(body).hexdigest() != found.sha256:
        known = floor is not None and unmarked(floor.writer) == unmarked(found.writer)
        if known or not content_md5 or _md5_error(body, content_md5):
            return found, "digest"
        return replace(
            found, sequence=SEQUENCE_LIMIT
        ), None  # as stored: it is the stamp that is not believed
    if floor is not None and found.is_behind(floor):
        return found, "rollback"
    return found, None


def _md5_error(body: bytes, content_md5: str | None) -> str | None:
    if not content_md5:
        return None
    actual = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    return None if actual == content_md5 else "digest"
