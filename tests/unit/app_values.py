"""An app on a simulated world, as the composition root would build it, for the tests of the console."""

from dataclasses import dataclass, field
from typing import Any

from probe import settings
from probe.adapters.storage import Cleanup
from probe.compose import App
from probe.core.connection import Connection
from probe.core.target import Target
from probe.lab.world import World
from tests.unit.settings_values import WORKING


@dataclass(slots=True)
class Tokens:
    closed: int = 0

    async def aclose(self) -> None:
        self.closed += 1


@dataclass(slots=True)
class Writer:
    """Answers a clean-up, and remembers what it was asked to clean up."""

    done: Cleanup = field(default_factory=lambda: Cleanup(blob=True, container=True))
    asked: list[str] = field(default_factory=list)

    async def clean_up(self, target: Target, connection: Connection) -> Cleanup:
        assert connection
        self.asked.append(target.name)
        return self.done


def app_on(probe: World, **more: Any) -> App:
    """Return an app that probes a world; further names replace settings."""
    held = settings.load(WORKING)
    connection = next(iter(held.connections.values()))
    values = {each: getattr(held, each) for each in held.__dataclass_fields__}
    values |= {
        "targets": probe.targets,
        "connections": {each.name: connection for each in probe.targets},
        **more,
    }
    return App(settings=settings.Settings(**values), world=probe.inner, tokens=Tokens(), writer=Writer())
