"""infra/k8s/airflow-pod.yaml: the pod that KubernetesExecutor submits for one of our tasks."""

import json
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.support.checkouts import ROOT, checkout, environment

PYTHON = ROOT / ".venv-airflow" / "bin" / "python"
pytestmark = [
    pytest.mark.skipif(not PYTHON.exists(), reason=f"needs {PYTHON.parents[1].name}: `make .venv-airflow/ready`"),
]
TEMPLATE = ROOT / "infra" / "k8s" / "airflow-pod.yaml"
SEND = """
from uuid import UUID
from airflow.executors.workloads.base import BundleInfo
from airflow.executors.workloads.task import ExecuteTask, TaskInstanceDTO
from airflow.providers.cncf.kubernetes.executors.kubernetes_executor import KubernetesExecutor
from airflow.providers.cncf.kubernetes.executors.kubernetes_executor_types import KubernetesJob
from airflow.providers.cncf.kubernetes.executors.kubernetes_executor_utils import AirflowKubernetesScheduler

AirflowKubernetesScheduler._make_kube_watchers = lambda self: {}  # nothing to watch: no pod ever runs
executor = KubernetesExecutor()
executor.job_id = 1
executor.start()
one = UUID("00000000-0000-0000-0000-000000000001")
ti = TaskInstanceDTO(
    id=one, dag_version_id=one, task_id="mnist.train", dag_id="roadmap", run_id="manual__1", try_number=1, map_index=-1,
    pool_slots=1, queue="default", priority_weight=1,
)
workload = ExecuteTask(
    ti=ti, dag_rel_path="roadmap.py", token="", log_path="a.log", bundle_info=BundleInfo(name="dags-folder")
)
executor.kube_scheduler.run_next(KubernetesJob(ti.key, [workload], None, None))
"""


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The submitted pod, received by a server."""
    sent: list[tuple[str, dict[str, Any]]] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent.append((self.path, json.loads(body)))
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    home = tmp_path_factory.mktemp("kubernetes")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {}}],
    }  # fmt: skip
    (home / "config.yaml").write_text(yaml.safe_dump(config))
    env = {key: value for key, value in environment().items() if not key.startswith("AIRFLOW")}
    env |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE": "roadmap",
        "AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE": str(TEMPLATE),
        "AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER": "False",
        "AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE": str(home / "config.yaml"),
    }
    try:
        done = subprocess.run([PYTHON, "-c", SEND], env=env, cwd=home, capture_output=True, text=True, timeout=120)
    finally:
        server.shutdown()
    assert done.returncode == 0, done.stderr[-3000:]
    ((path, body),) = sent
    assert path.startswith("/api/v1/namespaces/roadmap/pods")
    yield body


def test_the_pod_runs_the_task_in_its_own_checkout(pod: dict[str, Any]) -> None:
    (base,) = pod["spec"]["containers"]
    assert base["name"] == "base" and base["args"][:3] == [
        "python",
        "-m",
        "airflow.sdk.execution_time.execute_workload",
    ]
    workload = json.loads(base["args"][4])
    assert (workload["ti"]["dag_id"], workload["ti"]["task_id"]) == ("roadmap", "mnist.train")
    env = {entry["name"]: entry.get("value") for entry in base["env"]}
    assert env["PATH"].startswith("/opt/roadmap/.venv-airflow/bin:")  # of which `python` is
    assert base["workingDir"] == "/checkout/roadmap" and env["AIRFLOW__CORE__DAGS_FOLDER"] == "/checkout/roadmap/dags"
    (before,) = pod["spec"]["initContainers"]
    assert before["image"] == base["image"] == "roadmap-airflow"
    assert mounts(before)["/checkout"] == mounts(base)["/checkout"]
    assert pod["metadata"]["labels"]["dag_id"] == "roadmap" and pod["metadata"]["labels"]["component"] == "task"
    assert pod["spec"]["restartPolicy"] == "Never"


def test_the_pod_has_least_privilege(pod: dict[str, Any]) -> None:
    assert pod["spec"]["securityContext"]["runAsNonRoot"] and pod["spec"]["securityContext"]["runAsUser"] > 0
    assert pod["spec"]["automountServiceAccountToken"] is False
    writable = {volume["name"] for volume in pod["spec"]["volumes"]} - {"dvc"}
    for container in [*pod["spec"]["containers"], *pod["spec"]["initContainers"]]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"] and "memory" in container["resources"]["limits"]
        assert set(mounts(container).values()) <= writable | {"dvc"}
        assert {"/tmp", "/checkout"} <= set(mounts(container))  # everything that a stage writes to


def mounts(container: dict[str, Any]) -> dict[str, str]:
    return {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}


def test_settings_and_secrets_come_from_outside(pod: dict[str, Any]) -> None:
    (base,) = pod["spec"]["containers"]
    assert [next(iter(source)) for source in base["envFrom"]] == ["configMapRef", "secretRef"]
    assert not [entry["name"] for entry in base["env"] if "SECRET" in entry["name"] or "PASSWORD" in entry["name"]]


def test_the_commented_gpu_lines_are_valid(tmp_path: Path) -> None:
    lines = TEMPLATE.read_text().splitlines()
    text = "\n".join(
        line.replace("# ", "", 1) if "gpu" in line and line.lstrip().startswith("# ") else line
        for line in lines
        if line.strip() != "limits: {memory: 6Gi}"
    )
    spec = yaml.safe_load(text)["spec"]
    (base,) = spec["containers"]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert base["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "TRAINER", "value": "gpu"} in base["env"]


def test_the_init_container_creates_the_checkout(tmp_path: Path) -> None:
    origin, secret, target = checkout(tmp_path / "origin"), tmp_path / "dvc", tmp_path / "checkout"
    secret.mkdir()
    target.mkdir()
    (secret / "config.local").write_text("[core]\n    remote = shared\n")
    (container,) = yaml.safe_load(TEMPLATE.read_text())["spec"]["initContainers"]
    command = [*container["command"], container["args"][0].replace("/etc/dvc/", f"{secret}/")]
    env = {**os.environ, "GIT_URL": str(origin), "GIT_REF": "main", "HOME": str(tmp_path)}
    subprocess.run(command, cwd=target, env=env, check=True)
    assert (target / "roadmap" / "dags" / "roadmap.py").is_file()
    assert "remote = shared" in (target / "roadmap" / ".dvc" / "config.local").read_text()
