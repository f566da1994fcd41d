"""pipelines/control/predict, monitoring and evaluate, on hand-made policies."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from models.control.tabular import value_iteration
from pipelines.control import settings
from pipelines.control.behaviour import Behaviour
from pipelines.control.data import Data
from pipelines.control.data.environments.worlds import cliff_walking, frozen_lake
from pipelines.control.evaluate import Episode, Evaluation
from pipelines.control.evaluate.optimum import best_possible, world_of
from pipelines.control.monitoring import Monitoring
from pipelines.control.predict import Predictor, Response
from roadmap.bundle import Bundle
from roadmap.data import splits
from roadmap.evaluation.behavioural import table
from tests.support import bundles
from tests.support.bundles.control import CARTPOLE, LAKE, policy
from tests.support.bundles.control import frozen_lake as lake_bundle

SAFE = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0]  # away from the holes, on slippery ice


@pytest.fixture(scope="module")
def pole(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("pole") / "bundle"
    bundles.control(folder)
    return Predictor(Bundle(folder))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("lake") / "bundle"
    lake_bundle(folder, SAFE)
    return Predictor(Bundle(folder))


def answers(predictor: Predictor, *requests: dict[str, Any]) -> list[Response]:
    found = predictor.predict([predictor.Request.model_validate(one) for one in requests])
    assert all(isinstance(one, Response) for one in found)
    return found  # type: ignore[return-value]


def prepared(folder: Path, environment: str, starts: int = 40, **options: bool) -> Path:
    data = settings.Data(
        split=(0.1, 0.2, 0.7), environment=environment, starts=starts, limit=10_000, options=dict(options)
    )
    splits.write(folder / "control", Data().prepare(data, "sample", 0), "sample")
    return folder / "control"


def test_it_gives_the_best_action_by_number_and_name(pole: Predictor) -> None:
    left, right = answers(pole, {"observation": [0, 0, -0.1, 0]}, {"observation": [0.5, 0, 0.1, 0]})
    assert (left.action, left.name, left.probability) == (0, "left", 1.0)
    assert (right.action, right.name, right.value) == (1, "right", 0.5)
    assert right.probabilities["right"] == pytest.approx(1 / (1 + np.exp(-1.0)), abs=1e-6)
    assert sum(left.probabilities.values()) == pytest.approx(1)
    assert answers(pole) == []


def test_exploring_actions_come_as_often_as_their_probability_says(pole: Predictor) -> None:
    asked = [{"observation": [0, 0, 0.1, 0], "explore": 0.4, "seed": seed} for seed in range(4000)]
    found = answers(pole, *asked)
    for action, probability in ((0, 0.2), (1, 0.8)):
        rows = [one for one in found if one.action == action]
        assert len(rows) / len(found) == pytest.approx(probability, abs=0.02)
        assert {round(one.probability, 9) for one in rows} == {probability}
    assert answers(pole, *asked[:50]) == found[:50], "a seed gives the same action"
    unseeded = answers(pole, *({"observation": [0, 0, 0.1, 0], "explore": 1.0} for _ in range(40)))
    assert {one.action for one in unseeded} == {0, 1}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"observation": [0, 0, 0]}, "at least 4"),
        ({"observation": [0, 0, 0, 0, 0]}, "at most 4"),
        ({"observation": [0, 0, 0, float("nan")]}, "finite"),
        ({"observation": [0, 0, 0, 1e31]}, "less than or equal to 1000000"),
        ({"observation": [0, 0, 0, "left"]}, "number"),
        ({"observation": 3}, "list"),
        ({"explore": 1.5}, "less than or equal to 1"),
        ({"policy": "mine"}, "Extra inputs"),
    ],
)
def test_wrong_requests_are_refused(pole: Predictor, changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        pole.Request.model_validate({"observation": [0, 0, 0, 0], **changes})


def test_states_are_numbers_within_the_world(lake: Predictor) -> None:
    assert [one.name for one in answers(lake, {"observation": 0}, {"observation": 1})] == ["left", "up"]
    for wrong in (16, -1, 0.5, [0]):
        with pytest.raises(ValidationError):
            lake.Request.model_validate({"observation": wrong})


def test_observations_it_never_came_near_are_noted(pole: Predictor, lake: Predictor) -> None:
    def notes(predictor: Predictor, observation: Any) -> list[str]:
        return [one.detail for one in predictor.notes(predictor.Request.model_validate({"observation": observation}))]

    assert notes(pole, [0, 0, 0, 0]) == []
    assert notes(pole, [5, 0, 0, 0]) == ["position 5 is outside -1 to 1, where it goes"]
    assert notes(lake, 4) == []
    assert notes(lake, 15) == ["state 15 was never visited"]


def test_episodes_are_played_from_the_starts_kept_back(pole: Predictor, tmp_path: Path) -> None:
    requests, targets = Data().test_rows(prepared(tmp_path, "CartPole-v1"))
    episodes = Evaluation().played(pole, targets)
    assert [one.total for one in episodes] == [500.0] * 28 and episodes[0].steps == 500
    score = Evaluation().score(targets, episodes)
    assert score.headline == "mean_return" and score.value == 500
    parts = Evaluation().slices(requests, targets)
    assert len(parts) == 8 and parts["observation 2 low"].sum() == 14


def test_the_worst_tenth_shows_what_the_mean_hides() -> None:
    lucky = [Episode(500.0, 500)] * 18 + [Episode(10.0, 10)] * 2
    score = Evaluation().score(np.zeros(20), lucky)
    assert score.value == 451
    assert score.metrics["worst_tenth"] == score.worst_tenth == 10


def test_a_policy_for_another_environment_cannot_play(lake: Predictor, tmp_path: Path) -> None:
    _, targets = Data().test_rows(prepared(tmp_path, "CartPole-v1"))
    with pytest.raises(ValidationError):
        Evaluation().played(lake, targets)


def test_baselines_of_the_pole(tmp_path: Path) -> None:
    rows = {row["name"]: row["test"] for row in Evaluation().baselines(prepared(tmp_path, "CartPole-v1"), 0)}
    assert 15 < rows["random"] < 30 and rows["always left"] < 12
    assert 30 < rows["push where it leans"] < 60 < rows["push where it will lean"] == 500


def test_the_best_possible_return_bounds_every_policy(lake: Predictor, tmp_path: Path) -> None:
    folder = prepared(tmp_path, "FrozenLake-v1", starts=1000)
    rows = {row["name"]: row["test"] for row in Evaluation().baselines(folder, 0)}
    _, targets = Data().test_rows(folder)
    played = Evaluation().score(targets, Evaluation().played(lake, targets)).value
    assert max(rows[name] for name in rows if name != "best possible") < rows["best possible"]
    assert 0.65 < played < rows["best possible"] + 0.05, "0.05 is three standard errors"


def test_backward_induction_agrees_with_value_iteration_where_there_is_time() -> None:
    world = frozen_lake()
    assert best_possible(world, 1)[14] == pytest.approx(1 / 3)
    long = best_possible(world, 5000)
    np.testing.assert_allclose(long, value_iteration(world, 1.0, 1e-10).max(axis=1), atol=1e-5)
    assert best_possible(world, 100)[0] < long[0]
    assert best_possible(cliff_walking(), 500)[36] == -13


def test_gymnasiums_tables_are_read() -> None:
    ours, theirs = frozen_lake(), world_of({**LAKE, "options": {"is_slippery": True}})
    assert theirs is not None
    np.testing.assert_allclose(best_possible(theirs, 100), best_possible(ours, 100), atol=1e-9)
    assert world_of({**LAKE, "environment": "CartPole-v1"}) is None


def test_monitored_columns(pole: Predictor, lake: Predictor) -> None:
    monitoring = Monitoring()
    rows: Any = [pole.Request.model_validate({"observation": [0, 1, 2, 3]})]
    assert monitoring.inputs(rows) == {f"observation {place}": [float(place)] for place in range(4)}
    found = monitoring.answers(answers(pole, {"observation": [0.5, 0, 0.1, 0]}))
    assert found["action"] == ["right"] and found["value"] == [0.5]
    assert found["confidence"] == [pytest.approx(0.7311, abs=1e-4)]
    states: Any = [lake.Request.model_validate({"observation": 4})]
    assert monitoring.inputs(states) == {"state": ["4"]}


def test_behavioural_checks_pass_for_a_policy_that_knows(pole: Predictor, lake: Predictor) -> None:
    found = table(Behaviour().expectations(pole, []))
    values = found.pop("worth less than an upright pole")
    assert not values["passed"], "the hand-made critic knows nothing"
    assert {one["kind"] for one in found.values()} == {"invariance", "directional", "minimum"}
    assert all(one["passed"] for one in found.values()), found
    assert all(one["passed"] for one in table(Behaviour().expectations(lake, [])).values())


def test_behavioural_checks_fail_for_a_policy_that_always_pushes_left(tmp_path: Path) -> None:
    always = np.array([[0, 0]] * 3 + [[1e-9, 0]], np.float32)
    visited = {"observations": [[0.0, 0.0, 0.01, 0.1]] * 40, "states": [], "low": [-1.0] * 4, "high": [1.0] * 4}
    policy(tmp_path / "bundle", always, CARTPOLE, visited, [{"observation": [0.0, 0.0, 0.01, 0.1]}])
    found = table(Behaviour().expectations(Predictor(Bundle(tmp_path / "bundle")), []))
    assert {name for name, one in found.items() if not one["passed"]} == {
        "left and right exchanged", "push where the pole falls", "worth less than an upright pole"
    }  # fmt: skip


def test_of_many_actions_every_one_comes(tmp_path: Path) -> None:
    names = [f"action {number}" for number in range(60)]
    schema = {**LAKE, "environment": "mine:Many", "actions": names}
    visited = {"observations": [0, 1] * 30, "states": [0, 1], "low": [], "high": []}
    policy(tmp_path / "bundle", np.eye(16, 60, dtype=np.float32), schema, visited, [{"observation": 0}])
    found = table(Behaviour().expectations(Predictor(Bundle(tmp_path / "bundle")), []))
    assert len(found) == 2 and all(one["passed"] for one in found.values()), found
