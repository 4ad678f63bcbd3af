"""Keeps a shard's record outside the tick: its document, and the stores in a file and in memory.

Rules kept here, and by ``state_blob``: a save replaces exactly the version that was loaded, or it is a
``StateConflict``; every call is bounded in time; a document that cannot be used is kept aside before it can
be replaced, one copy of each version however often it is loaded.
"""

import asyncio
import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from errno import EDQUOT, EFBIG, EINVAL, ENOSPC, EOVERFLOW, EROFS
from functools import cache
from pathlib import Path
from stat import S_ISREG
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, to_json

from probe.core.brief import Brief, brief
from probe.core.canary import EPOCH, SEQUENCE_LIMIT, is_mark
from probe.core.errors import ConfigurationError, StateConflict, StateError
from probe.core.record import (
    OLDEST,
    SCHEMA,
    HistoryEntry,
    ShardRecord,
    TargetRecord,
    carried_over,
    halved,
)
from probe.ports import Loaded

BOUND = timedelta(seconds=3)
"""How long one call may take, whatever the store does."""
SIZE_LIMIT = 16 * 1024 * 1024
"""The most bytes that a document may have. A shard of 100 targets has about 1 MB; more is not ours."""
TOO_BIG = f"it is bigger than {SIZE_LIMIT // 1024**2} MiB, so this project did not write it"
_FARTHEST = 1e15
GLANCE = 256 * 1024
"""The bytes at a document's beginning in which its brief is looked for; 100 targets have about 90 KiB."""
_LOCK_POLL = 0.005
_LOCK_SHARE = 0.8
"""Of a call's bound: what is waited for the lock, so that the message can still name it."""


class UnreadableError(ValueError):
    """A stored document cannot be used; the message says why, without its content."""


