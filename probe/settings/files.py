"""Files that settings name: read in whatever encoding an editor or a shell left them, and within bounds.

Rule kept here: no byte of a file's content gets into a message, since there are keys in it.
"""

import codecs
import json
import os
from pathlib import Path

from probe.core.errors import ConfigurationError

TEXT_LIMIT = 4 * 1024 * 1024
CANARY_LIMIT = 1024 * 1024
"""The most bytes of a canary's body: it is sent whole once a tick and read whole several times."""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
"""Byte order marks. Windows PowerShell 5 writes UTF-16 with ``>`` and ``Out-File``.

Source: https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_character_encoding
"""


class FileProblem(Exception):  # noqa: N818 - told as a problem of a setting
    """A file cannot be used; the message says why, after the file's name."""


def text_of(path: Path) -> str:
    """Return a file's text. Raises ``FileProblem``."""
    content = _content(path, TEXT_LIMIT)
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise FileProblem("is not UTF-8 text (nor UTF-16 with its mark): save it as UTF-8") from None


def local(path: Path) -> dict[str, str]:
    """Return the settings of a ``local.settings.json``. Raises ``ConfigurationError``."""
    try:
        values = _values(text_of(path))
    except FileProblem as problem:
        remedy = 'It is JSON with an object "Values"; see local.settings.sample.json.'
        raise ConfigurationError((f"{path}: {problem}. {remedy}",)) from None
    return {name: str(value) for name, value in values.items() if value is not None}


def _values(text: str) -> dict[str, object]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileProblem(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise FileProblem(
            "is not JSON that can be read: a number is too long or it is nested too deep"
        ) from None
    values = document.get("Values") if isinstance(document, dict) else None
    if not isinstance(values, dict):
        raise FileProblem("has no object Values")
    return values


def check_canary(path: Path) -> None:
    """Look whether a file can be the canary's body. Raises ``FileProblem``."""
    if not _content(path, CANARY_LIMIT):
        raise FileProblem("is empty: name one of 1 byte to 1 MiB")


def _content(path: Path, limit: int) -> bytes:
    """Return what a regular file holds: a device may never end, and a pipe keep us waiting."""
    try:
        if path.exists() and not path.is_file():
            raise FileProblem(f"is {'a folder' if path.is_dir() else 'no regular file'}: name a file")
        # Not blocking: should it have become a pipe since, opening it must not wait for a writer.
        with os.fdopen(os.open(path, os.O_RDONLY | _HOW), "rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        why = (error.strerror if isinstance(error, OSError) else None) or "no such name can be"
        raise FileProblem(f"cannot be read ({why}): name a file that this user can read") from None
    if len(content) > limit:
        raise FileProblem(f"is bigger than {limit // 1024 // 1024} MiB")
    return content


_HOW = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
