"""The documents against their schema: of every tape, of the status, and of a state that is carried over."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from probe import status
from probe.adapters.state import Encoder, decode
from probe.core.record import SCHEMA
from probe.core.report import document
from probe.lab.world import MINUTE, NOON, World, run, target, world
from probe.status import Memory, Page
from tests.faults import test_outage_tapes, test_tapes

FOLDER = Path(__file__).parents[2] / "probe" / "schema"
SCHEMA_FILE = json.loads((FOLDER / "report-2.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA_FILE)
EARLIER = Path(__file__).parent / "state_schema_1.json"
"""A state document that the code before schema 2 saved: four ticks of an outage, and a fifth of its end."""


def problems(found: object) -> list[str]:
    """Return what a document has against the schema, where and why."""
    plain = json.loads(json.dumps(found))
    kind = "report" if "tick" in plain else "status"
    part = Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": SCHEMA_FILE["$defs"]})
    return [f"{each.json_path}: {each.message[:300]}" for each in part.iter_errors(plain)]


def page(probe: World) -> Page:
    return Page(shards=[probe.targets], vantage="here", interval=MINUTE, budget=timedelta(seconds=45))


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA_FILE)


@pytest.mark.parametrize("played", test_tapes.TAPES, ids=lambda each: each.name)
def test_the_report_of_every_tape_is_as_the_schema_says(played):
    _, reports = run(test_tapes.play(played))

    assert [found for each in reports for found in problems(document(each))] == []


@pytest.mark.parametrize("name", test_outage_tapes.TAPES)
def test_report_and_status_of_every_outage_are_as_the_schema_says(name):
    tape = test_outage_tapes.rows(test_outage_tapes.TAPES[name])

    async def main():
        probe, reports = await test_outage_tapes.play(tape, target(rpo=2.5 * MINUTE))
        return reports, await status.document(probe.store, page(probe), Memory(), NOON)

    reports, shown = run(main())

    assert [found for each in reports for found in problems(document(each))] == []
    assert problems(shown) == []


def test_the_status_of_what_was_never_probed_is_as_the_schema_says():
    async def main():
        probe = world()
        return await status.document(probe.store, page(probe), Memory(), NOON)

    assert problems(run(main())) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found["targets"][0].pop("redundancy"),
        lambda found: found["targets"][0].update(extra=1),
        lambda found: found["targets"][0]["replication"].update(lag_seconds="0"),
        lambda found: found["tick"].update(started_at="2026-03-01 12:00:00"),
        lambda found: found.update(schema=1),
    ],
    ids=["a key is missing", "a key is new", "a number is text", "a time has no zone", "another schema"],
)
def test_a_document_that_breaks_the_schema_is_refused(spoil):
    found = json.loads(json.dumps(document(run(world().tick()))))
    spoil(found)

    assert problems(found)


def test_a_state_of_schema_1_is_carried_over_and_ticks_go_on_from_it():
    async def main():
        probe = world()
        probe.store.records[0], probe.store.versions[0] = decode(EARLIER.read_bytes()), 1
        before = await status.document(probe.store, page(probe), Memory(), NOON)
        probe.account.begin()
        await probe.until(NOON + 10 * MINUTE)
        return before, await probe.tick(), probe

    before, report, probe = run(main())

    earlier = json.loads(EARLIER.read_bytes())["targets"]["contoso"]
    (found,) = report.targets
    record = probe.store.records[0]
    assert problems(before) == []
    assert before["targets"][0]["redundancy"] is None
    assert (record.schema, record.ticks) == (SCHEMA, 6)
    assert found.breaker.totals.primary_failures == earlier["breaker"]["totals"]["primary_failures"] > 0
    assert found.written_sequence > earlier["ledger"]["newest"]["sequence"]
    assert len(record.targets["contoso"].history) == 6
    assert decode(Encoder().encode(record)) == record
