"""What the HTTP functions answer.

Rules: the status needs a key, or a sign-in where the platform asks for one, and says what is wrong with the
app, as a page to whoever asks for one and as JSON to all others; the health is anybody's, and says only
whether ticks are fresh. What neither can say goes to the error stream.
"""

import json
from collections.abc import Mapping
from typing import Any

from probe import compose, page
from probe.core.errors import ConfigurationError
from probe.core.times import time_text
from probe.hosted import signs_in, telling
from probe.status import SCHEMA, Health

HTML, JSON = "text/html", "application/json"
_REFRESHED = (5, 60)
"""Seconds after which a page asks for itself again: at the probe's own interval, within these."""
_NOT_KEPT = {"Cache-Control": "no-store"}
_SIGNED_IN = "x-ms-client-principal-id"
"""Who has signed in. The platform sets it, and takes it away from what comes from outside.

Source: https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
"""
_HEADERS = {
    **_NOT_KEPT,
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
}


async def status(headers: Mapping[str, str], query: Mapping[str, str]) -> dict[str, Any]:
    """Return the status function's response; where the app cannot work at all, 500 with the ``problems``."""
    if signs_in() and not headers.get(_SIGNED_IN):
        return _answer("Sign in first.\n", 401, "text/plain")
    runbook, interval = None, _REFRESHED[1]
    is_page = wanted(headers.get("accept") or "", query.get("format")) is HTML
    try:
        with telling():
            app = compose.app()
            interval = int(app.settings.interval.total_seconds())
            runbook = app.settings.runbook_url
            body = await (app.shown(query.get("target") or None) if is_page else app.status())
            status_code = 200
    except ConfigurationError as error:
        body, status_code = _broken(error.problems), 500
    except Exception as error:  # noqa: BLE001 - told above; its text may hold anything, so it is not shown
        problem = f"{type(error).__name__}: the log stream has its text, in a line that begins 'probe error'"
        body, status_code = _broken((problem,)), 500
    if not is_page:
        return _answer(json.dumps(body, indent=1), status_code, JSON)
    least, most = _REFRESHED
    asked = page.Asked.of(query, refresh=min(max(interval, least), most))
    with telling():
        html = page.html(body, asked, runbook=runbook)
    return _answer(html, status_code, HTML, page.headers(asked.refresh))


def wanted(accept: str, format_: str | None) -> str:
    """Return which of the two is wanted: a page only by who says so, as browsers do and machines do not."""
    if format_ in ("html", "json"):
        return HTML if format_ == "html" else JSON
    given = dict(_weighed(each) for each in accept.lower().split(","))
    html = max(given.get(HTML, 0.0), given.get("application/xhtml+xml", 0.0))
    return HTML if html > given.get(JSON, 0.0) else JSON


def _weighed(part: str) -> tuple[str, float]:
    kind, *parameters = (each.strip() for each in part.split(";"))
    weights = [each.removeprefix("q=") for each in parameters if each.startswith("q=")]
    try:
        return kind, float(weights[0]) if weights else 1.0
    except ValueError:
        return kind, 0.0


def _broken(problems: tuple[str, ...]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "generated_at": time_text(compose.utc_now()),
        "fresh": False,
        "problems": list(problems),
        "shards": [],
        "targets": [],
    }


def _answer(
    body: str, status_code: int, kind: str, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    return {
        "body": body,
        "status_code": status_code,
        "mimetype": kind,
        "charset": "utf-8",
        "headers": {**_HEADERS, **(headers or {})},
    }


async def health() -> dict[str, Any]:
    """Return the health function's response: a word, 200 while ticks run; whatever is wrong, it says no more.

    A store that is down does not make it 503 while this instance knows that ticks run: who restarts the app
    for a 503 would throw away the only memory of what was not saved.
    """
    try:
        with telling():
            found = await compose.app().health()
    except Exception:  # noqa: BLE001 - told above
        found = Health.STALE
    return {"body": str(found), "status_code": 200 if found.runs else 503, "headers": _NOT_KEPT}
