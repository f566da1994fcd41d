"""The server, the Pushgateway and Prometheus as processes: the dashboards' queries return what was measured."""

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from roadmap.monitoring import export
from tests.support import bundles
from tests.support.infra.dashboards import FOLDER, expressions, monitoring_run
from tests.support.servers import free_port

PROGRAMS = ("prometheus", "prometheus-pushgateway")


@pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason=f"{' and '.join(PROGRAMS)} are not installed")
def test_prometheus_answers_the_panels_queries(
    tmp_path: Path, server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queries return what the server and the monitoring job have measured."""
    bundles.titanic(tmp_path / "artifacts" / "titanic" / "bundle")
    shutil.copytree(tmp_path / "artifacts/titanic/bundle", tmp_path / "artifacts/titanic/challenger")
    bundles.another(tmp_path / "artifacts/titanic/challenger")
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
        quiet = re.compile("failed|failures|dropped|fallbacks|swaps|tokens|refused|4..")  # does not occur here
        missing, until = expressions(), time.monotonic() + 300
        while missing and time.monotonic() < until:
            for number in range(20):
                running.post("/models/titanic/predict", {"inputs": [{}]}, **{"X-Caller-Id": f"c{number}"})
            try:
                export.push(*monitoring_run("titanic"))
                missing = [one for one in expressions() if not quiet.search(one) and not values(one)]
            except OSError:  # not up yet
                time.sleep(0.5)
        assert not missing
        (verdict,) = values('max by (project) (roadmap_drift_detected{project=~"$project"})')
        assert verdict["metric"] == {"project": "titanic"} and verdict["value"][1] == "1"
