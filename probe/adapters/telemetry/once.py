"""Once: the session that the OTLP exporters send with.

Rules kept here: a request is sent once, since one that failed half-way may have arrived, and its rows would
be doubled; nothing but a 2xx counts as arrived (the exporters take a redirect, which they do not follow, for
success); so a dead collector is known at once and no back-off runs on a sender's thread.
"""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests


class NotTakenError(requests.RequestException):
    """The collector did not take a request; of no kind that the exporters would send again."""


class Once(requests.Session):
    """A session that answers only what was taken."""

    def request(self, *arguments: Any, **options: Any) -> requests.Response:  # noqa: ANN401 - the base's own
        """Send a request. Raises ``NotTakenError``."""
        try:
            answer = super().request(*arguments, **options)
        except requests.RequestException as exc:
            raise NotTakenError(f"{type(exc).__name__}: {exc}") from None
        if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            raise NotTakenError(_why(answer))
        return answer


def _why(answer: requests.Response) -> str:
    elsewhere = urlsplit(answer.headers.get("Location", ""))
    hint = f", and points to {elsewhere.scheme}://{elsewhere.netloc}" if elsewhere.netloc else ""
    return f"it answered {answer.status_code}{hint}"
