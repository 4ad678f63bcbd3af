"""Is it us? Offline and behind a sign-in page nothing is known of the account, and nothing is claimed."""

import asyncio
import ssl
import time
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import trustme

from probe.adapters.life import Life, is_here, places
from probe.core.report import exit_code
from probe.lab.world import MINUTE, NOON, run, target, world

BOUND = timedelta(seconds=1)
AUTHORITY = trustme.CA()


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@asynccontextmanager
async def server(name: str | None, answer: bytes = b""):
    """Serve on a loopback port with a certificate for a name; without one, plain text."""
    tls = None
    if name:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert(name).configure_cert(tls)

    async def serve(_, writer):
        writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def alive(port: int, *hosts: str) -> bool:
    return await Life(hosts or ("localhost",), port=port, bound=BOUND, tls=trusting())()


async def test_a_place_that_shows_the_certificate_of_its_name_is_a_sign_of_life():
    async with server("localhost") as port:
        assert await alive(port)


async def test_one_place_of_several_is_enough():
    async with server("localhost") as port:
        assert await alive(port, "nowhere.invalid", "localhost")


@pytest.mark.parametrize("name", ["portal.example", None], ids=["a portal's certificate", "no TLS at all"])
async def test_a_portal_that_takes_every_connection_is_no_sign_of_life(name):
    async with server(name, b"HTTP/1.1 200 OK\r\n\r\n<html>please sign in</html>") as port:
        assert not await alive(port)


async def test_a_name_that_does_not_resolve_is_no_sign_of_life():
    assert not await alive(443, "nowhere.invalid")


async def test_a_place_that_says_nothing_is_waited_for_no_longer_than_the_bound():
    async def silent(*_):
        await asyncio.sleep(30)

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    began = time.monotonic()
    found = await alive(listening.sockets[0].getsockname()[1])
    listening.close()

    assert not found
    assert time.monotonic() - began < 20, "it says nothing for 30 s"


def test_what_is_asked_is_never_what_is_probed():
    probed = target()

    found = places(
        (probed.primary, "https://state.blob.core.windows.net", "http://127.0.0.1:9"),
        authority=None,
        targets=[probed],
    )

    assert found == ["state.blob.core.windows.net", "login.microsoftonline.com"]
    assert places((), authority="login.chinacloudapi.cn", targets=[probed]) == ["login.chinacloudapi.cn"]


async def test_endpoints_on_this_machine_need_no_network():
    from dataclasses import replace  # noqa: PLC0415

    local = replace(target(), primary="http://127.0.0.1:10000/a", secondary="http://localhost:10001/a")

    assert await Life((), here=is_here([local]))()
    assert not is_here([local, target()])


def outage(primary: str, secondary: str, *, signs: bool):
    """Return the report of a tick in an outage, and how often a sign was asked for before and in all."""

    async def main():
        asked = []

        async def sign() -> bool:
            asked.append(1)
            return signs

        probe = world()
        probe.inner.store_is_remote, probe.inner.alive = False, sign
        await probe.tick()
        calm = len(asked)
        probe.account.behave(primary, secondary)
        await probe.until(NOON + MINUTE)
        return await probe.tick(), calm, len(asked)

    return run(main())


@pytest.mark.parametrize(
    ("primary", "secondary"),
    [("dns", "dns"), ("refused", "timeout"), ("portal", "portal"), ("portal", "tls")],
    ids=["offline", "no road", "captive portal", "a portal that breaks TLS"],
)
def test_without_a_sign_of_life_a_file_or_memory_state_blames_nobody(primary, secondary):
    report, calm, asked = outage(primary, secondary, signs=False)

    found = report.targets[0]
    assert found.verdicts == ("inconclusive", "inconclusive", "inconclusive")
    assert found.judgement.redundancy.verdict == "unknown"
    assert found.incident is None
    assert exit_code(report) == 3
    assert (calm, asked) == (0, 1)


@pytest.mark.parametrize(("primary", "secondary"), [("dns", "dns"), ("portal", "portal")])
def test_with_a_sign_of_life_it_is_an_outage(primary, secondary):
    report, _, _ = outage(primary, secondary, signs=True)

    assert report.targets[0].verdicts == ("unavailable", "down", "down")
    assert exit_code(report) == 1


def test_a_word_of_azures_is_sign_enough():
    report, _, asked = outage("503", "503", signs=False)

    assert report.targets[0].judgement.target.verdict == "unavailable"
    assert asked == 0
