"""The other side of the bench, in a process and on a core of its own: an account that answers at once.

``python -m tests.bench.account`` prints as JSON where it listens, and ends when its input does. What is PUT
can be read at both locations; every good answer has the head that Azure's have. ``hostile`` answers as
``tests.faults.hostile`` does with the seed that the path names.
"""

import asyncio
import json
import re
import ssl
import sys
from email.utils import format_datetime

from httptools import HttpRequestParser

from probe.core import canary
from probe.lab.account.certificates import Certificates
from probe.lab.telemetry.ingestion import Ingestion
from tests.faults.attempt_servers import Peer, serving
from tests.faults.hostile import play

COMMON = (
    b"Server: Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0\r\nx-ms-version: 2023-11-03\r\n"
    b"x-ms-request-id: 6a3b1ef2-801e-0047-2f1c-000000000000\r\nDate: Sun, 01 Mar 2026 12:00:00 GMT\r\n"
)
BLOB = (
    b"HTTP/1.1 200 OK\r\n" + COMMON + b"Content-Type: image/png\r\nAccept-Ranges: bytes\r\n"
    b'ETag: "0x8DC1"\r\nLast-Modified: Sun, 01 Mar 2026 12:00:00 GMT\r\nx-ms-lease-status: unlocked\r\n'
    b"x-ms-lease-state: available\r\nx-ms-blob-type: BlockBlob\r\nx-ms-server-encrypted: true\r\n"
    b"x-ms-creation-time: Sun, 01 Mar 2026 11:00:00 GMT\r\n"
    b"x-ms-last-access-time: Sun, 01 Mar 2026 11:00:00 GMT\r\n"
    b"Content-Length: %d\r\n%s\r\n%s"
)
CREATED = b"HTTP/1.1 201 Created\r\n" + COMMON + b'ETag: "0x8DC1"\r\nContent-Length: 0\r\n\r\n'
MISSING = (
    b"HTTP/1.1 404 Not Found\r\n" + COMMON + b"x-ms-error-code: BlobNotFound\r\nContent-Length: 0\r\n\r\n"
)
STATS = (
    '<?xml version="1.0" encoding="utf-8"?><StorageServiceStats><GeoReplication><Status>live</Status>'
    "<LastSyncTime>{}</LastSyncTime></GeoReplication></StorageServiceStats>"
)
XML = b"HTTP/1.1 200 OK\r\n" + COMMON + b"Content-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s"


class Blob(asyncio.Protocol):
    """One connection; ``answers`` has what is read at each path, and is shared by all."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._parser = HttpRequestParser(self)

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._parser.feed_data(data)

    def on_url(self, url):
        self._url, self._metadata, self._body = url, {}, b""

    def on_header(self, name, value):
        if name.startswith(b"x-ms-meta-"):
            self._metadata[name] = value

    def on_body(self, data):
        self._body += data

    def on_message_complete(self):
        path, _, query = self._url.partition(b"?")
        if self._parser.get_method() == b"PUT":
            self._take(path)
            self._transport.write(CREATED)
        else:
            name = path.split(b"/")[1] if b"comp=stats" in query else path
            self._transport.write(self._answers.get(name, MISSING))

    def _take(self, path: bytes) -> None:
        """Keep a canary, and have the stats say that all up to it is on the secondary."""
        lines = b"".join(b"%s: %s\r\n" % each for each in self._metadata.items())
        self._answers[path] = BLOB % (len(self._body), lines, self._body)
        stamp = canary.decode(
            {name[len(b"x-ms-meta-") :].decode(): value.decode() for name, value in self._metadata.items()}
        )
        assert stamp, "the bench writes whole stamps"
        stats = STATS.format(format_datetime(stamp.written_at, usegmt=True)).encode()
        self._answers[path.split(b"/")[1]] = XML % (len(stats), stats)


async def hostile(peer: Peer) -> None:
    """Answer as the seed in the path says."""
    header = await peer.request()
    seed = re.search(rb"seed-(\d+)", header)
    assert seed, "the path names a seed"
    await play(peer, header, int(seed[1]))


async def main() -> None:
    loop, answers = asyncio.get_running_loop(), {}
    with Certificates() as certificates, Ingestion() as telemetry:
        tls = certificates.server()
        assert tls
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
        at = [
            await loop.create_server(lambda: Blob(answers), "127.0.0.1", 0, ssl=each, backlog=1024)
            for each in (None, None, tls)
        ]
        async with serving(hostile) as wicked:
            primary, secondary, secure = (each.sockets[0].getsockname()[1] for each in at)
            told = {
                "primary": f"http://127.0.0.1:{primary}",
                "secondary": f"http://127.0.0.1:{secondary}",
                "tls": f"https://127.0.0.1:{secure}",
                "ca": str(certificates.ca),
                "hostile": f"http://127.0.0.1:{wicked.port}",
                "telemetry": telemetry.connection_string,
            }
            print(json.dumps(told), flush=True)
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
