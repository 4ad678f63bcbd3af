"""Settings: what each means and defaults to, what it refuses, and how its problem is told."""

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe import settings
from probe.core.errors import ConfigurationError
from probe.core.target import Forced, Location, Maintenance, Policy
from probe.settings import FIELDS, PER_TARGET, Settings, StateSettings
from tests.unit.settings_values import WORKING, load, problem, problems

SAMPLE = Path(__file__).parents[2] / "local.settings.sample.json"
PICTURE = Path(__file__).parents[2] / "probe" / "HelloWorld.png"
HOST = Path(__file__).parents[2] / "host.json"

# For each setting a value that is not its default.
SAMPLES = {
    "PROBE_SCHEDULE": "0 */5 * * * *",
    "PROBE_TARGETS": '[{"name": "a", "primary": "https://a.blob.core.windows.net"}]',
    "PROBE_CONTAINER": "canaries",
    "PROBE_BLOB": "a b/ü.png",
    "PROBE_CANARY_FILE": str(PICTURE),
    "PROBE_WRITE_CANARY": "false",
    "PROBE_READS": "7",
    "PROBE_ATTEMPTS": "3",
    "PROBE_RETRY_DELAY": "0",
    "PROBE_CONNECT_TIMEOUT": "1.5",
    "PROBE_DEADLINE": "4",
    "PROBE_SLOW_AFTER": "0.5",
    "PROBE_TICK_BUDGET": "50",
    "PROBE_FAILURE_THRESHOLD": "4",
    "PROBE_FAILURE_RATE": "0.25",
    "PROBE_WINDOW": "40",
    "PROBE_MINIMUM_SAMPLES": "20",
    "PROBE_SECONDARY_READS": "10",
    "PROBE_COOLDOWN": "300",
    "PROBE_SUCCESS_THRESHOLD": "1",
    "PROBE_FORCE": "secondary",
    "PROBE_FORCE_UNTIL": "2026-01-31T18:00:00Z",
    "PROBE_MAINTENANCE": "2026-01-31T18:00Z/2026-01-31T22:00+02:00",
    "PROBE_RPO": "60",
    "PROBE_LAG_LOOK": "5",
    "PROBE_STATE": "memory",
    "PROBE_STATE_CONTAINER": "state",
    "PROBE_SHARD_SIZE": "10",
    "PROBE_QUEUE": "shards",
    "PROBE_VANTAGE": "north-europe",
    "PROBE_TRACES": "all",
    "PROBE_FLUSH": "1",
    "PROBE_RUNBOOK_URL": "https://example.org/runbook.md",
}


@pytest.mark.parametrize("name", FIELDS)
def test_each_setting_says_what_it_means(name: str):
    assert FIELDS[name][1].description


def test_without_our_settings_everything_stands_at_its_default():
    found = load()

    assert found.targets[0].policy == Policy()
    assert (found.targets[0].container, found.targets[0].blob, found.targets[0].write) == (
        "health-probe",
        "HelloWorld.png",
        True,
    )
    assert (found.schedule, found.interval, found.tick_budget) == (
        "0 * * * * *",
        timedelta(minutes=1),
        timedelta(seconds=45),
    )
    assert (found.shard_size, found.queue, found.vantage, found.traces, found.flush) == (
        100,
        "probe-shards",
        "local",
        "failures",
        timedelta(seconds=2),
    )
    assert (found.canary_file, found.connection_string, found.otlp_endpoint) == (None, None, None)
    assert found.warnings == ()


def outcome(found: Settings, name: str) -> object:
    """Return what became of a setting."""
    target = found.targets[0]
    special = {
        "PROBE_TARGETS": [target.name],
        "PROBE_CONTAINER": target.container,
        "PROBE_BLOB": target.blob,
        "PROBE_WRITE_CANARY": target.write,
        "PROBE_STATE": found.state,
        "PROBE_STATE_CONTAINER": found.state.container,
        "PROBE_FORCE": target.policy.forced and target.policy.forced.location,
        "PROBE_FORCE_UNTIL": target.policy.forced and target.policy.forced.until,
    }
    if name in special:
        return special[name]
    field = FIELDS[name][0]
    return getattr(target.policy, field) if hasattr(target.policy, field) else getattr(found, field)


BECOMES = {
    "PROBE_TARGETS": ["a"],
    "PROBE_CANARY_FILE": PICTURE,
    "PROBE_WRITE_CANARY": False,
    "PROBE_FORCE": Location.SECONDARY,
    "PROBE_FORCE_UNTIL": datetime(2026, 1, 31, 18, tzinfo=UTC),
    "PROBE_MAINTENANCE": Maintenance(
        since=datetime(2026, 1, 31, 18, tzinfo=UTC), until=datetime(2026, 1, 31, 20, tzinfo=UTC)
    ),
    "PROBE_STATE": StateSettings(),
}


