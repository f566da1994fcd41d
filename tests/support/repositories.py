"""A small Git repository with a DVC pipeline."""

import subprocess
import sys
from pathlib import Path

from tests.support.checkouts import BIN, environment

PARAMS = """\
seed: 1   # a comment
lr: 1e-3
names: [a, b]
projects:
  one: {epochs: 3, until: null}
"""
COPY = f"{sys.executable} -c \"import sys; open(sys.argv[2], 'w').write(open(sys.argv[1]).read() + sys.argv[3])\""
PIPELINE = {
    "stages": {
        "prepare": {"cmd": f"{COPY} input ready x", "deps": ["input"], "outs": ["ready"]},
        "train": {
            "cmd": f"{COPY} params.yaml model.json ''",
            "deps": ["ready"],
            "params": ["projects.one"],
            "outs": ["model.json"],
        },
        "other": {"cmd": f"{COPY} third elsewhere y", "deps": ["third"], "outs": ["elsewhere"]},
    }
}


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, folder: Path | None = None) -> str:
        done = subprocess.run(
            command, cwd=folder or self.folder, env=environment(), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def dvc(self, *arguments: str, folder: Path | None = None) -> str:
        return self.run(str(BIN / "dvc"), *arguments, folder=folder)

    def state(self) -> dict[str, bytes]:
        """The state that a run must not change: Git's status, and the files."""
        names = ("params.yaml", "dvc.lock", "input", "new.txt", "ready", "model.json")
        files = {name: (self.folder / name).read_bytes() for name in names if (self.folder / name).exists()}
        return {**files, "git status": self.run("git", "status", "--porcelain").encode()}
