"""MLflow's store in a file: in folders of any name, moved, copied, and with a deleted experiment."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from roadmap.io.errors import UsageError
from roadmap.tracking import local_store
from roadmap.tracking import mlflow as tracking
from roadmap.tracking.local_store import address, file_of
from serving.sources.registry import Registry

NAMES = ["a b", "a%20b", "100%", "a#b", "a?b", "a&b=c", "a;b", "ä你", "mlruns", "a\"b'c", "a:b@c"]


def connected() -> Any:
    """Connects like a new process: MLflow leaves the store's address in the environment."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return tracking.connect()


def logged(client: Any, text: str) -> Any:
    """A run of titanic with a file, registered as a version."""
    run = client.create_run(tracking.experiment_id(client, "titanic"))
    file = Path.cwd() / "bundle.json"
    file.write_text(text)
    client.log_artifact(run.info.run_id, str(file), "model/artifacts/bundle")
    file.unlink()
    if not client.search_registered_models():
        client.create_registered_model("titanic")
    source = f"{client.get_run(run.info.run_id).info.artifact_uri}/model"
    version = client.create_model_version("titanic", source, run.info.run_id)
    client.set_registered_model_alias("titanic", "champion", version.version)
    return run.info.run_id


def read(client: Any, run: str) -> str:
    """Reads like a new process: MLflow caches the runs' locations per process."""
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()
    return Path(client.download_artifacts(run, "model/artifacts/bundle/bundle.json")).read_text()


def served(place: Path) -> str:
    """What the server finds by the alias."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", address(place))
        found: Any = Registry([("titanic", "champion", "")], place / "cache").find()["titanic"]
        return str((found.fetch() / "bundle.json").read_text())


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without our experiments: MLflow creates its tables once for all tests."""
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        connected()
    return folder


@pytest.fixture
def checkout(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a run, as the working directory."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # restores the previous state
    folder = Path(shutil.copytree(empty, tmp_path / "checkout"))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_any_checkout_path_works_even_after_a_move(checkout: Path, name: str, tmp_path: Path) -> None:
    old = logged(connected(), "old")
    (tmp_path / "elsewhere").mkdir()
    place = checkout.rename(tmp_path / "elsewhere" / name)
    os.chdir(place)
    assert file_of(address(place)) == place / "mlflow.db"
    assert served(place) == "old", "before any stage has run there"
    client = connected()
    assert read(client, old) == "old" and served(place) == "old"
    new = logged(client, "new")
    assert read(client, new) == "new" and served(place) == "new"
    assert sorted(path.read_text() for path in place.rglob("bundle.json")) == ["new", "old"]
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"], "nothing is written to the old location"


def test_a_copy_does_not_touch_the_original(checkout: Path, tmp_path: Path) -> None:
    run = logged(connected(), "original")
    before = sorted(path for path in checkout.rglob("*") if path.is_file())
    copy = Path(shutil.copytree(checkout, tmp_path / "copy"))
    os.chdir(copy)
    client = connected()
    new = logged(client, "copied")
    assert (copy / "mlruns" / "titanic" / new).is_dir()
    next(copy.glob(f"mlruns/titanic/{run}/**/bundle.json")).write_text("changed in the copy")
    assert read(client, run) == "changed in the copy"
    os.chdir(checkout)
    assert read(connected(), run) == "original"
    assert sorted(path for path in checkout.rglob("*") if path.is_file()) == before


def test_a_store_without_artifacts_takes_new_runs(checkout: Path, tmp_path: Path) -> None:
    old = logged(connected(), "old")
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(checkout / "mlflow.db", copy)
    os.chdir(copy)
    client = connected()
    new = logged(client, "new")
    assert (copy / "mlruns" / "titanic" / new).is_dir()
    assert read(client, old) == "old", "exists only there"


def test_a_deleted_experiment_is_one_line_with_a_remedy(checkout: Path) -> None:
    client = connected()
    run = logged(client, "one")
    number = tracking.experiment_id(client, "titanic")
    client.delete_experiment(number)
    with pytest.raises(UsageError) as refused:
        tracking.experiment_id(client, "titanic")
    message = str(refused.value)
    assert "\n" not in message and f"mlflow experiments restore --experiment-id {number}" in message
    client.restore_experiment(number)
    assert tracking.experiment_id(client, "titanic") == number and read(client, run) == "one"


def test_an_empty_store_is_kept_once_and_copied_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is a separate store: MLflow accepts it, and its identity and artifacts are the copy's."""
    monkeypatch.setattr(local_store, "_kept", lambda: tmp_path / "environment/var/mlflow.db")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "second":  # MLflow would have to run its migrations
            monkeypatch.setattr("mlflow.store.db.utils._initialize_tables", lambda engine: pytest.fail("recreated"))
        run = logged(connected(), name)
        assert read(connected(), run) == name
    first, second = (tmp_path / name / "mlflow.db" for name in ("first", "second"))
    assert schema(first) == schema(second)
    assert creation_time(first) < creation_time(second)
    assert connected().get_experiment("0").artifact_location == str(tmp_path / "second/mlruns/0")
    assert not local_store.copy_empty(second), "an existing store is kept"
    assert sorted(file.name for file in second.parent.iterdir()) == ["mlflow.db", "mlruns"]


def test_a_store_with_experiments_is_not_kept_as_the_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_store, "_kept", lambda: tmp_path / "var/mlflow.db")
    monkeypatch.chdir(tmp_path)
    tracking.experiment_id(connected(), "titanic")
    (tmp_path / "var/mlflow.db").unlink()
    local_store.keep_empty(tmp_path / "mlflow.db")
    assert not list((tmp_path / "var").iterdir())


def schema(store: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(store)) as database:
        return database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def creation_time(store: Path) -> int:
    with closing(sqlite3.connect(store)) as database:
        return int(database.execute("SELECT creation_time FROM experiments WHERE experiment_id = 0").fetchone()[0])
