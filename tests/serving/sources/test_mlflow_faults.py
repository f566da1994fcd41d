"""A registry that is silent, missing, or none of MLflow's is reported by name, and soon."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.sources import SourceError, open_source
from tests.support.checkouts import ROOT

pytestmark = pytest.mark.slow


def test_an_unreachable_server_is_reported_for_every_name(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:  # accepts connections and never responds
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for port in (9, silent.getsockname()[1]):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
            started = time.monotonic()
            names = [f"model{number}" for number in range(7)]
            there = open_source(",".join(f"models:/{name}@champion" for name in names), cache).find()
            assert time.monotonic() - started < 60  # by default MLflow retries for minutes, and for each name
            assert list(there) == names
            assert all(f"MLflow at http://127.0.0.1:{port}: no response" in str(error) for error in there.values())
            with pytest.raises(SourceError, match="no response"):
                open_source("models:/@champion", cache).find()


def test_a_server_other_than_mlflow_is_reported(s3_server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", s3_server)
    there = open_source("models:/titanic@champion", cache).find()
    assert isinstance(there["titanic"], SourceError) and s3_server in str(there["titanic"])


def test_a_missing_or_foreign_file_is_reported(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    there = open_source("models:/titanic@champion", cache).find()
    assert f"{tmp_path}/mlflow.db: no such MLflow store" in str(there["titanic"])
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    there = open_source("models:/titanic@champion", cache).find()
    assert "not an MLflow store" in str(there["titanic"])


@pytest.mark.parametrize("uri", ["postgresql://db/mlflow", "databricks"])
def test_an_unsupported_store_is_rejected(uri: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(SourceError, match="MLflow server"):
        open_source("models:/titanic@champion", cache)


def test_mlflow_is_not_imported() -> None:
    check = "import sys; from serving.sources.registry import Registry; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT).returncode == 0
