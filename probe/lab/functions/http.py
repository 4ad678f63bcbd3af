"""HTTP as the Functions host serves it: requests in to HTTP functions, their responses out.

Rules: a route lives under host.json's prefix; a method that the binding does not name is not found, as on
Azure; every auth level is open, as with `func start`; the body goes over as bytes. A failed function is
an empty 500, and its reason is in the log only. `POST /admin/functions/NAME` with `{"input": TEXT}` runs
a function that has no URL, as the host's own does.
"""

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

from aiohttp import web

from probe.lab.functions.config import Function, HostError
from probe.lab.functions.process import Data, as_bytes

LARGEST_BODY: Final = 32 * 2**20
SHUTDOWN_TIMEOUT: Final = 0.2
_PARAMETER: Final = re.compile(r"\{(\*?)([A-Za-z_]\w*)\}")

type Serve = Callable[[Function, Data, str | None], Awaitable[Data | None]]
"""Runs a function on a request, under its traceparent; gives the return value, or none if it failed."""
type RunByName = Callable[[str, str], bool]
"""Starts a function that has no URL on an input; tells whether there is one of that name."""


def route(function: Function, prefix: str) -> str:
    """Give the path of a function's URL, with its parameters as written in the binding."""
    template = str(function.trigger.details.get("route") or function.name).strip("/")
    return f"/{prefix}/{template}" if prefix else f"/{template}"


def methods(function: Function) -> tuple[str, ...]:
    """Give the methods that the binding names, in upper case; none means all."""
    return tuple(str(method).upper() for method in function.trigger.details.get("methods") or ())


def _pattern(function: Function, prefix: str) -> str:
    """Write the route as aiohttp does. Raises: HostError, where it has constraints or optional parts."""
    path = route(function, prefix)
    if re.search(r"[{}]", _PARAMETER.sub("", path)):
        raise HostError(
            f"route {path!r} of {function.name!r}: the lab's host knows {{name}} and {{*name}} only"
        )
    return _PARAMETER.sub(lambda found: f"{{{found[2]}:.*}}" if found[1] else f"{{{found[2]}}}", path)


def application(
    functions: tuple[Function, ...], prefix: str, serve: Serve, run: RunByName
) -> web.Application:
    """Build the server of these functions. Raises: HostError."""
    app = web.Application(client_max_size=LARGEST_BODY)
    by_path: dict[str, list[Function]] = {}
    for function in functions:
        by_path.setdefault(_pattern(function, prefix), []).append(function)
    for path, sharing in by_path.items():
        app.router.add_route("*", path, _handler(tuple(sharing), serve))
    app.router.add_post("/admin/functions/{name}", _admin_handler(run))
    return app


def _handler(
    functions: tuple[Function, ...], serve: Serve
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        for function in functions:
            if not (named := methods(function)) or request.method in named:
                trace_parent = request.headers.get("traceparent")
                return _response(await serve(function, await _request(request), trace_parent))
        raise web.HTTPNotFound

    return handle


def _admin_handler(run: RunByName) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        told = await request.json() if request.can_read_body else {}
        if not run(request.match_info["name"], str(told.get("input") or "")):
            raise web.HTTPNotFound
        return web.Response(status=202)

    return handle


async def _request(request: web.Request) -> Data:
    """Give the request as the runtime takes it; what repeats is joined with commas."""
    return {
        "http": {
            "method": request.method,
            "url": str(request.url),
            "headers": _joined(request.headers),
            "query": _joined(request.query),
            "params": dict(request.match_info),
            "body": as_bytes(await request.read()),
        }
    }


def _joined(pairs: Any) -> dict[str, str]:  # noqa: ANN401  # aiohttp's multidicts
    return {name: ",".join(pairs.getall(name)) for name in pairs}


def _response(returned: Data | None) -> web.Response:
    if returned is None:
        return web.Response(status=500)
    ((kind, value),) = returned.items()
    if kind != "http":
        return web.Response(text=str(value))
    response = web.Response(status=value["status_code"], headers=value["headers"], body=_bytes(value["body"]))
    for cookie in value["cookies"]:
        response.headers.add("Set-Cookie", _set_cookie(cookie))
    return response


def _bytes(data: Data) -> bytes:
    ((kind, value),) = data.items()
    return base64.b64decode(value) if kind == "bytes" else str(value).encode()


def _set_cookie(cookie: Mapping[str, Any]) -> str:
    attributes = {
        "Domain": cookie["domain"],
        "Path": cookie["path"],
        "Max-Age": None if cookie["max_age"] is None else int(cookie["max_age"]),
        "Expires": _http_time(cookie["expires"]),
        "SameSite": cookie["same_site"],
    }
    told = [f"{cookie['name']}={cookie['value']}"]
    told += [f"{name}={value}" for name, value in attributes.items() if value not in {None, ""}]
    told += [name for name, key in (("Secure", "secure"), ("HttpOnly", "http_only")) if cookie[key]]
    return "; ".join(told)


def _http_time(seconds: int | None) -> str | None:
    return None if seconds is None else format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)
