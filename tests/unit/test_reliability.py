"""The Reliability page shows all that was measured, and names no test that is not there."""

import ast

import pytest

from tests.docs.pages import ROOT
from tests.reliability import page, results
from tests.reliability.claims import CLAIMS

NAMED = sorted({test for claims in CLAIMS.values() for each in claims for test in each.tests})


@pytest.mark.parametrize("test", NAMED)
def test_a_test_that_a_promise_names_is_there(test: str):
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)

    assert name in {each.name for each in ast.walk(tree) if isinstance(each, functions)}


def test_every_saved_result_is_on_the_page_and_every_section_has_one():
    assert {each.stem for each in results.FOLDER.glob("*.json")} == set(page.SECTIONS)


@pytest.mark.parametrize("name", page.SECTIONS)
def test_a_result_names_its_command_and_each_row_has_all_columns(name: str):
    result = results.load(name)

    assert result.command.startswith(("make ", "SHARE=", ".venv/bin/python -m "))
    assert result.rows
    assert {len(each) for each in result.rows} == {len(result.columns)}
