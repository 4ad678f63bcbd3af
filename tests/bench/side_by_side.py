"""``make side-by-side``: the same outages met by this probe's reader and by other clients, in one run.

Each client reads one blob: a read, a second's rest, the next. The primary fails for five minutes, the
secondary answers throughout. Time is simulated, so that who waits for minutes by default does so here, and
what comes out is the same in each run, but for the SDK's waits, whose chance is its own. Each outage is
played several times, beginning a little later in the rhythm of each client, whose chance is another then.
What an attempt meets is scripted; the waiting, the retries and the moves are each client's own:

- *this probe*: the ``Reader`` and its breaker, with the default policy. It makes reads alone: no tick looks
  at the primary beside them, which would bring it home sooner.
- *the sample of 2019*: our rendering of the algorithm of ``circuitbreaker.py`` in
  Azure-Samples/storage-python-circuit-breaker-pattern-ha-apps-using-ra-grs: five retries a second or so
  apart, the fifth moves the client to the secondary for 20 responses. Its SDK waited 20 s for a socket, and
  spread its delays by up to 5 s.
- *the SDK*: ``azure-storage-blob`` itself with ``retry_to_secondary``, over a transport that answers by the
  script and honours its time-outs; by default, and tightened to our time-outs and four quick tries.
- *redis-py's rule*: that of ``MultiDBClient`` (redis/asyncio/multidb, October 2026) with its defaults: health
  checks of three probes each 5 s open and close a location's circuit, each command is tried four times
  with growing random delays at the location that is active then, and 120 s later the first choice is taken
  again. It is the nearest published relative: two endpoints, one preferred, a breaker for each. Its attempts
  have our deadline.
"""

import asyncio
import math
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Protocol, Self

from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.storage.blob.aio import BlobClient, LinearRetry

from probe.adapters.transport import Response
from probe.core.breaker import Breaker
from probe.core.canary import Stamp
from probe.core.reading import Purpose, Reading
from probe.core.replication import Ledger
from probe.core.target import Location, Policy
from probe.lab import world
from probe.reader import Reader
from tests.reliability import results

PRIMARY, SECONDARY = Location.PRIMARY, Location.SECONDARY
REST = 1.0
"""Seconds between two reads."""
LASTS, CALM = 300.0, 400.0
"""Seconds of the outage, and of the calm after it."""
BEGINS = tuple(60 + 1.3 * number for number in range(5))
"""When the outage begins, play by play: at five places in the rhythm of reads and health checks."""
TOOK = {None: 0.03, "503": 0.012, "refused": 0.004, "dns": 0.006, "tls": 0.02, "slow": 3.0}
"""Seconds until an attempt knows; silence lasts as long as its client waits."""
DEADLINE = 5.0


type Meets = Callable[[float, random.Random], str | None]
"""Returns what a request to the primary meets so many seconds into the outage; ``None``: a good answer."""

OUTAGES: dict[str, Meets] = {
    "503": lambda *_: "503",
    "refused": lambda *_: "refused",
    "silent": lambda *_: "silent",
    "slow (3 s)": lambda *_: "slow",
    "503 half the time": lambda _, chance: "503" if chance.random() < 0.5 else None,
    "503 for 20 s of 40": lambda into, _: "503" if into % 40 < 20 else None,
    "TLS fails": lambda *_: "tls",
    "the name is gone": lambda *_: "dns",
}


@dataclass
class Account:
    """Both locations: the secondary is well, the primary meets the outage from ``begins`` to ``ends``."""

    outage: Meets
    begins: float
    ends: float
    requests: Counter[Location] = field(default_factory=Counter)
    """Those that began during the outage."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.begins)  # noqa: S311 - no secret

    async def meet(self, location: Location, patience: float) -> str | None:
        """Return what one request meets, after the time that it takes, or the patience when it is silent."""
        now = asyncio.get_running_loop().time()
        during = self.begins <= now < self.ends
        self.requests[location] += during
        sick = during and location is PRIMARY
        met = self.outage(now - self.begins, self.chance) if sick else None
        took = TOOK.get(met, patience)
        await asyncio.sleep(min(took, patience))
        if took > patience or met == "silent":
            return "timeout"
        return None if met == "slow" else met


class Client(Protocol):
    async def read(self) -> Location | None:
        """Read once, and return who served."""
        ...


class Ours:
    """The reader of this probe."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._reader = Reader(
            target=world.target(),
            session=self,  # type: ignore[arg-type] - it makes attempts, and that is all that a reader asks for
            breaker=Breaker.fresh(world.clock()),
            ledger=Ledger(),
            clock=world.clock,
            sleep=asyncio.sleep,
        )

    async def read(self) -> Location | None:
        return (await self._reader.read()).served_by

    async def attempt(self, location: Location, purpose: Purpose, *, floor: Stamp | None) -> Reading:
        del floor
        started_at = world.clock()
        met = await self._account.meet(location, Policy().deadline / timedelta(seconds=1))
        took = world.clock() - started_at
        return Reading(
            location=location, purpose=purpose, started_at=started_at, duration=took, error_type=met
        )


