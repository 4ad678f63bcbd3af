"""Rows of Log Analytics, made from envelopes as the Azure Monitor exporter sends them, and KQL on them.

Rules kept here: a column that Microsoft's reference does not list is an error, so is a base type without a
table; what the service fills in by itself (ids, sizes) stays null, so that no query can come to rest on it.
"""

import functools
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb_kql

HERE = Path(__file__).parent
TABLES = json.loads((HERE / "kusto" / "tables.json").read_text())
TYPES = {
    "bool": "BOOLEAN",
    "datetime": "TIMESTAMP",
    "dynamic": "JSON",
    "int": "INTEGER",
    "long": "BIGINT",
    "real": "DOUBLE",
    "string": "VARCHAR",
}


def milliseconds(text):
    """Return the milliseconds of an ingestion duration, ``[d.]hh:mm:ss.fffffff``."""
    days, _, rest = text.rpartition(".") if text.count(".") == 2 else ("0", "", text)
    if text.count(".") == 2:
        days, rest = text.split(".", 1)
    hours, minutes, seconds = rest.split(":")
    of_day = timedelta(days=int(days), hours=int(hours), minutes=int(minutes)).total_seconds()
    return (of_day + float(seconds)) * 1000


def common(envelope):
    tags, base = envelope["tags"], envelope["data"]["baseData"]
    return {
        "TimeGenerated": datetime.fromisoformat(envelope["time"]).astimezone(UTC).replace(tzinfo=None),
        "AppRoleName": tags.get("ai.cloud.role"),
        "AppRoleInstance": tags.get("ai.cloud.roleInstance"),
        "AppVersion": tags.get("ai.application.ver"),
        "OperationId": tags.get("ai.operation.id"),
        "ParentId": tags.get("ai.operation.parentId"),
        "Properties": base.get("properties") or {},
        "ItemCount": 1,
    }


def availability(base):
    return "AppAvailabilityResults", {
        "Id": base["id"],
        "Name": base["name"],
        "DurationMs": milliseconds(base["duration"]),
        "Success": base["success"],
        "Location": base.get("runLocation"),
        "Message": base.get("message"),
        "Measurements": base.get("measurements") or {},
    }


def metric(base):
    (point,) = base["metrics"]
    named = {"Name": point["name"], "Sum": point["value"], "ItemCount": point.get("count", 1)}
    return "AppMetrics", {**named, "Min": point.get("min"), "Max": point.get("max")}


def event(base):
    return "AppEvents", {"Name": base["name"], "Measurements": base.get("measurements") or {}}


def dependency(base):
    return "AppDependencies", {
        "Id": base["id"],
        "Name": base["name"],
        "DurationMs": milliseconds(base["duration"]),
        "Success": base["success"],
        "ResultCode": base.get("resultCode"),
        "Data": base.get("data"),
        "DependencyType": base.get("type"),
        "Target": base.get("target"),
        "Measurements": base.get("measurements") or {},
    }


CONVERTERS = {
    "AvailabilityData": availability,
    "MetricData": metric,
    "EventData": event,
    "RemoteDependencyData": dependency,
}
CONVERTED = ("AppAvailabilityResults", "AppMetrics", "AppEvents", "AppDependencies")


def row(envelope):
    """Return the table and the row that one envelope becomes."""
    data = envelope["data"]
    table, own = CONVERTERS[data["baseType"]](data["baseData"])
    cells = {**common(envelope), **own}
    unknown = cells.keys() - TABLES[table].keys()
    if unknown:
        raise KeyError(f"{table} has no column {sorted(unknown)}")
    return table, cells


@functools.cache
def translated(kql, now):
    """Return a query as DuckDB's SQL, and its parameters; translating costs more than running."""
    sql = duckdb_kql.to_sql(
        kql, schema={table: list(columns) for table, columns in TABLES.items()}, query_now=now
    )
    return str(sql), sql.parameters


class Workspace:
    """Tables with rows, that KQL runs on. Times are naive UTC, as Kusto keeps them."""

    def __init__(self, rows=()):
        self.connection = duckdb_kql.connect()
        for table, columns in TABLES.items():
            cells = ", ".join(f'"{name}" {TYPES[type_]}' for name, type_ in columns.items())
            self.connection.execute(f'CREATE TABLE "all {table}" ({cells})')
            self.connection.execute(
                f'CREATE VIEW "{table}" AS SELECT * FROM "all {table}" '  # noqa: S608 - our own names
                "WHERE TimeGenerated >= getvariable('sight')"
            )
        by_table = {}
        for table, cells in rows:
            by_table.setdefault(table, []).append(cells)
        for table, all_cells in by_table.items():
            self._load(table, all_cells)
        self.look_back(datetime.min)  # noqa: DTZ901 - naive, as Kusto keeps them

    def _load(self, table, all_cells):
        shape = ", ".join(f"'{name}': '{TYPES[type_]}'" for name, type_ in TABLES[table].items())
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.writelines(json.dumps(cells, default=str) + "\n" for cells in all_cells)
            file.flush()
            self.connection.execute(
                f"INSERT INTO \"all {table}\" BY NAME SELECT * FROM read_json('{file.name}', "  # noqa: S608 - our own names
                f"format='newline_delimited', columns={{{shape}}})"
            )

    def look_back(self, start):
        """Leave in sight only the rows from a time on, as a rule's window does."""
        self.connection.execute(f"SET VARIABLE sight = TIMESTAMP '{start:%Y-%m-%d %H:%M:%S}'")

    def run(self, kql, now):
        """Return a query's result rows as dicts."""
        sql, parameters = translated(kql, now)
        result = self.connection.execute(sql, parameters)
        names = [column[0] for column in result.description]
        return [dict(zip(names, cells, strict=True)) for cells in result.fetchall()]
