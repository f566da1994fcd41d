"""Dashboards and alerts as code: they ask for what is exported, Prometheus can read them, and Grafana finds them."""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from benchmarks.serving.process import free_port
from roadmap.monitoring import export
from tests.support import bundles
from tests.support.checkouts import ROOT

FOLDER = ROOT / "infra" / "compose"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "grafana/dashboards").glob("*.json"))
}
NAME = re.compile(r"\b(?:serving|process|roadmap)_[a-z_]+")
each = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)

EXPORT = """
from serving import metrics
metrics.start()
metrics.entered()
metrics.left("/predict", "p", 200, 0.1)
metrics.batch("p", 1, 0.1)
metrics.queue("p", 1)
metrics.loaded("p", "1", 0.1)
metrics.unloaded("p")
metrics.loaded("p", "1", 0.1)
metrics.loaded("p", "2", 0.1)
metrics.refused("p")
metrics.tokens("p", 1)
metrics.arm("p", "1", "shadow", "answered", 0.1)
metrics.mirror_dropped("p")
metrics.fell_back("p")
print(metrics.render()[0].decode())
"""


def panels() -> list[dict[str, Any]]:
    return [panel for board in BOARDS.values() for panel in board["panels"]]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def alerts() -> list[str]:
    groups = yaml.safe_load((FOLDER / "prometheus/alerts.yaml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def exported() -> dict[str, set[str]]:
    """Every series that the server and the monitoring job make, with its labels."""
    page = subprocess.run([sys.executable, "-c", EXPORT], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^([a-z_]+)(?:{(.*)})? \S+$", page, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found | pushed()


def look(project: str) -> tuple[Any, ...]:
    """What roadmap.monitoring.export is given after a look at the log."""
    now = datetime.now(UTC).isoformat()
    column = SimpleNamespace(column="a", kind="values", gap=0.1, p=0.5)
    verdict = SimpleNamespace(verdict="drift", findings=[column], live=SimpleNamespace(metric="accuracy", value=0.9))
    manifest = SimpleNamespace(version="v", created=now, profile="sample")
    return project, verdict, {"at": now, "rows": 3}, manifest, {"name": "accuracy", "value": 0.9}


def pushed() -> dict[str, set[str]]:
    return {name: set(labels) for name, _, labels, _ in export.gauges(*look("p"))}


def test_panels_and_alerts_ask_for_what_is_exported_by_labels_that_it_has() -> None:
    known = exported()
    asked = set(NAME.findall(" ".join([*expressions(), *alerts()])))
    assert asked <= set(known), asked - set(known)
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
def test_what_matters_is_on_a_dashboard(name: str) -> None:
    assert name in NAME.findall(" ".join(expressions()))


@pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed; on Debian: apt-get install prometheus"
)
def test_prometheus_can_read_every_query_and_its_own_files(tmp_path: Path) -> None:
    queries = [expression.replace("$__rate_interval", "1m").replace("$project", ".*") for expression in expressions()]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    shutil.copy(FOLDER / "prometheus/alerts.yaml", tmp_path)
    config = (FOLDER / "prometheus/prometheus.yaml").read_text()
    (tmp_path / "prometheus.yaml").write_text(config.replace("/etc/prometheus/", f"{tmp_path}/"))
    for command in (["rules", "panels.yaml", "alerts.yaml"], ["config", "prometheus.yaml"]):
        done = subprocess.run(["promtool", "check", *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


PROGRAMS = ("prometheus", "prometheus-pushgateway")


@pytest.mark.slow
@pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason=f"{' and '.join(PROGRAMS)} are not installed")
def test_prometheus_answers_what_the_panels_ask(
    tmp_path: Path, server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server, the Pushgateway and Prometheus as processes: what they have measured comes out of the queries."""
    bundles.titanic(tmp_path / "artifacts" / "titanic" / "bundle")
    shutil.copytree(tmp_path / "artifacts/titanic/bundle", tmp_path / "artifacts/titanic/challenger")
    lineage = json.loads((tmp_path / "artifacts/titanic/challenger/bundle.json").read_text())
    (tmp_path / "artifacts/titanic/challenger/note.json").write_text("{}")
    bundles.seal(tmp_path / "artifacts/titanic/challenger", **{k: v for k, v in lineage.items() if k != "files"})
    artifacts = str(tmp_path / "artifacts")
    with ExitStack() as stack:
        running = stack.enter_context(server(artifacts, "--challengers", artifacts, "--shadow", "1", "--split", "0.5"))
        gateway, database = free_port(), free_port()
        config = yaml.safe_load((FOLDER / "prometheus/prometheus.yaml").read_text())
        jobs = {job["job_name"]: job for job in config["scrape_configs"]}
        jobs["pushgateway"]["static_configs"] = [{"targets": [f"127.0.0.1:{gateway}"]}]
        own = {"job_name": "serving", "static_configs": [{"targets": [running.address.partition("//")[2]]}]}
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [own, jobs["pushgateway"]]}
        (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
        for command in (
            ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{gateway}"],
            ["prometheus", f"--config.file={tmp_path / 'prometheus.yaml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{database}"],
        ):  # fmt: skip
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        def values(expression: str) -> list[Any]:
            asked = expression.replace("$__rate_interval", "20s").replace("$project", "titanic")
            address = f"http://127.0.0.1:{database}/api/v1/query?{urlencode({'query': asked})}"
            with urllib.request.urlopen(address, timeout=10) as answer:
                return list(json.load(answer)["data"]["result"])

        monkeypatch.setenv("PROMETHEUS_PUSHGATEWAY", f"http://127.0.0.1:{gateway}")
        quiet = re.compile("failed|failures|dropped|fallbacks|swaps|tokens|refused|4..")  # nothing of it happens here
        missing, until = expressions(), time.monotonic() + 60
        while missing and time.monotonic() < until:
            for number in range(20):
                running.post("/models/titanic/predict", {"inputs": [{}]}, **{"X-Caller-Id": f"c{number}"})
            try:
                export.push(*look("titanic"))
                missing = [one for one in expressions() if not quiet.search(one) and not values(one)]
            except OSError:  # not up yet
                time.sleep(0.5)
        assert not missing
        (verdict,) = values('max by (project) (roadmap_drift_detected{project=~"$project"})')
        assert verdict["metric"] == {"project": "titanic"} and verdict["value"][1] == "1"


@each
def test_grafana_finds_what_it_is_given(board: dict[str, Any]) -> None:
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


def test_every_dashboard_has_an_address_of_its_own() -> None:
    assert [board["uid"] for board in BOARDS.values()] == list(BOARDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)
