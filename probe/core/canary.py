"""The canary's stamp: how it is written into blob metadata, read back and verified.

Rules kept here: the digest is recomputed from the bytes that arrived; a stamp is whole or it is none;
verifying never raises, it returns an ``error.type``. Metadata keys are lower-case letters only, so that
they survive every client's idea of header case.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

SIZE_LIMIT = 4 * 1024 * 1024
"""The most bytes of a body that are read; more is the error ``size``."""

SEQUENCE_LIMIT = 10**17
"""The highest sequence that a stamp may have. A write a second comes nowhere near it in a million years."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""No stamp is older: a clock that says so is wrong."""
WRITER_LIMIT = 128
"""The most characters of a writer's name; a header may have thousands, and every line would name them."""
_KEYS = ("sequence", "writtenat", "sha256", "writer")


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

    def covers(self, other: Self) -> bool:
        """Return whether who shows this stamp has seen ``other``: the same writer's later or equal one.

        Stamps of different writers (two vantages on one blob) are ordered by the time written.
        """
        if self.writer == other.writer:
            return self.sequence >= other.sequence
        return self.written_at >= other.written_at


def stamp(*, body: bytes, sequence: int, written_at: datetime, writer: str) -> Stamp:
    """Return the stamp of a body that is about to be written, equal to the one that will be read back.

    So ``writer`` is spelled as a header wants it.
    """
    digest = hashlib.sha256(body).hexdigest()
    return Stamp(sequence=sequence, written_at=written_at, sha256=digest, writer=writer_name(writer))


def writer_name(text: str) -> str:
    """Return a writer's name as a stamp carries it."""
    kept = "".join(c if c.isascii() and c.isprintable() else "-" for c in text).strip()
    return kept[:WRITER_LIMIT].strip() or "-"


def encode(value: Stamp) -> dict[str, str]:
    """Return the blob metadata of a stamp."""
    return {
        "sequence": str(value.sequence),
        "writtenat": value.written_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "sha256": value.sha256,
        "writer": value.writer,
    }


def decode(metadata: Mapping[str, str]) -> Stamp | None:
    """Return the stamp in blob metadata, or ``None`` where it is missing or not whole.

    What nobody can have come to, a sequence above the limit or a time before 1970, is read as the limit: the
    stamp is whole, and one in our own name can be replaced.
    """
    found = {key.lower(): value for key, value in metadata.items()}
    try:
        sequence, written_at, sha256, writer = (found[key] for key in _KEYS)
        if not (sequence.isascii() and sequence.isdecimal()):
            return None
        number = min(int(sequence), SEQUENCE_LIMIT)
        when = datetime.fromisoformat(written_at)
    except (KeyError, ValueError):
        return None
    if when.tzinfo is None or when.utcoffset() != timedelta(0):
        return None
    return Stamp(
        sequence=number,
        written_at=max(when.astimezone(UTC), EPOCH),
        sha256=sha256.lower(),
        writer=writer[:WRITER_LIMIT].strip(),
    )


def verify(
    *,
    body: bytes,
    metadata: Mapping[str, str],
    content_md5: str | None,
    floor: Stamp | None,
    stamped: bool,
) -> tuple[Stamp | None, str | None]:
    """Return the stamp that a body carries and the ``error.type`` of what is wrong with it.

    ``floor`` is the newest stamp this location has already shown. ``stamped`` says that the blob must carry
    a stamp (the probe writes it); a blob probed read-only is verified by its Content-MD5 where it has one.
    """
    found = decode(metadata)
    if found is None:
        return None, "unreadable" if stamped else _md5_error(body, content_md5)
    if hashlib.sha256(body).hexdigest() != found.sha256:
        return found, "digest"
    if floor is not None and found.writer == floor.writer and found.sequence < floor.sequence:
        return found, "rollback"
    return found, None


def _md5_error(body: bytes, content_md5: str | None) -> str | None:
    if not content_md5:
        return None
    actual = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    return None if actual == content_md5 else "digest"
