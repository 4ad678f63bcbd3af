"""The first tick of a fresh process, import to saved, beside a bare script that imports and asks the same.

``PYTHONPATH=. .venv/bin/python tests/bench/first_tick.py`` prints medians of 7 in CPU milliseconds. The bare
script imports every module that the probe's process has at its end but the probe's own, makes the same nine
requests over two kept connections with asyncio's streams, and writes a file.
"""

import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace

from tests.faults.attempt_servers import STAMP, Peer, answer, serving

RUNS = 7
PROBE = """
import json, sys
from probe import cli
code = cli.main(["once", "--json"])
names = sorted(each for each in sys.modules if each.split(".")[0] not in ("probe", "__main__"))
print(json.dumps(names), file=sys.stderr)
sys.exit(code)
"""
BARE = """
import asyncio, importlib, json, sys
port, path, names = int(sys.argv[1]), sys.argv[2], json.load(open(sys.argv[3]))
for each in names:
    try:
        importlib.import_module(each)
    except Exception:
        pass
async def ask(streams, method):
    reader, writer = streams
    body = b"x" * 1024 if method == "PUT" else b""
    head = f"{method} /a/b HTTP/1.1\\r\\nHost: h\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
    writer.write(head.encode() + body)
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0]))
async def main():
    primary = await asyncio.open_connection("127.0.0.1", port)
    secondary = await asyncio.open_connection("127.0.0.1", port)
    for method in ("GET", "PUT", *["GET"] * 5):
        await ask(primary, method)
    for _ in range(2):
        await ask(secondary, "GET")
    for _, writer in (primary, secondary):
        writer.close()
asyncio.run(main())
open(path, "w").write("x" * 4000)
"""
STATS = (
    b'<?xml version="1.0" encoding="utf-8"?><StorageServiceStats><GeoReplication><Status>live</Status>'
    b"<LastSyncTime>Sun, 01 Mar 2026 12:00:00 GMT</LastSyncTime></GeoReplication></StorageServiceStats>"
)
SAID = ("x-ms-request-id: 1", 'ETag: "0x1"')
BLOB = answer(stamp=replace(STAMP, writer="watch-bench"), headers=SAID)


async def play(peer: Peer) -> None:
    while True:
        head = await peer.request()
        if head.startswith(b"PUT"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await peer.reader.readexactly(length)
            await peer.send(answer(b"", status="201 Created", stamp=None, headers=SAID))
        else:
            await peer.send(answer(STATS, stamp=None, headers=SAID) if b"comp=stats" in head else BLOB)


async def spent(words: Sequence[str], environment: dict[str, str]) -> tuple[float, bytes]:
    """Return the CPU milliseconds of a process, and what it wrote to standard error."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = await asyncio.create_subprocess_exec(
        sys.executable, *words, env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await child.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode:
        raise RuntimeError(err.decode()[-2000:])
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), err


async def main() -> None:
    ours, bare = [], []
    with tempfile.TemporaryDirectory() as folder:
        async with serving(play) as server:
            place = f"http://127.0.0.1:{server.port}"
            environment = {
                "ProbedStorage": "DefaultEndpointsProtocol=http;AccountName=account;AccountKey=a2V5a2V5;"
                f"BlobEndpoint={place}/account;BlobSecondaryEndpoint={place}/account-secondary",
                "PYTHONPATH": os.getcwd(),  # noqa: PTH109 - of the process
            }
            for number in range(RUNS):
                state = {"PROBE_STATE": f"file:{folder}/{number}.json"}
                before = len(server.requests)
                took, err = await spent(["-c", PROBE], {**environment, **state})
                asked = len(server.requests) - before
                ours.append(took)
                with open(f"{folder}/names.json", "wb") as file:  # noqa: ASYNC230, PTH123 - nothing else runs
                    file.write(err.splitlines()[-1])
                bare.append(
                    (
                        await spent(
                            ["-c", BARE, str(server.port), f"{folder}/file", f"{folder}/names.json"], {}
                        )
                    )[0]
                )
    one, two = statistics.median(ours), statistics.median(bare)
    found = {"requests": asked, "probe_ms": round(one), "bare_ms": round(two), "ratio": round(one / two, 2)}
    print(json.dumps({**found, "samples": {"probe": ours, "bare": bare}}, indent=1))


if __name__ == "__main__":
    asyncio.run(main())
