"""How what is wrong with the settings is told: the setting's name, what it holds, and the remedy.

Rule kept here: what may be a secret is never shown, wherever it was put.
"""

import difflib
import json
import re

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from probe.core.redaction import is_secret
from probe.settings.model import ENTRY, FIELDS, setting_name

HIDDEN = "(not shown, as it may hold a secret)"
_HARMLESS_KEY = re.compile(r"[A-Za-z_]{1,30}")


def shown(value: object) -> str:
    """Return a value to print, cut to a line; one that may hold a secret is not shown."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except RecursionError:
        return "(not shown, as it is nested too deep)"
    if is_secret(text):
        return HIDDEN
    return text if len(text) <= 80 else f"{text[:77]}…"  # noqa: PLR2004 - a terminal line


class Problems:
    """Collects problems; ``bad`` are the settings whose own value is wrong, which no other check looks at."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bad: set[str] = set()

    def add(self, name: str, problem: str, remedy: str) -> None:
        self.bad.add(name)
        self.lines.append(f"{name}: {problem}. {remedy}")

    def validation(self, error: ValidationError, prefix: str = "") -> None:
        """Add what pydantic found, of the settings themselves or of the target at ``prefix``."""
        for each in error.errors(include_url=False):
            name = str(each["loc"][0]) if each["loc"] else ""
            if prefix:
                self._of_entry(prefix, name, each)
            else:
                setting = setting_name(name)
                self.add(setting, f"holds {shown(each['input'])}: {_said(name, each)}", _remedy(setting))

    def _of_entry(self, prefix: str, name: str, error: ErrorDetails) -> None:
        label = f"{prefix}.{name}"
        if error["type"] == "extra_forbidden":
            if not _HARMLESS_KEY.fullmatch(name) or is_secret(name):
                self.add(prefix, f"has a key that is not known {HIDDEN}", f"Known are {', '.join(ENTRY)}.")
                return
            near = difflib.get_close_matches(name, ENTRY, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            self.add(label, "is not known", f"{hint}Known are {', '.join(ENTRY)}.")
        elif error["type"] == "missing":
            self.add(label, "is missing", _remedy(name))
        else:
            self.add(label, f"holds {shown(error['input'])}: {_said(name, error)}", _remedy(name))


_ENTRY_REMEDIES = {
    "name": "Give each target a name of its own; it names the results.",
    "connection": "Give the name of a connection's settings, as text.",
    "primary": "Give the primary blob endpoint, as text.",
    "secondary": "Give the secondary blob endpoint, as text, or null where there is none.",
}
_FORMS = {
    "blob": "1 to 1024 characters without control characters, ?, # and backslashes",
    "name": "letters, digits, dots, underscores and dashes, 63 at most",
    "vantage": "letters, digits, dots, underscores and dashes, 63 at most",
}
_CONTAINER_FORM = "3 to 63 lower-case letters, digits and single dashes"


def _said(name: str, error: ErrorDetails) -> str:
    if error["type"] in ("string_pattern_mismatch", "string_too_long", "string_too_short"):
        return f"it takes {_FORMS.get(name, _CONTAINER_FORM)}"
    return error["msg"][:1].lower() + error["msg"][1:]


def _remedy(name: str) -> str:
    _, info = FIELDS.get(name) or FIELDS.get(setting_name(name)) or (name, None)
    if info is None:
        return _ENTRY_REMEDIES[name]
    default = "unset" if info.default is None else f"default {shown(info.default)}"
    return f"It means: {info.description} ({default})."
