"""What a tick stands in: the world that it needs, and the firing that it answers."""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto

from probe.core.record import ShardRecord
from probe.ports import (
    Chance,
    Clock,
    Endpoints,
    Monotonic,
    SignOfLife,
    Sleep,
    StateStore,
    Telemetry,
    TraceParent,
)


def token() -> str:
    """Return a name for one tick that no other has."""
    return secrets.token_hex(4)


async def no_sign() -> bool:
    """Return that nothing was reached: the sign of life of who has nobody to ask."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One firing of the timer, for one shard. ``scheduled_at`` is aware UTC."""

    scheduled_at: datetime
    shard: int = 0
    past_due: bool = False
    parent: TraceParent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A shard's record as this process knows it, and the tag of the version it stands on.

    ``unsaved_since``: from then on no tick could be saved; ``None`` when the last one was.
    """

    record: ShardRecord
    tag: str | None
    unsaved_since: datetime | None = None


class Fate(Enum):
    """What became of a save."""

    SAVED = auto()
    FAILED = auto()
    UNKNOWN = auto()
    """The store may have it, though it did not say so."""


@dataclass(slots=True, kw_only=True)
class World:
    """All that a tick needs. ``last_known`` is what this process knows by shard, for when the store fails.

    ``writer`` is the name that this probe's canaries carry, with the mark of the shard's state.
    ``store_is_remote`` says that to reach the state store is itself a sign that there is a network; ``alive``
    is asked for another one. ``losses`` are the rows of telemetry that were lost and that no shard's document
    counts yet, by backend.
    """

    endpoints: Endpoints
    store: StateStore
    telemetry: Telemetry
    vantage: str
    writer: str
    budget: timedelta
    clock: Clock
    monotonic: Monotonic = time.monotonic
    sleep: Sleep = asyncio.sleep
    chance: Chance = random.random
    token: Callable[[], str] = token
    alive: SignOfLife = no_sign
    store_is_remote: bool = True
    last_known: dict[int, Known] = field(default_factory=dict)
    losses: Counter[str] = field(default_factory=Counter)
