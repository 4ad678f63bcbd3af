"""The telemetry's settings: what is wrong with them is told before anything is sent."""

import pytest
from azure.monitor.opentelemetry.exporter._connection_string_parser import ConnectionStringParser

from probe.adapters import telemetry
from probe.adapters.telemetry.settings import Identity, TelemetrySettings, connection, identity, problems
from probe.core.errors import ConfigurationError
from probe.lab.telemetry.ingestion import KEY

GOOD = f"InstrumentationKey={KEY};IngestionEndpoint=https://france.in.applicationinsights.azure.com/"
ENTRA = "ClientId=11111111-2222-3333-4444-555555555555;Authorization=AAD"


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(TelemetrySettings(), id="nothing set"),
        pytest.param(TelemetrySettings(connection_string=GOOD), id="key"),
        pytest.param(TelemetrySettings(connection_string=f"InstrumentationKey={KEY}"), id="key alone"),
        pytest.param(
            TelemetrySettings(connection_string=GOOD, authentication_string=ENTRA),
            id="user-assigned identity",
        ),
        pytest.param(
            TelemetrySettings(connection_string=GOOD, authentication_string="Authorization=AAD"),
            id="system-assigned identity",
        ),
        pytest.param(TelemetrySettings(otlp=True), id="otlp alone"),
    ],
)
def test_good_settings_have_no_problem(settings: TelemetrySettings):
    assert problems(settings) == ()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"connection_string": "hello"}, "NAME=VALUE", id="no pairs"),
        pytest.param({"connection_string": f"{GOOD};"}, "none at the end", id="semicolon at the end"),
        pytest.param({"connection_string": "InstrumentationKey=abc"}, "InstrumentationKey", id="no key"),
        pytest.param({"connection_string": GOOD.replace("https", "ftp")}, "http or https", id="no http"),
        pytest.param(
            {"connection_string": f"InstrumentationKey={KEY};IngestionEndpoint=https://"},
            "http or https",
            id="no host",
        ),
        pytest.param(
            {"connection_string": f"InstrumentationKey={KEY};IngestionEndpoint=https://a:99999"},
            "http or https",
            id="no port that there is",
        ),
        pytest.param(
            {"connection_string": f"InstrumentationKey={KEY};IngestionEndpoint="},
            "http or https",
            id="empty endpoint",
        ),
        pytest.param(
            {"connection_string": GOOD.replace("https", "HTTP"), "authentication_string": ENTRA},
            "never sent in the clear",
            id="Entra over HTTP",
        ),
        pytest.param(
            {"connection_string": GOOD, "authentication_string": "ClientId=;Authorization=AAD"},
            "Authorization=AAD",
            id="empty client",
        ),
        pytest.param(
            {"connection_string": GOOD, "authentication_string": "ClientId=x"},
            "Authorization=AAD",
            id="authentication without AAD",
        ),
        pytest.param(
            {"connection_string": GOOD.replace("https", "http"), "authentication_string": ENTRA},
            "never sent in the clear",
            id="Entra over http",
        ),
        pytest.param({"flush_seconds": 0.0}, "PROBE_FLUSH", id="no time to flush"),
    ],
)
def test_a_problem_names_the_setting_and_the_remedy(settings: dict[str, object], words: str):
    (line,) = problems(TelemetrySettings(**settings))

    assert words in line
    assert line.split()[0] in (
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
        "PROBE_FLUSH",
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD.replace(";", "; "), id="blank after the semicolon"),
        pytest.param(GOOD.replace("=", " = "), id="blanks around the equals sign"),
        pytest.param(GOOD.replace("Endpoint", "ENDPOINT"), id="name in upper case"),
        pytest.param(GOOD.replace(KEY, KEY.replace("4000", "ABCD")), id="key in upper case"),
    ],
)
def test_a_connection_string_of_another_spelling_leads_to_its_own_endpoint_all_the_same(text: str):
    settings = TelemetrySettings(connection_string=text)
    understood = ConnectionStringParser(connection(settings))

    assert problems(settings) == ()
    assert understood.endpoint == "https://france.in.applicationinsights.azure.com/"


def test_no_problem_prints_what_a_setting_holds():
    text = "InstrumentationKey=hunter2;IngestionEndpoint=ftp://hunter2"
    told = problems(TelemetrySettings(connection_string=text, authentication_string="ClientId=hunter2"))

    assert len(told) == 3
    assert "hunter2" not in " ".join(told)


def test_a_credential_with_an_http_endpoint_is_an_error_at_start_and_not_silence():
    settings = TelemetrySettings(
        connection_string=f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:1",
        authentication_string=ENTRA,
    )

    with pytest.raises(ConfigurationError, match="a token is never sent in the clear"):
        telemetry.build(settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("Authorization=AAD", Identity()),
        (ENTRA, Identity(client_id="11111111-2222-3333-4444-555555555555")),
    ],
)
def test_the_authentication_string_says_as_whom(text: str | None, expected: Identity | None):
    assert identity(TelemetrySettings(authentication_string=text)) == expected
