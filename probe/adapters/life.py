"""The sign of life: whether anything outside can be reached that is not probed.

Rules kept here: only a name that TLS has verified counts, since a sign-in page accepts any connection and
answers for any name; nothing is sent, so nothing is told to anybody.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from ssl import SSLContext
from urllib.parse import urlsplit

from probe.adapters.exchange import tls_context
from probe.adapters.resolver import addresses
from probe.core.target import Target

BOUND = timedelta(seconds=3)
"""How long all places together may take to answer."""
SIGN_IN = "login.microsoftonline.com"
"""Azure's public sign-in host, which ``AZURE_AUTHORITY_HOST`` names another for, as in azure-identity."""


def places(urls: Iterable[str | None], *, authority: str | None, targets: Sequence[Target]) -> list[str]:
    """Return the hosts that are not probed, of these URLs and of the sign-in service; those with TLS only."""
    probed = {urlsplit(url).hostname for each in targets for url in (each.primary, each.secondary) if url}
    found = [urlsplit(each) for each in urls if each]
    hosts = [each.hostname for each in found if each.scheme == "https" and each.hostname]
    sign_in = urlsplit(authority if "//" in authority else f"//{authority}").hostname if authority else None
    return [each for each in dict.fromkeys((*hosts, sign_in or SIGN_IN)) if each not in probed]


def is_here(targets: Sequence[Target]) -> bool:
    """Return whether every endpoint is on this machine: then no network of ours can be at fault."""
    return all(
        _is_loopback(urlsplit(url).hostname or "")
        for each in targets
        for url in (each.primary, each.secondary)
        if url
    )


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


class Life:
    """Asks several places at once, and is satisfied with one (``ports.SignOfLife``)."""

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        here: bool = False,
        port: int = 443,
        bound: timedelta = BOUND,
        tls: SSLContext | None = None,
    ) -> None:
        self._hosts = hosts
        self._here = here
        self._port = port
        self._bound = bound.total_seconds()
        self._tls = tls

    async def __call__(self) -> bool:
        """Return whether any place was reached, under the name that it should have."""
        if self._here:
            return True
        asked = [asyncio.create_task(self._reached(each)) for each in self._hosts]
        try:
            for each in asyncio.as_completed(asked, timeout=self._bound):
                if await each:
                    return True
        except TimeoutError:
            return False
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return False

    async def _reached(self, host: str) -> bool:
        """Return whether a host shows the certificate of its name, at any of its addresses."""
        try:
            found = await addresses(host, self._port, lambda: None)
        except OSError:
            return False
        for _, (address, *_) in found:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(
                    address, self._port, ssl=self._tls or tls_context(), server_hostname=host
                )
                writer.transport.abort()
                return True
        return False
