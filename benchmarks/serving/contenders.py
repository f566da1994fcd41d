"""The contenders, and how each is started; README.md links the documentation that each configuration follows."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OURS = "this server"
PEERS = Path(".venv-peers/bin")
CORES = os.cpu_count() or 1
BUNDLES = Path("artifacts")


@dataclass(frozen=True)
class Contender:
    """`command` gets project, port and a scratch folder; `python` is the environment whose `packages` are named."""

    name: str
    command: Callable[[str, int, Path], list[str]]
    packages: tuple[str, ...] = ()
    python: str = sys.executable
    predict: str = "/predict"
    stream: str = "/stream"
    key: str = "inputs"  # of the body
    environment: tuple[tuple[str, str], ...] = ()

    def versions(self) -> str:
        if not self.packages:
            return ""
        script = f"from importlib.metadata import version; print(*map(version, {self.packages!r}))"
        found = subprocess.run([self.python, "-c", script], capture_output=True, text=True).stdout.split()
        return ", ".join(f"{name} {version}" for name, version in zip(self.packages, found, strict=False))


def ours(project: str, port: int, scratch: Path) -> list[str]:
    return [sys.executable, "-m", "serving", f"--port={port}", f"--bundles={BUNDLES}", f"--workers={CORES}"]


def plain(project: str, port: int, scratch: Path) -> list[str]:
    app = "benchmarks.serving.peers.plain_torch:app"
    return [sys.executable, "-m", "uvicorn", app, f"--port={port}", f"--workers={CORES}", "--no-access-log"]


def mlflow(project: str, port: int, scratch: Path) -> list[str]:
    model, bundle = str(scratch / "model"), str(BUNDLES / project / "bundle")
    subprocess.run(
        [sys.executable, "-m", "benchmarks.serving.peers.mlflow_model", bundle, model], check=True, capture_output=True
    )
    serve = ["models", "serve", "--model-uri", model, "--env-manager", "local"]
    return [str(Path(sys.executable).parent / "mlflow"), *serve, f"--port={port}", f"--workers={CORES}"]


def bentoml(project: str, port: int, scratch: Path) -> list[str]:
    return [
        str(PEERS / "bentoml"),
        "serve",
        "benchmarks.serving.peers.bentoml_service:Roadmap",
        f"--port={port}",
        "--host=127.0.0.1",
    ]


def module(name: str) -> Callable[[str, int, Path], list[str]]:
    return lambda project, port, scratch: [str(PEERS / "python"), "-m", f"benchmarks.serving.peers.{name}"]


CONTENDERS = [
    Contender(OURS, ours, predict="/models/{project}/predict", stream="/models/{project}/stream"),
    Contender("LitServe", module("litserve_app"), ("litserve",), str(PEERS / "python")),
    Contender("BentoML", bentoml, ("bentoml",), str(PEERS / "python")),
    Contender(
        "Ray Serve",
        module("ray_app"),
        ("ray",),
        str(PEERS / "python"),
        environment=(("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1"), ("RAY_SERVE_ENABLE_HA_PROXY", "1")),
    ),
    Contender(
        "mlflow models serve",
        mlflow,
        ("mlflow",),
        predict="/invocations",
        stream="/invocations",
        key="dataframe_records",
        environment=(("UVICORN_ACCESS_LOG", "0"), ("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")),
    ),
    Contender("FastAPI + torch", plain, ("fastapi", "torch")),
]
