"""Looks names up for the measured attempt, each lookup in a thread of its own, nothing cached.

Rules kept here: a lookup that hangs in the C library holds up neither another target's lookup (a shared
pool of threads would run out) nor the process's end (the thread is a daemon); an abandoned thread lives no
longer than the C library's own time-out.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable

from aiohttp.abc import AbstractResolver, ResolveResult

type Address = tuple[int, tuple[str, int] | tuple[str, int, int, int]]
"""Family, and where to connect in the shape of that family."""
type _Address = tuple[int, int, str]
"""Family, protocol number and numeric host."""

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


async def addresses(host: str, port: int, on_lookup: Callable[[], None]) -> list[Address]:
    """Return where a host can be found, in the system's order; a number is not looked up.

    ``on_lookup`` is called before a lookup begins. Raises ``OSError`` when there is none to be had.
    """
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return [(family, (host, port) if family == socket.AF_INET else (host, port, 0, 0))]
    on_lookup()
    return await _in_thread(host, port)


async def _in_thread(host: str, port: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def tell(result: list[Address], error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)

    def look_up() -> None:
        result, error = [], None
        try:
            result = _found(host, port)
        except Exception as raised:  # noqa: BLE001 - a thread hands on whatever happened, it decides nothing
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=look_up, name=f"dns {host}", daemon=True).start()
    return await answer


def _found(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    kinds = (socket.AF_INET, socket.AF_INET6)
    if not (usable := [(kind, at) for kind, _, _, _, at in found if kind in kinds]):
        raise socket.gaierror(socket.EAI_NONAME, "no address of a usable kind")
    return usable  # type: ignore[return-value] # of these two kinds


class ThreadPerLookup(AbstractResolver):
    """Returns what the system's resolver says now."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return a name's addresses. Raises ``OSError`` when it has none or cannot be looked up."""
        return [
            ResolveResult(hostname=host, host=numeric, port=port, family=kind, proto=proto, flags=_NUMERIC)
            for kind, proto, numeric in await _looked_up(host, port, family)
        ]

    async def close(self) -> None:
        """Hold nothing: a thread that still runs ends by itself."""


async def _looked_up(host: str, port: int, family: int) -> list[_Address]:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[_Address]] = loop.create_future()

    def tell(result: list[_Address], error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)

    def look_up() -> None:
        result, error = [], None
        try:
            result = _addresses(host, port, family)
        except Exception as raised:  # noqa: BLE001 - a thread hands on whatever happened, it decides nothing
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=look_up, name=f"dns {host}", daemon=True).start()
    return await answer


def _addresses(host: str, port: int, family: int) -> list[_Address]:
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    kinds = (socket.AF_INET, socket.AF_INET6)
    return [(kind, proto, str(at[0])) for kind, _, proto, _, at in found if kind in kinds]
