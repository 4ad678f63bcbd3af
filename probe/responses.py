"""What the HTTP functions answer.

Rules: the status needs a key, and says what is wrong with the app; the health is anybody's, and says only
whether ticks are fresh. What neither can say goes to the error stream.
"""

import json
from typing import Any

from probe import compose
from probe.core.errors import ConfigurationError
from probe.core.times import time_text
from probe.hosted import telling
from probe.status import SCHEMA, Health


async def status() -> dict[str, Any]:
    """Return the status function's response; where the app cannot work at all, 500 with the ``problems``."""
    try:
        with telling():
            return _json(await compose.app().status(), 200)
    except ConfigurationError as error:
        return _json(_broken(error.problems), 500)
    except Exception as error:  # noqa: BLE001 - told above; its text may hold anything, so it is not shown
        problem = f"{type(error).__name__}: the log stream has its text, in a line that begins 'probe error'"
        return _json(_broken((problem,)), 500)


def _broken(problems: tuple[str, ...]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "generated_at": time_text(compose.utc_now()),
        "fresh": False,
        "problems": list(problems),
        "shards": [],
        "targets": [],
    }


def _json(body: dict[str, Any], status_code: int) -> dict[str, Any]:
    return {
        "body": json.dumps(body, indent=1),
        "status_code": status_code,
        "mimetype": "application/json",
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
    return {"body": str(found), "status_code": 200 if found.runs else 503}