@pytest.mark.parametrize("name", FIELDS)
def test_each_setting_reaches_what_it_is_for(name: str):
    value = SAMPLES[name]
    pair = ("PROBE_FORCE", "PROBE_FORCE_UNTIL")
    also = {each: SAMPLES[each] for each in pair if name in pair}

    became = outcome(load(**{**also, name: value}), name)

    if name in BECOMES:
        assert became == BECOMES[name]
    elif isinstance(became, timedelta):
        assert became == timedelta(seconds=float(value))
    else:
        assert str(became) == value
    assert became != outcome(load(), name)


BAD = [
    ("PROBE_SCHEDULE", "every minute"),
    ("PROBE_CONTAINER", "Canaries"),
    ("PROBE_CONTAINER", "a--b"),
    ("PROBE_CONTAINER", "ab"),
    ("PROBE_CONTAINER", "a-" * 32 + "a"),
    ("PROBE_BLOB", "a?b"),
    ("PROBE_BLOB", "a\\b"),
    ("PROBE_WRITE_CANARY", "perhaps"),
    ("PROBE_READS", "0"),
    ("PROBE_READS", "1001"),
    ("PROBE_READS", "2.5"),
    ("PROBE_READS", "five"),
    ("PROBE_ATTEMPTS", "11"),
    ("PROBE_RETRY_DELAY", "-1"),
    ("PROBE_CONNECT_TIMEOUT", "0"),
    ("PROBE_DEADLINE", "nan"),
    ("PROBE_DEADLINE", "inf"),
    ("PROBE_SLOW_AFTER", "2s"),
    ("PROBE_TICK_BUDGET", "0"),
    ("PROBE_FAILURE_THRESHOLD", "-5"),
    ("PROBE_FAILURE_RATE", "0"),
    ("PROBE_FAILURE_RATE", "50"),
    ("PROBE_WINDOW", "0"),
    ("PROBE_MINIMUM_SAMPLES", "x"),
    ("PROBE_SECONDARY_READS", "0"),
    ("PROBE_COOLDOWN", "-0.1"),
    ("PROBE_SUCCESS_THRESHOLD", "0"),
    ("PROBE_FORCE", "north"),
    ("PROBE_FORCE_UNTIL", "tomorrow"),
    ("PROBE_FORCE_UNTIL", "2026-01-31T18:00:00"),
    ("PROBE_FORCE_UNTIL", "9999-12-31T23:59:59-12:00"),
    ("PROBE_FORCE_UNTIL", "0001-01-01T00:00:00+12:00"),
    ("PROBE_MAINTENANCE", "2026-01-31T18:00Z"),
    ("PROBE_MAINTENANCE", "2026-01-31T18:00/2026-01-31T20:00"),
    ("PROBE_MAINTENANCE", "tonight/tomorrow"),
    ("PROBE_MAINTENANCE", "2026-01-31T20:00Z/2026-01-31T18:00Z"),
    ("PROBE_MAINTENANCE", "2026-01-31T20:00Z/2026-02-07T20:01Z"),
    ("PROBE_RPO", "0"),
    ("PROBE_STATE_CONTAINER", "probe_state"),
    ("PROBE_SHARD_SIZE", "501"),
    ("PROBE_QUEUE", "Probe"),
    ("PROBE_VANTAGE", "north europe"),
    ("PROBE_TRACES", "some"),
    ("PROBE_FLUSH", "0"),
    ("PROBE_RUNBOOK_URL", "javascript:alert(1)"),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}={value[:12]}" for name, value in BAD])
def test_a_bad_value_is_told_with_its_name_what_it_holds_and_what_it_means(name: str, value: str):
    told = problem(**{name: value})

    assert told.startswith(f"{name}: holds ")
    assert json.dumps(value)[:77] in told
    assert told.count(". ") >= 1
    assert told.endswith(".")


def test_all_problems_are_told_at_once():
    told = problems(dict(BAD))

    named = {each.partition(":")[0] for each in told}
    assert named == {name for name, _ in BAD} | {"AzureWebJobsStorage", "ProbedStorage"}
    assert len(told) == len(named)


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_an_empty_setting_is_as_good_as_unset(empty: str):
    assert load(**dict.fromkeys(FIELDS, empty)) == load()


