"""MLflow's store in a SQLite file: its address, and its artifacts, which lie in mlruns/ beside it.

MLflow records artifacts by absolute paths. In a checkout that was moved or copied these lead to where it was, so they
are corrected: what lies beside the store is found there, and new runs are written there.

MLflow makes a store by all its migrations, which takes seconds, so an empty one is kept in the virtual environment, and
copied for the next checkout or test.
"""

import contextlib
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote, urlsplit

from roadmap.io.atomic import atomic_file
from roadmap.io.errors import UsageError, of_file

FILE, FOLDER = "mlflow.db", "mlruns"
SQLITE = "sqlite:///"
HEADER = b"SQLite format 3\x00"
REMEDY = "move it away, and `dvc repro` fills a new one, or set MLFLOW_TRACKING_URI"
# Where MLflow keeps the paths of artifacts.
LOCATIONS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def address(folder: Path) -> str:
    """SQLAlchemy's address of the store in this folder, whatever the folder is called."""
    return f"{SQLITE}{folder / FILE}".replace("%", "%25").replace("?", "%3F")


def file_of(uri: str) -> Path | None:
    """The SQLite file of a store's address; None for another kind of store."""
    return Path(unquote(uri.removeprefix(SQLITE))).absolute() if uri.startswith(SQLITE) else None


def artifacts(store: Path, project: str) -> str:
    """Where a project's runs keep their files, as MLflow takes it."""
    return (store.parent / FOLDER / project).as_uri()


def copy_empty(store: Path) -> bool:
    """Makes the store from the empty one that is kept; False if none is kept, or the store is there by now."""
    if not _kept().is_file() or store.exists():
        return False
    store.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{store.name}.", dir=store.parent) as folder:
        draft, now = Path(folder) / store.name, time.time_ns() // 10**6
        shutil.copyfile(_kept(), draft)
        with contextlib.closing(sqlite3.connect(draft)) as database, database:  # its identity is its own
            database.execute(
                "UPDATE experiments SET artifact_location = ?, creation_time = ?, last_update_time = ?",
                (str(store.parent / FOLDER / "0"), now, now),
            )
        try:
            os.link(draft, store)  # unlike a rename, it replaces nothing
        except FileExistsError:
            return False
    return True


def keep_empty(store: Path) -> None:
    """Keeps a copy of a new store, unless somebody has written to it or the environment is read-only."""
    with (
        contextlib.suppress(OSError, sqlite3.Error),
        atomic_file(_kept()) as draft,
        contextlib.closing(sqlite3.connect(store)) as source,
        contextlib.closing(sqlite3.connect(draft)) as copy,
    ):
        source.backup(copy)
        if copy.execute("SELECT count(*) FROM experiments").fetchone() != (1,):
            raise sqlite3.DataError(f"{store}: no longer empty")


def _kept() -> Path:
    """Where it lies: of this MLflow, whose schema another version may not know."""
    return Path(sys.prefix) / "var" / f"mlflow-{version('mlflow')}.db"


def require_database(store: Path) -> None:
    """
    Raises:
        UsageError: there is something else than a database.
    """
    try:
        with store.open("rb") as file:
            begin = file.read(len(HEADER))
    except FileNotFoundError:
        return  # MLflow makes it
    except OSError as error:
        raise UsageError(f"{of_file(error)}; expected MLflow's SQLite file; {REMEDY}") from None
    if begin and begin != HEADER:
        raise UsageError(f"{store}: found {begin!r}; expected MLflow's SQLite file; {REMEDY}")


def follow_move(store: Path) -> None:
    """Corrects the paths in a store that was moved or copied together with its artifacts. Quick where there are none.

    A run's path is corrected if its files lie beside this store. An experiment's is also if the files are nowhere, or
    if another store lies where it leads to.
    """
    if not store.is_file() or not store.stat().st_size:
        return
    here = store.parent / FOLDER
    try:
        with contextlib.closing(sqlite3.connect(store, timeout=20)) as database, database:
            places = _column(database, "experiments", "artifact_location")
            if all(_parted(place) in (None, here) for place in places):
                return
            for table, columns in LOCATIONS.items():
                for column in columns:
                    for place in _column(database, table, column):
                        if new := _moved(place, here, always=table == "experiments"):
                            database.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, place))
    except sqlite3.Error:  # none of MLflow's, or of another version: MLflow itself says what is wrong
        return


def _column(database: sqlite3.Connection, table: str, column: str) -> list[str]:
    query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} LIKE '%/{FOLDER}/%'"
    return [place for (place,) in database.execute(query)]


def _path(place: str) -> Path | None:
    """Of a path or a file: URI. Earlier versions wrote URIs without escapes: what exists counts."""
    if place.startswith("/"):
        return Path(place)
    if not place.startswith("file:"):
        return None
    plain = Path(place.removeprefix("file://"))
    return plain if plain.exists() else Path(unquote(urlsplit(place).path))


def _parted(place: str) -> Path | None:
    """The folder mlruns in it."""
    path = _path(place)
    return path and Path(str(path).rpartition(f"/{FOLDER}/")[0]) / FOLDER


def _moved(place: str, here: Path, always: bool) -> str | None:
    """The corrected path, in the same form; None where it stays."""
    path, there = _path(place), _parted(place)
    if path is None or there is None or there == here:
        return None
    new = here / path.relative_to(there)
    foreign = not there.exists() or (there.parent / FILE).is_file()
    if not (new.exists() or (always and foreign)):
        return None
    return new.as_uri() if place.startswith("file:") else str(new)
