"""The pair: two Azurites, a proxy before each, replication between; all started and ended here.

Rules: clients see the proxies' URLs only. The host's own storage is a third Azurite, since it must not share
the fate of what is probed; a proxy stands before its blobs, so that the loss of the state store can be shown
too.
"""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from probe.lab.account.azurite import ACCOUNT, KEY, Azurite
from probe.lab.account.certificates import Certificates
from probe.lab.account.events import Events
from probe.lab.account.names import Names
from probe.lab.account.proxy import Proxy, Role
from probe.lab.account.replicator import Replicator, Status
from probe.lab.errors import LabError


class Pair:
    """RA-GZRS in a box, as an async context manager.

    Ports of 0 are chosen by the system. `host` adds the storage that the Functions host needs. `https` makes
    both endpoints speak TLS with a CA of their own (`certificates.ca`) and take Entra bearer tokens. `names`
    gives them names that can stop resolving, for clients that install `names.file` (see `names`).
    """

    primary: Proxy
    secondary: Proxy
    replicator: Replicator

    def __init__(  # noqa: PLR0913 (each is one wish of the caller's, by name)
        self,
        *,
        primary_port: int = 0,
        secondary_port: int = 0,
        lag: float | None = 0.0,
        host: bool = False,
        https: bool = False,
        names: bool = False,
    ) -> None:
        self.events = Events()
        self.certificates: Certificates | None = None
        self.host: Proxy | None = None
        self._ports = (primary_port, secondary_port)
        self._lag = lag
        self._with_host = host
        self._https = https
        self.names = Names() if names else None
        self._stack = AsyncExitStack()
        self.azurites: list[Azurite] = []

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        if self._https:
            self.certificates = self._stack.enter_context(Certificates())
        if self.names:
            self._stack.enter_context(self.names)
        await self._start_azurites()
        first, second = self.azurites[0].url(), self.azurites[1].url()
        self.replicator = await self._stack.enter_async_context(
            Replicator(
                primary=first,
                secondary=second,
                events=self.events,
                lag=self._lag,
                certificates=self.certificates,
            )
        )
        of_primary = Role(name="primary", names=self.names, witness=self.replicator)
        of_secondary = Role(name="secondary", names=self.names, stats=self.replicator.stats, read_only=True)
        self.primary = await self._front(of_primary, first, self._ports[0])
        self.secondary = await self._front(of_secondary, second, self._ports[1])
        self.replicator.history = self.secondary.history
        if self._with_host:
            self.host = await self._front(Role(name="host"), self.azurites[2].url(), 0)

    async def _front(self, role: Role, upstream: str, port: int) -> Proxy:
        certificates = None if role.name == "host" else self.certificates
        proxy = Proxy(role, upstream=upstream, events=self.events, port=port, certificates=certificates)
        try:
            return await self._stack.enter_async_context(proxy)
        except OSError as error:
            raise LabError(f"port {port} of the {role.name} is busy: choose another") from error

    async def _start_azurites(self) -> None:
        self.azurites = [Azurite(certificates=self.certificates) for _ in range(2)]
        if self._with_host:
            self.azurites.append(Azurite(services=("blob", "queue", "table")))
        results = await asyncio.gather(
            *(self._stack.enter_async_context(azurite) for azurite in self.azurites), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    # -- what a client is told ---------------------------------------------------------------------------

    @property
    def primary_url(self) -> str:
        """The primary's blob endpoint, with the account."""
        return f"{self.primary.url}/{ACCOUNT}"

    @property
    def secondary_url(self) -> str:
        """The secondary's blob endpoint, with the account."""
        return f"{self.secondary.url}/{ACCOUNT}-secondary"

    @property
    def connection_string(self) -> str:
        """The probed account, through the proxies."""
        return self._connection(
            f"BlobEndpoint={self.primary_url};BlobSecondaryEndpoint={self.secondary_url};"
        )

    @property
    def host_connection_string(self) -> str:
        """The host's own account: blobs through its proxy, queues and tables directly.

        Raises:
            LabError: the pair was made without it.

        """
        if self.host is None:
            raise LabError("this pair has no host storage: make it with Pair(host=True)")
        azurite = self.azurites[2]
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={self.host.url}/{ACCOUNT};"
            f"QueueEndpoint={azurite.url('queue')}/{ACCOUNT};TableEndpoint={azurite.url('table')}/{ACCOUNT};"
        )

    def _connection(self, endpoints: str) -> str:
        protocol = "https" if self._https else "http"
        return f"DefaultEndpointsProtocol={protocol};AccountName={ACCOUNT};AccountKey={KEY};{endpoints}"

    # -- the whole pair ----------------------------------------------------------------------------------

    def heal(self) -> None:
        """Switch every fault off, at every endpoint."""
        for proxy in self.proxies.values():
            proxy.heal()

    @property
    def proxies(self) -> dict[str, Proxy]:
        """The proxies by name."""
        named = {"primary": self.primary, "secondary": self.secondary}
        return named | {"host": self.host} if self.host else named

    def lose_secondary(self) -> None:
        """Lose the geo-redundancy: the secondary's name (or port) is gone, replication unavailable."""
        self.secondary.fault("dns" if self.names else "refuse")
        self.replicator.status = Status.UNAVAILABLE

    def fail_over(self) -> int:
        """Do what an unplanned account failover does; return how many writes were lost.

        The primary's URL serves what the secondary had, the secondary is gone. A pair cannot undo it.
        """
        lost = self.replicator.drop()
        self.primary.upstream = self.secondary.upstream
        self.lose_secondary()
        self.events.emit("pair", f"failed over: {lost} writes lost")
        return lost
