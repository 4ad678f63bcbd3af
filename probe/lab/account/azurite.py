"""Owns one Azurite process: started on ports of its own, waited for, and never left behind.

Rules: it runs in its own process group, so that a Ctrl-C on the terminal reaches the lab and not the
emulator; it lives no longer than the lab, because `lifeline.cjs` ends it when its standard input ends. The
kernel closes that pipe however the lab goes, SIGKILL included. PR_SET_PDEATHSIG would do the same on Linux
only, fires when the *thread* that started the child ends, and needs code between fork and exec.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from probe.lab.account.certificates import Certificates
from probe.lab.errors import LabError

Service = Literal["blob", "queue", "table"]

ACCOUNT = "devstoreaccount1"
# Azurite's published development key: the same on every machine, and no secret. gitleaks:allow
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

FOLDER = Path(__file__).parent / "azurite"
PACKAGE = FOLDER / "node_modules" / "azurite"
INSTALL = "install it with 'make', or 'npm ci --ignore-scripts' in probe/lab/account/azurite"
NODE_NEEDED = 20
START_TIMEOUT = 60.0
STOP_TIMEOUT = 1.0
# Seconds; longer than the proxies keep idle connections, so that Azurite never closes one just as it is used.
KEEP_ALIVE = 300

_LISTENING = re.compile(r"Azurite (\w+) service .*listen\w* (?:at|on) (https?://\S+)")
_BUSY = re.compile(r"EADDRINUSE\D*[\d.]*:(\d+)")


class Azurite:
    """One Azurite, as an async context manager.

    With `location` it keeps its data in that folder, else in memory. With `certificates` it serves https and
    takes bearer tokens with the right audience, issuer and expiry, without checking their signature. A port
    of 0 is chosen by the system; `url` tells it once started.
    """

    def __init__(
        self,
        *,
        services: tuple[Service, ...] = ("blob",),
        ports: Mapping[Service, int] | None = None,
        location: Path | None = None,
        certificates: Certificates | None = None,
        start_timeout: float = START_TIMEOUT,
    ) -> None:
        self._services = services
        self._ports = ports or {}
        self._location = location
        self._certificates = certificates
        self._start_timeout = start_timeout
        self._urls: dict[str, str] = {}
        self._output: deque[str] = deque(maxlen=50)
        self._started = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def folder(self) -> str | None:
        """The temporary folder that it runs in, removed with it."""
        return self._folder.name if self._folder else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def url(self, service: Service = "blob") -> str:
        """Return the service's root, such as `http://127.0.0.1:35739`, without an account."""
        return self._urls[service]

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        command = self._command()
        self._folder = tempfile.TemporaryDirectory(prefix="lab-azurite-")
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._folder.name,
            env=_environment() | {"LAB_FOLDER": self._folder.name},
            start_new_session=True,
        )
        self._reader = asyncio.create_task(self._read_output(self._process))
        try:
            async with asyncio.timeout(self._start_timeout):
                await self._started.wait()
        except TimeoutError:
            raise LabError(self._told(f"Azurite did not start within {self._start_timeout:g} s")) from None
        if len(self._urls) < len(self._wanted()):
            raise LabError(self._why_not())

    def _wanted(self) -> tuple[Service, ...]:
        return ("blob",) if self._services == ("blob",) else ("blob", "queue", "table")

    def _command(self) -> list[str]:
        node = shutil.which("node")
        if node is None:
            raise LabError(f"Node is not on the PATH: the lab's storage needs Node {NODE_NEEDED} or later")
        script = "blob/main.js" if self._wanted() == ("blob",) else "azurite.js"
        main = PACKAGE / "dist" / "src" / script
        if not main.is_file():
            raise LabError(f"Azurite is not installed: {INSTALL}")
        command = [node, "--require", str(FOLDER / "lifeline.cjs"), str(main)]
        # The version check is off because the storage SDK speaks newer versions than Azurite knows.
        command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        # The account is in the path, whatever the host is called.
        command += ["--disableProductStyleUrl"]
        for service in self._wanted():
            command += [f"--{service}Port", str(self._ports.get(service, 0))]
            command += [f"--{service}KeepAliveTimeout", str(KEEP_ALIVE)]
        command += ["--location", str(self._location)] if self._location else ["--inMemoryPersistence"]
        if made := self._certificates:
            command += ["--cert", str(made.certificate), "--key", str(made.private_key), "--oauth", "basic"]
        return command

    async def _read_output(self, process: asyncio.subprocess.Process) -> None:
        """Drain the output for as long as the process lives: a full pipe would block it."""
        assert process.stdout is not None  # noqa: S101 (asked for as a pipe)
        while line := await process.stdout.readline():
            text = line.decode(errors="replace").rstrip()
            self._output.append(text)
            if found := _LISTENING.match(text):
                self._urls[found[1].lower()] = found[2]
                if len(self._urls) == len(self._wanted()):
                    self._started.set()
        self._started.set()

    def _why_not(self) -> str:
        output = "\n".join(self._output)
        if busy := _BUSY.search(output):
            return f"port {busy[1]} is busy: stop what listens there or choose another port"
        if old := _too_old():
            return old
        return self._told("Azurite ended as it started")

    def _told(self, what: str) -> str:
        output = "\n  ".join(self._output) or "nothing"
        return f"{what}; it said:\n  {output}"

    async def stop(self) -> None:
        """End the process within two seconds, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            await _end(process)
        if self._reader is not None:
            await self._reader
            self._reader = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _environment() -> dict[str, str]:
    """Ours, without the variables that would change Azurite's accounts or put it on another database."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AZURITE_")}


def _too_old() -> str | None:
    command = ["node", "--version"]  # the one on the PATH is the one meant
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (as above)
    version = told.stdout.strip().removeprefix("v")
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < NODE_NEEDED:
        return f"Node {version} is too old: the lab's storage needs Node {NODE_NEEDED} or later"
    return None