class Sample:
    """The algorithm of Microsoft's sample of 2019."""

    RETRIES, AWAY, BACKOFF, JITTER, SOCKET = 5, 20, 1, 5, 20

    def __init__(self, account: Account) -> None:
        self._account = account
        self._mode = PRIMARY
        self._away = 0
        self._chance = account.chance

    async def read(self) -> Location | None:
        location = self._mode
        for retry in range(self.RETRIES + 1):
            met = await self._account.meet(location, self.SOCKET)
            if location is SECONDARY and (met is None or met.isdecimal()):
                self._answered()
            if met is None:
                return location
            if retry + 1 == self.RETRIES:
                self._mode = SECONDARY
            if retry < self.RETRIES:
                await asyncio.sleep(self._chance.uniform(0, self.BACKOFF + self.JITTER))
        return None

    def _answered(self) -> None:
        self._away += 1
        if self._away >= self.AWAY:
            self._mode, self._away = PRIMARY, 0


class _Transport(AsyncHttpTransport[Any, Any]):
    """Answers the SDK by the script, and waits no longer than the SDK says."""

    def __init__(self, account: Account, read_timeout: float) -> None:
        self._account = account
        self._read_timeout = read_timeout
        self.asked: list[Location] = []

    async def send(self, request: Any, **_: Any) -> Response:
        location = SECONDARY if "-secondary" in request.url else PRIMARY
        self.asked.append(location)
        met = await self._account.meet(location, self._read_timeout)
        if met == "timeout":
            raise ServiceResponseError("no answer in time")
        if met is not None and not met.isdecimal():
            raise ServiceRequestError(met)
        head = {
            "content-length": "4",
            "content-range": "bytes 0-3/4",
            "etag": '"1"',
            "x-ms-blob-type": "BlockBlob",
        }
        found = SimpleNamespace(status=int(met or 206), headers=head, body=b"" if met else b"blob")
        return Response(request, found)  # type: ignore[arg-type] - as much of an exchange as it looks at

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


class Sdk:
    """``azure-storage-blob`` with ``retry_to_secondary``."""

    def __init__(self, account: Account, read_timeout: float = 60, **settings: Any) -> None:
        self._transport = _Transport(account, read_timeout)
        self._client = BlobClient(
            "https://contoso.blob.core.windows.net",
            "c",
            "b",
            transport=self._transport,
            retry_to_secondary=True,
            **settings,
        )

    async def read(self) -> Location | None:
        try:
            stream = await self._client.download_blob()
            await stream.readall()
        except AzureError:
            return None
        return self._transport.asked[-1]


def tightened(account: Account) -> Sdk:
    """Return the SDK with our time-outs, and quick retries that go back and forth."""
    retry = LinearRetry(backoff=0.2, retry_total=3, retry_to_secondary=True, random_jitter_range=0)  # type: ignore[arg-type]
    return Sdk(account, read_timeout=DEADLINE, retry_policy=retry)


class Redis:
    """The rule of redis-py's ``MultiDBClient``, on two locations of an account."""

    CHECKS, PROBES, APART, CHECK_LASTS, RETRIES, BASE, CAP, FALLBACK = 5, 3, 0.5, 3, 3, 1, 10, 120

    def __init__(self, account: Account) -> None:
        self._account = account
        self._open: set[Location] = set()
        self._active = PRIMARY
        self._chance = account.chance
        self._fallback = self.FALLBACK
        self._checking = asyncio.ensure_future(self._check())

    async def read(self) -> Location | None:
        for retry in range(self.RETRIES + 1):
            if self._choose() and await self._account.meet(self._active, DEADLINE) is None:
                return self._active
            if retry < self.RETRIES:
                delay = self._chance.random() * self.BASE * 2 ** (retry + 1)
                await asyncio.sleep(min(self.CAP, delay))
        return None

    def _choose(self) -> bool:
        """Take the first choice whose circuit is closed; return whether there is one."""
        now = asyncio.get_running_loop().time()
        if self._active in self._open or now >= self._fallback:
            self._fallback = now + self.FALLBACK
            self._active = next((each for each in Location if each not in self._open), self._active)
        return self._active not in self._open

    async def _check(self) -> None:
        while True:
            await asyncio.gather(*(self._check_one(each) for each in Location))
            await asyncio.sleep(self.CHECKS)

    async def _check_one(self, location: Location) -> None:
        try:
            async with asyncio.timeout(self.CHECK_LASTS):
                for probe in range(self.PROBES):
                    if probe:
                        await asyncio.sleep(self.APART)
                    if await self._account.meet(location, self.CHECK_LASTS) is not None:
                        self._open.add(location)
                        return
        except TimeoutError:
            self._open.add(location)
        else:
            self._open.discard(location)


