"""Checkouts to run stages in, as a user would: in separate processes."""

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
RUN = os.environ.setdefault("TEST_RUN", uuid.uuid4().hex[:12])  # the same in all workers


def environment(**changes: str) -> dict[str, str]:
    """The caller's environment, with this interpreter first and without the caller's stores."""
    kept = {
        k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "TRACKING", "TRAINER", "PYTHONPATH")
    }
    # Two workers share the cores: waiting threads should sleep, not spin.
    return {
        "OMP_WAIT_POLICY": "passive",
        **kept,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        **changes,
    }


def checkout(folder: Path) -> Path:
    """A git clone of the working tree, uncommitted changes included, with DVC set up."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "checkout"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
        subprocess.run(["git", "config", key, value], cwd=folder, check=True)
    return folder


class Checkout:
    """A clone in which commands run. `stage` runs one stage; both return the finished process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self, *command: str, check: bool = True, timeout: float = 300, **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.folder, env=environment(**env), capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode != 0:
            pytest.fail(
                f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        return done

    def stage(self, name: str, *overrides: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", f"pipelines.{name}", *overrides, **options)

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)
