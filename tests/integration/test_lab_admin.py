"""The lab's admin port and its keys: the same faults, by HTTP and by hand."""

import asyncio
import os
import termios

import aiohttp
import pytest
import pytest_asyncio

from probe.lab.account.faults import KINDS
from probe.lab.admin import Admin
from probe.lab.errors import LabError
from probe.lab.keys import Keys, help_lines
from tests.timing import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.azurite]


@pytest_asyncio.fixture(loop_scope="session")
async def admin(pair):
    """Open the admin port of the shared pair."""
    async with Admin(pair) as port:
        yield port


@pytest_asyncio.fixture(loop_scope="session")
async def ask(admin):
    """Ask the admin port: method and path, then (status, JSON)."""
    async with aiohttp.ClientSession(admin.url) as session:

        async def asked(method: str, path: str) -> tuple[int, dict]:
            async with session.request(method, path) as answer:
                return answer.status, await answer.json()

        yield asked


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dns"])
async def test_each_kind_is_switched_on_by_post_and_off_again(ask, pair, kind):
    status, during = await ask("POST", f"/secondary/fault?kind={kind}")
    _, after = await ask("POST", "/secondary/heal")

    assert (status, during["endpoints"]["primary"]["faults"]) == (200, [])
    assert during["endpoints"]["secondary"]["faults"][0].split()[0] == kind
    assert after["endpoints"]["secondary"]["faults"] == list(pair.secondary.faults) == []


async def test_options_scope_and_a_second_fault_are_taken(ask, pair):
    await ask("POST", "/primary/fault?kind=status&code=404&path=HelloWorld.png&only=reads")
    await ask("POST", "/primary/fault?kind=latency&seconds=0.5&also=true")

    told = [str(fault) for fault in pair.primary.faults]
    assert told == ["status code=404 only=reads path=HelloWorld.png", "latency seconds=0.5"]


async def test_the_lag_and_the_status_are_set(ask):
    _, slow = await ask("POST", "/lag?seconds=30")
    _, paused = await ask("POST", "/lag?seconds=paused")
    _, away = await ask("POST", "/status?is=unavailable")

    assert (slow["replication"]["lag_seconds"], slow["replication"]["paused"]) == (30, False)
    assert (paused["replication"]["lag_seconds"], paused["replication"]["paused"]) == (None, True)
    assert (away["replication"]["status"], away["replication"]["last_sync_time"]) == ("unavailable", None)


async def test_losing_the_secondary_is_seen_and_healed(ask):
    _, lost = await ask("POST", "/lose-secondary")
    _, healed = await ask("POST", "/heal")

    assert lost["endpoints"]["secondary"]["faults"] == ["refuse"]
    assert healed["endpoints"]["secondary"]["faults"] == []


async def test_the_state_counts_requests_and_tells_the_last_events(ask, blob, pair):
    _, before = await ask("GET", "/state")
    pair.primary.fault("status", code=503)
    await blob.get()
    _, after = await ask("GET", "/state")

    reads = [one["endpoints"]["primary"]["requests"].get("reads", 0) for one in (before, after)]
    struck = [one["endpoints"]["primary"]["requests"].get("struck", 0) for one in (before, after)]
    assert (reads[1] - reads[0], struck[1] - struck[0]) == (1, 1)
    assert after["events"][-1].endswith("primary: fault: status code=503")


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("POST", "/primary/fault?kind=explode", 400, "the kinds are: dns, refuse"),
        ("POST", "/primary/fault", 400, "the kinds are: dns, refuse"),
        ("POST", "/primary/fault?kind=status&code=1000", 400, "from 200 to 599"),
        ("POST", "/primary/fault?kind=latency&sekonds=3", 400, "its options are: seconds"),
        ("POST", "/primary/fault?kind=reset&also=maybe", 400, "true, false"),
        ("POST", "/primary/fault?kind=dns", 400, "this lab has no names"),
        ("POST", "/tertiary/heal", 400, "they are: primary, secondary, host"),
        ("POST", "/lag?seconds=long", 400, "or paused"),
        ("POST", "/lag?seconds=-1", 400, "from 0"),
        ("POST", "/status?is=fine", 400, "live, bootstrap, unavailable"),
        ("GET", "/primary/fault?kind=reset", 405, "GET / tells"),
        ("GET", "/nowhere", 404, "GET / tells"),
    ],
)
async def test_what_is_asked_wrongly_is_answered_with_what_is_right(ask, pair, method, path, status, told):
    answered, said = await ask(method, path)

    assert answered == status
    assert told in said["error"]
    assert pair.primary.faults == ()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}.evil.example"},
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
        {"Host": ""},
    ],
    ids=lambda headers: " ".join(f"{name}={value}" for name, value in headers.items()),
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/primary/fault?kind=reset"), ("GET", "/state")])
async def test_a_web_page_switches_nothing_and_reads_nothing(admin, pair, method, path, headers):
    """A name that a page resolved anew to the loopback (DNS rebinding) comes with a Host of its own."""
    sent = {name: value.format(port=admin.port) for name, value in headers.items()}
    url = f"{admin.url}{path}"
    async with aiohttp.ClientSession() as page, page.request(method, url, headers=sent) as answer:
        status, said = answer.status, await answer.json()

    assert status == 403
    assert "Host of the lab" in said["error"] or "Origin" in said["error"]
    assert "endpoints" not in said
    assert pair.primary.faults == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
