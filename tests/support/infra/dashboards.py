"""The queries of infra/compose's dashboards and alerts, and a drift result to export."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import yaml

from tests.support.checkouts import ROOT

FOLDER = ROOT / "infra" / "compose"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "grafana/dashboards").glob("*.json"))
}


def panels() -> list[dict[str, Any]]:
    return [panel for board in BOARDS.values() for panel in board["panels"]]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def alerts() -> list[str]:
    groups = yaml.safe_load((FOLDER / "prometheus/alerts.yaml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def monitoring_run(project: str) -> tuple[Any, ...]:
    """The arguments of roadmap.monitoring.export after a monitoring run."""
    now = datetime.now(UTC).isoformat()
    column = SimpleNamespace(column="a", kind="values", gap=0.1, p=0.5)
    verdict = SimpleNamespace(verdict="drift", findings=[column], live=SimpleNamespace(metric="accuracy", value=0.9))
    manifest = SimpleNamespace(version="v", created=now, profile="sample")
    return project, verdict, {"at": now, "rows": 3}, manifest, {"name": "accuracy", "value": 0.9}
