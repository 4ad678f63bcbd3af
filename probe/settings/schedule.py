"""NCRONTAB schedules: when one fires, how far apart its times are, and which time a tick stands for.

The host reads them with NCrontab, whose dialect is not cron's: a range that runs backwards is turned round
(``22-2`` is 2 to 22), ``9-9`` is 9 alone, and a day of the month and a weekday must both match. Each field is
therefore read here, and croniter, which takes ``9-9`` for every hour, is handed plain lists of numbers.

Source: https://github.com/atifaziz/NCrontab (CrontabField.cs, CrontabFieldImpl.cs) and
https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

from croniter import CroniterError, croniter

_VALUE = "[0-9]{1,2}|[A-Za-z]+"
_PART = re.compile(rf"(?:\*|(?P<first>{_VALUE})(?:-(?P<last>{_VALUE}))?)(?:/(?P<step>[0-9]{{1,2}}))?")
_ABBREVIATION = 3
"""NCrontab takes any beginning of a name, so that ``M`` is March: three letters leave no doubt."""
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """What one field takes: its name in a message, its least and greatest number, and the numbers' names."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field(name="second", low=0, high=59),
    _Field(name="minute", low=0, high=59),
    _Field(name="hour", low=0, high=23),
    _Field(name="day", low=1, high=31),
    _Field(name="month", low=1, high=12, names=_MONTHS),
    _Field(name="weekday", low=0, high=6, names=_WEEKDAYS),
)


def occurrences(schedule: str, start: datetime) -> croniter:
    """Return an iterator over a schedule's times. Raises ``ValueError`` for one that is no NCRONTAB."""
    plain = " ".join(map(_text, _numbers(schedule), _FIELDS))
    return croniter(plain, start, second_at_beginning=True, day_or=False)


def _numbers(schedule: str) -> list[list[int]]:
    """Return the numbers of each field, sorted. Raises ``ValueError``."""
    texts = schedule.split()
    if len(texts) == len(_FIELDS) - 1:
        texts.insert(0, "0")
    if len(texts) != len(_FIELDS):
        raise ValueError("not five or six fields")
    return [
        sorted({number for part in text.split(",") for number in _range(part, field)})
        for text, field in zip(texts, _FIELDS, strict=True)
    ]


def _text(numbers: list[int], field: _Field) -> str:
    """Return a field as a list of its numbers, or ``*`` for all of them."""
    every = range(field.low, field.high + 1)
    return "*" if len(numbers) == len(every) else ",".join(map(str, numbers))


def _range(part: str, field: _Field) -> range:
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(f"the {field.name} is not made of numbers, names, * , - and /")
    step = int(found["step"] or 1)
    if step == 0:
        raise ValueError(f"the {field.name} has a step of 0")
    if found["first"] is None:
        return range(field.low, field.high + 1, step)
    first = _number(found["first"], field)
    if found["last"] is None:
        return range(first, field.high + 1, step) if found["step"] else range(first, first + 1)
    low, high = sorted((first, _number(found["last"], field)))
    return range(low, high + 1, step)


def _number(text: str, field: _Field) -> int:
    if text.isdecimal():
        number = int(text)
        if not field.low <= number <= field.high:
            raise ValueError(f"the {field.name} {number} is out of range: {field.low} to {field.high}")
        return number
    for index, name in enumerate(field.names):
        if len(text) >= _ABBREVIATION and name.startswith(text.lower()):
            return field.low + index
    raise ValueError(f"{text[:20]!r} is no {field.name}")


def scheduled_before(schedule: str, now: datetime, tolerance: timedelta) -> datetime:
    """Return the schedule's last time at or before ``now``; a timer may fire early by the tolerance."""
    found: datetime = occurrences(schedule, now + tolerance + timedelta(microseconds=1)).get_prev(datetime)
    return found.astimezone(UTC)


@cache
def interval(schedule: str) -> timedelta:
    """Return the shortest time between two of a schedule's times, or of its next 200. Raises ``ValueError``.

    Where each hour is like the others, as nearly always, one hour tells: croniter takes 15 ms for 200 times,
    of each fresh process.
    """
    seconds, minutes, *rest = _numbers(schedule)
    if all(_text(numbers, field) == "*" for numbers, field in zip(rest, _FIELDS[2:], strict=True)):
        marks = [60 * minute + second for minute in minutes for second in seconds]
        return timedelta(seconds=min(b - a for a, b in pairwise([*marks, marks[0] + 3600])))
    times = occurrences(schedule, datetime(2026, 1, 1, tzinfo=UTC))
    try:
        found: list[datetime] = [times.get_next(datetime) for _ in range(200)]
    except CroniterError as error:
        raise ValueError("it would never fire") from error
    return min(later - earlier for earlier, later in pairwise(found))
