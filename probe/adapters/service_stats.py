"""Reads the blob service's replication stats (``?restype=service&comp=stats``) out of their XML.

Rules kept here: the document comes from whoever answers at the endpoint, so it is not trusted: its size is
bounded by the caller and a document type, the only way to declare entities, is refused. What does not say
both things in the way that Azure says them is ``None``, never a guess.

Source: https://learn.microsoft.com/rest/api/storageservices/get-blob-service-stats
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from xml.parsers import expat

from probe.core.canary import EPOCH
from probe.core.replication import Sync, SyncStatus

SIZE_LIMIT = 64 * 1024
"""The most bytes of stats that are read; Azure's are about 200."""

_DEPTH_LIMIT = 8
_STATUS = ("StorageServiceStats", "GeoReplication", "Status")
_LAST_SYNC_TIME = ("StorageServiceStats", "GeoReplication", "LastSyncTime")


class _RefusedError(Exception):
    """The document holds what stats have no use for."""


def sync_of(body: bytes) -> Sync | None:
    """Return the stats in a body; ``None`` when it does not hold them."""
    try:
        found = _texts(body)
        status = SyncStatus(found[_STATUS].strip().lower())
        return Sync(status=status, last_sync_time=_time(found.get(_LAST_SYNC_TIME, "").strip()))
    except (expat.ExpatError, _RefusedError, KeyError, ValueError, OverflowError):
        return None


def _texts(body: bytes) -> dict[tuple[str, ...], str]:
    """Return the text of every element by its path. What says a wanted thing twice is refused."""
    path: list[str] = []
    found: dict[tuple[str, ...], str] = {}

    def opened(name: str, _attributes: dict[str, str]) -> None:
        path.append(name)
        here = tuple(path)
        if len(here) > _DEPTH_LIMIT or (here in found and here in (_STATUS, _LAST_SYNC_TIME)):
            raise _RefusedError
        found.setdefault(here, "")

    def text(data: str) -> None:
        found[tuple(path)] += data

    def refuse(*_: object) -> None:
        raise _RefusedError

    parser = expat.ParserCreate("utf-8")  # whatever it claims: no codec is looked up by its word
    parser.StartElementHandler = opened
    parser.EndElementHandler = lambda _name: path.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(body, True)  # noqa: FBT003 - expat takes it by position alone
    return found


def _time(text: str) -> datetime | None:
    """Return an RFC 1123 time, ``None`` for an empty one. Raises ``ValueError`` for anything else."""
    if not text:
        return None
    when = parsedate_to_datetime(text)
    if when.tzinfo is None or when.astimezone(UTC) < EPOCH:
        raise ValueError(text)
    return when.astimezone(UTC)
