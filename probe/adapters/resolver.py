"""Looks names up for the measured attempt, each lookup in a thread of its own, nothing cached.

Rules kept here: a lookup that hangs in the C library holds up neither another target's lookup (a shared
pool of threads would run out) nor the process's end (the thread is a daemon); an abandoned thread lives no
longer than the C library's own time-out.
"""

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable

type Address = tuple[int, tuple[str, int] | tuple[str, int, int, int]]
"""Family, and where to connect in the shape of that family."""


async def addresses(host: str, port: int, on_lookup: Callable[[], None]) -> list[Address]:
    """Return where a host can be found, in the system's order; a number is not looked up.

    ``on_lookup`` is called before a lookup begins. Raises ``OSError`` when there is none to be had, and
    ``UnicodeError`` for what cannot be a name.
    """
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return [(family, (host, port) if family == socket.AF_INET else (host, port, 0, 0))]
    on_lookup()
    return await _looked_up(host, port)


async def _looked_up(host: str, port: int) -> list[Address]:
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

    try:
        threading.Thread(target=look_up, name=f"dns {host}", daemon=True).start()
    except RuntimeError as error:  # this machine has no thread left, and no name can be blamed
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error
    return await answer


def _found(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    kinds = (socket.AF_INET, socket.AF_INET6)
    if not (usable := [(kind, at) for kind, _, _, _, at in found if kind in kinds]):
        raise socket.gaierror(socket.EAI_NONAME, "no address of a usable kind")
    return usable  # type: ignore[return-value] # of these two kinds
