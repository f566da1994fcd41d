"""Resuming: checkpoints of an interrupted training are reused only by the same training."""

import json
import shutil
import uuid
from pathlib import Path
from typing import Any


def resume_or_start(folder: Path, fingerprint: dict[str, Any]) -> str:
    """The id of the run with checkpoints in `folder` if it is the same training, else a new id."""
    path = folder / "fingerprint.json"
    fingerprint = {name: value for name, value in fingerprint.items() if name != "git_commit"}
    if path.exists() and (found := json.loads(path.read_text())).get("of") == fingerprint:
        print(f"resuming run {found['run'][:8]} from {folder}")
        return found["run"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    key = uuid.uuid4().hex
    path.write_text(json.dumps({"run": key, "of": fingerprint}))
    return key
