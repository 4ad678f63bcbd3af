"""The fleet: targets are split into shards, and a shard travels as a queue message.

Rules kept here: the split depends on the targets' order and the shard size alone, so every instance cuts
alike; a message says when it was scheduled, and one that is later than the next tick is dropped, not run.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched

from probe.core.errors import ProbeError
from probe.core.redaction import without_secrets
from probe.core.target import Target
from probe.core.times import time_text

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One shard's order to tick: the ``shard``-th of ``shards``, scheduled at an aware UTC time."""

    shard: int
    shards: int
    scheduled_at: datetime
    past_due: bool = False


def shards(targets: Sequence[Target], size: int) -> tuple[tuple[Target, ...], ...]:
    """Return the targets in shards of at most ``size``, in their order."""
    return tuple(batched(targets, size, strict=False))


def encode(message: Message) -> str:
    """Return the queue message's text."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "shard": message.shard,
            "shards": message.shards,
            "scheduled_at": time_text(message.scheduled_at),
            "past_due": message.past_due,
        }
    )


def decode(text: str) -> Message:
    """Return the message of a text. Raises ``ProbeError`` for one that is not ours."""
    try:
        value = json.loads(text)
        schema = value["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise _foreign(text, error) from error
    if schema != SCHEMA:
        raise ProbeError(f"a shard's message has schema {schema!r}, and this version reads {SCHEMA}")
    try:
        return Message(
            shard=int(value["shard"]),
            shards=int(value["shards"]),
            scheduled_at=_utc(value["scheduled_at"]),
            past_due=bool(value["past_due"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _foreign(text, error) from error


def _foreign(text: str, error: Exception) -> ProbeError:
    shown = without_secrets(text)[:200]
    return ProbeError(f"a message on the queue is not a shard's ({error!r}): {shown!r}")


def _utc(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("the time has no zone")
    return found.astimezone(UTC)


def dropped(message: Message, *, now: datetime, interval: timedelta, shards: int) -> str | None:
    """Return why a message is not run: it is late, or the fleet was cut anew since; else ``None``."""
    age = now - message.scheduled_at
    if age > interval:
        return f"it was scheduled {age.total_seconds():.0f} s ago, and the next tick is due already"
    if message.shards != shards or not 0 <= message.shard < shards:
        return f"it is shard {message.shard} of {message.shards}, but there are {shards} now"
    return None
