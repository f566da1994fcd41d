"""Where MLflow's store is, and whether it is still the same one."""

import sqlite3
from pathlib import Path

import pytest

from pipelines import store
from roadmap.tracking.mlflow import metric_name, root, store_uri


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "TRACKING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_default_store_is_at_the_checkouts_root(here: Path) -> None:
    assert root() == here
    assert store_uri() == f"sqlite:///{here}/mlflow.db"


@pytest.mark.parametrize("uri", ["http://mlflow.example:5000", "sqlite:////elsewhere/mlflow.db", "databricks"])
def test_mlflow_tracking_uri_takes_precedence(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert store_uri() == uri


@pytest.mark.parametrize("inside", ["tmpabc123", "tmpabc123/sub/folder"])
def test_a_queued_experiment_uses_the_store_of_its_checkout(
    here: Path, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dvc exp run --queue` works in <checkout>/.dvc/tmp/exps/<name>, and removes it."""
    workspace = here / ".dvc" / "tmp" / "exps" / inside
    workspace.mkdir(parents=True)
    monkeypatch.chdir(workspace)
    assert root() == here
    assert store_uri() == f"sqlite:///{here}/mlflow.db"


def fresh_store(path: Path, created: int) -> None:
    """The table and row that identify an MLflow store."""
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE experiments (experiment_id INTEGER, creation_time BIGINT)")
        database.execute("INSERT INTO experiments VALUES (0, ?), (1, 5)", (created,))
    database.close()


def test_the_identity_depends_on_the_store_only(here: Path) -> None:
    path = here / "mlflow.db"
    fresh_store(path, 1_000)
    first = store.identity()
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO experiments VALUES (2, 9)")
    database.close()
    assert store.identity() == first
    fresh_store(path, 2_000)
    assert store.identity() not in (first, None)


def test_an_empty_file_becomes_a_store(here: Path) -> None:
    """An empty file is left if the first process is killed while creating the store."""
    (here / "mlflow.db").touch()
    first = store.identity()
    assert first is not None and int(first.removeprefix("sqlite ")) > 1_700_000_000_000
    assert store.identity() == first


def test_another_address_is_another_store(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for name, created in (("a.db", 1), ("b.db", 2)):
        fresh_store(here / name, created)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here / name}")
        found.add(store.identity())
    assert len(found) == 2


def test_without_tracking_no_store_is_used(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKING", "none")
    assert store.identity() == "none"
    assert list(here.iterdir()) == []


def test_an_unreachable_server_is_a_warning_and_the_identity_stays(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh_store(here / "mlflow.db", 1_000)
    store.main()
    before = (here / "artifacts" / "store.json").read_text()
    assert "1000" in before
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    store.main()
    assert "MLflow is unreachable" in capsys.readouterr().err
    assert (here / "artifacts" / "store.json").read_text() == before


def test_an_invalid_store_file_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mlflow.db").write_bytes(b"this is no database, but it lies where one should be" * 20)
    with pytest.raises(SystemExit) as ended:
        store.main()
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and "mlflow.db" in message and message.count("\n") == 1


def test_any_baseline_name_is_valid_in_mlflow() -> None:
    from mlflow.utils.validation import _validate_metric_name

    for name in ("TF-IDF + logistic regression", "ARIMA(1, 0, 1)", "朴素预测", "80% & 95%"):
        _validate_metric_name(metric_name(f"metrics/baselines.{name}.test"))
