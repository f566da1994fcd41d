"""The promotion log: what the stage writes and what a deployment writes, read as one history."""

import time
from pathlib import Path
from typing import Any

import mlflow
import pytest

from infra.deploy.registry.rollback import move_tag
from roadmap.promotion import log as promotions


@pytest.fixture
def client(tmp_path: Path) -> Any:
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db", f"sqlite:///{tmp_path}/mlflow.db")
    client.create_registered_model("titanic")
    return client


def test_history_has_moves_of_all_machines_and_local_rejections(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here" / "promotions.jsonl", tmp_path / "there" / "promotions.jsonl"
    promotions.log(
        client, "titanic", here, event="promoted", alias="champion", version=1, replaced=None, summary="good"
    )
    promotions.log(client, "titanic", here, event="refused", version=2, summary="bad")
    time.sleep(0.01)  # times are kept to the millisecond
    tag = move_tag("staging", "1", None)
    client.set_registered_model_tag("titanic", tag["key"], tag["value"])
    time.sleep(0.01)
    monkeypatch.setenv("DEPLOYED_BY", "ann@desk, by a deployment's rollback")
    promotions.log(client, "titanic", there, event="rollback", alias="champion", version="1", replaced="3")

    found = promotions.history(client, "titanic", here)
    assert [entry["event"] for entry in found] == ["promoted", "refused", "deployed", "rollback"]
    assert found[0]["summary"] == "good" and found[0]["version"] == "1"
    assert (found[2]["alias"], found[3]["replaced"], found[3]["by"]) == (
        "staging", "3", "ann@desk, by a deployment's rollback",
    )  # fmt: skip
    assert [entry["event"] for entry in promotions.history(None, "titanic", here)] == ["promoted", "refused"]


def test_without_registrations_there_is_no_history(client: Any, tmp_path: Path) -> None:
    assert promotions.history(client, "mnist", tmp_path / "promotions.jsonl") == []
