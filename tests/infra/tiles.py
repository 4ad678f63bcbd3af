"""What each tile of the workbook shows for one outage: half an hour, two vantages, three bad minutes."""

import functools
from datetime import timedelta

from tests.infra import workbook
from tests.infra.rows import Workspace
from tests.infra.tapes import NOW, OK, PRIMARY_DOWN, Seen, calm, rows_of

OUTAGE = [
    Seen(segments=[*calm(10), (OK, PRIMARY_DOWN, PRIMARY_DOWN, PRIMARY_DOWN, *[OK] * 6), *calm(10)]),
    Seen(segments=calm(30), vantage="uksouth"),
]
DAY = timedelta(days=1)


def usage(table, megabytes):
    """Return a day's row of the workspace's own accounting: the service writes it, so no capture holds it."""
    until = NOW.replace(tzinfo=None)
    span = {"TimeGenerated": until - timedelta(hours=1), "StartTime": until - DAY, "EndTime": until}
    return "Usage", {
        **span,
        "DataType": table,
        "Quantity": megabytes,
        "QuantityUnit": "MBytes",
        "IsBillable": True,
    }


@functools.cache
def workspace():
    return Workspace([*rows_of(OUTAGE), usage("AppMetrics", 12.5), usage("AppAvailabilityResults", 4.0)])


def run(query):
    return workspace().run(query, NOW)


def rows_of_tile(name):
    return run(workbook.as_run(name))
