"""Prometheus metrics at /metrics. All functions are no-ops until `start` is called.

Cardinality is bounded: routes are templates, projects and versions are the served ones.
"""

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client.core import Metric

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_on: SimpleNamespace | None = None
_versions: dict[tuple[str, str], str] = {}  # served by this process, by project and role


def share_between_workers() -> None:
    """Call it before starting several workers: any of them then reports /metrics for all.

    Counts of a dead worker remain, its gauges are dropped. A no-op if PROMETHEUS_MULTIPROC_DIR is set.
    """
    if not os.environ.get(FOLDER):
        folder = tempfile.TemporaryDirectory(prefix="serving-metrics-")
        os.environ[FOLDER] = folder.name
        _kept.append(folder)  # removed when this process ends


_kept: list[Any] = []


def start() -> None:
    """Enables metrics for the life of this process."""
    global _on
    _on = _instruments()


@functools.cache
def _instruments() -> SimpleNamespace:
    from prometheus_client import Counter, Gauge, Histogram

    def counter(name: str, documentation: str, *labels: str) -> Callable[..., Counter]:
        return functools.cache(Counter(f"serving_{name}", documentation, labels).labels)

    def histogram(name: str, documentation: str, buckets: Iterable[float], *labels: str) -> Callable[..., Histogram]:
        return functools.cache(Histogram(f"serving_{name}", documentation, labels, buckets=tuple(buckets)).labels)

    queue = Gauge("serving_queue_length", "inputs queued for a model", ["project"], multiprocess_mode="livesum")
    return SimpleNamespace(
        requests=counter("requests", "requests answered", "route", "project", "status"),
        latency=histogram(
            "request_seconds", "latency until the last byte of the response", SECONDS, "route", "project"
        ),
        in_flight=Gauge("serving_in_flight", "requests in flight", multiprocess_mode="livesum"),
        size=histogram("batch_size", "inputs per call of a predictor", SIZES, "project"),
        compute=histogram("batch_seconds", "duration of a call of a predictor", SECONDS, "project"),
        queue=functools.cache(queue.labels),
        loads=histogram("load_seconds", "duration of loading and warming a version", SECONDS, "project"),
        failures=counter("load_failures", "versions that failed to load", "project"),
        swaps=counter("swaps", "hot swaps of versions", "project"),
        unloads=counter("unloads", "models evicted for memory", "project"),
        tokens=counter("tokens", "tokens generated; its rate() is tokens/s", "project"),
        notes=counter("notes", "fields with a level never seen in training, or with no value", "project", "kind"),
        recorded=counter("predictions_recorded", "rows written to the prediction log", "project"),
        dropped=counter("predictions_dropped", "rows dropped because the prediction log was full", "project"),
        arms=counter(
            "arm_requests",
            "requests by version, for projects with a challenger",
            "project",
            "version",
            "role",
            "outcome",
        ),
        arm_latency=histogram(
            "arm_seconds", "latency by version, for projects with a challenger", SECONDS, "project", "version", "role"
        ),
        mirror_dropped=counter("mirror_dropped", "shadow requests dropped because the queue was full", "project"),
        fallbacks=counter("fallbacks", "requests answered by the champion because the challenger failed", "project"),
    )


def batch(project: str, size: int, seconds: float) -> None:
    """Records one call of a predictor."""
    if _on:
        _on.size(project).observe(size)
        _on.compute(project).observe(seconds)


def queue(project: str, length: int) -> None:
    """Sets the queue length."""
    if _on:
        _on.queue(project).set(length)


def model_loaded(project: str, version: str, seconds: float, role: str = "champion") -> None:
    """Records that a version is served."""
    if _on:
        _on.loads(project).observe(seconds)
        if _versions.get((project, role), version) != version and role == "champion":
            _on.swaps(project).inc()
        _versions[project, role] = version


def model_unloaded(project: str) -> None:
    """Records an eviction; the model is reloaded on request."""
    if _on:
        _on.unloads(project).inc()
        challenger_withdrawn(project, "champion")


def challenger_withdrawn(project: str, role: str) -> None:
    """Records that the role has no version any more."""
    _versions.pop((project, role), None)


def model_refused(project: str) -> None:
    """Records a version that failed to load."""
    if _on:
        _on.failures(project).inc()


def tokens(project: str, n: int) -> None:
    """Adds generated tokens."""
    if _on:
        _on.tokens(project).inc(n)


def count_note(project: str, kind: str) -> None:
    """A field of a request; kind: unseen or absent."""
    if _on:
        _on.notes(project, kind).inc()


def recorded(project: str, rows: int) -> None:
    """Adds rows written to the prediction log."""
    if _on:
        _on.recorded(project).inc(rows)


def dropped(project: str, rows: int) -> None:
    """Adds rows dropped by the prediction log."""
    if _on:
        _on.dropped(project).inc(rows)


def arm(project: str, version: str, role: str, outcome: str, seconds: float | None = None) -> None:
    """role: champion, challenger (a split request) or shadow; outcome: answered or failed."""
    if _on:
        _on.arms(project, version, role, outcome).inc()
        if seconds is not None:
            _on.arm_latency(project, version, role).observe(seconds)


def mirror_dropped(project: str) -> None:
    """Records a dropped shadow request."""
    if _on:
        _on.mirror_dropped(project).inc()


def count_fallback(project: str) -> None:
    """Records a fallback to the champion."""
    if _on:
        _on.fallbacks(project).inc()


def request_started() -> None:
    """Records the start of a request."""
    if _on:
        _on.in_flight.inc()


def request_finished(route: str, project: str, status: int, seconds: float) -> None:
    """Records the end of a request, after so many seconds."""
    if _on:
        _on.in_flight.dec()
        _on.requests(route, project, status).inc()
        _on.latency(route, project).observe(seconds)


def render() -> tuple[bytes, str]:
    """-> the exposition text and its content type"""
    from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

    own = CollectorRegistry()
    registries = [own]
    memory = None
    if folder := os.environ.get(FOLDER):
        alive = set()
        for pid in {int(path.stem.rpartition("_")[2]) for path in Path(folder).glob("*.db")}:
            if _alive(pid):
                alive.add(pid)
            else:
                mark_process_dead(pid)
        MultiProcessCollector(own)
        memory = sum(_resident(pid) for pid in alive)
    else:
        registries.append(REGISTRY)
    own.register(_Now(memory))
    page = b"".join(generate_latest(registry) for registry in registries)
    return page, CONTENT_TYPE_PLAIN_0_0_4


class _Now:
    """Gauges computed on scrape: versions, and the memory of all workers."""

    def __init__(self, memory: int | None) -> None:
        self.memory = memory

    def collect(self) -> Iterable["Metric"]:
        """Called by prometheus_client."""
        from prometheus_client.core import GaugeMetricFamily

        info = GaugeMetricFamily("serving_model_info", "the served version", labels=["project", "version", "role"])
        for (project, role), version in sorted(_versions.items()):
            info.add_metric([project, version, role], 1)
        yield info
        if self.memory is not None:
            documentation = "of all workers together"
            yield GaugeMetricFamily("process_resident_memory_bytes", documentation, value=self.memory)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):  # it may have ended
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
