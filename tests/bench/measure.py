"""Measures the rows of the bench: a row's sides take turns on one core, the account they ask has another.

Rules kept here: the sides of a row are measured in one run, in turn; what is started is ended, whatever
happens; a figure that cannot be had is said, not left out.
"""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.sides import CONCURRENCY, REQUESTS, Where, settings

BLACKBOX = "prometheus-blackbox-exporter"
BLACKBOX_MODULES = """modules:
  http_2xx:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
      tls_config:
        ca_file: {ca}
"""

type Sample = Callable[[], float]
"""Runs a side once, and returns what it measures: seconds of CPU, or bytes."""
type Side = AbstractContextManager[Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured: ``samples`` runs of each side, ``minutes`` of ticks before those of a tick."""

    samples: int = 5
    targets: int = 100
    minutes: int = 60
    attempts: int = 1600
    answers: int = 200


class Bench:
    """The cores, the account, and the sides that ask it."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        cores = sorted(os.sched_getaffinity(0))
        self._measured, self._other = cores[0], cores[-1]
        self.where: Where = {}

    @contextmanager
    def account(self) -> Iterator[None]:
        """Run the account while this lasts."""
        command = (sys.executable, "-m", "tests.bench.account")
        with self._started(*command, core=self._other) as child:
            self.where = json.loads(_line(child))
            yield

    @contextmanager
    def side(self, name: str, *, tls: bool = False) -> Iterator[Sample]:
        """Prepare one of ``sides``, and return what runs it."""
        sizes = {
            "targets": self._sizes.targets,
            "minutes": self._sizes.minutes,
            "attempts": self._sizes.attempts,
            "answers": self._sizes.answers,
            "tls": int(tls),
        }
        command = (sys.executable, "-m", "tests.bench.sides", name, json.dumps(self.where), json.dumps(sizes))
        with self._started(*command, environment={"SSL_CERT_FILE": self.where["ca"]}) as child:
            _line(child)

            def sample() -> float:
                assert child.stdin
                child.stdin.write("go\n")
                child.stdin.flush()
                return float(_line(child))

            yield sample

    @contextmanager
    def blackbox(self, *, tls: bool = False) -> Iterator[Sample]:
        """Run prometheus-blackbox-exporter, and return what has it probe as often as we attempt."""
        url = f"{self.where['tls' if tls else 'primary']}/t0/health-probe/HelloWorld.png"
        with tempfile.TemporaryDirectory() as folder:
            modules = Path(folder, "modules.yml")
            modules.write_text(BLACKBOX_MODULES.format(ca=self.where["ca"]), encoding="ascii")
            port = _free_port()
            options = (
                f"--config.file={modules}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            )
            with self._started(BLACKBOX, *options) as child:
                probe = f"http://127.0.0.1:{port}/probe?module=http_2xx&target={url}"
                _until(lambda: _probed(probe))

                def sample() -> float:
                    began = _cpu(child.pid)
                    with ThreadPoolExecutor(CONCURRENCY) as clients:
                        done = clients.map(lambda _: _probed(probe), range(self._sizes.attempts))
                        assert all(done), "every probe of blackbox_exporter succeeds"
                    return _cpu(child.pid) - began

                yield sample

    @contextmanager
    def first(self, kind: str) -> Iterator[Sample]:
        """Return what runs a fresh process's first tick, or the bare script beside it."""
        with tempfile.TemporaryDirectory() as folder:
            environment = {
                **settings(self.where, 1),
                "PROBE_STATE": f"file:{folder}/state.json",
                "PRIMARY": self.where["primary"],
                "SECONDARY": self.where["secondary"],
            }

            def run(*arguments: str) -> tuple[str, float]:
                before = _of_children()
                command = (sys.executable, "-m", "tests.bench.first", *arguments)
                with self._started(*command, environment=environment) as child:
                    out, _ = child.communicate()
                assert child.returncode == 0, "a first tick ends well"
                return out, _of_children() - before

            arguments = [kind]
            if kind == "bare":
                arguments.append(run("modules")[0])
            run(*arguments)  # what is compiled once, and read from disk once

            def sample() -> float:
                Path(folder, "state.json").unlink(missing_ok=True)
                return run(*arguments)[1]

            yield sample

    @contextmanager
    def _started(
        self, *command: str, core: int | None = None, environment: dict[str, str] | None = None
    ) -> Iterator["subprocess.Popen[str]"]:
        """Run a command on the measured core, or another, in a session of its own: Ctrl-C is for us."""
        os.sched_setaffinity(0, {self._measured if core is None else core})
        try:
            child = subprocess.Popen(  # noqa: S603 - our own
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": ".", **(environment or {})},
            )
        finally:
            os.sched_setaffinity(0, {self._other})
        try:
            yield child
        finally:
            child.terminate()
            child.wait()
            for stream in (child.stdin, child.stdout):
                stream.close()


def _line(child: "subprocess.Popen[str]") -> str:
    assert child.stdout
    line = child.stdout.readline()
    if not line:
        raise SystemExit(f"a side of the bench has ended early: {' '.join(map(str, child.args))[:200]}")
    return line


def _cpu(pid: int) -> float:
    """Return the seconds of CPU that a process and its threads have used, to the nanosecond.

    Source: the clock ids of clock_getcpuclockid(3), as Linux makes them.
    """
    return time.clock_gettime((~pid << 3) | 2)


def _of_children() -> float:
    """Return the seconds of CPU of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _until(is_so: Callable[[], bool]) -> None:
    """Wait for what takes a moment to listen."""
    give_up = time.monotonic() + 30
    while not is_so():
        if time.monotonic() > give_up:
            raise SystemExit(f"{BLACKBOX} does not probe")
        time.sleep(0.1)


def _probed(url: str) -> bool:
    """Have blackbox_exporter probe once, and return whether it found the blob."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - on loopback
            return b"\nprobe_success 1\n" in answer.read()
    except OSError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: what is measured, beside what, and the goal.

    ``sides`` are the probe and what it is held to, ``None`` where it is held to a figure alone. A run is
    divided by ``units``. ``most`` is the goal of the figure, in its unit; ``share`` that of the ratio.
    """

    name: str
    unit: str
    units: Callable[[Sizes], float]
    sides: Callable[[Bench], tuple[Side, Side | None]]
    beside: str = ""
    most: float | None = None
    share: float | None = None


def _milliseconds(sizes: Sizes) -> float:
    return sizes.targets / 1000


def _microseconds(sizes: Sizes) -> float:
    return sizes.attempts / 1_000_000


ROWS = (
    Row(
        name=f"a target's tick of {REQUESTS} requests",
        unit="ms",
        units=_milliseconds,
        sides=lambda bench: (bench.side("tick"), bench.side("bare_aiohttp")),
        beside="bare aiohttp, the same requests",
        most=1.2,
        share=1.0,
    ),
    Row(
        name="the same, telling Azure Monitor",
        unit="ms",
        units=_milliseconds,
        sides=lambda bench: (bench.side("telling_tick"), bench.side("bare_aiohttp")),
        beside="bare aiohttp, which tells nobody",
        most=2.0,
    ),
    Row(
        name=f"an attempt on a fresh connection, {CONCURRENCY} at once",
        unit="µs",
        units=_microseconds,
        sides=lambda bench: (bench.side("attempts"), bench.blackbox()),
        beside=BLACKBOX,
        share=0.5,
    ),
    Row(
        name="the same over TLS 1.3, verified",
        unit="µs",
        units=_microseconds,
        sides=lambda bench: (bench.side("attempts", tls=True), bench.blackbox(tls=True)),
        beside=BLACKBOX,
        share=0.7,
    ),
    Row(
        name="a target's tick without its requests",
        unit="ms",
        units=_milliseconds,
        sides=lambda bench: (bench.side("bookkeeping"), None),
        most=0.25,
    ),
    Row(
        name="peak of memory above idle, on hostile answers to every request",
        unit="MiB",
        units=lambda _: 2**20,
        sides=lambda bench: (bench.side("hostile"), None),
        most=16,
    ),
    Row(
        name="first tick of a fresh process, import to saved",
        unit="ms",
        units=lambda _: 1 / 1000,
        sides=lambda bench: (bench.first("probe"), bench.first("bare")),
        beside="a bare script, the same imports and requests",
        share=1.25,
    ),
)


def measure(row: Row, bench: Bench, sizes: Sizes) -> tuple[list[float], list[float]]:
    """Return a row's samples, the probe's and the other side's, in its unit; they take turns.

    The other side's are none where it is not installed.
    """
    ours, theirs = row.sides(bench)
    if row.beside == BLACKBOX and not version_of_blackbox():
        theirs = None
    here: list[float] = []
    there: list[float] = []
    with ExitStack() as stack:
        turns = [(stack.enter_context(ours), here)]
        if theirs is not None:
            turns.append((stack.enter_context(theirs), there))
        for _ in range(sizes.samples):
            for sample, kept in turns:
                kept.append(round(sample() / row.units(sizes), 4))
    return here, there


def version_of_blackbox() -> str | None:
    """Return which blackbox_exporter is installed, if one is."""
    if shutil.which(BLACKBOX) is None:
        return None
    told = subprocess.run([BLACKBOX, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return (told.stdout or told.stderr).split("version ")[1].split()[0].rstrip(",")
