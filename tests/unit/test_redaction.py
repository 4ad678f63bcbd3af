"""Redaction: no query of a URL gets through, wherever it stands in a text."""

import pytest

from probe.core.redaction import without_queries

SIGNED = "sv=2026-02-06&sp=r&sig=a%2Fb%2Bc%3D"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(f"GET https://a/c/b?{SIGNED} failed", "GET https://a/c/b?… failed", id="in the middle"),
        pytest.param(f"got https://a/c/b?{SIGNED}", "got https://a/c/b?…", id="at the end"),
        pytest.param(f"url='https://a/b?{SIGNED}', 302", "url='https://a/b?…', 302", id="quoted"),
        pytest.param(f"(see https://a/b?{SIGNED})", "(see https://a/b?…)", id="in brackets"),
        pytest.param(f"/c/b?{SIGNED} was reset", "/c/b?… was reset", id="without scheme and host"),
        pytest.param(f"https://a/%3F{SIGNED}", "https://a/?…", id="encoded, as if it were a path"),
        pytest.param("https://a/b?comp=stats", "https://a/b?…", id="nothing secret in it"),
        pytest.param(
            f"https://a/b?f='x'&{SIGNED}", "https://a/b?…'x'&sv=2026-02-06&sp=r&?…", id="a quote in it"
        ),
        pytest.param("SIG=abc expired", "?… expired", id="a signature alone"),
        pytest.param("really? no", "really? no", id="a question"),
        pytest.param("design=new", "design=new", id="a word that ends in sig is none"),
    ],
)
def test_a_query_is_cut_off_wherever_it_stands(text: str, shown: str):
    assert without_queries(text) == shown
