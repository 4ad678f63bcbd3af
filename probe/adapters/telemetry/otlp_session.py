"""The session that the OTLP exporters send with: each request goes out once.

Rules kept here: a request is sent once, since one that failed half-way may have arrived, and its rows would
be doubled; nothing but a 2xx counts as arrived (the exporters take a redirect, which they do not follow, for
success); so a dead collector is known at once and no back-off runs on a sender's thread.
"""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it brings no types
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse


class NotTakenError(requests.RequestException):
    """The collector did not take a request; of no kind that the exporters would send again."""


class OtlpSession(requests.Session):
    """A session that answers only what was taken."""

    def request(self, *arguments: Any, **options: Any) -> requests.Response:  # noqa: ANN401 - the base's own
        """Send a request. Raises ``NotTakenError``."""
        try:
            answer = super().request(*arguments, **options)
        except requests.RequestException as exc:
            raise NotTakenError(f"{type(exc).__name__}: {_without_path(str(exc), exc.request)}") from None
        if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            raise NotTakenError(_why(answer))
        if refused := _refused(answer):
            raise NotTakenError(refused)
        return answer


def _without_path(text: str, request: requests.PreparedRequest | requests.Request | None) -> str:
    """Return what requests says without the path that was asked for: with some collectors it is the key."""
    path = str(urlsplit(request.url or "").path) if request else ""
    return text.replace(path, "/…") if path.strip("/") else text


def _refused(answer: requests.Response) -> str | None:
    """Return what a good answer says of rows that were refused all the same.

    The answers to logs, metrics and spans differ in their names alone, and look the same on the wire.
    Source: https://opentelemetry.io/docs/specs/otlp/#partial-success-1
    """
    if answer.headers.get("Content-Type") != "application/x-protobuf":
        return None
    try:
        partial = ExportLogsServiceResponse.FromString(answer.content).partial_success
    except DecodeError:
        return None
    rows = partial.rejected_log_records
    return f"it refused {rows} rows: {partial.error_message}" if rows else None


def _why(answer: requests.Response) -> str:
    elsewhere = urlsplit(answer.headers.get("Location", ""))
    hint = f", and points to {elsewhere.scheme}://{elsewhere.netloc}" if elsewhere.netloc else ""
    return f"it answered {answer.status_code}{hint}"
