"""What happens in the contract's play, scene by scene: one tick each, while the lab does something wrong.

Nothing is simulated: the lab's proxies do it to real connections, between the app and two real Azurites.
"""

import asyncio
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from probe.core import canary
from probe.core.canary import Stamp
from probe.lab.account.azurite import ACCOUNT, KEY
from probe.lab.account.faults import Fault, fault
from probe.lab.account.pair import Pair
from probe.lab.account.replicator import Status
from probe.lab.telemetry.ingestion import Ingestion, Mode

RPO = 1.0
"""Seconds."""
CANARY = "/contract/HelloWorld.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a scene can act upon."""

    pair: Pair
    ingestion: Ingestion

    async def put(self, body: bytes, stamp: Stamp | None = None) -> None:
        """Overwrite the canary: without a stamp, as somebody would who does not know what it is."""
        metadata = canary.encode(stamp) if stamp else {}
        headers = {f"x-ms-meta-{name}": value for name, value in metadata.items()}
        await self._ask("PUT", body, {"x-ms-blob-type": "BlockBlob", **headers})

    async def delete(self) -> None:
        """Delete the canary."""
        await self._ask("DELETE", None, {})

    async def _ask(self, method: str, body: bytes | None, headers: dict[str, str]) -> None:
        sas = generate_account_sas(
            ACCOUNT,
            KEY,
            ResourceTypes(object=True),
            AccountSasPermissions(read=True, write=True, delete=True, create=True),
            datetime.now(UTC) + timedelta(hours=1),
        )
        url = f"https://127.0.0.1:{urlsplit(self.pair.primary_url).port}/{ACCOUNT}{CANARY}?{sas}"
        request = urllib.request.Request(url, body, headers, method=method)
        await asyncio.to_thread(self._send, request)

    def _send(self, request: urllib.request.Request) -> None:
        trust = self.pair.certificates.client()
        urllib.request.urlopen(request, context=trust, timeout=10).close()  # noqa: S310 - our own address


type Act = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One tick: what is done before it, what each endpoint does wrong, and what the primary shows."""

    name: str
    primary: tuple[Fault, ...] = ()
    secondary: tuple[Fault, ...] = ()
    host: tuple[Fault, ...] = ()
    before: Act | None = None
    backend: Mode = Mode.OK
    replication: Status = Status.LIVE
    lag: float = 0
    command: str = "tick"
    error: str | None = None
    """The ``error.type`` that the primary's attempts must have shown, on the rows that were sent."""

    @property
    def faults(self) -> tuple[tuple[Fault, ...], ...]:
        """Return the faults of the primary, the secondary and the host's own account."""
        return self.primary, self.secondary, self.host


def at_primary(error: str, kind: str, **options: object) -> Scene:
    return Scene(name=f"the primary: {kind}, {error}", primary=(fault(kind, **options),), error=error)


def status(code: int) -> Scene:
    return at_primary(str(code), "status", code=code, only="reads")


async def _overwritten(stage: Stage) -> None:
    await stage.put(b"a letter to my aunt")


async def _overwritten_with_much(stage: Stage) -> None:
    await stage.put(bytes(canary.SIZE_LIMIT + 1))


async def _written_by_another(stage: Stage) -> None:
    body = b"another probe's canary"
    stamp = canary.stamp(body=body, sequence=1, written_at=datetime.now(UTC), writer="somebody-else")
    await stage.put(body, stamp)


async def _failed_over(stage: Stage) -> None:
    assert stage.pair.fail_over() > 0, "a write that is not on the secondary is lost"


async def _deleted(stage: Stage) -> None:
    await stage.delete()


async def _later(_: Stage) -> None:
    await asyncio.sleep(2 * RPO)


UNWRITABLE = fault("status", code=503, only="writes")
NOWHERE = (fault("refuse"),)

SCENES = (
    Scene(name="all is well"),
    Scene(name="all is well still"),
    at_primary("dns", "dns"),
    at_primary("refused", "refuse"),
    at_primary("connect_timeout", "connect_drop"),
    at_primary("tls", "tls", mode="untrusted"),
    at_primary("timeout", "black_hole"),
    at_primary("timeout", "header_drip", only="reads"),
    at_primary("timeout", "body_drip", only="reads"),
    at_primary("reset", "reset", only="reads"),
    at_primary("truncated", "truncate", only="reads"),
    at_primary("protocol", "garbage"),
    *(status(code) for code in (401, 403, 408, 409, 429, 500, 503)),
    at_primary("digest", "corrupt"),
    at_primary("503", "flap", of="status", every=1, only="reads"),
    Scene(name="all is well again"),
    at_primary("rollback", "stale", versions=2),
    Scene(name="the primary is slow", primary=(fault("latency", seconds=0.5),)),
    Scene(name="the secondary's name is gone", secondary=(fault("dns"),), replication=Status.UNAVAILABLE),
    Scene(name="Azure calls the secondary unavailable", replication=Status.UNAVAILABLE),
    Scene(name="the secondary is being filled", replication=Status.BOOTSTRAP),
    Scene(
        name="Azure refuses the stats", secondary=(fault("status", code=403, path="comp=stats"),), lag=3600
    ),
    Scene(name="replication stands still", lag=3600),
    Scene(name="replication stands still for longer than the RPO", lag=3600, before=_later),
    Scene(name="replication goes on"),
    Scene(name="the state store is down", host=(fault("status", code=503),)),
    Scene(name="the probe has no network", primary=NOWHERE, secondary=NOWHERE, host=NOWHERE),
    Scene(name="nobody serves", primary=NOWHERE, secondary=NOWHERE),
    Scene(name="nobody answers", primary=(fault("black_hole"),), secondary=(fault("black_hole"),)),
    Scene(name="the operator declared a maintenance", command="maintained"),
    Scene(name="the timer fires twice", command="again"),
    Scene(name="the probe has a bug", command="bug"),
    Scene(name="the telemetry's backend refuses", primary=NOWHERE, backend=Mode.BAD_REQUEST),
    Scene(name="the telemetry's backend takes rows again"),
    Scene(name="the canary is deleted", primary=(UNWRITABLE,), before=_deleted, error="404"),
    Scene(name="the canary is written again"),
    Scene(name="the canary is overwritten", primary=(UNWRITABLE,), before=_overwritten, error="unreadable"),
    Scene(
        name="and with more than a canary has",
        primary=(UNWRITABLE,),
        before=_overwritten_with_much,
        error="size",
    ),
    Scene(name="somebody else writes the canary", before=_written_by_another),
    Scene(name="and deletes it again", before=_deleted),
    # Last, since a failover cannot be undone.
    Scene(name="a write is not replicated", lag=3600),
    Scene(name="and another, and the account fails over", lag=3600, before=_failed_over),
)
