"""The terminal: what a command says there, wrapped and aligned by rich, and coloured where that helps.

Rules kept here:

- Piped, it is plain text: a paragraph or a row of a table is one line, however long.
- ``NO_COLOR`` takes every style away, and no colour says what the words do not.
- What comes from a stranger is text: no markup of rich's, and no control character of a terminal's.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from probe.core.verdict import EndpointVerdict, RedundancyVerdict, TargetVerdict

type Words = str | Text
type Part = RenderableType
"""What can be shown: words, a table, either of them indented."""
NARROWEST, WIDEST = 40, 200
"""Columns: less than the first holds no sentence, more than the second no eye follows."""
RECORDED = 100
_PIPED = 100_000
"""Wide enough for every line: whoever reads a pipe wants it whole."""
GOOD, SOME, BAD, FAINT = "green", "yellow", "bold red", "dim"
_STYLES: dict[str, str] = {
    EndpointVerdict.HEALTHY: GOOD,
    EndpointVerdict.DOWN: BAD,
    EndpointVerdict.CORRUPT: BAD,
    TargetVerdict.OK: GOOD,
    TargetVerdict.UNAVAILABLE: BAD,
    RedundancyVerdict.PROTECTED: GOOD,
    RedundancyVerdict.UNPROTECTED: BAD,
}


class _Console(Console):
    """Leaves it to the command to end when whoever read it has gone."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls this while it handles the error


def console(stream: TextIO | None = None, *, record: bool = False) -> Console:
    """Return rich's console on a stream (standard output), as wide as the terminal or plain.

    One that records keeps all that is shown, for ``svg``, in the colours and the width of a terminal.
    """
    if record:
        return _Console(
            force_terminal=True, width=RECORDED, record=True, highlight=False, markup=False, emoji=False
        )
    stream = stream or sys.stdout
    if stream is None:  # it was closed before we began
        return _Console(quiet=True)
    plain = bool(os.environ.get("NO_COLOR")) or not stream.isatty()
    made = _Console(
        file=stream, color_system=None if plain else "auto", highlight=False, markup=False, emoji=False
    )
    if stream.isatty():
        made.width = min(max(made.width, NARROWEST), WIDEST)
    else:
        made.width = _columns() or _PIPED
    return made


def _columns() -> int | None:
    """Return the columns that somebody asks for though it is no terminal."""
    text = os.environ.get("COLUMNS", "")
    return min(max(int(text), NARROWEST), WIDEST) if text.isascii() and text.isdecimal() else None


def show(parts: Iterable[Part], on: Console | None = None) -> None:
    """Print each part on lines of its own, without the blanks with which rich fills a line."""
    where = on or console()
    for part in parts:
        for line in where.render_lines(part, pad=False):
            told = Text.assemble(*map(_inert, line))
            told.rstrip()
            where.print(told, soft_wrap=True)
    where.file.flush()


def _inert(segment: Segment) -> tuple[str, Any]:
    return "".join(each if each.isprintable() else "?" for each in segment.text), segment.style or ""


@dataclass(slots=True)
class _Lasting:
    """What is being done, with the seconds that it has lasted: made anew each time it is shown."""

    what: str
    begun: float

    def __rich__(self) -> Text:
        return Text(
            f"{self.what} … {monotonic() - self.begun:.0f} s", FAINT, no_wrap=True, overflow="ellipsis"
        )


class Doing:
    """Shows on a terminal what is being done, and takes it away before anything else is told."""

    def __init__(self, stream: TextIO | None) -> None:
        # Who prints meanwhile clears first: to catch what is printed would send it to this stream instead.
        on = console(stream) if stream else Console(quiet=True)
        self._told = ""
        self._live = Live(
            console=on, transient=True, redirect_stdout=False, redirect_stderr=False, refresh_per_second=4
        )

    def tell(self, what: str) -> None:
        if self._live.console.is_terminal and what != self._told:
            self._told = what
            self._live.update(_Lasting(what, monotonic()))
            self._live.start()

    def clear(self) -> None:
        self._told = ""
        self._live.stop()


def styled(*parts: Words | tuple[str, str]) -> Text:
    """Return a text put together, of which a pair is words and their style."""
    return Text.assemble(*parts)


def stacked(*parts: Part) -> Part:
    """Return what is shown one beneath the other."""
    return Group(*parts)


def verdict(word: str) -> Text:
    """Return a verdict's word in its colour."""
    return Text(word, _STYLES.get(word, SOME))


def indented(part: Part, by: int = 2) -> Part:
    """Return what begins further to the right, in every line of it."""
    return Padding(part, (0, 0, 0, by), expand=False)


def table(*heads: str) -> Table:
    """Return an empty table; its last column is wrapped where the terminal is narrow, and nothing is cut."""
    made = Table(box=None, pad_edge=False, show_header=bool(heads), header_style=FAINT, padding=(0, 2, 0, 0))
    for head in heads:
        made.add_column(head, overflow="fold", no_wrap=head != heads[-1])
    return made


@dataclass(frozen=True, slots=True)
class Fitting:
    """Shows the one where there are so many columns, else the other."""

    wide: Part
    narrow: Part
    columns: int

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[Part]:
        yield self.wide if options.max_width >= self.columns else self.narrow


def svg(recorded: Console, title: str) -> str:
    """Return all that a recording console has shown, as a picture that loads nothing from elsewhere."""
    drawn = recorded.export_svg(title=title, unique_id="recording")
    return re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
