"""target=server: a real server that follows the registry, and one command that rolls both back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.infra.deployments import champions, command

WHERE = ("target=server", "project=titanic", "stage=staging")


def test_rollback_moves_the_alias_waits_for_the_server_and_writes_both_logs(
    server: Callable[..., Any],
    elsewhere: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = champions(tmp_path)
    monkeypatch.chdir(tmp_path)  # records are in artifacts/
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    with server("models:/titanic@champion", "--poll-seconds", "0.5", MLFLOW_TRACKING_URI=store.uri) as running:
        monkeypatch.setenv("SERVING_URL", running.address)
        assert command(capsys, *WHERE)[0] == 0
        code, out, err = command(capsys, "rollback", *WHERE)
        assert code == 0, err
        assert f"titanic: version {store.first} answers" in out
        served = {one["name"]: one["version"] for one in json.loads(running.get("/models"))["models"]}
        assert served == {"titanic": store.first} and store.champion() == store.first
        moves = (elsewhere / "artifacts" / "titanic" / "promotions.jsonl").read_text().splitlines()
        assert [json.loads(line)["event"] for line in moves] == ["rollback"]
        _, out, _ = command(capsys, "status", *WHERE)
        assert f"{store.second} -> {store.first}" in out

        code, _, err = command(capsys, "rollback", *WHERE)
        assert code == 2 and "there is no earlier version" in err
