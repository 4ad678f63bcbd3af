"""What the storage SDK raises is told in the closed list of ``error.type``, with nothing secret in it."""

import inspect

import azure.core.exceptions
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError

from probe.adapters.blobs import ERRORS, AnswerError, failure_of
from probe.adapters.failures import Failure
from probe.adapters.transport import Failed
from probe.core.reading import fault_of

URL = "http://127.0.0.1:10000/account"
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
def test_every_exception_of_azure_core_is_told_in_the_closed_list(kind):
    error = kind.__new__(kind)
    if isinstance(error, HttpResponseError):
        HttpResponseError.__init__(error, response=Answer(503))
        error._error_format = None

    assert issubclass(kind, ERRORS)
    assert fault_of(failure_of(error, URL).error_type)


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
    failure = failure_of(HttpResponseError("said", response=Answer(status, "ServerBusy")), URL)

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
    failure = failure_of(HttpResponseError("It said so.", response=Answer(status, code)), URL)

    assert failure.detail == f"127.0.0.1:10000: {status} {code}: It said so"
    assert remedy in failure.remedy


def test_no_token_is_told_as_our_trouble():
    failure = failure_of(ClientAuthenticationError("no token: sign in"), URL)

    assert failure.error_type == "401"
    assert failure.detail == "127.0.0.1:10000: no token: sign in"


def test_what_the_exchange_met_is_told_in_its_own_words():
    error = ServiceRequestError("said")
    error.__cause__ = Failed(Failure(error_type="reset", detail="it was lost"), None)

    failure = failure_of(error, URL)

    assert (failure.error_type, failure.detail, failure.status_code) == ("reset", "it was lost", None)


def test_an_answer_that_the_sdk_stumbled_over_is_one_that_cannot_be_used():
    failure = failure_of(AnswerError("RecursionError", 200), URL)

    assert (failure.error_type, failure.status_code) == ("protocol", 200)
    assert failure.detail == "127.0.0.1:10000: 200: the answer cannot be used (RecursionError)"


@pytest.mark.parametrize(
    "said",
    [
        "cannot reach http://127.0.0.1/c/b?sv=2025&sig=secret",
        "URL('http://127.0.0.1/c/b?sig=secret&se=2026') is invalid",
        "refused\nsig=secret on another line",
    ],
)
def test_a_signature_in_a_message_does_not_get_into_ours(said):
    failure = failure_of(HttpResponseError(said, response=Answer(403)), URL)

    assert "secret" not in failure.detail
    assert len(failure.detail) <= 200
