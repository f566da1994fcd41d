"""The promotion log: every move of an alias, and every candidate that the gate refused.

It is kept twice. Tags of the registered model, `move/<time>-<id>`, are what every machine sees, a deployment's as well
(infra/deploy/registry.py writes the same). artifacts/<project>/promotions.jsonl outlives a store that is lost, and has
the gate's reasons in full: one JSON object per line, never rewritten. An entry has

    at, id, by    when, which, and who: a person at a machine, or a workflow's run
    event         promoted | kept | refused, by the gate; rollback; restored, into a store that had none; deployed
    alias         champion, or the stage of a deployment; none where nothing moved
    version       who has it now, of the registry's versions
    replaced      who had it before
"""

import getpass
import json
import os
import platform
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from roadmap.config.schema import Run
from roadmap.tracking.mlflow import root

PREFIX = "move/"
KEPT = ("at", "id", "by", "event", "alias", "version", "replaced")  # of an entry, in a tag


def file(run: Run) -> Path:
    """In the checkout itself: a queued experiment works in a folder that is thrown away."""
    return root() / run.artifacts / "promotions.jsonl"


def log(client: Any, name: str, path: Path, **entry: Any) -> None:
    """Appends an entry. `client` is None where nothing is tracked."""
    entry |= {key: str(entry[key]) for key in ("version", "replaced") if entry.get(key) is not None}
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "id": uuid.uuid4().hex[:8],
        "by": who(),
        **entry,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lines:
        lines.write(json.dumps(entry) + "\n")
    if client is not None and entry.get("alias"):
        tag = json.dumps({key: entry[key] for key in KEPT if key in entry})
        client.set_registered_model_tag(name, f"{PREFIX}{entry['at'][:23]}-{entry['id']}", tag)


def history(client: Any, name: str, path: Path) -> list[dict[str, Any]]:
    """All entries, oldest first: those of the registry and those of the file, each once."""
    from mlflow.exceptions import MlflowException

    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    try:
        tags = {} if client is None else client.get_registered_model(name).tags
    except MlflowException:  # nothing of that name has been registered
        tags = {}
    moves = [json.loads(value) for key, value in tags.items() if key.startswith(PREFIX)]
    found = {entry.get("id", entry["at"]): entry for entry in (*moves, *lines)}  # the file's has the reasons too
    return sorted(found.values(), key=lambda entry: str(entry["at"]))


def who() -> str:
    """DEPLOYED_BY where a deployment moves the alias; else a person at a machine, or the run of a workflow."""
    if named := os.environ.get("DEPLOYED_BY"):
        return named
    if repository := os.environ.get("GITHUB_REPOSITORY"):
        return f"{os.environ.get('GITHUB_ACTOR', '?')}, {repository} run {os.environ.get('GITHUB_RUN_ID', '?')}"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = str(os.getuid())
    return f"{user}@{platform.node()}"
