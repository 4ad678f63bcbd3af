"""Makes the HTTP sessions that the lab itself speaks to its Azurites with."""

import aiohttp

from probe.lab.certificates import Certificates


def upstream_session(certificates: Certificates | None) -> aiohttp.ClientSession:
    """Answer a session that sends what it is given and nothing of its own, as far as that goes."""
    trust = certificates.client() if certificates else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=trust, keepalive_timeout=60),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=None),
    )
