"""Compares two versions of a model by the server's own counters."""

from collections import defaultdict
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

ERRORS = 0.02  # tolerated error rate of the new version
SLOWER = 3.0  # tolerated ratio of mean latencies, and
SECONDS = 0.1  # tolerated difference in seconds; slow is above both
ENOUGH = 20  # fewest responses to compare latencies


@dataclass(frozen=True)
class TrafficCounters:
    answered: float = 0.0
    failed: float = 0.0
    seconds: float = 0.0  # total latency

    def since(self, start: "TrafficCounters") -> "TrafficCounters":
        return TrafficCounters(self.answered - start.answered, self.failed - start.failed, self.seconds - start.seconds)

    @property
    def mean(self) -> float:
        return self.seconds / self.answered if self.answered else 0.0

    def alarms(self, old: "TrafficCounters") -> list[str]:
        """Problems of this version, compared with the old one over the same time."""
        found = []
        asked = self.answered + self.failed
        if asked and self.failed / asked > ERRORS:
            found.append(f"{self.failed / asked:.0%} of the new version's {asked:g} responses failed")
        slow = self.mean > SLOWER * old.mean and self.mean > old.mean + SECONDS
        if min(self.answered, old.answered) >= ENOUGH and slow:
            found.append(f"the new version takes {self.mean * 1e3:.0f} ms, the old one {old.mean * 1e3:.0f} ms")
        return found


def arms(metrics: str, project: str) -> dict[str, TrafficCounters]:
    """Version -> its counters since the server started; shadow requests count too."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.labels.get("project") != project:
                continue
            if sample.name == "serving_arm_requests_total":
                found[sample.labels["version"]][sample.labels["outcome"]] += sample.value
            elif sample.name == "serving_arm_seconds_sum":
                found[sample.labels["version"]]["seconds"] += sample.value
    return {version: TrafficCounters(one["answered"], one["failed"], one["seconds"]) for version, one in found.items()}
