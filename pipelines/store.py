"""Before register: the identity of the MLflow store -> artifacts/store.json

DVC cannot see that a store was lost or replaced. This stage always runs, in a fraction of a second, and writes the
store's identity; `register` depends on it, so a fresh store is filled again without retraining.
"""

import json
import os
import sqlite3
import sys
from pathlib import Path

from roadmap.io.errors import UsageError
from roadmap.io.http import HttpError, ask
from roadmap.tracking import local_store
from roadmap.tracking.mlflow import connect, store_uri

STORE = Path("artifacts/store.json")


def identity() -> str | None:
    """The creation time of the store's default experiment; None if the server is down.

    Raises:
        UsageError: the file is no MLflow store.
    """
    if os.environ.get("TRACKING") == "none":
        return "none"
    uri = store_uri()
    if path := local_store.file_of(uri):
        if (not path.exists() or not path.stat().st_size) and not local_store.copy_empty(path):
            connect()  # creates it once, so that parallel stages don't race
        try:
            with sqlite3.connect(path) as database:
                row = database.execute("SELECT creation_time FROM experiments WHERE experiment_id = 0").fetchone()
        except sqlite3.Error as error:
            raise UsageError(f"{path}: not an MLflow store ({error})") from None
        return f"sqlite {row and row[0]}"
    if uri.startswith("http"):
        url = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/get?experiment_id=0"
        try:
            return f"server {ask(url, seconds=10).json()['experiment'].get('creation_time')}"
        except (HttpError, ValueError, KeyError):
            return None
    return f"{uri.partition(':')[0]} {connect().get_experiment('0').creation_time}"


def main() -> None:
    try:
        found = identity()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if found is None:
        print("warning: MLflow is unreachable; training does not need it, `register` does", file=sys.stderr)
        if STORE.exists():  # persists by dvc.yaml: the last known identity stays
            return
    STORE.parent.mkdir(parents=True, exist_ok=True)
    STORE.write_text(json.dumps({"store": found}) + "\n")


if __name__ == "__main__":
    main()
