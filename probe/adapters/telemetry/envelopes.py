"""Azure Monitor's exporters, with the two kinds of rows that a tick has hundreds of made cheaply.

The exporter builds each row of four generated models, which was nearly all that telling a tick cost. Here the
first row of a kind is the exporter's own, and the mould of the rest: only what differs between two rows is
put in anew. The rest of the exporter, its sending above all, stays as it is.

Rule kept here: a row is, to the byte, what the exporter itself makes of the same point (the test compares
the two, so that an exporter that changes is noticed).
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from azure.monitor.opentelemetry.exporter import AzureMonitorLogExporter, AzureMonitorMetricExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import DataPointT, NumberDataPoint
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

type Row = dict[str, Any]

_LONGEST = 8 * 1024
"""Characters after which the exporter cuts a property."""
_OWN = "microsoft."
"""How the attributes begin that say what a row is, and are no properties of it."""
_RESULT = "microsoft.availability."
_MEASUREMENTS = "microsoft.custom_measurements"


class MetricRows(AzureMonitorMetricExporter):
    """The exporter of one resource's metrics."""

    _mould: Row | None = None

    def _point_to_envelope(  # type: ignore[override]  # what it returns is only counted and sent as JSON
        self,
        point: DataPointT,
        name: str,
        resource: Resource | None = None,
        scope: InstrumentationScope | None = None,
    ) -> Row | None:
        """Return a point as a row; ``None`` where the exporter is told to send no metrics."""
        if self._mould is None:
            made = super()._point_to_envelope(point, name, resource, scope)
            if made is None:
                return None
            self._mould = made.as_dict(exclude_readonly=True)
            for each in ("min", "max"):
                self._mould["data"]["baseData"]["metrics"][0].pop(each, None)
        base = self._mould["data"]["baseData"]
        properties = _properties(point.attributes or {})
        measured = {**base["metrics"][0], "name": name, **_measured(point)}
        return _row(self._mould, point.time_unix_nano, {"properties": properties, "metrics": [measured]})


class LogRows(AzureMonitorLogExporter):
    """The exporter of one resource's log records. Events and log lines, which are few, it converts itself."""

    _mould: Row | None = None

    def _log_to_envelope(self, readable_log_record: ReadableLogRecord) -> Any:  # noqa: ANN401 - its own, or JSON
        """Return a record as a row."""
        record = readable_log_record.log_record
        said = record.attributes or {}
        if _RESULT + "name" not in said:
            return super()._log_to_envelope(readable_log_record)
        if self._mould is None:
            self._mould = super()._log_to_envelope(readable_log_record).as_dict(exclude_readonly=True)
        base = self._mould["data"]["baseData"]
        measured = json.loads(str(said.get(_MEASUREMENTS, "{}")))
        data = {
            **{
                key: said[_RESULT + key]
                for key in ("id", "name", "duration", "success", "runLocation", "message")
            },
            "properties": _properties(said) | {"logger_name": base["properties"]["logger_name"]},
            "measurements": {key: float(value) for key, value in measured.items()},
        }
        trace = {
            "ai.operation.id": f"{record.trace_id or 0:032x}",
            "ai.operation.parentId": f"{record.span_id or 0:016x}",
        }
        made = _row(self._mould, record.timestamp or 0, data)
        return made | {"tags": made["tags"] | trace}


def _row(mould: Row, at: int, base: Row) -> Row:
    """Return a mould's row with another time, in nanoseconds since 1970, and other data."""
    data = mould["data"]
    return {**mould, "time": _time(at), "data": {**data, "baseData": {**data["baseData"], **base}}}


@lru_cache(maxsize=8)
def _time(at: int) -> str:
    """Return a time as rows have it; remembered, since all metrics of a tick have the same."""
    return datetime.fromtimestamp(at / 1e9, tz=UTC).isoformat().replace("+00:00", "Z")


def _properties(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value)[:_LONGEST] for key, value in attributes.items() if not key.startswith(_OWN)}


def _measured(point: DataPointT) -> Row:
    if isinstance(point, NumberDataPoint):
        return {"value": point.value, "count": 1}
    return {"value": point.sum, "count": point.count, "min": point.min, "max": point.max}
