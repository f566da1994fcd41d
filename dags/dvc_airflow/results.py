"""What tasks return (XCom `return_value`).

It is small: the stage's entry of dvc.lock, which is all that another machine needs to continue. The data is transferred
through DVC's remote.
"""

import hashlib
import json
import socket
from pathlib import Path
from typing import NotRequired, TypedDict

from dvc_airflow.yaml12 import YamlObject


class CheckResult(TypedDict):
    """Of the first task."""

    commit: str
    overrides: list[str]
    folder: str


class StageResult(TypedDict):
    """Of a stage's task."""

    stage: str  # its address
    state: str  # cached or ran
    lock: str | None  # hash of its entry in dvc.lock
    seconds: float
    where: str  # host:folder
    entry: NotRequired[YamlObject | None]  # in dvc.lock, for other machines
    metrics: NotRequired[dict[str, object]]  # content of its metrics files, by path


class Summary(TypedDict):
    """Of the last task."""

    cached: int  # stages
    ran: int  # stages
    metrics: dict[str, object]  # content of the metrics files, by path
    experiment: NotRequired[str]
    where: NotRequired[str]  # host:folder of the experiment


def place(folder: Path) -> str:
    return f"{socket.gethostname()}:{folder}"


def digest(entry: YamlObject | None) -> str | None:
    """The hash of an entry of dvc.lock."""
    return hashlib.md5(json.dumps(entry, sort_keys=True).encode()).hexdigest() if entry else None


def read_json(path: Path) -> object:
    """The file's content; None if it is missing or not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):  # metrics may be YAML, TOML or missing
        return None