@pytest.mark.parametrize("origin", [False, True])
async def test_our_own_address_is_answered_in_either_spelling(admin, pair, host, origin):
    headers = {"Host": f"{host}:{admin.port}"} | ({"Origin": f"http://{host}:{admin.port}"} if origin else {})
    url = f"{admin.url}/primary/fault?kind=reset"
    async with aiohttp.ClientSession() as page, page.post(url, headers=headers) as answer:
        assert answer.status == 200

    assert [each.kind for each in pair.primary.faults] == ["reset"]


async def test_the_help_names_every_kind_and_a_command_that_works(admin):
    async with aiohttp.ClientSession() as session, session.get(admin.url) as answer:
        text = await answer.text()

    assert all(f"  {kind} " in text for kind in KINDS)
    assert f"'{admin.url}/primary/fault?kind=status&code=503'" in text


async def test_a_busy_admin_port_is_named(admin, pair):
    with pytest.raises(LabError, match=f"port {admin.port} of the admin is busy"):
        async with Admin(pair, port=admin.port):
            pass


@pytest.fixture
def terminal():
    """Open a terminal: the fd that a lab reads, and the one that a hand types on."""
    hand, screen = os.openpty()
    yield screen, hand
    os.close(hand)
    os.close(screen)


async def typed(hand: int, text: bytes, until) -> None:
    """Type, and wait until it has had its effect."""
    os.write(hand, text)
    async with asyncio.timeout(PATIENCE):
        while not until():
            await asyncio.sleep(0.005)


async def test_a_key_strikes_the_primary_its_capital_the_secondary_and_again_heals(pair, terminal):
    screen, hand = terminal
    with Keys(pair, fd=screen, say=lambda _: None):
        await typed(hand, b"eR", lambda: pair.primary.faults and pair.secondary.faults)
        during = [str(proxy.faults[0]) for proxy in (pair.primary, pair.secondary)]
        await typed(hand, b"eR", lambda: not pair.primary.faults and not pair.secondary.faults)

    assert during == ["status code=503", "refuse"]


async def test_keys_change_the_lag_and_heal_all(pair, terminal):
    screen, hand = terminal
    pair.primary.fault("reset")
    with Keys(pair, fd=screen, say=lambda _: None):
        await typed(hand, b"++0", lambda: not pair.primary.faults)
        assert pair.replicator.lag == 60
        await typed(hand, b"=", lambda: pair.replicator.lag is None)
        await typed(hand, b"-", lambda: pair.replicator.lag == 0)


async def test_a_key_for_what_this_lab_cannot_do_says_so_and_the_next_one_still_works(pair, terminal):
    screen, hand = terminal
    said: list[str] = []
    with Keys(pair, fd=screen, say=said.append):
        await typed(hand, b"ne", lambda: pair.primary.faults)

    assert [line for line in said if "no names" in line]
    assert len(said) == 1


async def test_an_arrow_key_switches_nothing(pair, terminal):
    screen, hand = terminal
    with Keys(pair, fd=screen, say=lambda _: None):
        await typed(hand, b"\x1b[B\x1bOHg", lambda: pair.primary.faults)

    assert ([fault.kind for fault in pair.primary.faults], pair.secondary.faults) == (["garbage"], ())


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, None], ids=str)
async def test_the_terminal_is_put_back_whatever_happens(pair, terminal, error):
    screen, _ = terminal
    before = termios.tcgetattr(screen)

    def use() -> None:
        with Keys(pair, fd=screen, say=lambda _: None):
            assert not termios.tcgetattr(screen)[3] & termios.ICANON
            if error is not None:
                raise error

    if error is None:
        use()
    else:
        with pytest.raises(error):
            use()

    assert termios.tcgetattr(screen) == before


async def test_without_a_terminal_there_are_no_keys(pair, tmp_path):
    with (tmp_path / "file").open("w+") as no_terminal:
        said: list[str] = []
        with Keys(pair, fd=no_terminal.fileno(), say=said.append) as keys:
            assert not keys.active

    assert said == []


async def test_the_help_line_names_every_kind_with_a_key_of_its_own():
    keys = [spec.key for spec in KINDS.values()]

    assert len(set(keys)) == len(keys) == len("".join(keys))
    assert all(f"{spec.key} {kind}" in " ".join(help_lines()) for kind, spec in KINDS.items())
    assert max(map(len, help_lines())) <= 100
