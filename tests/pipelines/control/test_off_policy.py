"""python -m pipelines.control.off_policy, on a log that a served policy wrote."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipelines.ab import foreseen
from pipelines.control.data.environments import make
from pipelines.control.off_policy import Options, features, main, page_of, read_rewards
from pipelines.control.predict import Predictor
from roadmap.bundle import Bundle
from roadmap.io.errors import UsageError
from roadmap.prediction_log.log import open_store
from roadmap.prediction_log.row import PredictionRecord
from serving.http.pages.records import ArtifactReader
from tests.support.bundles.control import frozen_lake

SAFE, DOWN = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0], [1] * 16


def served(folder: Path, episodes: int, explore: float) -> tuple[Path, Path]:
    """A log of the policy that goes down, and the rewards: on ice where a wrong step ends it soon."""
    frozen_lake(folder / "down", DOWN)
    predictor = Predictor(Bundle(folder / "down"))
    environment = make("FrozenLake-v1", episodes, 0, 20)
    now, alive = environment.reset(range(episodes)), np.ones(episodes, bool)
    rows, rewards, time = [], ["episode,step,reward"], datetime.now(UTC) - timedelta(hours=1)
    for step in range(20):
        asked = [
            predictor.Request.model_validate(
                {"observation": state, "explore": explore, "seed": 1000 * step + i, "episode": f"e{i}", "step": step}
            )
            for i, state in enumerate(now.tolist())
        ]
        answers = predictor.predict(asked)
        done = environment.step(np.array([answer.model_dump()["action"] for answer in answers]))
        for i in np.flatnonzero(alive):
            record = (asked[i].model_dump_json(), answers[i].model_dump_json(), 0.01)
            rows.append(PredictionRecord(time, f"r{step}-{i}", "control", "0" * 12, "sample", *record))
            rewards.append(f"e{i},{step},{done.rewards[i]}")
        now, alive = done.observations, alive & ~done.ended
    open_store(str(folder / "log")).write(rows)
    (folder / "rewards.csv").write_text("\n".join(rewards) + "\n")
    return folder / "log", folder / "rewards.csv"


def test_a_log_tells_of_the_policy_that_wrote_it_and_not_of_one_unlike_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log, rewards = served(tmp_path, 150, explore=0.2)
    frozen_lake(tmp_path / "safe", SAFE)
    monkeypatch.chdir(tmp_path)
    verdicts = {}
    for name in ("down", "safe"):
        main(Options(rewards=rewards, log=str(log), bundle=tmp_path / name))
        verdicts[name] = json.loads(Path("artifacts/control/monitoring/off_policy.json").read_text())
    assert verdicts["down"]["episodes"] == verdicts["safe"]["episodes"] == 150
    assert verdicts["down"]["effective"] > 30 > verdicts["safe"]["effective"]
    assert verdicts["safe"]["verdict"] == "silent" and verdicts["down"]["verdict"] == "open"
    assert "verdict: silent" in capsys.readouterr().out
    page = Path("artifacts/control/monitoring/ab.html").read_text()
    assert "Before it is let loose" in page and "the log cannot say" in page and "Both versions" not in page
    record = ArtifactReader(Path("artifacts")).comparison("control")
    assert record and record.said == "foreseen: silent" and record.link == "compare/control"
    assert record.detail and record.detail.startswith("the log cannot say what ")


def test_a_page_of_the_same_challenger_keeps_what_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen_lake(tmp_path / "down", DOWN)
    monkeypatch.chdir(tmp_path)
    home = Path("artifacts/control/monitoring")
    home.mkdir(parents=True)
    arm = {"role": "challenger", "version": Bundle(tmp_path / "down").manifest.version, "requests": 5}
    (home / "ab.json").write_text(json.dumps({"arms": [arm], "score": {"verdict": "better"}, "summary": "by labels"}))
    found = page_of(Path("artifacts/control"), {"asked": arm["version"], "at": ""}, datetime.now(UTC))
    assert found["summary"] == "by labels" and found["off_policy"]["asked"] == arm["version"]
    other = page_of(Path("artifacts/control"), {"asked": "another", "at": "", "summary": "new"}, datetime.now(UTC))
    assert other["summary"] == "new" and not other["arms"]
    (home / "off_policy.json").write_text(json.dumps({"asked": "another"}))
    assert foreseen(Path("artifacts/control"), "another") == {"asked": "another"}
    assert foreseen(Path("artifacts/control"), "yet another") is None


def test_a_log_without_whole_episodes_is_refused(tmp_path: Path) -> None:
    log, _ = served(tmp_path, 3, explore=0.5)
    (tmp_path / "other.csv").write_text("episode,step,reward\nmine,0,1\n")
    with pytest.raises(UsageError, match="found 0 whole episodes of 1 in rewards; expected at least 2"):
        main(Options(rewards=tmp_path / "other.csv", log=str(log), bundle=tmp_path / "down"))
    with pytest.raises(UsageError, match="log: missing"):
        main(Options(rewards=tmp_path / "other.csv", log=""))


@pytest.mark.parametrize("row", ["e0,first,1", "e0,0,much", "e0,0,nan"])
def test_rewards_that_are_none_are_refused_by_their_row(row: str, tmp_path: Path) -> None:
    (tmp_path / "rewards.csv").write_text(f"episode,step,reward\ne0,1,1\n{row}\n")
    with pytest.raises(UsageError, match=r"row 2: found .*; expected an episode, a step and a reward"):
        read_rewards(tmp_path / "rewards.csv")


def test_features_of_numbers_and_of_states() -> None:
    assert np.array_equal(features(np.eye(3), 3), np.eye(3))
    assert features(np.array([[1.0, 2.0], [3.0, 4.0]]), None).shape == (2, 1 + 2 + 3)
