"""Owns the lab's admin port: HTTP on the loopback that shows the lab's state and switches its faults.

Rules: what is asked wrongly is answered 400 with what would be right; nothing is switched by a GET; a web
page is answered 403, whatever it asks: a browser lets any page send to the loopback, and a name that is
resolved anew to it (DNS rebinding) lets it read as well. What gives a page away is the ``Origin`` that
browsers send along, or a ``Host`` that is not ours.
"""

import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from probe.lab.account.faults import Only, kinds_table
from probe.lab.account.listener import HOST
from probe.lab.account.pair import Pair
from probe.lab.account.proxy import Proxy
from probe.lab.account.replicator import Status
from probe.lab.errors import LabError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HELP = f"""The lab's admin port. ENDPOINT is primary, secondary or (where the lab has one) host.

  GET  /                              this text
  GET  /state                         faults, replication, counts and the last events, as JSON
  POST /ENDPOINT/fault?kind=KIND&...  switch a fault on; also=true keeps those that are on
  POST /ENDPOINT/heal                 switch its faults off
  POST /heal                          switch all faults off
  POST /lag?seconds=30                replicate that much later; seconds=paused stands still
  POST /status?is=live                {", ".join(Status)}
  POST /lose-secondary                its name or its port is gone, replication is unavailable
  POST /fail-over                     an unplanned failover: the primary serves what the secondary had

Every fault takes only={"|".join(Only)} and path=PART of the request's path and query. The kinds:

{kinds_table()}

  curl -X POST '{{url}}/primary/fault?kind=status&code=503'
"""
LAST_EVENTS = 20


class Admin:
    """The admin port of a pair, as an async context manager; a port of 0 is chosen by the system."""

    def __init__(self, pair: Pair, *, port: int = 0) -> None:
        self.port = port
        self._pair = pair
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[_errors_as_json, self._only_ours])
        app.add_routes(
            [
                web.get("/", self._help),
                web.get("/state", self._state),
                web.post("/{endpoint}/fault", self._fault),
                web.post("/{endpoint}/heal", self._heal),
                web.post("/heal", self._heal_all),
                web.post("/lag", self._lag),
                web.post("/status", self._status),
                web.post("/lose-secondary", self._lose_secondary),
                web.post("/fail-over", self._fail_over),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise LabError(f"port {self.port} of the admin is busy: choose another") from error
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _only_ours(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what a web page sent; our own address in either spelling is no page's."""
        ours = [f"{name}:{self.port}" for name in (HOST, "localhost")]
        hosts, origins = request.headers.getall("Host", []), request.headers.getall("Origin", [])
        if len(hosts) != 1 or hosts[0].lower() not in ours:
            raise web.HTTPForbidden(reason=f"this is not the Host of the lab, which is {ours[0]}")
        if any(each.lower() not in [f"http://{host}" for host in ours] for each in origins):
            raise web.HTTPForbidden(reason="the lab takes nothing from another web page (Origin)")
        return await handler(request)

    async def _help(self, _: web.Request) -> web.Response:
        return web.Response(text=HELP.replace("{url}", self.url))

    async def _state(self, _: web.Request) -> web.Response:
        return self._now()

    async def _fault(self, request: web.Request) -> web.Response:
        options: dict[str, Any] = dict(request.query)
        kind = options.pop("kind", "")
        also = _flag("also", options.pop("also", "false"))
        self._endpoint(request).fault(kind, also=also, **options)
        return self._now()

    async def _heal(self, request: web.Request) -> web.Response:
        self._endpoint(request).heal()
        return self._now()

    async def _heal_all(self, _: web.Request) -> web.Response:
        self._pair.heal()
        return self._now()

    async def _lag(self, request: web.Request) -> web.Response:
        self._pair.replicator.lag = _seconds(request.query.get("seconds", ""))
        return self._now()

    async def _status(self, request: web.Request) -> web.Response:
        self._pair.replicator.status = request.query.get("is", "")
        return self._now()

    async def _lose_secondary(self, _: web.Request) -> web.Response:
        self._pair.lose_secondary()
        return self._now()

    async def _fail_over(self, _: web.Request) -> web.Response:
        self._pair.fail_over()
        return self._now()

    def _endpoint(self, request: web.Request) -> Proxy:
        name = request.match_info["endpoint"]
        try:
            return self._pair.proxies[name]
        except KeyError:
            known = ", ".join(self._pair.proxies)
            raise LabError(f"no endpoint is called {name!r}; they are: {known}") from None

    def _now(self) -> web.Response:
        return web.json_response(text=json.dumps(state(self._pair), indent=1) + "\n")


def state(pair: Pair) -> dict[str, Any]:
    """Return the lab's state as a JSON document."""
    replicator = pair.replicator
    synced = replicator.last_sync_time
    return {
        "endpoints": {name: _endpoint_state(proxy) for name, proxy in pair.proxies.items()},
        "replication": {
            "lag_seconds": replicator.lag,
            "paused": replicator.lag is None,
            "status": replicator.status,
            "last_sync_time": f"{synced:%Y-%m-%dT%H:%M:%SZ}" if synced else None,
            "pending": replicator.pending,
            "replicated": replicator.replicated,
        },
        "events": [str(event) for event in pair.events][-LAST_EVENTS:],
    }


def _endpoint_state(proxy: Proxy) -> dict[str, Any]:
    return {
        "url": proxy.url,
        "faults": [str(fault) for fault in proxy.faults],
        "connections": {"open": proxy.connections, "accepted": proxy.accepted},
        "requests": dict(sorted(proxy.counts.items())),
    }


def _flag(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise LabError(f"{name}={text!r} is not valid; it is: true, false")
    return text.lower() == "true"


def _seconds(text: str) -> float | None:
    if text == "paused":
        return None
    try:
        return float(text)
    except ValueError:
        raise LabError(
            f"seconds={text!r} is not valid; it is a number of seconds from 0, or paused"
        ) from None


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except LabError as error:
        return web.json_response({"error": str(error)}, status=400)
    except web.HTTPException as error:
        told = f"{error.reason}: {request.method} {request.path}; GET / tells what there is"
        return web.json_response({"error": told}, status=error.status)
