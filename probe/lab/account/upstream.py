"""Makes what the lab itself speaks to its Azurites with: the sessions, and the bodies that it passes on."""

import io

import aiohttp

from probe.lab.account.certificates import Certificates
from probe.lab.account.wire import Request


def upstream_session(certificates: Certificates | None) -> aiohttp.ClientSession:
    """Return a session that sends what it is given and nothing of its own, as far as that goes."""
    trust = certificates.client() if certificates else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=trust, keepalive_timeout=60),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=None),
    )


def payload(request: Request) -> io.BytesIO | None:
    """Return the body to pass on; a method that has one gets a Content-Length even where it is empty."""
    return io.BytesIO(request.body) if request.body or request.method in {"PUT", "POST", "PATCH"} else None