@given(
    st.dictionaries(
        st.sampled_from(sorted(FIELDS)), st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
    )
)
def test_whatever_the_settings_hold_the_answer_is_settings_or_problems(held: dict[str, str]):
    try:
        told = load(**held).warnings
    except ConfigurationError as error:
        told = error.problems

    assert all(": " in each or "PROBE_" in each for each in told)


@pytest.mark.parametrize(
    ("held", "name", "part"),
    [
        ({"PROBE_TICK_BUDGET": "60"}, "PROBE_TICK_BUDGET", "holds 60, but the schedule"),
        ({"PROBE_SCHEDULE": "*/30 * * * * *"}, "PROBE_TICK_BUDGET", "is 45 where it is not set"),
        ({"PROBE_DEADLINE": "46"}, "PROBE_DEADLINE", "more than PROBE_TICK_BUDGET (45)"),
        ({"PROBE_TICK_BUDGET": "4"}, "PROBE_DEADLINE", "is 5 where it is not set, more than"),
        ({"PROBE_CONNECT_TIMEOUT": "6"}, "PROBE_CONNECT_TIMEOUT", "more than PROBE_DEADLINE (5)"),
        ({"PROBE_SLOW_AFTER": "5.5"}, "PROBE_SLOW_AFTER", "more than PROBE_DEADLINE (5)"),
        ({"PROBE_MINIMUM_SAMPLES": "21"}, "PROBE_MINIMUM_SAMPLES", "more than PROBE_WINDOW (20)"),
        ({"PROBE_FORCE": "primary"}, "PROBE_FORCE_UNTIL", "is not set, but PROBE_FORCE is"),
        ({"PROBE_FORCE_UNTIL": "2026-01-31T18:00:00Z"}, "PROBE_FORCE", "is not set, but"),
        ({"PROBE_STATE": "file:"}, "PROBE_STATE", "names no file"),
        ({"PROBE_STATE": "Elsewhere"}, "Elsewhere", "is not set"),
        ({"PROBE_STATE": "ProbedStorage"}, "PROBE_STATE", "is the probed account contoso itself"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(f"{k}={v}" for k, v in value.items()),
)
def test_settings_that_contradict_each_other_are_told(held: dict[str, str], name: str, part: str):
    told = problem(**held)

    assert told.startswith(f"{name}: ")
    assert part in told


def test_what_is_unset_follows_what_is_set():
    """Who lowers the deadline or the window need not lower what hangs on it too."""
    policy = load(PROBE_DEADLINE="1", PROBE_WINDOW="4").targets[0].policy

    assert policy.connect_timeout == policy.slow_after == timedelta(seconds=1)
    assert policy.minimum_samples == 4


def test_a_wrong_value_is_told_once_and_not_again_by_what_it_relates_to():
    told = problem(PROBE_TICK_BUDGET="soon", PROBE_SCHEDULE="*/10 * * * * *")

    assert told.startswith('PROBE_TICK_BUDGET: holds "soon"')


def test_forcing_has_its_expiry_in_utc():
    policy = load(PROBE_FORCE="primary", PROBE_FORCE_UNTIL="2026-01-31T20:00:00+02:00").targets[0].policy

    assert policy.forced == Forced(location=Location.PRIMARY, until=datetime(2026, 1, 31, 18, tzinfo=UTC))


def test_the_vantage_is_the_functions_region_where_it_is_not_set():
    assert load(REGION_NAME="North Europe").vantage == "northeurope"
    assert load(REGION_NAME="North Europe", PROBE_VANTAGE="edge-1").vantage == "edge-1"


def test_the_state_may_be_a_file_or_an_account_of_its_own():
    assert load(PROBE_STATE="file:/home/a b.json").state.path == Path("/home/a b.json")
    assert load().state.connection.primary == "http://127.0.0.1:10000/devstoreaccount1"


def test_standard_telemetry_settings_are_read_under_their_standard_names():
    found = load(
        APPLICATIONINSIGHTS_CONNECTION_STRING="InstrumentationKey=0",
        APPLICATIONINSIGHTS_AUTHENTICATION_STRING="Authorization=AAD",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://localhost:4318",
    )

    assert (found.connection_string, found.authentication_string, found.otlp_endpoint) == (
        "InstrumentationKey=0",
        "Authorization=AAD",
        "http://localhost:4318",
    )


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("PROBE_REEDS", "PROBE_READS"),
        ("PROBE_DEADLIN", "PROBE_DEADLINE"),
        ("PROBE_WRITE", "PROBE_WRITE_CANARY"),
    ],
)
def test_a_setting_that_is_not_ours_is_told_with_what_was_meant(typo: str, meant: str):
    (line,) = load(**{typo: "1"}).warnings

    assert typo in line
    assert f"did you mean {meant}?" in line


