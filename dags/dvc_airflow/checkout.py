"""The repository of the tasks."""

import configparser
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

KEEP = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True)
class Checkout:
    """A local repository, and the environment of its stages."""

    root: Path
    venv: Path
    variables: tuple[str, ...] = ()  # further environment variables of the stages, besides AWS_*, MLFLOW_* and so on

    def program(self, name: str) -> str:
        return str(self.venv / "bin" / name)

    def env(self, **more: str) -> dict[str, str]:
        """The environment without Airflow's own settings, which include its secrets."""
        prefixes = ("AWS_", "MLFLOW_", "DVC_", "GIT_", "CUDA_", "OMP_", "HTTP", "http", "NO_PROXY", "no_proxy")
        kept = {k: v for k, v in os.environ.items() if k in KEEP + self.variables or k.startswith(prefixes)}
        path = f"{self.venv / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}"
        return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", **more}

    @cached_property
    def remote(self) -> str | None:
        """DVC's default remote, if one is set."""
        config = configparser.RawConfigParser()
        config.read([self.root / ".dvc" / "config", self.root / ".dvc" / "config.local"])
        return config.get("core", "remote", fallback=None)
