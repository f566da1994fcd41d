"""Control: whole episodes from starts kept back, beside policies that learn nothing and the best possible return."""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipelines.control.data import Data, of_targets
from pipelines.control.data.environments.pictures import picture
from pipelines.control.data.episodes import Act, moments, play
from pipelines.control.data.policies import policies
from pipelines.control.evaluate.optimum import best_possible, world_of
from pipelines.control.predict import Predictor
from roadmap import project
from roadmap.bundle import Predictor as AnyPredictor
from roadmap.data import splits
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADLINE, LONGEST = "mean_return", 500  # steps of the episode that is drawn


def acting(predictor: AnyPredictor) -> Act:
    """The actions of the policy as it is served."""

    def act(now: np.ndarray) -> np.ndarray:
        asked = [predictor.Request.model_validate({"observation": row}) for row in now.tolist()]
        return np.array([answer.model_dump()["action"] for answer in predictor.predict(asked)])

    return act


class Episode(NamedTuple):
    """What one start led to: the sum of its rewards, not discounted, and its steps."""

    total: float
    steps: int


class Evaluation(project.Evaluation[Episode]):
    def played(self, predictor: AnyPredictor, targets: np.ndarray) -> list[Episode]:
        """One episode from each start, by the predictor that serves.

        Raises:
            pydantic.ValidationError: it takes other observations.
        """

        found = play(of_targets(targets), acting(predictor), targets["seed"].tolist())
        return [Episode(*row) for row in zip(found.returns.tolist(), found.lengths.tolist(), strict=True)]

    def score(self, targets: np.ndarray, outputs: Sequence[Episode]) -> Score:
        returns, lengths = np.array(outputs, np.float64).T
        metrics = {
            "worst_tenth": float(np.sort(returns)[: max(1, len(returns) // 10)].mean()),
            "median_return": float(np.median(returns)),
            "deviation": float(returns.std()),
            "mean_length": float(lengths.mean()),
        }
        return Score(HEADLINE, True, returns, metrics)

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        """Starts on either side of the median of each number observed; of states each by itself."""
        starts = np.array([request["observation"] for request in requests])
        if starts.ndim == 1:
            return {f"from state {state}": starts == state for state in np.unique(starts) if np.ptp(starts)}
        sides = starts > np.median(starts, axis=0)
        varied = [place for place in range(starts.shape[1]) if 0 < sides[:, place].sum() < len(sides)]
        return {
            f"observation {place} {name}": sides[:, place] == side
            for place in varied
            for name, side in (("low", False), ("high", True))
        }

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        _, targets = Data().test_rows(folder)
        schema, rows = splits.read_card(folder)["schema"], []
        for name, act in policies(schema, seed):
            started = time.perf_counter()
            returns = play(of_targets(targets), act, targets["seed"].tolist()).returns
            seconds = round(time.perf_counter() - started, 2)
            rows.append({"name": name, "metric": HEADLINE, "test": float(returns.mean()), "seconds": seconds})
            print(f"  {name:24s} {HEADLINE} {returns.mean():.4f}")
        if (world := world_of(schema)) is not None:
            starts = splits.read_arrays(folder, "test")["observations"]
            best = float(best_possible(world, schema["limit"])[starts].mean())
            print(f"  {'best possible':24s} {HEADLINE} {best:.4f}")
            rows.append({"name": "best possible", "metric": HEADLINE, "test": best})
        return rows

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from pipelines.control.evaluate import figures as draw

        predictor = evaluated.predictor
        assert isinstance(predictor, Predictor)
        shown = np.array(predictor.visited["observations"])
        first = evaluated.targets[:1]
        steps = moments(of_targets(first), acting(predictor), first["seed"].tolist())
        episode = np.array([moment.observations[0] for moment in itertools.islice(steps, LONGEST)])
        alt = f"An episode of {predictor.environment} by the trained policy, {len(episode)} steps"
        found: dict[str, Figure | str] = {
            "learning": draw.learning(evaluated.history),
            "returns": draw.returns(np.array([one.total for one in evaluated.outputs]), evaluated.baselines),
            "episode": picture(predictor.environment, episode, alt) or draw.episode(episode, predictor.parts),
        }
        if predictor.states is not None:
            states = list(range(predictor.states))
            chances, values = predictor.weigh(predictor.vectors(states))
            counts = np.bincount(shown, minlength=predictor.states)
            return found | {"states": draw.states(values, chances, counts, predictor.names)}
        chances, values = predictor.weigh(shown.astype(np.float32))
        return found | {"visited": draw.visited(shown, chances, values, predictor.parts, predictor.names)}