CLIENTS: dict[str, Callable[[Account], Client]] = {
    "this probe": Ours,
    "the sample of 2019": Sample,
    "the SDK, by default": Sdk,
    "the SDK, tightened": tightened,
    "redis-py's rule": Redis,
}


@dataclass(frozen=True)
class Took:
    """One read: when it began and ended, in seconds, and who served it."""

    began: float
    ended: float
    served: Location | None


@dataclass
class Play:
    """One outage as one client met it."""

    account: Account
    reads: list[Took]

    @property
    def during(self) -> list[Took]:
        """The reads that had to do with the outage: under way when it began, or begun in it."""
        begins, ends = self.account.begins, self.account.ends
        return [each for each in self.reads if each.ended > begins and each.began < ends]

    @property
    def lost(self) -> int:
        return sum(each.served is None for each in self.reads)

    @property
    def first_good(self) -> float:
        """Seconds from the beginning of the outage's first read to the first good answer."""
        first = self.during[0].began
        return next(
            (each.ended - first for each in self.reads if each.began >= first and each.served), math.inf
        )

    @property
    def back(self) -> float:
        """Seconds from the healing to the first read that the primary served."""
        ends = self.account.ends
        home = (each for each in self.reads if each.began >= ends and each.served is PRIMARY)
        return next((each.ended - ends for each in home), math.inf)


async def _played(outage: str, client: str, begins: float, lasts: float, calm: float) -> Play:
    account = Account(OUTAGES[outage], begins, begins + lasts)
    reads, reader, loop = [], CLIENTS[client](account), asyncio.get_running_loop()
    while loop.time() < account.ends + calm:
        began = loop.time()
        served = await reader.read()
        reads.append(Took(began, loop.time(), served))
        await asyncio.sleep(REST)
    return Play(account, reads)


def played(outage: str, client: str, *, begins: float, lasts: float = LASTS, calm: float = CALM) -> Play:
    """Return how a client met an outage that begins then."""
    return world.run(_played(outage, client, begins, lasts, calm))


def row(outage: str, client: str) -> list[results.Cell]:
    """Return what an outage cost a client in all plays: the worst of each time, the mean of the requests."""
    plays = [played(outage, client, begins=begins) for begins in BEGINS]
    lasted = sorted(each.ended - each.began for play in plays for each in play.during)
    return [
        outage,
        client,
        len(lasted),
        sum(each.lost for each in plays),
        seconds(max(each.first_good for each in plays)),
        *(seconds(lasted[min(int(share * len(lasted)), len(lasted) - 1)]) for share in (0.5, 0.99, 1)),
        round(sum(each.account.requests[PRIMARY] for each in plays) / len(plays)),
        seconds(max(each.back for each in plays)),
    ]


def seconds(found: float) -> str:
    """Return seconds with the digits that count, or that it never came."""
    return "never" if found == math.inf else f"{found:.2f} s" if found < 10 else f"{found:.0f} s"


def main() -> int:
    rows = [row(outage, client) for outage in OUTAGES for client in CLIENTS]
    results.save(
        "side_by_side",
        results.Result(
            title="Side by side with other clients",
            command="make side-by-side",
            says=f"""The same outages of {LASTS:g} s, a read and a second's rest, in simulated time:
each played {len(BEGINS)} times, beginning at other places in each client's rhythm. What each client is
stands in [bench/side_by_side.py](bench/side_by_side.py). *First good answer*: from the beginning of the
first read that met the outage, in the worst play. The times are of the reads that had to do with the
outage, lost ones too; a client that waits for long makes few reads. *To the sick primary*: requests
during one outage, health checks among them. *Back*: from the healing to the first read that the primary
served, in the worst play; a client that asks the primary first each time is back at once, and pays for
it with each read.""",
            columns=(
                "outage",
                "client",
                "reads in it",
                "lost",
                "first good answer",
                "p50",
                "p99",
                "worst",
                "to the sick primary",
                "back",
            ),
            rows=rows,
        ),
    )
    return 1 if any(each[3] for each in rows if each[1] == "this probe") else 0


if __name__ == "__main__":
    sys.exit(main())
