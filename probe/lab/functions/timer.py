"""When a timer function fires, and what it is told: NCRONTAB schedules, the schedule's status, and past due.

Rules: one run of a timer at a time; occurrences missed while a run lasts, or while no host ran, coalesce
into one run; only the one at start is past due; a schedule that recurs within the minute is not monitored, so
its runs carry no status. Times are UTC, as in Azure. The decisions are functions of status and time.

Source: TimerListener, ScheduleMonitor and TimerSchedule of azure-webjobs-sdk-extensions, and NCrontab, where
a day of the month and a day of the week must both match.
"""

import asyncio
import calendar
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final, Self

from probe.lab.functions.config import Function, HostError

NEVER: Final = "0001-01-01T00:00:00"
"""How .NET writes a time that has not been."""

LONGEST_SLEEP: Final = 5.0
"""Seconds after which a waiting timer looks at the clock again: a laptop may have slept, a clock been set."""

_PART: Final = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")
_BOUNDS: Final = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS: Final = [calendar.month_name[each].lower() for each in range(1, 13)]
_WEEKDAYS: Final = [calendar.day_name[each - 1].lower() for each in range(7)]
_NAMES: Final = ((), (), (), (), _MONTHS, _WEEKDAYS)
_DAYS_AHEAD: Final = 366 * 41
"""Days that are looked through for the next occurrence: a Monday that is 29 February can be 40 years off."""
SHORT_FIELDS: Final = 5
FULL_FIELDS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """An NCRONTAB expression of six fields, the first of them the seconds.

    Read here by itself, and not as the probe reads it: a mistake that both shared would be seen by nobody.
    """

    expression: str
    allowed: tuple[frozenset[int], ...] = field(repr=False)
    """The numbers of each field: second, minute, hour, day, month, weekday (0 is Sunday)."""

    @classmethod
    def parse(cls, told: str) -> Self:
        """Read an expression of five fields (from the minute) or six. Raises: HostError."""
        fields = told.split()
        if len(fields) == SHORT_FIELDS:
            fields.insert(0, "0")
        try:
            allowed = tuple(
                frozenset(_numbers(text, bounds, names))
                for text, bounds, names in zip(fields, _BOUNDS, _NAMES, strict=True)
            )
            schedule = cls(expression=" ".join(fields), allowed=allowed)
            schedule.following(datetime(2026, 1, 1, tzinfo=UTC))
        except ValueError:
            raise HostError(
                f"{told!r} is not an NCRONTAB expression: six fields, seconds first, or five"
            ) from None
        return schedule

    def following(self, time: datetime) -> datetime:
        """Give the first occurrence after `time`."""
        after = time.replace(microsecond=0) + timedelta(seconds=1)
        seconds, minutes, hours, days, months, weekdays = self.allowed
        for ahead in range(_DAYS_AHEAD):
            day = after.replace(hour=0, minute=0, second=0) + timedelta(days=ahead)
            if day.day in days and day.month in months and day.isoweekday() % 7 in weekdays:
                for hour, minute, second in product(sorted(hours), sorted(minutes), sorted(seconds)):
                    found = day.replace(hour=hour, minute=minute, second=second)
                    if found >= after:
                        return found
        raise ValueError("never")

    def monitored(self, now: datetime) -> bool:
        """Tell whether the host keeps a status: not for a schedule that recurs within the minute."""
        _, *larger = self.expression.split()
        if any(field != "*" for field in larger):
            return True
        return self.following(self.following(now)) - now > timedelta(minutes=1)


def _numbers(text: str, bounds: tuple[int, int], names: Sequence[str]) -> Iterator[int]:
    """Give the numbers that one field allows. Raises: ValueError."""
    low, high = bounds
    for part in text.split(","):
        told = _PART.fullmatch(part)
        if told is None or (told[3] and int(told[3]) == 0) or (told[1] == "*" and told[2]):
            raise ValueError(part)
        first = low if told[1] == "*" else _number(told[1], names)
        last = _number(told[2], names) if told[2] else high if told[1] == "*" or told[3] else first
        if min(first, last) < low or max(first, last) > high:
            raise ValueError(part)
        # A range that runs backwards is turned round: CrontabField.Accumulate swaps its ends.
        yield from range(min(first, last), max(first, last) + 1, int(told[3] or 1))


