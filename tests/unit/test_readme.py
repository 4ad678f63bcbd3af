"""The README speaks of what the code has: hand-written words exist."""

import re
from pathlib import Path

import pytest

from probe.cli import main
from probe.core.reading import CONTENT_ERRORS, PATH_ERRORS
from probe.core.verdict import EndpointVerdict, TargetVerdict
from probe.settings import FIELDS
from tests.docs.pages import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_that_the_readme_names_exists():
    named = set(re.findall(r"`(PROBE_[A-Z_]+)", TEXT))

    assert named == set(FIELDS)


def test_every_verdict_has_its_row_and_every_row_is_a_verdict():
    rows = re.findall(
        r"^\| `([a-z]+)` \|.*\|.*\|$", _section("Verdicts, and what to do about each"), re.MULTILINE
    )

    assert rows == [*EndpointVerdict, *TargetVerdict]


def test_every_error_type_stands_in_the_list_of_errors():
    named = set(re.findall(r"`([a-z_0-9]+)`", _section("Errors", level=3)))

    assert named == {*PATH_ERRORS, *CONTENT_ERRORS, "408", "429", "401", "403"}


def test_every_command_that_the_readme_names_exists(capsys):
    named = set(re.findall(r"python -m probe ([a-z]+)", TEXT))

    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out

    assert named == {"check", "once", "watch", "status"}
    assert all(re.search(rf"^ +{each} ", shown, re.MULTILINE) for each in named)


def test_every_make_target_that_the_readme_names_exists():
    named = set(re.findall(r"`?make ([a-z]+)", re.sub(r"```mermaid.*?```", "", TEXT, flags=re.DOTALL)))
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {each for each in named if each in targets} >= {"demo", "run", "test"}
    assert named <= targets | {"them", "others", "the"}


def test_every_file_that_the_readme_links_exists():
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", TEXT)

    assert links
    assert [each for each in links if not (ROOT / Path(each)).exists()] == []


def _section(title, level=2):
    found = re.search(
        rf"^{'#' * level} {re.escape(title)}$(.*?)(?=^##? |^#{{2,{level}}} |\Z)",
        TEXT,
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"no section {title}"
    return found[1]
