"""No secret in a message: whatever is wrong with the settings, and wherever a secret was put by mistake."""

import json
from time import perf_counter
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe import settings
from probe.core.errors import ConfigurationError
from probe.settings import ENTRY, FIELDS
from probe.settings.problems import shown
from tests.unit.settings_values import KEY, SIGNATURE, STRING, WORKING, load, problem

MARK = "c2VjcmV0"
"""What every secret here contains."""
URL = f"https://contoso.blob.core.windows.net/?{SIGNATURE}"
SECRETS = (
    STRING,
    KEY,
    URL,
    f"BlobEndpoint=https://c.example;SharedAccessSignature={SIGNATURE}",
    f"https://user:{MARK}@contoso.example/",
    f"InstrumentationKey={MARK}",
    f"password: {MARK}",
    f"eyJhbGciOiJIUzI1NiJ9.{MARK}.x",
    f"AccountKey={KEY}",
    f"https://contoso.blob.core.windows.net/%3F{quote(SIGNATURE)}",
    f"https://contoso.blob.core.windows.net/{quote(quote('?' + SIGNATURE, safe=''), safe='')}",
    f"https://:{MARK}@contoso.example/",
    quote(SIGNATURE, safe=""),
    KEY.rstrip("="),  # as a double click takes it
    f"abc8Q~{MARK}.de-fg_hijklmnopqrstuvwxyz012",  # an Entra client secret
)
NAMES = (
    *FIELDS,
    *settings.FOREIGN,
    "ProbedStorage",
    "AzureWebJobsStorage",
    "ProbedStorage__blobServiceUri",
    "ProbedStorage__secondaryBlobServiceUri",
    "ProbedStorage__credential",
    "ProbedStorage__accountName",
    "ProbedStorage__serviceUri",
    "ProbedStorage__clientId",
    "ProbedStorage__clientSecret",
    "ProbedStorage__tenantId",
    "ProbedStorage__managedIdentityResourceId",
    "ProbedStorage__unknown",
    "AzureFunctionsJobHost__functionTimeout",
    "PROBE_SECRET",
    "StorageA",
)


def printed(environment: dict[str, str]) -> str:
    """Return everything that is ever printed of settings."""
    rows = "\n".join(f"{name} {value}" for name, value, _ in settings.effective(environment))
    try:
        found = settings.load(environment)
    except ConfigurationError as error:
        return f"{error}\n{error.problems!r}\n{rows}"
    return "\n".join((*found.warnings, rows, repr(list(found.connections.values()))))


@pytest.mark.parametrize("name", NAMES)
def test_no_setting_shows_a_secret_that_was_put_into_it(name: str):
    for secret in SECRETS:
        assert MARK not in printed({**WORKING, name: secret}), secret


@pytest.mark.parametrize("key", [*ENTRY, "connectionString", "sas"])
def test_no_key_of_a_target_shows_a_secret_that_was_put_into_it(key: str):
    for secret in SECRETS:
        entry = {"name": "a", "connection": "StorageA", key: secret}
        assert MARK not in printed({**WORKING, "StorageA": STRING, "PROBE_TARGETS": json.dumps([entry])})


@pytest.mark.parametrize("secret", SECRETS)
def test_no_name_of_a_key_shows_a_secret_that_was_put_there(secret: str):
    entry = {"name": "a", "connection": "StorageA", secret: "x"}

    assert MARK not in printed({**WORKING, "StorageA": STRING, "PROBE_TARGETS": json.dumps([entry])})


@pytest.mark.parametrize("name", [each for each in NAMES if each.startswith("ProbedStorage__")])
def test_no_part_of_an_identity_shows_a_secret_that_was_put_into_it(name: str):
    good = {
        "AzureWebJobsStorage": WORKING["AzureWebJobsStorage"],
        "ProbedStorage__serviceUri": "https://contoso.blob.core.windows.net",
    }

    for secret in SECRETS:
        assert MARK not in printed({**good, name: secret}), secret


def test_a_long_value_is_looked_through_in_no_time():
    began = perf_counter()

    shown("a" * 200_000)

    assert perf_counter() - began < 5  # a tenth of it took 33 s before


def test_what_people_name_things_is_shown():
    for each in ("health-probe", "/home/site/wwwroot/targets.json", "5c1f2a4e-93a1-4d3c-8f5e-0f3b8f6f1c11"):
        assert shown(each) == json.dumps(each)


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(SECRETS), max_size=8))
def test_no_mixture_of_misplaced_secrets_shows_one(held: dict[str, str]):
    assert MARK not in printed({**WORKING, **held})


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from((*ENTRY, "key", "sas")),
            st.sampled_from(SECRETS) | st.lists(st.sampled_from(SECRETS), max_size=2) | st.just("StorageA"),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_no_list_of_targets_shows_a_secret(entries: list[dict[str, object]]):
    environment = {**WORKING, "StorageA": STRING, "PROBE_TARGETS": json.dumps(entries)}

    assert MARK not in printed(environment)


@pytest.mark.parametrize("name", ["PROBE_BLOB", "PROBE_VANTAGE", "PROBE_RUNBOOK_URL"])
def test_what_is_shown_as_it_is_takes_no_secret(name: str):
    start = "https://a.example/" if name == "PROBE_RUNBOOK_URL" else ""
    for secret in ("A1" + "bC3" * 14, *([KEY, SIGNATURE] if name != "PROBE_VANTAGE" else [])):
        assert "looks like a key or a signature" in problem(**{name: start + secret})


def test_a_long_name_of_all_kinds_of_letters_is_still_a_name():
    assert load(PROBE_BLOB="HelloWorld2026Pictures/TheSecondOne2.png").targets[0].blob.startswith("Hello")
