"""The pages speak of what the code has: names, commands, files and links exist; figures say whence."""

import re
from datetime import timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path

import pytest

from probe.cli import main
from probe.core import breaker, verdict
from probe.core.reading import CONTENT_ERRORS, PATH_ERRORS, Purpose
from probe.core.target import Policy
from probe.lab.world import target
from probe.settings import FIELDS
from probe.tick.steps import step_names
from tests.docs.pages import PAGES, ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATORS = {"PROBE_STATUS_KEY", "PROBE_STATUS_TOKEN"}
"""Those that the command reads from an operator's shell, and no app has."""
PARAMETERS = {"PROBE_MONITORED_ACCOUNT_ID"}
"""What begins like a setting and is a variable of the deployment."""
GENERATED = re.compile(r"<!-- ([\w-]+):begin -->.*?<!-- \1:end -->", re.DOTALL)


def pages() -> list[str]:
    """Return all pages of the repository."""
    skipped = {"node_modules", ".venv", ".git"}
    found = [each.relative_to(ROOT) for each in ROOT.rglob("*.md")]
    return sorted(str(each) for each in found if not skipped & set(each.parts))


@cache
def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def sources() -> str:
    """Return all of the project's Python."""
    folders = [ROOT / "probe", ROOT / "tests", ROOT / "infra"]
    return "\n".join(each.read_text(encoding="utf-8") for folder in folders for each in folder.rglob("*.py"))


def test_the_front_page_is_read_to_its_end():
    """What is longer stands beside what it documents."""
    assert len(TEXT.splitlines()) <= 250


def test_every_setting_that_a_page_names_exists():
    named = {each for page in pages() for each in re.findall(r"`(PROBE_[A-Z_]+)", text(page))} - PARAMETERS

    assert named == set(FIELDS) | OPERATORS
    command = (ROOT / "probe" / "cli.py").read_text(encoding="utf-8")
    assert all(f'"{each}"' in command for each in OPERATORS)


def test_every_verdict_has_its_row_and_every_row_is_a_verdict():
    rows = re.findall(
        r"^\| `([a-z]+)` \|.*\|.*\|$", _section("Verdicts, and what to do about each"), re.MULTILINE
    )

    kinds = [each for each in vars(verdict).values() if isinstance(each, type) and issubclass(each, StrEnum)]
    assert rows == [word for kind in kinds if kind.__module__ == verdict.__name__ for word in kind]


def test_every_error_type_stands_in_the_list_of_errors():
    named = set(re.findall(r"`([a-z_0-9]+)`", _section("Errors", level=3)))

    assert named == {*PATH_ERRORS, *CONTENT_ERRORS, "408", "429", "401", "403"}


def test_every_command_that_the_readme_names_exists(capsys):
    named = set(re.findall(r"python -m probe ([a-z]+)", TEXT))

    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out

    assert named
    assert all(re.search(rf"^ +{each} ", shown, re.MULTILINE) for each in named)


@pytest.mark.parametrize("page", pages())
def test_every_make_target_that_a_page_names_exists(page: str):
    code = re.findall(r"```(?:console|sh)\n(.*?)```", text(page), re.DOTALL)
    named = set(re.findall(r"^make ([a-z-]+)", "\n".join(code), re.MULTILINE))
    named |= set(re.findall(r"`make ([a-z-]+)", text(page)))

    assert named <= set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", pages())
def test_every_link_of_a_page_leads_somewhere(page: str):
    lost = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text(page)):
        path, _, anchor = link.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            lost.append(link)

    assert lost == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "probe/README.md", "tests/README.md"])
def test_every_file_that_a_page_names_exists(page: str):
    named = re.findall(r"`((?:probe|tests|infra)/[a-z][\w./-]*\.(?:py|md|kql|bicep|json))`", text(page))

    assert [each for each in named if not (ROOT / each.replace("NAME", "now")).exists()] == []


def test_every_test_that_contributing_names_exists():
    named = re.findall(r"`(test_\w+)`", text("CONTRIBUTING.md"))

    assert named
    assert [each for each in named if f"def {each}(" not in sources()] == []


def test_the_map_names_every_module_beneath_probe_and_nothing_else():
    (drawn,) = re.findall(r"```text\n(.*?)```", text("probe/README.md"), re.DOTALL)
    named = {
        each.removeprefix("probe/").rstrip("/") for each in re.findall(r"(?:probe/)?\w+(?:\.py|/)", drawn)
    }
    folder = ROOT / "probe"
    modules = {each.name for each in folder.glob("*.py")} - {"__init__.py", "__main__.py"}
    packages = {each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("_")}

    beside = {"function_app.py", "tests", "infra", "README.md"}
    assert {each for each in named if each not in beside} == modules | packages


def test_the_glossary_tells_every_purpose_of_an_attempt():
    (told,) = re.findall(r"^\| purpose \| [^:|]*: ([^|]*) \|", text("probe/README.md"), re.MULTILINE)

    assert told.split(", ") == list(Purpose)


def test_the_readme_tells_the_steps_of_a_tick_in_their_order():
    told = _section("What a tick does", page="probe/README.md").strip().partition("\n\n")[0]
    words = {"look primary": "look at both", "look secondary": "look at both", "write": "write the canary"}
    reads = {f"read {number + 1}": f"{Policy().reads} reads" for number in range(Policy().reads)}
    words |= {**reads, "stats": "stats"}

    found = [told.find(words[each]) for each in step_names(target())]

    assert -1 not in found
    assert found == sorted(found)


def test_the_figures_of_the_breaker_are_those_of_the_defaults():
    policy, told = Policy(), " ".join(_section("The breaker", page="probe/README.md").split())

    for each in (
        f"{policy.failure_threshold} failed primary attempts in a row",
        f"failure rate of {policy.failure_rate:.0%}".replace("%", " %"),
        f"the last {policy.window} once there are {policy.minimum_samples}",
        f"after {policy.secondary_reads} of them",
        f"{breaker.CALM // timedelta(minutes=1)} minutes of closing",
        f"at most for {breaker.MULTIPLIER_LIMIT} times the {policy.secondary_reads}",
    ):
        assert each in told


def test_every_class_in_the_glossary_exists():
    named = {each.split(".")[0] for each in re.findall(r"`([A-Z]\w+(?:\.\w+)?)`", text("probe/README.md"))}

    assert "Reading" in named
    assert [each for each in named if f"class {each}" not in sources()] == []


@pytest.mark.parametrize("page", sorted({*pages()} - {"CHANGELOG.md"}))
def test_a_table_of_figures_is_generated_or_names_the_command_that_measures_it(page: str):
    """Who doubts a figure must be able to measure it again."""
    by_hand = GENERATED.sub("", text(page)) if page in PAGES else text(page)
    sections = re.split(r"^#+ .*$", by_hand, flags=re.MULTILINE)
    figures = [each for each in sections if re.search(r"^\|.*\| [$]?\d[\d.,]*( \w+)? \|", each, re.MULTILINE)]

    assert [each for each in figures if not re.search(r"`(make|(\.venv/bin/)?python -m) [a-z]", each)] == []


def _anchors(file: Path) -> set[str]:
    lines = [each for each in file.read_text(encoding="utf-8").splitlines() if each.startswith("#")]
    return {re.sub(r"[^\w -]", "", each.lstrip("# ").lower()).replace(" ", "-") for each in lines}


def _section(title, level=2, page="README.md"):
    found = re.search(
        rf"^{'#' * level} {re.escape(title)}$(.*?)(?=^##? |^#{{2,{level}}} |\Z)",
        text(page),
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"no section {title}"
    return found[1]
