"""A tick and the saved status at a terminal: worst first, whole on every width, plain when piped."""

import io
import re

import pytest

from probe import overview, terminal
from probe.lab.world import MINUTE, NOON, run, world
from tests.unit.test_lines import BROKEN, GONE, OK, fleet, last, ticked

NAME = "a-storage-account-with-a-rather-long-name-of-its-own-for-tests"
DEAD = ("503", "503")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(parts, columns: int | None = None, monkeypatch=None) -> str:
    """Return what is written to a terminal of so many columns, or to a pipe."""
    stream = io.StringIO() if columns is None else Tty()
    if columns is not None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm-256color")
    terminal.show(parts, terminal.console(stream))
    return stream.getvalue()


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_piped_a_paragraph_and_a_row_are_one_plain_line_each(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)

    lines = shown(overview.once(fleet(**{NAME: DEAD}, calm=OK, gone=GONE))).splitlines()

    table = lines.index("") + 2
    assert [each.split()[:3] for each in lines[table : table + 3]] == [
        [NAME, "unavailable", "unprotected"],
        ["gone", "ok", "unprotected"],
        ["calm", "ok", "protected"],
    ]
    assert not any(each.startswith("calm:") for each in lines)
    assert any(each.startswith("gone: Reads from the primary") for each in lines)
    assert "\x1b" not in "".join(lines)
    assert lines == [each.rstrip() for each in lines]


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_nothing_is_cut_on_any_width(columns: int, monkeypatch):
    report = fleet(**{NAME: DEAD}, calm=OK, gone=GONE)
    monkeypatch.delenv("COLUMNS", raising=False)
    whole = "".join(sorted(re.sub(r"\W", "", shown(overview.once(report)))))

    lines = bare(shown(overview.once(report), columns, monkeypatch)).splitlines()

    assert max(map(len, lines)) <= columns
    narrow = "".join(sorted(re.sub(r"\W", "", "".join(lines))))
    assert len(narrow) >= len(whole)
    for word in ("unavailable", "unprotected", "protected", "calm", "gone"):
        assert any(re.search(rf"\b{word}\b", each) for each in lines), word
    assert NAME in "".join(lines)


def test_a_terminal_is_told_in_colours_which_say_no_more_than_the_words(monkeypatch):
    report = fleet(broken=BROKEN, calm=OK)
    monkeypatch.delenv("NO_COLOR", raising=False)

    coloured = shown(overview.once(report), 200, monkeypatch)

    assert "\x1b[32mok" in coloured
    assert "\x1b[33mrerouted" in coloured
    assert [each.rstrip() for each in bare(coloured).splitlines()] == bare(coloured).splitlines()


def test_no_color_takes_every_style_away(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b" not in shown(overview.once(fleet(broken=BROKEN, calm=OK)), 100, monkeypatch)


def test_a_strangers_words_are_neither_markup_nor_orders_to_the_terminal(monkeypatch):
    hostile = "[bold red]gone[/] :smile: \x1b]0;title\x07 \x9b31m \x1b[2J"

    for parts in ([hostile], [terminal.indented(hostile)], [terminal.styled(hostile)]):
        told = shown(parts, 120, monkeypatch)
        assert "[bold red]gone[/] :smile:" in told
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", told)


def test_a_row_says_since_when_what_it_tells_holds():
    async def main():
        probe = world()
        probe.account.begin()
        return await ticked(probe, OK, OK, GONE, GONE)

    *_, row = shown(overview.once(run(main()))).splitlines()

    assert row.split()[:4] == ["contoso", "ok", "unprotected", "12:02"]


def test_nothing_saved_is_told_with_since_when():
    found = shown(overview.once(last(OK, OK), unsaved=NOON - 5 * MINUTE))

    assert "Saved state UNREADABLE since 11:55 UTC, 6 min" in found
