"""What is probed: the two locations of a target, their URLs and addresses."""

import re

import pytest

from probe.core.connection import Connection, Sas, SharedKey
from probe.core.target import Location, Target
from tests.unit.core_values import PRIMARY, SECONDARY

GEO = Target(
    name="orders",
    primary="https://orders.blob.core.windows.net",
    secondary="https://orders-secondary.blob.core.windows.net",
)
ZONAL = Target(name="orders", primary="http://127.0.0.1:10000/devstoreaccount1", secondary=None)


def test_each_location_is_the_other_ones_other():
    assert (PRIMARY.other, SECONDARY.other) == (SECONDARY, PRIMARY)


def test_a_target_without_a_secondary_has_one_location():
    assert ZONAL.locations == (PRIMARY,)
    assert GEO.locations == (PRIMARY, SECONDARY)
    with pytest.raises(ValueError, match="orders has no secondary"):
        ZONAL.service_url(Location.SECONDARY)


@pytest.mark.parametrize(
    ("target", "location", "url", "address"),
    [
        pytest.param(
            GEO, PRIMARY,
            "https://orders.blob.core.windows.net/health-probe/HelloWorld.png",
            ("orders.blob.core.windows.net", 443), id="primary",
        ),
        pytest.param(
            GEO, SECONDARY,
            "https://orders-secondary.blob.core.windows.net/health-probe/HelloWorld.png",
            ("orders-secondary.blob.core.windows.net", 443), id="secondary",
        ),
        pytest.param(
            ZONAL, PRIMARY,
            "http://127.0.0.1:10000/devstoreaccount1/health-probe/HelloWorld.png",
            ("127.0.0.1", 10000), id="path-style",
        ),
        pytest.param(
            Target(name="six", primary="http://[::1]", secondary=None, container="c", blob="b"), PRIMARY,
            "http://[::1]/c/b", ("::1", 80), id="ipv6-http",
        ),
    ],
)  # fmt: skip
def test_a_location_has_a_url_and_an_address(target, location, url, address):
    assert target.blob_url(location) == url
    assert target.address(location) == address


def test_a_blobs_name_is_quoted_but_its_folders_stay():
    target = Target(name="t", primary="https://a", secondary=None, container="c", blob="a b/ü?.png")

    assert target.blob_url(PRIMARY) == "https://a/c/a%20b/%C3%BC%3F.png"


@pytest.mark.parametrize(
    "authorization",
    [SharedKey(account="a", key="c2VjcmV0"), Sas(token="sig=c2VjcmV0")],  # noqa: S106 - says "secret"
    ids=["key", "sas"],
)
def test_a_connection_never_shows_its_secret(authorization):
    shown = repr(Connection(primary="https://a", secondary=None, authorization=authorization))

    assert not re.search("c2VjcmV0|sig", shown)
