"""Whatever is answered to a write or to the state store is told, and the tick goes on, within its bounds."""

import asyncio
import gzip
import json
import os
import sys

import pytest

from probe.core.reading import fault_of
from tests.faults import memory
from tests.faults.attempt_servers import Peer, answer, serving
from tests.timing import PATIENCE

MEBIBYTE = 2**20
ENOUGH = 24
"""Answers in the suite; ``python -m tests.faults.hostile 0 200`` is the long form."""


async def run(*arguments: str, **environment: str) -> tuple[int, bytes, bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PROBE_", "AzureWeb"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={**kept, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode or 0, out, err


async def test_seeded_hostile_answers_are_told_in_the_closed_list_within_bounds():
    code, out, err = await run("-m", "tests.faults.hostile", "0", str(ENOUGH))

    assert code == 0, err.decode()[-2000:]
    found = json.loads(out)
    for _, write, load, save in found["outcomes"]:
        assert write == "written" or fault_of(write)
        assert load in ("taken", "unreadable") or fault_of(load)
        assert save in ("taken", "unreadable", "conflict") or fault_of(save)
    assert found["peak_above_idle"] <= 32 * MEBIBYTE  # a document of the state may have 16 MiB itself


async def test_no_answer_takes_the_probe_far_above_its_idle_memory():
    kinds = ["read", "stats", "state, saved", "token"]
    given = ["without an end", "chunks without an end", "JSON of 15 MiB, all of it lists"]

    found = await memory.measured(kinds, given)

    assert {(kind, name) for kind, row in found.items() for name in row} == {
        (kind, name) for kind in kinds for name in given
    }
    assert not [kind for kind in kinds if max(found[kind].values()) > memory.ALLOWED[kind]], found


PAGES = {
    "a page with a byte that is not UTF-8": answer(
        b"<h1>Wartung f\xfcr heute</h1>",
        status="503 Busy",
        stamp=None,
        headers=("Content-Type: text/html; charset=iso-8859-1",),
    ),
    "a page with typographic quotes": answer(
        b"\x93denied\x94", status="503 Busy", stamp=None, headers=("Content-Type: application/xml",)
    ),
    "gzip that is none": answer(b"no", status="503 Busy", stamp=None, headers=("Content-Encoding: gzip",)),
    "a gzip bomb": answer(
        gzip.compress(bytes(64 * MEBIBYTE), 1),
        status="503 Busy",
        stamp=None,
        headers=("Content-Encoding: gzip", "Content-Type: application/xml"),
    ),
    "deep JSON": answer(
        b"[" * 100_000, status="503 Busy", stamp=None, headers=("Content-Type: application/json",)
    ),
    "a body without an end": b"",
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
async def test_a_primary_that_answers_everything_so_is_an_outage_that_is_seen(page):
    async def primary(peer: Peer) -> None:
        await peer.request()
        if page:
            await peer.send(page)
            return
        await peer.send(b"HTTP/1.1 503 Busy\r\n\r\n")
        while True:
            await peer.send(bytes(2**18))
            await asyncio.sleep(0)

    async def secondary(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(answer())

    async with serving(primary) as down, serving(secondary) as up:
        place = "http://127.0.0.1:{}/account"
        code, out, err = await run(
            *("-m", "probe", "once", "--json"),
            ProbedStorage=";".join(
                [
                    "DefaultEndpointsProtocol=http",
                    "AccountName=account",
                    "AccountKey=a2V5a2V5a2V5a2V5",
                    f"BlobEndpoint={place.format(down.port)}",
                    f"BlobSecondaryEndpoint={place.format(up.port)}",
                ]
            ),
            PROBE_STATE="memory",
        )

    assert code == 0, err.decode()[-2000:]
    (target,) = json.loads(out)["targets"]
    assert [each["served_by"] for each in target["reads"]] == ["secondary"] * 5
    assert target["breaker"]["state"] == "open"
    assert target["endpoints"]["primary"]["error_type"] == "503"
