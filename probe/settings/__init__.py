"""Settings, by job: what there are (``model``), schedules, targets, files, how problems are told, loading."""

from probe.settings.files import local
from probe.settings.loading import FUNCTION_TIMEOUT, effective, examined, load, worst_tick
from probe.settings.model import (
    ENTRY,
    FIELDS,
    FOREIGN,
    PER_TARGET,
    PROBED,
    SECRET,
    Settings,
    StateSettings,
    setting_name,
)
from probe.settings.schedule import interval, occurrences, scheduled_before

__all__ = [
    "ENTRY",
    "FIELDS",
    "FOREIGN",
    "FUNCTION_TIMEOUT",
    "PER_TARGET",
    "PROBED",
    "SECRET",
    "Settings",
    "StateSettings",
    "effective",
    "examined",
    "interval",
    "load",
    "local",
    "occurrences",
    "scheduled_before",
    "setting_name",
    "worst_tick",
]