def _number(text: str, names: Sequence[str]) -> int:
    if text.isdecimal():
        return int(text)
    shortest = 3
    for index, name in enumerate(names):
        if len(text) >= shortest and name.startswith(text.lower()):
            return index + (1 if names is _MONTHS else 0)
    raise ValueError(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatus:
    """When a timer last ran, when it is to run next, and when that was decided."""

    next: datetime
    last: datetime | None = None
    last_updated: datetime | None = None

    def to_json(self) -> dict[str, str]:
        times = {"Last": self.last, "Next": self.next, "LastUpdated": self.last_updated}
        return {name: written(time) for name, time in times.items()}

    @classmethod
    def from_json(cls, told: dict[str, str]) -> Self:
        return cls(
            next=datetime.fromisoformat(told["Next"]),
            last=_read(told["Last"]),
            last_updated=_read(told["LastUpdated"]),
        )


def written(time: datetime | None) -> str:
    """Write a time as .NET does: no fraction where there is none, no trailing zeros in one."""
    if time is None:
        return NEVER
    seconds, _, fraction = time.strftime("%Y-%m-%dT%H:%M:%S.%f").partition(".")
    fraction = fraction.rstrip("0")
    return f"{seconds}{'.' if fraction else ''}{fraction}+00:00"


def _read(told: str) -> datetime | None:
    return None if told == NEVER else datetime.fromisoformat(told)


def payload(status: ScheduleStatus | None, *, past_due: bool) -> str:
    """Write what the host hands to a timer function, as JSON."""
    told: dict[str, Any] = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": status.to_json() if status else None,
        "IsPastDue": past_due,
    }
    return json.dumps(told)


def at_start(schedule: Schedule, stored: ScheduleStatus | None, now: datetime) -> tuple[ScheduleStatus, bool]:
    """Give the status to start from, and whether a run is past due; after a change of schedule none is."""
    decided = None if stored is None else stored.last or stored.last_updated
    expected = schedule.following(decided or now)
    if stored is not None and stored.next == expected:
        return stored, now > stored.next
    if decided is None or now > expected:
        decided = now
    return ScheduleStatus(next=schedule.following(decided), last_updated=decided), False


def after_run(
    schedule: Schedule, status: ScheduleStatus, began: datetime, *, scheduled: bool
) -> ScheduleStatus:
    """Give the status after a run that began at `began`; a clock a little early counts as on time."""
    ran = max(began, status.next) if scheduled else began
    return ScheduleStatus(last=ran, next=schedule.following(ran), last_updated=ran)


class StatusStore:
    """Keeps each timer's status in a file of a folder, or in memory only where there is none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def load(self, function: str) -> ScheduleStatus | None:
        if self._folder is None:
            return None
        try:
            return ScheduleStatus.from_json(json.loads(self._path(function).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError) as error:
            raise HostError(f"{self._path(function)} cannot be read ({error!r}): delete it") from None

    def save(self, function: str, status: ScheduleStatus) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._path(function).with_suffix(".part")
        part.write_text(json.dumps(status.to_json()), encoding="utf-8")
        part.replace(self._path(function))

    def _path(self, function: str) -> Path:
        assert self._folder is not None  # noqa: S101  # asked only where there is a folder
        return self._folder / f"{function}.json"


def utc_now() -> datetime:
    return datetime.now(UTC)


type Run[T] = Callable[[Function, str, str | None], Awaitable[T]]
"""Invokes a function with a timer's payload, under a traceparent where one is given."""


class Timer[T]:
    """One timer function's listener: fires it by its schedule, and by hand; never twice at once."""

    def __init__(self, function: Function, store: StatusStore, run: Run[T]) -> None:
        details = function.trigger.details
        self.function = function
        self.schedule = Schedule.parse(details["schedule"])
        self._on_startup = details.get("runOnStartup") is True
        self._monitored = details.get("useMonitor") is not False and self.schedule.monitored(utc_now())
        self._store = store
        self._stored = store.load(function.name) if self._monitored else None
        self._run = run
        self._running = asyncio.Lock()

    async def listen(self) -> None:
        """Fire by the schedule until cancelled."""
        status, past_due = at_start(self.schedule, self._stored, utc_now())
        self._save(status)
        if past_due or self._on_startup:
            status = await self._occur(status, past_due=past_due, scheduled=False)
        while True:
            await _sleep_until(status.next)
            status = await self._occur(status, past_due=False, scheduled=True)

    async def _occur(self, status: ScheduleStatus, *, past_due: bool, scheduled: bool) -> ScheduleStatus:
        async with self._running:
            began = utc_now()
            told = payload(status if self._monitored else None, past_due=past_due)
            await self._run(self.function, told, None)
        status = after_run(self.schedule, status, began, scheduled=scheduled)
        self._save(status)
        return status

    def _save(self, status: ScheduleStatus) -> None:
        if self._monitored:
            self._store.save(self.function.name, status)

    async def fire(self, scheduled_at: datetime | None, *, past_due: bool, trace_parent: str | None) -> T:
        """Run once by hand, as if for `scheduled_at`, else without a status; the schedule goes on."""
        status = ScheduleStatus(next=scheduled_at) if scheduled_at else None
        async with self._running:
            return await self._run(self.function, payload(status, past_due=past_due), trace_parent)


async def _sleep_until(time: datetime) -> None:
    while (remaining := (time - utc_now()).total_seconds()) > 0:  # noqa: ASYNC110  # the clock is awaited
        await asyncio.sleep(min(remaining, LONGEST_SLEEP))