@cache
def _adapter[T](kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


@cache
def _validator() -> SchemaValidator:
    """Return the record's validator; built once, since that takes longer than reading most documents."""
    return SchemaValidator(_within(_adapter(ShardRecord).core_schema))


_RANGES: dict[str, dict[str, Any]] = {
    "datetime": {"tz_constraint": "aware", "ge": EPOCH, "le": datetime.max.replace(tzinfo=UTC)},
    "int": {"ge": 0, "le": SEQUENCE_LIMIT, "strict": True},
    "float": {"allow_inf_nan": False, "ge": -_FARTHEST, "le": _FARTHEST},
    "bool": {"strict": True},
}
"""What a value of a type can be, wherever it stands.

A naive time breaks the tick that compares it, one at the end of the calendar whoever tells it; no count is
negative, and no figure so great that a sum of it is none.
"""


def _within(schema: Any) -> Any:  # noqa: ANN401 - a core schema is nested dicts and lists
    """Return the schema with the ranges of its values."""
    if isinstance(schema, list):
        return [_within(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _within(value) for key, value in schema.items()}
    return found | _RANGES.get(str(found.get("type")), {})


class Encoder:
    """Makes the documents of one shard: JSON, times in RFC 3339; the brief stands first.

    An entry of a history is encoded once, when it is new: of 60 it is one in each document, and together they
    are nearly all of it.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[HistoryEntry, bytes]] = {}
        """By the entry's ``id``; the entry is held with it, so that no other can come to have its id."""

    def encode(self, record: ShardRecord) -> bytes:
        """Return the document of a record.

        What would not be loaded again is made smaller first: a long outage of many targets has much to tell,
        and its newer half is worth more than all of it to nobody.
        """
        document = self._document(record)
        while len(document) > SIZE_LIMIT:
            record = halved(record)
            document = self._document(record)
        return document

    def _document(self, record: ShardRecord) -> bytes:
        targets: list[bytes] = []
        entries: dict[int, tuple[HistoryEntry, bytes]] = {}
        as_shard, as_target, as_entry = map(_adapter, (ShardRecord, TargetRecord, HistoryEntry))
        for name, each in record.targets.items():
            history = []
            for entry in each.history:
                kept = self._entries.get(id(entry)) or (entry, as_entry.dump_json(entry))
                entries[id(entry)] = kept
                history.append(kept[1])
            rest = as_target.dump_json(each, exclude={"history"})
            targets.append(b'%s:%s,"history":[%s]}' % (to_json(name), rest[:-1], b",".join(history)))
        self._entries = entries
        rest = as_shard.dump_json(record, exclude={"targets"})
        little = _adapter(Brief).dump_json(brief(record))
        return b'%s%s,%s,"targets":{%s}}' % (_BRIEF, little, rest[1:-1], b",".join(targets))


_BRIEF = b'{"brief":'


@cache
def _brief_validator() -> SchemaValidator:
    return SchemaValidator(_within(_adapter(Brief).core_schema))


def glanced(beginning: bytes) -> Brief | None:
    """Return the brief that a document begins with; ``None`` where there is none, or not all of it."""
    if not beginning.startswith(_BRIEF):
        return None
    text = beginning.decode(errors="replace")
    try:
        found, _ = json.JSONDecoder().raw_decode(text, len(_BRIEF))
        known: Brief = _brief_validator().validate_python(found)
    except (ValueError, RecursionError):
        return None
    return known if known.schema == SCHEMA else None


def decode(document: bytes) -> ShardRecord:
    """Return the record in a document; fields that are not known are passed over.

    Of a name that comes twice the last counts, and is checked as any other. One of an earlier schema is
    carried over: what it did not keep has its default. Raises ``UnreadableError`` when it is not JSON, not a
    record, one of another schema, or one that no probe can have come to.
    """
    try:
        record: ShardRecord = _validator().validate_json(document)
    except ValidationError as error:
        raise UnreadableError(_why(document, error)) from None
    if not OLDEST <= record.schema <= SCHEMA:
        raise UnreadableError(_other_schema(record.schema))
    if not is_mark(record.identity):
        raise UnreadableError("its identity is no mark of a state")
    for each in record.targets.values():
        if not each.ledger.is_sound:
            raise UnreadableError("it has a sequence that no probe can have come to")
        if not each.breaker.is_sound:
            raise UnreadableError("it has a breaker that no probe can have come to")
    return record if record.schema == SCHEMA else carried_over(record)


def _why(document: bytes, error: ValidationError) -> str:
    """Return what is wrong with a document; its schema first, since that explains the rest."""
    try:
        schema = json.loads(document)["schema"]
    except (ValueError, TypeError, KeyError, RecursionError):
        schema = SCHEMA
    if isinstance(schema, int) and not OLDEST <= schema <= SCHEMA:
        return _other_schema(schema)
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(each) for each in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _other_schema(schema: int) -> str:
    return f"it has schema {schema}, and this version reads schema {SCHEMA}"


def aside_name(name: str, changed_at: datetime) -> str:
    """Return the name under which an unreadable version is kept: the same each time that it is loaded."""
    return f"{name}.unreadable-{changed_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


def told_replaced(reason: str, aside: str) -> str:
    return f"the stored state cannot be used: {reason}; kept aside as {aside}"


def brief_of(loaded: Loaded) -> Brief | None:
    """Return the brief of what had to be loaded whole."""
    return brief(loaded.record) if loaded.record else None


class MemoryStateStore:
    """State in this process only: for trying out, and gone when the process is."""

    def __init__(self) -> None:
        self._encoders: defaultdict[int, Encoder] = defaultdict(Encoder)
        self._documents: dict[int, tuple[str, bytes]] = {}
        self._aside: dict[str, bytes] = {}
        self._versions = 0

    async def load(self, shard: int, known: str | None = None) -> Loaded:
        tag, document = self._documents.get(shard, (None, b""))
        if tag is None or tag == known:
            return Loaded(record=None, tag=tag)
        try:
            return Loaded(record=decode(document), tag=tag)
        except UnreadableError as error:
            aside = f"shard-{shard}.unreadable-{tag}"
            self._aside[aside] = document
            return Loaded(record=None, tag=tag, replaced=told_replaced(str(error), aside))

    async def glance(self, shard: int) -> Brief | None:
        _, document = self._documents.get(shard, (None, b""))
        return glanced(document[:GLANCE]) or brief_of(await self.load(shard))

    async def save(self, shard: int, record: ShardRecord, tag: str | None) -> str:
        if self._documents.get(shard, (None,))[0] != tag:
            raise StateConflict
        return self._put(shard, self._encoders[shard].encode(record))

    def _put(self, shard: int, document: bytes) -> str:
        self._versions += 1
        tag = str(self._versions)
        self._documents[shard] = (tag, document)
        return tag


class FileStateStore:
    """State in a file: shard 0 has the path itself, the others ``.1``, ``.2`` beside it.

    The file is only ever replaced whole, by a rename, so that a process killed at any point leaves the old
    document or the new one. Comparing and replacing happen under a lock file, for processes and threads
    alike; the kernel lets go of it with its process. A path that is a link stays one: what it leads to is
    replaced.
    """

    def __init__(self, path: Path, *, bound: timedelta = BOUND) -> None:
        try:
            import fcntl  # noqa: PLC0415 - not on Windows, where everything but this store runs
        except ImportError:
            problem = (
                f"PROBE_STATE is file:{path}, and this system has no file locks; use memory or a connection"
            )
            raise ConfigurationError((problem,)) from None
        self._try_lock: Callable[[int], None] = lambda file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._encoders: defaultdict[int, Encoder] = defaultdict(Encoder)
        self._path = path
        self._bound = bound.total_seconds()

    async def load(self, shard: int, known: str | None = None) -> Loaded:
        async with self._bounded("loaded"):
            return await asyncio.to_thread(self._load, shard, known)

    async def glance(self, shard: int) -> Brief | None:
        async with self._bounded("loaded"):
            document, _ = await asyncio.to_thread(_read, self._file(shard), GLANCE)
        return (document and glanced(document)) or brief_of(await self.load(shard))

    async def save(self, shard: int, record: ShardRecord, tag: str | None) -> str:
        async with self._bounded("saved"):
            document = self._encoders[shard].encode(record)
            return await asyncio.to_thread(self._save, shard, document, tag)

    def _file(self, shard: int) -> Path:
        path = self._path if shard == 0 else self._path.with_name(f"{self._path.name}.{shard}")
        return path.resolve()

    def _load(self, shard: int, known: str | None) -> Loaded:
        path = self._file(shard)
        document, changed_at = _read(path)
        if document is None:
            return Loaded(record=None, tag=None)
        tag = _digest(document)
        if tag == known:
            return Loaded(record=None, tag=tag)
        try:
            return Loaded(record=decode(document), tag=tag)
        except UnreadableError as error:
            aside = path.with_name(aside_name(path.name, changed_at))
            with self._locked(path):
                if not aside.exists():
                    _replace(aside, document, through=_beside(path, ".tmp"))
            return Loaded(record=None, tag=tag, replaced=told_replaced(str(error), str(aside)))

    def _save(self, shard: int, document: bytes, tag: str | None) -> str:
        path = self._file(shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(path):
            stored, _ = _read(path)
            if (None if stored is None else _digest(stored)) != tag:
                raise StateConflict
            _replace(path, document, through=_beside(path, ".tmp"))
        return _digest(document)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Hold the lock of a document; polled, because a wait inside the kernel could not be bounded."""
        give_up = time.monotonic() + self._bound * _LOCK_SHARE
        with open(_beside(path, ".lock"), "ab", opener=_without_following) as file:
            while True:
                try:
                    self._try_lock(file.fileno())
                    break
                except BlockingIOError:
                    if time.monotonic() >= give_up:
                        raise TimeoutError(f"another process holds {file.name}") from None
                    time.sleep(_LOCK_POLL)
            yield

    @asynccontextmanager
    async def _bounded(self, act: str) -> AsyncIterator[None]:
        """Bound a call, and turn what the system says into a ``StateError``."""
        try:
            async with asyncio.timeout(self._bound):
                yield
        except OSError as error:
            said = str(error) or f"no answer within {self._bound:g} s"
            error_type, remedy = _os_error(error)
            message = f"the state in {self._path} could not be {act}: {said}; {remedy}"
            raise StateError(message, error_type=error_type) from error


def _os_error(error: OSError) -> tuple[str, str]:
    """Return the ``error.type`` and the remedy of what the system refused."""
    if isinstance(error, TimeoutError):
        return "timeout", "end the process that holds its lock, or put the file on a disk that answers"
    if isinstance(error, PermissionError) or error.errno == EROFS:
        return "403", "let this user write the file and its folder, or name another path in PROBE_STATE"
    if error.errno in {ENOSPC, EDQUOT}:
        return "507", "free space on its disk"
    if error.errno == EFBIG:
        return "507", "let this process write bigger files (ulimit -f)"
    if error.errno == EOVERFLOW:
        return "unreadable", "move it away, or name another path in PROBE_STATE"
    return "unreadable", "PROBE_STATE must name a file in a folder that can be made"


def _read(path: Path, most: int = -1) -> tuple[bytes | None, datetime]:
    """Return a file's first bytes, ``None`` where there is none, and when it changed."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not S_ISREG(found.st_mode):  # a device may have no end
                raise OSError(EINVAL, "it is no regular file")
            if found.st_size > SIZE_LIMIT:
                raise OSError(EOVERFLOW, TOO_BIG)
            return file.read(most), datetime.fromtimestamp(found.st_mtime, UTC)
    except FileNotFoundError:
        return None, datetime.fromtimestamp(0, UTC)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to would be waited for, past any bound."""
    return os.open(path, flags | os.O_NONBLOCK)


def _without_following(path: str, flags: int) -> int:
    """Open a file of ours; who puts a link there must not choose what is written."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode=0o666)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _replace(path: Path, document: bytes, *, through: Path) -> None:
    """Put a document in the place of what is there, at once.

    ``through`` is used under the lock only, so one that is there is of a process that was killed.
    """
    through.unlink(missing_ok=True)
    try:
        with open(through, "xb", opener=_without_following) as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        through.replace(path)
    except BaseException:
        through.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself, so that it outlasts a power cut
    finally:
        os.close(folder)


def _digest(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()
