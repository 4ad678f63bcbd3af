"""The status page in a real browser: the first screen, axe, the keyboard, a thumb, hostile texts."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from probe import page
from tests.amounts import amount
from tests.browser import staged
from tests.browser.answers import ANSWERS
from tests.browser.driven import Browser, Shelf

RUNBOOK = "https://example.org/infra/runbook.md"
DESK, PHONE, NARROW = (
    {"width": 1280, "height": 800},
    {"width": 390, "height": 844},
    {"width": 320, "height": 640},
)
IN_BOTH = [{**DESK, "theme": "light"}, {**PHONE, "theme": "dark", "touch": True}]
OTHERS: dict[str, Callable[[], dict[str, Any]]] = {
    "fleet": lambda: staged.fleet(500),
    "misconfigured": staged.misconfigured,
    "unreachable": staged.unreachable,
    "hostile": staged.hostile,
}
STATES = (*staged.BY_NAME, *OTHERS)


@pytest.fixture
def opened(browser: Browser, shelf: Shelf):
    """Return how to open the page of a state, with the headers that it goes out with."""

    def opened(name: str, asked: page.Asked | None = None, **how: Any) -> dict[str, Any]:
        asked = asked or page.Asked(refresh=30)
        body = OTHERS[name]() if name in OTHERS else staged.document(name)
        html = page.html(body, asked, runbook=RUNBOOK)
        url = shelf.put(name, html, page.headers(asked.refresh))
        return browser("open", url=url, **how)

    return opened


@pytest.mark.parametrize("how", IN_BOTH, ids=["desk, light", "phone, dark"])
@pytest.mark.parametrize("name", ANSWERS)
def test_the_first_screen_answers_what_somebody_who_is_woken_asks(browser, opened, name: str, how: dict):
    opened(name, **how)

    seen = browser("firstScreen")

    assert {
        question: answer for question, answer in asdict(ANSWERS[name]).items() if answer not in seen
    } == {}
    assert "last tick" in seen
    assert "seen from uksouth" in seen.replace(" ,", ",")
    assert "Runbook:" in seen


ALL = [
    (name, how)
    for name in STATES
    for how in (*IN_BOTH, {**DESK, "theme": "dark"}, {**PHONE, "theme": "light"})
]
FEW = [("outage", IN_BOTH[0]), ("fleet", IN_BOTH[1]), ("hostile", IN_BOTH[1])]


@pytest.mark.long
def test_axe_finds_no_violation_in_either_theme(browser, opened):
    found = {}
    for name, how in [*FEW, *ALL][: amount(len(FEW), len(FEW) + len(ALL))]:
        opened(name, **how)
        if violations := browser("axe"):
            found[name, how["theme"], how["width"]] = violations

    assert found == {}


@pytest.mark.parametrize("how", [PHONE, NARROW], ids=["390", "320"])
@pytest.mark.parametrize("name", ["failover with loss", "fleet", "hostile"])
def test_nothing_is_wider_than_a_phone(browser, opened, name: str, how: dict):
    opened(name, **how)

    assert browser("evaluate", script="document.documentElement.scrollWidth") <= how["width"]


def test_hostile_texts_do_nothing_and_the_page_asks_for_nothing(browser, opened):
    answer = opened("hostile", **DESK)
    browser("hover", selector=".tick", at=40)

    made = browser("made")
    assert len(made["requests"]) == 1
    assert made["told"] == []  # no dialog, no error, and nothing that the policy had to stop
    assert "default-src 'none'" in answer["headers"]["content-security-policy"]
    assert browser("evaluate", script="document.querySelectorAll('script, img, iframe, b b').length") == 0


def shown(browser: Browser) -> list[str]:
    """Return what is told of a tick, where a person sees it."""
    found = "[...document.querySelectorAll('.told')].filter(each => each.getBoundingClientRect().width > 50)"
    return browser("evaluate", script=f"{found}.map(each => each.innerText)")


def test_the_strip_is_read_with_the_keyboard(browser, opened):
    opened("outage", **DESK)

    browser("press", keys=["Tab", "Tab", "Tab"])  # pause, runbook, the strip
    first = shown(browser)
    browser("press", keys=["ArrowLeft"] * 12)

    assert first[0].startswith("12:42:00 UTC")
    (told,) = shown(browser)
    assert told.startswith("12:30:00 UTC")
    assert "primary answers 503 (down)" in told
    assert "breaker closed → open" in told


def test_the_strip_is_read_with_a_mouse_and_with_a_thumb(browser, opened):
    opened("outage", **DESK)
    browser("hover", selector=".tick", at=31)
    hovered = shown(browser)

    opened("outage", **PHONE, touch=True)
    browser("click", selector=".tick", at=29)
    (touched,) = [each for each in shown(browser) if each.startswith("12:29")]

    assert any(each.startswith("12:31:00 UTC") for each in hovered)
    assert "served by primary" in touched


def test_without_scripts_it_is_the_same_page(browser, opened):
    opened("outage", **DESK)
    with_scripts = browser("firstScreen")
    opened("outage", **DESK, javascript=False)

    assert browser("firstScreen") == with_scripts


def test_a_fleets_links_lead_where_they_say(browser, opened):
    opened("fleet", **DESK)

    assert browser("click", selector=".filters a", at=2)["url"].endswith("?verdict=rerouted")
    assert browser("click", selector=".targets a", at=0)["url"].endswith("?target=store-00011")


@pytest.mark.parametrize("count", [1, 10_000])
def test_the_first_paint_waits_for_nothing(browser, shelf, count: int, record_property):
    body = staged.fleet(count) if count > 1 else staged.document("outage")
    began = time.process_time()
    html = page.html(body, page.Asked(refresh=30))
    made = time.process_time() - began

    browser("open", url=shelf.put(f"{count}", html, page.headers(30)), **DESK)

    took = browser("timing")
    record_property("seconds of a core to make it, milliseconds to paint it", (made, took["paint"]))
    assert took["bytes"] < 1_000_000
    assert took["paint"] < 10_000
