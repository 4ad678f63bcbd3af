"""The status page: what it says in each situation, and that nothing in it acts."""

import base64
import hashlib
import re
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest

from probe import page
from probe.core.headline import status_situations, telling
from probe.page import Asked
from probe.page.contents import contents
from probe.page.strip import strip
from tests.browser import staged

RUNBOOK = "https://example.org/infra/runbook.md"
VOID = {"meta", "link", "input", "br"}


class Parsed(HTMLParser):
    """A page as a browser reads it: its elements, their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.parts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.parts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def html(body, **asked) -> str:
    return page.html(body, Asked(refresh=30, **asked), runbook=RUNBOOK)


def parsed(body, **asked) -> Parsed:
    return Parsed(html(body, **asked))


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", staged.BY_NAME)
def test_a_page_says_what_the_terminal_says_and_what_to_do_and_what_not(name: str):
    body = staged.document(name)
    (known,) = status_situations(body)
    told = telling(known)

    found = parsed(body)

    for each in filter(None, (told.silent, told.lost, told.reads, told.over, told.unsaved)):
        assert plain(each) in found.text
    assert told.advice.first.lower() in found.text.lower()
    for each in told.advice.donts:
        assert each.lower() in found.text.lower()
    if told.advice.entry:
        assert {"href": f"{RUNBOOK}#{told.advice.entry}", "rel": "noreferrer"} in found.named("a")
    assert found.open == []


FACTS = {
    "quiet": ("the primary", "yes", "12:59:00 UTC, 9 s old", "protected"),
    "outage": ("the SECONDARY", "NO", "12:42:00 UTC, 9 s old", "protected"),
    "both down": ("NOBODY", "NO", "12:29:00 UTC, 4 min old", "UNPROTECTED"),
    "failover with loss": ("the primary", "yes", "12:29:00 UTC, 7 min old", "UNPROTECTED"),
    "lag": ("the primary", "yes", "12:29:00 UTC, 22 min old", "BEHIND"),
    "second writer": ("the primary", "NO", "12:34:00 UTC, 9 s old", "protected"),
}


@pytest.mark.parametrize(("name", "facts"), FACTS.items(), ids=FACTS)
def test_the_first_facts_are_who_serves_writes_the_recovery_point_and_redundancy(name: str, facts: tuple):
    shown = contents(staged.document(name), Asked(), runbook=None)

    assert tuple(word for _, word, _ in shown["now"]["facts"]) == facts


def test_what_cannot_be_known_is_not_shown_as_known():
    found = parsed(staged.document("never ticked"))

    assert "NO TICK" in found.text
    assert "No tick is on record yet." in found.text
    assert "not measured yet" in found.text
    assert found.named("fieldset") == []


def test_a_store_that_cannot_be_read_is_told_and_not_taken_for_a_probe_that_never_ran():
    found = parsed(staged.unreachable())

    assert "saved state cannot be read" in found.text
    assert "mend the state store" in found.text.lower()
    assert "state-unsaved" in found.text
    assert "no tick is on record" not in found.text.lower()


def test_settings_that_cannot_be_used_are_told_each_with_its_remedy():
    found = parsed(staged.misconfigured())

    for each in staged.misconfigured()["problems"]:
        assert each in found.text
    assert "python -m probe check" in found.text


def test_texts_from_outside_are_shown_and_never_act():
    found = parsed(staged.hostile())

    assert found.text.count(staged.EVIL) > 15
    tags = {tag for tag, _ in found.elements}
    assert not tags & {"script", "img", "iframe", "object", "form", "base"}
    for _, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert "evil" not in (attributes.get("class") or "")


@pytest.mark.parametrize("name", ["outage", "quiet"])
def test_nothing_is_loaded_from_anywhere_and_the_style_is_the_one_that_its_digest_names(name: str):
    source = html(staged.document(name))
    style = re.search("<style>(.*?)</style>", source, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in page.headers(30)["Content-Security-Policy"]
    assert "url(" not in style
    assert "@import" not in style
    found = Parsed(source)
    assert not [each for _, each in found.elements if "src" in each]
    assert [each["href"] for each in found.named("link")] == ["data:,"]
    addresses = [each["href"] for each in found.named("a")]
    assert all(each.startswith(("?", RUNBOOK)) for each in addresses)


def test_no_link_hands_on_a_key():
    asked = Asked.of({"code": "k3y", "verdict": "ok", "page": "2", "target": "x&code=k3y"}, refresh=30)

    assert asked.link(page=3) == "?target=x%26code%3Dk3y&verdict=ok&page=3"


HOSTILE_QUERIES = {
    "a verdict that is none": {"verdict": "<b>"},
    "no number": {"page": "two"},
    "a number of another script": {"page": "²"},
    "an endless number": {"page": "9" * 4000},
    "below": {"page": "-4"},
    "nought": {"page": "0"},
    "beyond": {"page": "999999"},
}


@pytest.mark.parametrize("query", HOSTILE_QUERIES.values(), ids=HOSTILE_QUERIES)
def test_a_query_of_any_kind_shows_a_page(query: dict[str, str]):
    body = staged.fleet(150)

    found = Parsed(page.html(body, Asked.of(query, refresh=30)))

    assert "of 150" in found.text
    assert len(found.named("th")) > 50


def test_a_declared_maintenance_is_told():
    body = staged.document("outage")
    body["targets"][0]["maintenance_until"] = "2026-03-01T14:00:00.000000Z"

    assert "Maintenance until 14:00 UTC: it is measured and shown, and nobody is paged." in parsed(body).text


def test_the_template_engine_is_loaded_for_people_alone():
    """It takes a tenth of a second, which no tick and no heartbeat shall pay."""
    command = "import sys, probe.responses; sys.exit('jinja2' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0  # noqa: S603 - ourselves


def test_a_target_that_is_not_there_is_told_as_such():
    found = parsed(staged.fleet(3), target="<i>nobody")

    assert "There is no target of the name <i>nobody." in found.text


def test_a_name_that_no_target_has_is_no_alarm():
    """So the app answers it: of no shard and no target."""
    found = html({**staged.fleet(1), "shards": [], "targets": []}, target="nobody")

    assert "! NO SUCH TARGET" in found
    assert "NO TICK" not in found


# -- fleets -----------------------------------------------------------------------------------------------


def test_a_fleet_begins_with_one_sentence_and_the_worst_target():
    found = parsed(staged.fleet(500))

    assert found.text.index("4 of 500 targets need you") < found.text.index("NO READ SERVED since 12:30")
    names = re.findall(r"store-\d{5}", found.text.partition("those that need somebody first")[2])
    assert names[:4] == ["store-00011", "store-00003", "store-00012", "store-00007"]


@pytest.mark.parametrize(
    ("verdict", "count"), [("unavailable", 1), ("rerouted", 2), ("behind", 1), ("inconclusive", 0)]
)
def test_a_fleet_is_filtered_by_verdict(verdict: str, count: int):
    found = parsed(staged.fleet(500), verdict=verdict)

    assert len([each for each in found.named("th") if each.get("scope") == "row"]) == count
    assert ("No target has the verdict" in found.text) is (count == 0)


def test_the_pages_of_a_fleet_show_each_target_once():
    body = staged.fleet(250)

    shown = [name for number in (1, 2, 3) for name in rows(parsed(body, page=number))]

    assert sorted(shown) == sorted(each["name"] for each in body["targets"])


def rows(found: Parsed) -> list[str]:
    return re.findall(r"store-\d{5}", found.text.partition("those that need somebody first")[2])


def test_each_target_of_a_fleet_has_its_own_page():
    found = parsed(staged.fleet(500), target="store-00003")

    assert "Reads from the SECONDARY" in found.text
    assert "The last" in found.text
    assert {"href": "?"} in found.named("a")  # back to all


def test_a_page_of_ten_thousand_targets_is_small():
    body = staged.fleet(10_000)
    began = time.process_time()

    source = html(body)

    assert time.process_time() - began < 5  # some 0.6 s on an idle core
    assert len(source) < 100_000
    assert "80 of 10,000 targets need you" in Parsed(source).text.replace("10000", "10,000")


# -- the strip --------------------------------------------------------------------------------------------


def columns(name: str) -> list[dict]:
    (document,) = staged.document(name)["targets"]
    return strip(document)["columns"]


def test_an_outage_is_seen_in_the_strip_by_shape_and_told_in_each_column():
    found = columns("recovered")

    assert [each["primary"]["shape"] for each in found] == ["low"] * 30 + ["full"] * 9 + ["low"] * 9
    assert [each["served"]["word"] for each in found[29:32]] == ["primary", "secondary", "secondary"]
    assert found[30]["at"] == "12:30:00 UTC"
    assert "primary answers 503 (down)" in found[30]["told"]
    assert "breaker closed → open" in found[30]["told"]
    assert any("incident closed" in each["marks"] for each in found[39:])


def test_nobody_served_is_told_and_drawn_in_full():
    found = columns("both down")[-1]

    assert found["served"] == {"word": "none", "shape": "full"}
    assert "served by nobody" in found["told"]


def test_times_stand_where_the_reads_changed():
    assert [each["label"] for each in columns("recovered") if each["label"]] == ["12:30"]


def test_ticks_that_are_missing_leave_a_gap():
    (document,) = staged.document("quiet")["targets"]
    history = document["history"]
    del history[20:30]

    found = strip({**document, "history": history})

    assert [number for number, each in enumerate(found["columns"]) if each["gap"]] == [20]


def test_the_age_of_the_recovery_point_is_a_line_that_breaks_where_nothing_is_known():
    (document,) = staged.document("lag")["targets"]
    for each in document["history"][10:12]:
        each["recovery_point_age_seconds"] = None

    found = strip(document)["lines"]

    assert found["top"] == "22 min"
    assert len(found["point"]) == 2
    assert found["point"][1].split()[-1] == "52,1.0"  # at the upper edge, at the end


def test_a_history_from_before_errors_were_kept_is_shown_all_the_same():
    (document,) = staged.document("outage")["targets"]
    for each in document["history"]:
        del each["primary_error"], each["secondary_error"]

    assert "primary down" in strip(document)["columns"][-1]["told"]
