"""The promotion log: every move of an alias, and every candidate that the gate refused.

It has two copies. Tags of the registered model, `move/<time>-<id>`, are visible to every machine and include those of
deployments (infra/deploy/registry writes the same). artifacts/<project>/promotions.jsonl survives the loss of a
store and has the gate's reasons in full: one JSON object per line, append-only. An entry has

    at, id, by    time, id, and the user at a machine, the workflow run, or DEPLOYED_BY if a deployment moves the alias
    event         promoted | kept | refused, by the gate; rollback; restored, into an empty store; deployed
    alias         champion, or the stage of a deployment; absent if nothing moved
    version       the registered version that has it now
    replaced      the one that had it before
"""

import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from roadmap.config.schema import Run
from roadmap.io.actor import who
from roadmap.io.documents import parse_json
from roadmap.io.errors import UsageError, of_file
from roadmap.io.json import JsonObject
from roadmap.tracking.mlflow import root

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "move/"
KEPT = ("at", "id", "by", "event", "alias", "version", "replaced")  # of an entry, in a tag


def file(run: Run) -> Path:
    """In the checkout itself: queued experiments run in a temporary folder."""
    return root() / run.home / "promotions.jsonl"


def log(client: "MlflowClient | None", name: str, path: Path, **entry: object) -> None:
    """Appends an entry. `client` is None without tracking.

    name: of the registered model; path: of the file, see `file`; entry: what the module's docstring lists
    """
    entry |= {key: str(entry[key]) for key in ("version", "replaced") if entry.get(key) is not None}
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "id": uuid.uuid4().hex[:8],
        "by": os.environ.get("DEPLOYED_BY") or who(),
        **entry,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lines:
        lines.write(json.dumps(entry) + "\n")
    if client is not None and entry.get("alias"):
        tag = json.dumps({key: entry[key] for key in KEPT if key in entry})
        client.set_registered_model_tag(name, f"{PREFIX}{str(entry['at'])[:23]}-{entry['id']}", tag)


def history(client: "MlflowClient | None", name: str, path: Path) -> list[JsonObject]:
    """All entries of the registry and of the file, without duplicates, oldest first."""
    from mlflow.exceptions import MlflowException

    lines = _read(path) if path.exists() else []
    try:
        tags = {} if client is None else client.get_registered_model(name).tags
    except MlflowException:  # no model of that name is registered
        tags = {}
    moves = [json.loads(value) for key, value in tags.items() if key.startswith(PREFIX)]
    found = {entry.get("id", entry["at"]): entry for entry in (*moves, *lines)}  # the file's entry has the reasons too
    return sorted(found.values(), key=lambda entry: str(entry["at"]))


class Entry(TypedDict):
    at: str
    event: str


def _read(path: Path) -> list[JsonObject]:
    remedy = "delete the line, or restore the file"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{of_file(error)}; expected the promotion log") from None
    return [parse_json(line, f"{path}: line {number}", Entry, remedy) for number, line in enumerate(lines, 1)]
