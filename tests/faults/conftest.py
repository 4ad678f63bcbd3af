"""What the fault tests share: a way to probe endpoints on loopback, and proof that nothing is left of it."""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
import trustme
import uvloop

from probe.adapters.endpoint import Endpoints, TargetSession
from probe.core.connection import Connection, Sas
from probe.core.target import Policy, Target

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
"""What the Functions worker may run the probe on: the standard library's loop, and the one that is built on
libuv, whose sockets and TLS are not the same."""


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on both loops what goes over real sockets."""
    return (
        LOOPS
        if item.path.name.startswith(("test_attempt", "test_differential", "test_exchange"))
        else {"asyncio": asyncio.new_event_loop}
    )


DEADLINE = 1.0
SHORT = {"connect_timeout": 0.5, "deadline": DEADLINE}
"""Seconds for what never answers. What does answer is given more time: a busy machine is not its fault."""
SIGNATURE = "sv=2026-01-01&sp=r&sig=s%2Fecret%3D"


@pytest.fixture(scope="session")
def attempt_authority() -> trustme.CA:
    """Make the certificate authority that the attempts of these tests trust."""
    return trustme.CA()


@pytest.fixture
def attempt_tls(attempt_authority) -> Callable[[], ssl.SSLContext]:
    """Make the TLS context of a probe that trusts the tests' authority."""

    @functools.cache
    def context() -> ssl.SSLContext:
        made = ssl.create_default_context()
        attempt_authority.configure_trust(made)
        return made

    return context


@pytest_asyncio.fixture
async def attempt_loop() -> AsyncIterator[None]:
    """Fail a test that leaves a task behind, or makes the loop complain."""
    complaints: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    await asyncio.sleep(0)
    left = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
    assert not complaints
    assert not left


@pytest_asyncio.fixture
async def attempt_at(attempt_loop, attempt_tls) -> AsyncIterator[Callable[..., TargetSession]]:
    """Open a session of the endpoints at these service URLs; further names are those of ``Policy``."""
    del attempt_loop
    async with AsyncExitStack() as stack:

        def opened(
            primary: str,
            secondary: str | None = None,
            *,
            write: bool = True,
            authorization=None,
            tokens=None,
            **policy: float,
        ) -> TargetSession:
            limits = {"connect_timeout": 5, "deadline": 8, **policy}
            target = Target(
                name="t",
                primary=primary,
                secondary=secondary,
                write=write,
                policy=Policy(**{name: timedelta(seconds=value) for name, value in limits.items()}),
            )
            endpoints = Endpoints(
                connections={
                    "t": Connection(
                        primary=primary,
                        secondary=secondary,
                        authorization=authorization or Sas(token=SIGNATURE),
                    )
                },
                tokens=tokens,
                canaries=None,
                clock=lambda: datetime.now(UTC),
                tls=attempt_tls,
            )
            session = endpoints.open(target)
            stack.push_async_callback(session.aclose)
            return session

        yield opened
