"""Owns the lab's keys: on a terminal, single keys switch faults; elsewhere there are none.

Rules: the terminal is put back as it was, whatever ends the lab short of SIGKILL; a lab in the background
never touches it. A fault's key is in the table of faults: lower case strikes the primary, upper case the
secondary, and the same key once more heals.
"""

import asyncio
import contextlib
import os
import re
import sys
import termios
import textwrap
import tty
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from probe.lab.account.faults import KINDS, Kind
from probe.lab.account.pair import Pair
from probe.lab.account.proxy import Proxy
from probe.lab.errors import LabError

LAG_STEP = 30.0
WIDTH = 100

_ACTIONS: Mapping[str, tuple[str, Callable[[Pair], object]]] = {
    "0": ("heal all", Pair.heal),
    "+": (f"lag {LAG_STEP:g} s more", lambda pair: _set_lag(pair, (pair.replicator.lag or 0.0) + LAG_STEP)),
    "-": ("no lag", lambda pair: _set_lag(pair, 0.0)),
    "=": ("pause replication", lambda pair: _set_lag(pair, None)),
    "/": ("lose the secondary", Pair.lose_secondary),
}
# What arrows and function keys send holds letters, but is none.
_ESCAPE = re.compile(rb"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Z])?")
_BY_KEY: Mapping[str, Kind] = {spec.key: kind for kind, spec in KINDS.items()}


def help_lines() -> list[str]:
    """Return what the keys do, for a terminal."""
    faults = [f"{key} {kind}" for key, kind in _BY_KEY.items()]
    actions = [f"{key} {told}" for key, (told, _) in _ACTIONS.items()]
    told = [*faults, "(upper case: the secondary; again: heal)", *actions, "? help", "Ctrl-C ends"]
    # Spaces within one entry are held together while the lines are broken.
    text = "  ".join(entry.replace(" ", "\xa0") for entry in told)
    lines = textwrap.wrap(text, WIDTH, initial_indent="keys: ", subsequent_indent="      ")
    return [line.replace("\xa0", " ") for line in lines]


class Keys:
    """The keys of a pair, as a context manager inside a running event loop.

    `say` prints a line. `active` tells whether there is a terminal to listen to.
    """

    def __init__(self, pair: Pair, *, fd: int | None = None, say: Callable[[str], None] = print) -> None:
        self._pair = pair
        self._fd = sys.__stdin__.fileno() if fd is None and sys.__stdin__ is not None else fd
        self._say = say
        self._before: list[Any] | None = None

    @property
    def active(self) -> bool:
        return self._before is not None

    def __enter__(self) -> Self:
        if self._fd is not None and os.isatty(self._fd) and _in_foreground(self._fd):
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
            asyncio.get_running_loop().add_reader(self._fd, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None and self._fd is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            with contextlib.suppress(termios.error):  # the terminal itself may be gone
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
            self._before = None

    def help(self) -> None:
        for line in help_lines():
            self._say(line)

    def press(self, key: str) -> None:
        """Do what a key says; one without a meaning shows the help."""
        proxy = self._pair.secondary if key.isupper() else self._pair.primary
        if key in _ACTIONS:
            _ACTIONS[key][1](self._pair)
        elif key.lower() in _BY_KEY:
            _toggle(proxy, _BY_KEY[key.lower()])
        elif key.isprintable():
            self.help()

    def _read(self) -> None:
        assert self._fd is not None  # noqa: S101 (a reader has what it reads)
        try:
            typed = os.read(self._fd, 64)
        except OSError:
            typed = b""
        if not typed:  # hung up
            asyncio.get_running_loop().remove_reader(self._fd)
        for key in _ESCAPE.sub(b"", typed).decode(errors="ignore"):
            try:
                self.press(key)
            except LabError as error:  # a lab without names cannot lose one
                self._say(f"lab: {error}")


def _toggle(proxy: Proxy, kind: Kind) -> None:
    if any(fault.kind is kind for fault in proxy.faults):
        proxy.heal()
    else:
        proxy.fault(kind)


def _set_lag(pair: Pair, seconds: float | None) -> None:
    pair.replicator.lag = seconds


def _in_foreground(fd: int) -> bool:
    """Return whether the terminal is ours: setting its mode from the background would stop the process."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # a terminal that controls nobody
        return True
