"""What the storage SDK raises is told in the closed list of ``error.type``, with nothing secret in it."""

import inspect

import aiohttp
import azure.core.exceptions
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError

from probe.adapters.blobs import ERRORS, MEANINGS, failure_of
from probe.adapters.failures import Where
from probe.adapters.phases import Phase
from probe.core.reading import fault_of

WHERE = Where(address="127.0.0.1:10000", phase=Phase.TTFB)
KINDS = [
    kind
    for _, kind in inspect.getmembers(azure.core.exceptions, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == "azure.core.exceptions"
]


class Answer:
    """As much of an answer as the SDK's exceptions carry."""

    reason = ""

    def __init__(self, status: int, code: str | None = None) -> None:
        self.status_code = status
        self.headers = {"x-ms-request-id": "theirs"} | ({"x-ms-error-code": code} if code else {})


def test_the_exceptions_of_azure_core_are_found():
    assert len(KINDS) >= 20


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_exception_of_azure_core_has_its_meaning(kind):
    assert kind in MEANINGS
    assert issubclass(kind, ERRORS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_meaning_without_an_answer_is_in_the_closed_list(kind):
    _, otherwise = MEANINGS[kind]

    assert fault_of(otherwise)


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        pytest.param(401, "401", id="401"),
        pytest.param(403, "403", id="403"),
        pytest.param(404, "404", id="404"),
        pytest.param(409, "409", id="409"),
        pytest.param(429, "429", id="throttled"),
        pytest.param(500, "500", id="500"),
        pytest.param(503, "503", id="503"),
        pytest.param(307, "protocol", id="a redirect"),
        pytest.param(204, "protocol", id="another success"),
    ],
)
def test_an_answer_is_told_by_its_status(status, error_type):
    failure = failure_of(HttpResponseError("said", response=Answer(status, "ServerBusy")), WHERE)

    assert failure.error_type == error_type
    assert (failure.status_code, failure.service_error, failure.request_id) == (
        status,
        "ServerBusy",
        "theirs",
    )


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        pytest.param(403, "AuthenticationFailed", "check the key or SAS", id="denied"),
        pytest.param(409, "ContainerBeingDeleted", "the next tick tries again", id="being deleted"),
        pytest.param(503, "ServerBusy", "the next tick tries again", id="busy"),
        pytest.param(400, "OutOfRangeInput", "the names of the container and the blob", id="a bad name"),
        pytest.param(404, "ResourceNotFound", "check the endpoint", id="no such account"),
    ],
)
def test_a_failure_is_told_with_the_services_code_and_what_to_do(status, code, remedy):
    failure = failure_of(HttpResponseError("It said so.", response=Answer(status, code)), WHERE)

    assert failure.detail == f"127.0.0.1:10000: {status} {code}: It said so"
    assert remedy in failure.remedy


def test_no_token_is_told_as_our_trouble():
    failure = failure_of(ClientAuthenticationError("no token: sign in"), WHERE)

    assert failure.error_type == "401"
    assert failure.detail == "127.0.0.1:10000: no token: sign in"


def test_a_transports_exception_is_told_by_the_transports_own_table():
    error = ServiceRequestError("said", error=aiohttp.ServerDisconnectedError())

    assert failure_of(error, WHERE).error_type == "reset"


@pytest.mark.parametrize(
    "said",
    [
        "cannot reach http://127.0.0.1/c/b?sv=2025&sig=secret",
        "URL('http://127.0.0.1/c/b?sig=secret&se=2026') is invalid",
        "refused\nsig=secret on another line",
    ],
)
def test_a_signature_in_a_message_does_not_get_into_ours(said):
    failure = failure_of(HttpResponseError(said, response=Answer(403)), WHERE)

    assert "secret" not in failure.detail
    assert len(failure.detail) <= 200
