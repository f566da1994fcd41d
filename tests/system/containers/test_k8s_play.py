"""The Deployment of staging, run by podman with the serving image: the init container fetches, the server responds.

podman 4.3 lacks Services, fsGroup, seccomp's name, named ports in probes, and all probes on a machine without systemd
(this test sends their requests). It restarts init containers that succeeded unless the pod's policy is Never, which
therefore replaces Always here.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.manifests import serving
from roadmap.bundle import Bundle
from tests.support import bundles
from tests.support.infra import engine

NAME = "localhost/roadmap-play/serving:test"


def missing() -> str | None:
    for command in ("podman", "kubectl"):
        if shutil.which(command) is None:
            return f"{command} is not installed"
    if os.geteuid() != 0:
        return "rootless podman may not set the limits that this needs"
    return engine.missing() or None


pytestmark = [pytest.mark.skipif(missing() is not None, reason=f"{missing()}")]


class Podman:
    def __init__(self, folder: Path) -> None:
        settings = folder / "containers.conf"
        settings.write_text(
            '[containers]\ndefault_ulimits = ["nofile=16384:16384", "nproc=32768:32768"]\n'
            '[engine]\nruntime = "runc"\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n'
        )
        self.env = {**os.environ, "CONTAINERS_CONF": str(settings)}

    def __call__(self, *command: str, check: bool = True, **more: Any) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(["podman", *command], env=self.env, capture_output=True, text=True, timeout=300, **more)
        assert not check or done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """One that has the serving image."""
    podman = Podman(tmp_path_factory.mktemp("podman"))
    image = engine.built("serving")
    engine.docker("tag", image, NAME)
    with subprocess.Popen(["docker", "save", NAME], stdout=subprocess.PIPE) as saved:
        podman("load", stdin=saved.stdout)
    yield podman
    podman("rmi", "-f", NAME, check=False)
    engine.docker("rmi", NAME, check=False)


Play = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def play(podman: Podman, tmp_path: Path, port: int) -> Iterator[Play]:
    """Runs the stable Deployment with this version; bundles come from tmp_path/versions."""
    file = tmp_path / "play.yaml"

    def start(version: str) -> "subprocess.CompletedProcess[str]":
        file.write_text(yaml.safe_dump_all(playable(version, tmp_path / "versions", port)))
        (tmp_path / "versions").chmod(0o755)
        return podman("kube", "play", str(file), check=False)

    yield start
    podman("pod", "rm", "-f", "mnist-serving-pod-0", check=False)


def playable(version: str, source: Path, port: int) -> list[dict[str, Any]]:
    kept = []
    for one in serving("mnist", "staging", NAME, version):
        if one["metadata"]["labels"].get("track") != "stable":
            continue
        if one["kind"] == "ConfigMap":
            kept.append({**one, "data": {**one["data"], "BUNDLES": "/source"}})
        elif one["kind"] == "Deployment":
            spec = one["spec"]["template"]["spec"]
            spec["restartPolicy"] = "Never"
            spec["volumes"].append({"name": "source", "hostPath": {"path": str(source), "type": "Directory"}})
            mount = {"name": "source", "mountPath": "/source", "readOnly": True}
            spec["initContainers"][0]["volumeMounts"].append(mount)
            spec["containers"][0]["ports"][0]["hostPort"] = port
            kept.append(one)
    return kept


@pytest.fixture
def version(tmp_path: Path) -> str:
    bundles.mnist(tmp_path / "made")
    version = Bundle(tmp_path / "made").manifest.version
    shutil.copytree(tmp_path / "made", tmp_path / "versions" / "mnist" / version)
    return version


def ask(port: int, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_the_pod_serves_the_manifests_version(
    play: Play, podman: Podman, port: int, version: str, tmp_path: Path
) -> None:
    done = play(version)
    assert done.returncode == 0, done.stderr
    container = "mnist-serving-pod-0-serving"
    deployment = next(one for one in playable(version, tmp_path, port) if one["kind"] == "Deployment")
    spec = deployment["spec"]["template"]["spec"]["containers"][0]
    startup = spec["startupProbe"]
    for _ in range(startup["failureThreshold"]):  # as long as the kubelet would wait
        try:
            assert ask(port, startup["httpGet"]["path"])["models"] == ["mnist"]
            break
        except OSError:
            time.sleep(startup["periodSeconds"])
    for probe in ("readinessProbe", "livenessProbe"):
        assert ask(port, spec[probe]["httpGet"]["path"])["status"] in ("ready", "ok")
    answer = ask(port, "/models/mnist/predict", {"inputs": Bundle(tmp_path / "made").example})
    assert answer["model"]["version"] == version and [one["digit"] for one in answer["outputs"]] == [3, 7]

    def inside(code: str) -> str:
        return podman("exec", container, "python", "-c", code, check=False).stderr

    assert "Read-only file system" in inside("open('/opt/roadmap/x', 'w')")
    assert "Read-only file system" in inside("open('/bundles/x', 'w')")
    assert inside("open('/tmp/x', 'w')") == ""
    assert inside("import os; assert os.getuid() == 10001 and os.getgid() == 10001") == ""
    status = "{line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapEff', 'CapBnd'))}"
    assert inside(f"assert {status} == {{'0' * 16}}") == ""
    limit = json.loads(podman("inspect", container).stdout)[0]["HostConfig"]["Memory"]
    assert limit == 2**30 and spec["resources"]["limits"]["memory"] == "1Gi"


def test_a_swapped_bundle_starts_nothing(play: Play, podman: Podman, port: int, version: str, tmp_path: Path) -> None:
    home = tmp_path / "versions" / "mnist" / version
    shutil.rmtree(home)
    bundles.titanic(home)
    done = play(version)
    assert done.returncode != 0 and "exited with code 2" in done.stderr
    with pytest.raises(OSError):
        ask(port, "/health")
    message = podman("logs", "mnist-serving-pod-0-bundle", check=False)
    assert "found no bundle of mnist; it has titanic" in message.stdout + message.stderr


def test_a_damaged_bundle_starts_nothing(play: Play, podman: Podman, port: int, version: str, tmp_path: Path) -> None:
    with (tmp_path / "versions" / "mnist" / version / "model.onnx").open("ab") as file:
        file.write(b"!")
    assert play(version).returncode != 0
    state = json.loads(podman("inspect", "mnist-serving-pod-0-serving").stdout)[0]["State"]
    assert state["Status"] == "created" and not state["Running"]  # never started
    message = podman("logs", "mnist-serving-pod-0-bundle", check=False)
    assert "content differs from the manifest" in message.stdout + message.stderr