def test_a_setting_that_is_like_none_of_ours_gets_no_guess():
    (line,) = load(PROBE_XYZ="1").warnings

    assert "did you mean" not in line


def test_a_budget_that_a_silent_primary_exceeds_is_told_beforehand():
    (line,) = load(PROBE_DEADLINE="20").warnings

    assert "cut short" in line


def test_the_time_that_the_host_gives_a_function_is_the_one_that_is_reckoned_with():
    hours, minutes, seconds = json.loads(HOST.read_text())["functionTimeout"].split(":")

    told = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))
    assert told == settings.FUNCTION_TIMEOUT


QUARTERS = {"PROBE_SCHEDULE": "0 */15 * * * *"}


def test_a_budget_that_the_host_would_cut_off_is_refused_with_the_remedy():
    """Such a tick would be neither saved nor told."""
    told = problem(**QUARTERS, PROBE_TICK_BUDGET="800")

    assert told.startswith("PROBE_TICK_BUDGET: holds 800")
    assert "ends a function after 300 s" in told
    assert "AzureFunctionsJobHost__functionTimeout" in told
    assert load(**QUARTERS, PROBE_TICK_BUDGET="268")


@pytest.mark.parametrize("longer", ["00:15:00", "-1", "1.00:00:00"])
def test_a_host_that_gives_more_time_takes_a_longer_budget(longer: str):
    found = load(**QUARTERS, PROBE_TICK_BUDGET="800", AzureFunctionsJobHost__functionTimeout=longer)

    assert found.tick_budget == timedelta(seconds=800)


def test_a_function_time_out_that_is_no_time_is_told():
    assert "is no time" in problem(AzureFunctionsJobHost__functionTimeout="soon")


def test_a_flush_that_outlasts_the_schedule_is_told_and_one_that_outlasts_the_function_refused():
    (line,) = load(PROBE_FLUSH="16").warnings

    assert "(61 s) are more than the 60 s between two ticks" in line
    assert problem(PROBE_FLUSH="86400").startswith("PROBE_FLUSH: holds 86400")


@pytest.mark.parametrize(
    ("held", "warned"),
    [
        ({"WEBSITE_TIME_ZONE": "Central European Standard Time"}, ["WEBSITE_TIME_ZONE"]),
        ({"WEBSITE_SITE_NAME": "probe", "TZ": "Europe/Berlin"}, ["TZ"]),
        ({"WEBSITE_SITE_NAME": "probe", "TZ": "Etc/UTC", "WEBSITE_TIME_ZONE": "UTC"}, []),
        ({"TZ": "Europe/Berlin"}, []),  # of a shell, where no host fires
    ],
)
def test_a_time_zone_that_the_host_would_fire_by_is_told(held: dict[str, str], warned: list[str]):
    lines = load(**held).warnings

    assert [each.partition(" is set: ")[0] for each in lines] == warned
    assert all("PROBE_SCHEDULE as UTC" in each for each in lines)


@pytest.mark.parametrize("other", [":443", "."])
def test_an_account_that_is_its_own_secondary_is_told(other: str):
    entry = {"name": "a", "primary": f"https://a.example{other}", "secondary": "https://a.example"}

    (line,) = load(PROBE_TARGETS=json.dumps([entry])).warnings[1:]

    assert line.startswith("a has one endpoint as primary and as secondary")


def test_the_effective_settings_name_every_setting_and_where_its_value_is_from():
    rows = {name: (value, source) for name, value, source in settings.effective({"PROBE_READS": "7"})}

    assert set(rows) == {"ProbedStorage", *FIELDS, *settings.FOREIGN}
    assert rows["PROBE_READS"] == ("7", "set")
    assert rows["PROBE_WRITE_CANARY"] == ("true", "default")
    assert rows["ProbedStorage"] == ("", "default")


def test_the_sample_settings_work_as_they_are():
    values = json.loads(SAMPLE.read_text())["Values"]

    found = settings.load(values)

    assert found.warnings == ()
    assert found.targets[0].secondary == "http://127.0.0.1:10000/devstoreaccount1-secondary"
    assert set(values) - set(WORKING) - set(FIELDS) == {"FUNCTIONS_WORKER_RUNTIME"}


def test_every_number_of_the_policy_can_be_set_and_for_one_target_too():
    assert {each.name for each in fields(Policy)} - {"forced"} <= set(PER_TARGET)
