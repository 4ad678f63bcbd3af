"""The log alerts of a snapshot, and whether one would fire on a workspace."""

import re
from dataclasses import dataclass
from datetime import timedelta

from tests.infra.snapshots import resources
from tests.infra.tapes import NOW

DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?")


def duration(text):
    days, hours, minutes = (int(part or 0) for part in DURATION.fullmatch(text).groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One log alert, as the snapshot has it. Without a measure the rule counts rows."""

    name: str
    query: str
    window: timedelta
    measure: str | None
    threshold: float
    dimensions: tuple

    def firing(self, workspace, now=NOW):
        """Return the dimension values that would be alerted on."""
        workspace.look_back(now - self.window)
        worst = {}
        for found in workspace.run(self.query, now):
            key = tuple(found[name] for name in self.dimensions)
            worst[key] = (
                max(worst.get(key, 0), found[self.measure]) if self.measure else worst.get(key, 0) + 1
            )
        return {key for key, value in worst.items() if value > self.threshold}


def rule(resource):
    (criterion,) = resource["properties"]["criteria"]["allOf"]
    if criterion["operator"] != "GreaterThan":
        raise NotImplementedError(criterion["operator"])
    if criterion["timeAggregation"] != ("Maximum" if "metricMeasureColumn" in criterion else "Count"):
        raise NotImplementedError(criterion["timeAggregation"])
    return Rule(
        name=resource["name"],
        query=criterion["query"],
        window=duration(resource["properties"]["windowSize"]),
        measure=criterion.get("metricMeasureColumn"),
        threshold=criterion["threshold"],
        dimensions=tuple(each["name"] for each in criterion["dimensions"]),
    )


def rules(snapshot):
    """Return a snapshot's log alerts by name."""
    found = resources(snapshot, "Microsoft.Insights/scheduledQueryRules")
    return {each["name"]: rule(each) for each in found}
