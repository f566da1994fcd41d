"""Compares two versions of a model by the server's own counters."""

from collections import defaultdict
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

MAX_ERROR_RATE = 0.02  # tolerated error rate of the new version
MAX_LATENCY_RATIO = 3.0  # tolerated ratio of mean latencies, and
MAX_LATENCY_INCREASE = 0.1  # tolerated difference in seconds; slow is above both
MIN_RESPONSES = 20  # fewest responses to compare latencies


@dataclass(frozen=True)
class TrafficCounters:
    succeeded: float = 0.0
    failed: float = 0.0
    seconds: float = 0.0  # total latency

    def since(self, start: "TrafficCounters") -> "TrafficCounters":
        return TrafficCounters(
            self.succeeded - start.succeeded, self.failed - start.failed, self.seconds - start.seconds
        )

    @property
    def mean(self) -> float:
        return self.seconds / self.succeeded if self.succeeded else 0.0

    def alarms(self, old: "TrafficCounters") -> list[str]:
        """Problems of this version, compared with the old one over the same time."""
        found = []
        total = self.succeeded + self.failed
        if total and self.failed / total > MAX_ERROR_RATE:
            found.append(f"{self.failed / total:.0%} of the new version's {total:g} responses failed")
        slow = self.mean > MAX_LATENCY_RATIO * old.mean and self.mean > old.mean + MAX_LATENCY_INCREASE
        if min(self.succeeded, old.succeeded) >= MIN_RESPONSES and slow:
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
