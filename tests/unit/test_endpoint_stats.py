"""Reading the replication stats: what Azure says is understood, what it would not say is ``None``."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.adapters.service_stats import sync_of
from probe.core.replication import Sync, SyncStatus

WHEN = "Sun, 01 Mar 2026 11:59:07 GMT"
TIME = datetime(2026, 3, 1, 11, 59, 7, tzinfo=UTC)


def document(inner: str, *, head: str = '<?xml version="1.0" encoding="utf-8"?>') -> bytes:
    return f"{head}<StorageServiceStats>{inner}</StorageServiceStats>".encode()


def geo(status: str = "live", last: str = f"<LastSyncTime>{WHEN}</LastSyncTime>") -> str:
    return f"<GeoReplication><Status>{status}</Status>{last}</GeoReplication>"


@pytest.mark.parametrize(
    ("body", "status", "time"),
    [
        pytest.param(document(geo()), "live", TIME, id="live"),
        pytest.param(b"\xef\xbb\xbf" + document(geo()), "live", TIME, id="with a byte order mark"),
        pytest.param(document(geo("Live")), "live", TIME, id="other case"),
        pytest.param(document(f"\n  {geo()}\n"), "live", TIME, id="indented"),
        pytest.param(document(geo("bootstrap", "<LastSyncTime/>")), "bootstrap", None, id="no time yet"),
        pytest.param(
            document(geo("unavailable", "<LastSyncTime></LastSyncTime>")),
            "unavailable",
            None,
            id="empty time",
        ),
        pytest.param(document(geo("unavailable", "")), "unavailable", None, id="without the element"),
        pytest.param(document(geo() + "<New>1</New><New>2</New>"), "live", TIME, id="with more than today"),
        pytest.param(
            document(geo(), head='<?xml version="1.0" encoding="nonsense"?>'), "live", TIME, id="odd claim"
        ),
    ],
)
def test_stats_of_azure_are_understood(body, status, time):
    assert sync_of(body) == Sync(status=SyncStatus(status), last_sync_time=time)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html><body>hello</body></html>", id="a page"),
        pytest.param(document(geo())[:-9], id="torn"),
        pytest.param(document(""), id="no geo-replication"),
        pytest.param(document(geo("fine")), id="unknown status"),
        pytest.param(document(geo(last="<LastSyncTime>yesterday</LastSyncTime>")), id="no time"),
        pytest.param(
            document(
                geo(last="<LastSyncTime>Mon, 99999999999999999999 Jan 2024 00:00:00 GMT</LastSyncTime>")
            ),
            id="a day beyond all numbers",
        ),
        pytest.param(
            document(geo(last="<LastSyncTime>Fri, 31 Dec 9999 23:59:59 -0100</LastSyncTime>")),
            id="a time beyond all times",
        ),
        pytest.param(
            document(geo(last=f"<LastSyncTime>{WHEN[:-4]} -0000</LastSyncTime>")), id="time without a zone"
        ),
        pytest.param(document(geo() + geo()), id="said twice"),
        pytest.param(document(geo("&b;"), head=BOMB), id="entities"),
        pytest.param(document(geo(), head=OUTSIDE), id="outside document type"),
        pytest.param(document(geo() + "<a>" * 9 + "</a>" * 9), id="too deep"),
        pytest.param(document(geo("live\xe9")).decode().encode("latin-1"), id="not UTF-8"),
    ],
)
def test_what_azure_would_not_say_is_none(body):
    assert sync_of(body) is None


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: document(geo(text)))))
def test_no_body_raises(body):
    assert sync_of(body) is None or isinstance(sync_of(body), Sync)
