"""PROBE_TARGETS: many targets, each with its connection and its own rules, as text or as a file."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from probe import settings
from probe.core.connection import Entra, SharedKey
from probe.core.errors import ConfigurationError
from probe.settings import PER_TARGET, Settings
from tests.unit.settings_values import STRING, WORKING, problems

A = {"name": "a", "primary": "https://a.blob.core.windows.net"}
ELSEWHERE = {"AzureWebJobsStorage": WORKING["AzureWebJobsStorage"]}


def load(*entries: object, **more: str) -> Settings:
    return settings.load({**ELSEWHERE, "PROBE_TARGETS": json.dumps(entries), **more})


def problem(*entries: object, **more: str) -> str:
    (told,) = problems({**ELSEWHERE, "PROBE_TARGETS": json.dumps(entries), **more})
    return told


def test_a_target_is_given_by_its_endpoint_or_by_the_name_of_its_connection():
    found = load(A, {"name": "b", "connection": "StorageB"}, StorageB=STRING)

    assert [each.name for each in found.targets] == ["a", "b"]
    assert found.connections["a"].authorization == Entra()
    assert isinstance(found.connections["b"].authorization, SharedKey)
    assert [each.secondary for each in found.targets] == [
        "https://a-secondary.blob.core.windows.net",
        "https://contoso-secondary.blob.core.windows.net",
    ]


def test_a_secondary_can_be_named_and_null_says_that_there_is_none():
    zrs = {**A, "name": "zrs", "blob": "zrs.png", "secondary": None}
    found = load({**A, "secondary": "https://elsewhere.example/a/"}, zrs)

    assert [each.secondary for each in found.targets] == ["https://elsewhere.example/a", None]
    assert found.warnings == ("zrs has no secondary endpoint: its primary is probed alone",)


def test_two_targets_may_read_one_blob_but_not_write_it():
    reads = {**A, "name": "b", "write": False}

    found = load(A, reads)
    with pytest.raises(ConfigurationError) as told:
        load(A, {**A, "name": "b"})

    assert [each.name for each in found.targets] == ["a", "b"]
    assert "has two targets that write https://" in str(told.value)


@pytest.mark.parametrize(
    "other", ["https://A.blob.core.windows.net:443/", "https://a.blob.core.windows.net."]
)
def test_one_blob_is_known_again_however_its_host_is_written(other: str):
    assert "has two targets that write" in problem(A, {"name": "b", "primary": other})


@pytest.mark.parametrize("blob", ["..", "a/../b.png", "./a.png", "a/."])
def test_a_blob_name_that_a_client_would_resolve_is_refused(blob):
    with pytest.raises(ConfigurationError, match="segment"):
        load({**A, "blob": blob})


def test_targets_may_stand_in_a_file(tmp_path: Path):
    path = tmp_path / "targets.json"
    path.write_text(json.dumps([A]), encoding="utf-8-sig")

    found = settings.load({**ELSEWHERE, "PROBE_TARGETS": str(path)})

    assert [each.name for each in found.targets] == ["a"]


OVERRIDES = {
    "container": "other",
    "blob": "other.png",
    "write": False,
    "force": "secondary",
    "force_until": "2026-01-31T18:00:00Z",
    "failure_rate": 0.25,
    "rpo": 60,
    "deadline": 3,
}


def test_a_target_has_its_own_rules_over_those_for_all():
    found = load({**A, **OVERRIDES}, {**A, "name": "b"}, PROBE_RPO="120", PROBE_CONTAINER="shared")

    own, shared = found.targets
    assert (own.container, own.blob, own.write) == ("other", "other.png", False)
    assert (own.policy.failure_rate, own.policy.rpo) == (0.25, timedelta(minutes=1))
    assert own.policy.forced
    assert (shared.container, shared.policy.rpo, shared.policy.forced) == (
        "shared",
        timedelta(minutes=2),
        None,
    )


@pytest.mark.parametrize("name", PER_TARGET)
def test_every_rule_can_be_wrong_for_one_target(name: str):
    told = problem({**A, name: {}})

    assert told.startswith(f"PROBE_TARGETS[0].{name}: holds {{}}: ")


@pytest.mark.parametrize(
    ("entry", "place", "part"),
    [
        ({"name": "a"}, "PROBE_TARGETS[0]", "needs either `connection` or `primary`"),
        ({**A, "connection": "B"}, "PROBE_TARGETS[0]", "needs either"),
        ({"primary": A["primary"]}, "PROBE_TARGETS[0].name", "is missing"),
        ({**A, "name": "a b"}, "PROBE_TARGETS[0].name", 'holds "a b"'),
        ({**A, "name": 5}, "PROBE_TARGETS[0].name", "holds 5"),
        ({**A, "primary": "a.blob.core.windows.net"}, "PROBE_TARGETS[0].primary", "is not an http(s) URL"),
        ({**A, "primary": "http://a.example"}, "PROBE_TARGETS[0].primary", "is http, over which a token"),
        ({**A, "secondary": ""}, "PROBE_TARGETS[0].secondary", "is not an http(s) URL"),
        ({**A, "secondary": "https://u:p@a.example"}, "PROBE_TARGETS[0].secondary", "a user"),
        ({"name": "a", "connection": "Missing"}, "Missing", "is not set"),
        ({"name": "a", "connection": 5}, "PROBE_TARGETS[0].connection", "holds 5"),
        ({**A, "reeds": 3}, "PROBE_TARGETS[0].reeds", "Did you mean reads?"),
        ({**A, "deadline": 46}, "PROBE_TARGETS[0].deadline", "more than PROBE_TICK_BUDGET (45)"),
        ({**A, "slow_after": 6}, "PROBE_TARGETS[0].slow_after", "more than PROBE_TARGETS[0].deadline (5)"),
        ({**A, "force": "primary"}, "PROBE_TARGETS[0].force_until", "is not set"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_entry_is_told_with_its_place(entry: dict[str, object], place: str, part: str):
    told = problem(entry)

    assert told.startswith(f"{place}: ")
    assert part in told


def test_a_name_is_used_once():
    told = problem(A, {**A, "primary": "https://b.blob.core.windows.net"})

    assert told == 'PROBE_TARGETS[1].name: holds "a" again. Names are used once.'


def test_the_problems_of_all_entries_are_told_at_once():
    told = problems(
        {**ELSEWHERE, "PROBE_READS": "x", "PROBE_TARGETS": json.dumps([{"name": "a"}, {**A, "reads": 0}])}
    )

    assert [each.partition(":")[0] for each in told] == [
        "PROBE_READS",
        "PROBE_TARGETS[0]",
        "PROBE_TARGETS[1].reads",
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[]", "is not an array of objects with at least one"),
        ('{"name": "a"}', "is not an array"),
        ("[1]", "is not an array of objects"),
        ("[{]", "is not JSON"),
        ("no/such/file.json", "a file that cannot be read (No such file or directory)"),
        ("/dev/zero", "a file that is no regular file"),
        ("[" * 100_000, "is nested too deep"),
        ("a" * 5000, "a file that cannot be read"),
        (".", "a file that is a folder"),
    ],
    ids=lambda value: value[:12],
)
def test_a_text_that_is_no_list_of_targets_is_told_with_an_example(text: str, part: str):
    (told,) = problems({**ELSEWHERE, "PROBE_TARGETS": text})

    assert part in told
    assert '[{"name": "a", "connection": "StorageA"}]' in told


def test_a_file_that_is_no_text_is_told(tmp_path: Path):
    path = tmp_path / "targets.json"
    path.write_bytes(b"\xff\xfe\x00")

    (told,) = problems({**ELSEWHERE, "PROBE_TARGETS": str(path)})

    assert "is not UTF-8 text" in told
    assert "xff" not in told


def test_the_single_targets_connection_is_ignored_and_that_is_told():
    found = load(A, ProbedStorage=STRING)

    assert found.warnings == ("ProbedStorage is ignored, since PROBE_TARGETS takes its place",)


def test_a_target_may_use_the_single_targets_connection_by_name():
    found = load({"name": "b", "connection": "ProbedStorage"}, ProbedStorage=STRING)

    assert found.warnings == ()


def test_a_target_without_secondary_cannot_be_forced_there_and_that_is_told():
    found = load({**A, "secondary": None, "force": "secondary", "force_until": "2026-01-31T18:00:00Z"})

    assert "a cannot be forced to a secondary that it does not have" in found.warnings


def test_state_is_not_kept_in_any_of_the_probed_accounts():
    told = problem(
        A, {**A, "name": "b", "primary": "https://CONTOSO.blob.core.windows.net/"}, AzureWebJobsStorage=STRING
    )

    assert told.startswith("PROBE_STATE: is the probed account b itself")
