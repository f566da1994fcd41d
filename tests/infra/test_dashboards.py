"""Dashboards and alerts as code: they query exported metrics, and Prometheus and Grafana can load them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from roadmap.monitoring import export
from tests.support.checkouts import ROOT
from tests.support.infra.dashboards import BOARDS, FOLDER, alerts, expressions, monitoring_run

NAME = re.compile(r"\b(?:serving|process|roadmap)_[a-z_]+")
each = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)

EXPORT = """
from serving.observability import metrics
metrics.start()
metrics.request_started()
metrics.request_finished("/predict", "p", 200, 0.1)
metrics.batch("p", 1, 0.1)
metrics.queue("p", 1)
metrics.model_loaded("p", "1", 0.1)
metrics.model_unloaded("p")
metrics.model_loaded("p", "1", 0.1)
metrics.model_loaded("p", "2", 0.1)
metrics.model_refused("p")
metrics.tokens("p", 1)
metrics.arm("p", "1", "shadow", "answered", 0.1)
metrics.mirror_dropped("p")
metrics.count_fallback("p")
print(metrics.render()[0].decode())
"""


def exported() -> dict[str, set[str]]:
    """Every series of the server and the monitoring job, with its labels."""
    page = subprocess.run([sys.executable, "-c", EXPORT], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^([a-z_]+)(?:{(.*)})? \S+$", page, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found | pushed()


def pushed() -> dict[str, set[str]]:
    return {name: set(labels) for name, _, labels, _ in export.gauges(*monitoring_run("p"))}


def test_panels_and_alerts_use_exported_metrics_and_labels() -> None:
    known = exported()
    queried = set(NAME.findall(" ".join([*expressions(), *alerts()])))
    assert queried <= set(known), queried - set(known)
    for expression in [*expressions(), *alerts()]:
        for name, selector in re.findall(rf"({NAME.pattern}){{([^}}]*)}}", expression):
            labels = set(re.findall(r"(\w+)[=!]~?", selector))
            assert labels <= known[name] | {"job", "instance"}, f"{name} has no {labels - known[name]}"


@pytest.mark.parametrize(
    "name",
    [
        "serving_requests_total",
        "serving_request_seconds_bucket",
        "serving_model_info",
        "serving_arm_requests_total",
        "serving_arm_seconds_bucket",
        "serving_mirror_dropped_total",
        *sorted(pushed()),
    ],
)
def test_important_metrics_are_on_a_dashboard(name: str) -> None:
    assert name in NAME.findall(" ".join(expressions()))


@pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed; on Debian: apt-get install prometheus"
)
def test_prometheus_parses_every_query_and_config(tmp_path: Path) -> None:
    queries = [expression.replace("$__rate_interval", "1m").replace("$project", ".*") for expression in expressions()]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    shutil.copy(FOLDER / "prometheus/alerts.yaml", tmp_path)
    config = (FOLDER / "prometheus/prometheus.yaml").read_text()
    (tmp_path / "prometheus.yaml").write_text(config.replace("/etc/prometheus/", f"{tmp_path}/"))
    for command in (["rules", "panels.yaml", "alerts.yaml"], ["config", "prometheus.yaml"]):
        done = subprocess.run(["promtool", "check", *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@each
def test_grafana_provisioning_is_valid(board: dict[str, Any]) -> None:
    (source,) = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((FOLDER / "grafana/provisioning/dashboards/roadmap.yaml").read_text())["providers"]
    grafana = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["grafana"]
    mounts = dict(volume.split(":")[:2][::-1] for volume in grafana["volumes"])
    assert mounts[provider["options"]["path"]] == "./grafana/dashboards"
    assert source["url"] == "http://prometheus:9090/prometheus"
    found = board["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    for panel in found:
        assert panel["type"] in ("timeseries", "stat", "table") and panel["title"] and panel["targets"]
        assert {panel["datasource"]["uid"], *(one["datasource"]["uid"] for one in panel["targets"])} == {source["uid"]}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    squares = [(panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y) for panel in found
               for x in range(panel["gridPos"]["w"]) for y in range(panel["gridPos"]["h"])]  # fmt: skip
    assert len(squares) == len(set(squares)) and max(x for x, _ in squares) < 24
    (variable,) = board["templating"]["list"]
    assert f"${variable['name']}" in json.dumps(found)
    assert variable["query"].partition("(")[2].partition(",")[0] in exported()
    assert board["links"][0]["tags"] == board["tags"]


def test_dashboard_uids_are_unique() -> None:
    assert [board["uid"] for board in BOARDS.values()] == list(BOARDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)
