"""The first tick of a fresh process, from import to saved, and a bare script that does the same by hand.

``first probe`` runs a tick of the target in the environment. ``first modules`` prints which modules that
imports, and ``first bare MODULES`` imports those, makes the same requests and saves a file. The bench counts
what each process has cost when it has ended.
"""

import asyncio
import sys


async def probe() -> None:
    import os  # noqa: PLC0415 - a side imports what it needs, and no more

    from probe import compose  # noqa: PLC0415
    from probe.tick import Firing  # noqa: PLC0415

    app = compose.build(os.environ)
    report = await app.fire(Firing(scheduled_at=compose.utc_now()))
    await app.aclose()
    assert all(each.ok for each in report.targets[0].readings[-6:]), "the reads and the stats were served"


async def modules() -> None:
    """Print what the probe's own first tick imports of others, in the order that it does."""
    await probe()
    print(
        " ".join(each for each in sys.modules if each.partition(".")[0] not in ("probe", "tests", "__main__"))
    )


async def bare() -> None:
    import contextlib  # noqa: PLC0415
    import importlib  # noqa: PLC0415
    import os  # noqa: PLC0415

    for each in sys.argv[2].split():
        with contextlib.suppress(ImportError):  # some are made by their parents, and have no file
            importlib.import_module(each)
    streams = {}

    async def ask(where: str, method: str, path: str, headers: str = "", body: bytes = b"") -> None:
        port = int(os.environ[where].rpartition(":")[2])
        if where not in streams:
            streams[where] = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = streams[where]
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 20"), head
        await reader.readexactly(int(head.split("Content-Length: ")[1].split("\r\n")[0]))

    picture = open("probe/HelloWorld.png", "rb").read()  # noqa: PTH123, SIM115, ASYNC230 - a bare script
    blob = "/bare/health-probe/HelloWorld.png"
    stamp = (
        "x-ms-meta-sequence: 1\r\nx-ms-meta-writtenat: 2026-03-01T12:00:00+00:00\r\nx-ms-meta-writer: w\r\n"
    )
    headers = f"{stamp}x-ms-meta-sha256: {'0' * 64}\r\nContent-Length: {len(picture)}\r\n"
    await ask("PRIMARY", "PUT", blob, headers, picture)
    for _ in range(6):
        await ask("PRIMARY", "GET", blob)
    await ask("SECONDARY", "GET", blob)
    await ask("SECONDARY", "GET", "/bare/?restype=service&comp=stats")
    with open(os.environ["PROBE_STATE"].removeprefix("file:"), "wb") as file:  # noqa: PTH123, ASYNC230
        file.write(b"{}")
        file.flush()
        os.fsync(file.fileno())
    for _, writer in streams.values():
        writer.close()
        await writer.wait_closed()


asyncio.run({"probe": probe, "modules": modules, "bare": bare}[sys.argv[1]]())
