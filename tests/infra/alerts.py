"""The alerts of a snapshot, and which of them would fire: those by query, and those on metrics."""

import functools
import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta

from tests.infra.snapshots import ROOT, resources
from tests.infra.tapes import NOW

DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?")
CONDITIONS = {each["name"]: each for each in json.loads((ROOT / "infra" / "conditions.json").read_text())}
DIMENSIONS = ("Condition", "Severity", "Target", "Side", "Situation", "First")
RESULTS = "availabilityResults/"


def duration(text):
    days, hours, minutes = (int(part or 0) for part in DURATION.fullmatch(text).groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A query rule, as the snapshot has it; it fires for each row whose measure is above its threshold."""

    name: str
    severity: int
    query: str
    measure: str
    threshold: float
    dimensions: tuple

    def told(self, workspace, now=NOW):
        """Return the rows that would be told, each once."""
        return [each for each in workspace.run(self.query, now) if each[self.measure] > self.threshold]

    def firing(self, workspace, now=NOW):
        """Return what would be told: by condition, the targets and sides."""
        found = {}
        for each in self.told(workspace, now):
            found.setdefault(each["Condition"], set()).add((each["Target"], each["Side"]))
        return found

    def expecting(self, pairs):
        """Return the rule as it would be deployed for these pairs of target and vantage."""
        listed = ", ".join(f'"{target}", "{vantage}"' for target, vantage in pairs)
        return self._with(r"(let expected = datatable\(.*?\)) \[.*?\];", rf"\1 [{listed}];")

    def deployed(self, at):
        """Return the rule as it would be when the deployment had begun then."""
        return self._with(
            r"let deployed = datetime\(.*?\);", f"let deployed = datetime({at:%Y-%m-%dT%H:%M:%SZ});"
        )

    def _with(self, pattern, text):
        changed, count = re.subn(pattern, text, self.query)
        if count != 1:
            raise ValueError(pattern)
        return replace(self, query=changed)


def rule(resource):
    (criterion,) = resource["properties"]["criteria"]["allOf"]
    if (criterion["operator"], criterion["timeAggregation"]) != ("GreaterThan", "Maximum"):
        raise NotImplementedError(criterion)
    return Rule(
        name=resource["name"],
        severity=resource["properties"]["severity"],
        query=criterion["query"],
        measure=criterion["metricMeasureColumn"],
        threshold=criterion["threshold"],
        dimensions=tuple(each["name"] for each in criterion["dimensions"]),
    )


@functools.cache
def rules(snapshot):
    """Return a snapshot's query rules by name."""
    found = resources(snapshot, "Microsoft.Insights/scheduledQueryRules")
    return {each["name"]: rule(each) for each in found}


def alarms(snapshot):
    """Return a snapshot's alerts on the metrics that Application Insights makes of availability results."""
    return [
        each
        for each in resources(snapshot, "Microsoft.Insights/metricAlerts")
        if each["properties"]["criteria"]["allOf"][0]["metricName"].startswith(RESULTS)
    ]


def ringing(snapshot, rows, now=NOW):
    """Return the names of the metric alerts that would fire on availability results, as told at a time."""
    return {name for name, found in _judged(snapshot, rows, now).items() if all(found)}


def over(snapshot, rows, now=NOW):
    """Return the names of those whose condition the data show to be over.

    Whether a series without data resolves an alert is nowhere said; one whose data fulfil it no longer does.
    """
    return {name for name, found in _judged(snapshot, rows, now).items() if False in found}


def _judged(snapshot, rows, now):
    """Return for each alert and criterion whether it is fulfilled, None where it has no data."""
    moment = now.replace(tzinfo=None)
    results = [cells for table, cells in rows if table == "AppAvailabilityResults"]
    return {
        each["name"]: [
            _breached(criterion, results, moment, duration(each["properties"]["windowSize"]))
            for criterion in each["properties"]["criteria"]["allOf"]
        ]
        for each in alarms(snapshot)
    }


def _breached(criterion, results, now, window):
    (dimension,) = criterion["dimensions"]
    seen = [
        each["Success"]
        for each in results
        if each["Name"] in dimension["values"] and now - window < each["TimeGenerated"] <= now
    ]
    if not seen:
        return None
    match criterion["metricName"], criterion["operator"]:
        case "availabilityResults/count", "GreaterThan":
            return len(seen) > criterion["threshold"]
        case "availabilityResults/availabilityPercentage", "LessThan":
            return 100 * sum(seen) / len(seen) < criterion["threshold"]
    raise NotImplementedError(criterion)
