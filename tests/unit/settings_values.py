"""Values for the tests of the settings: an environment that works, what goes wrong in it, secrets."""

from collections.abc import Mapping

import pytest

from probe import settings
from probe.core.errors import ConfigurationError
from probe.settings import Settings

KEY = "c2VjcmV0" * 10 + "c2Vjcg=="
"""Of the shape of an account's key: 64 bytes in base64."""
SIGNATURE = "sv=2026-01-01&ss=b&sig=c2VjcmV0c2VjcmV0c2VjcmV0%3D"
STRING = (
    f"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey={KEY};EndpointSuffix=core.windows.net"
)
WORKING = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "ProbedStorage": STRING}


def load(**more: str) -> Settings:
    """Load settings that work, with more laid over them."""
    return settings.load({**WORKING, **more})


def problems(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the problems of settings that must not load."""
    with pytest.raises(ConfigurationError) as caught:
        settings.load(environment)
    return caught.value.problems


def problem(**more: str) -> str:
    """Return the only problem that settings have which would work otherwise."""
    found = problems({**WORKING, **more})
    assert len(found) == 1, found
    return found[0]
