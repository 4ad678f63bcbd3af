"""Owns the lab's host names, which can stop resolving: names under `lab.invalid`, looked up in a file.

Nothing on the machine is changed. A process that wants them calls `install`, which answers look-ups of these
names from the file and passes on all others; no resolver in the world knows a name under `.invalid` (RFC
6761), so that a process that does not install them always sees the failure.
"""

import asyncio
import functools
import importlib.util
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SUFFIX = ".lab.invalid"
ADDRESS = "127.0.0.1"


class Names:
    """The names of one lab, as a context manager: `file` holds those that resolve, a line each."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lab-names-")
        self._known: set[str] = set()
        self.file = Path(self._folder.name) / "hosts"
        self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def resolve(self, name: str, *, known: bool) -> None:
        """Let a name resolve from now on, or not."""
        changed = self._known | {name} if known else self._known - {name}
        if changed != self._known:
            self._known = changed
            self._write()

    def _write(self) -> None:
        """Replace the file in one step: a look-up never sees half of it."""
        new = self.file.with_suffix(".new")
        new.write_text("".join(f"{name}\n" for name in sorted(self._known)), encoding="ascii")
        new.replace(self.file)


async def _look_up(
    loop: asyncio.AbstractEventLoop, host: object, port: object, **hints: int
) -> list[tuple[Any, ...]]:
    """Look up as asyncio's own loop does, by the socket module; uvloop's asks the system itself."""
    return await loop.run_in_executor(
        None,
        functools.partial(socket.getaddrinfo, host, port, **hints),  # type: ignore[arg-type]
    )


def install(file: str | os.PathLike[str]) -> Callable[[], None]:
    """Make this process look the lab's names up in the file; return what undoes it."""
    before = socket.getaddrinfo

    @functools.wraps(before)
    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (the signature is socket's)
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if not isinstance(name, str) or not name.endswith(SUFFIX):
            return before(host, *args, **kwargs)
        if name not in Path(file).read_text(encoding="ascii").split():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return before(ADDRESS, *args, **kwargs)

    def undo() -> None:
        socket.getaddrinfo = before
        if uvloop:
            del uvloop.Loop.getaddrinfo

    socket.getaddrinfo = getaddrinfo
    uvloop = importlib.import_module("uvloop") if importlib.util.find_spec("uvloop") else None
    if uvloop:
        uvloop.Loop.getaddrinfo = _look_up
    return undo
