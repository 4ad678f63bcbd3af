"""What is generated is current, and what is marked as generated has something that makes it."""

import pytest

from tests.docs.pages import FILES, MARK, PAGES, ROOT, renewed

AGAIN = "run: make docs"


@pytest.mark.parametrize("page", PAGES)
def test_the_generated_parts_of_a_page_are_current(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")

    assert renewed(page, text) == text, AGAIN


@pytest.mark.parametrize("file", FILES)
def test_a_generated_file_is_current(file: str):
    assert (ROOT / file).read_text(encoding="utf-8") == FILES[file](), AGAIN


def pages() -> list[str]:
    """Return all pages of the repository."""
    skipped = {"node_modules", ".venv", ".git"}
    found = [each.relative_to(ROOT) for each in ROOT.rglob("*.md")]
    return sorted(str(each) for each in found if not skipped & set(each.parts))


@pytest.mark.parametrize("page", pages())
def test_every_part_that_is_marked_as_generated_is_made_by_something(page: str):
    marked = MARK.findall((ROOT / page).read_text(encoding="utf-8"))

    assert sorted(marked) == sorted(PAGES.get(page, {}))


def test_a_part_that_has_no_place_on_its_page_is_told():
    with pytest.raises(ValueError, match="needs one part <!-- settings:begin"):
        renewed("README.md", "nothing is here")
