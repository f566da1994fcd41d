"""Control: behavioural checks of any policy, and of one that holds up a pole."""

from collections.abc import Iterator

import numpy as np

from pipelines.control.predict import Predictor
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck
from roadmap.project import Request


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        """Of observations that the policy visited.

        What must be done where, and what is symmetric, is known without doubt of the pole alone: the hill and the
        lander are not symmetric, and a grid's best moves are not obvious.
        """

        def actions(observations: list[list[float]] | list[int]) -> np.ndarray:
            asked = [{"observation": one} for one in observations]
            return np.array([answer.action for answer in predict_in_batches(predictor, asked)])

        shown = predictor.visited["observations"][::2]
        together = actions(shown)
        alone = np.array([actions([one])[0] for one in shown[:20]])
        yield BehaviouralCheck("alone or among others", "invariance", alone == together[:20], 1.0)
        draws = range(25 * len(predictor.names))  # so many that none is missed
        random = predict_in_batches(predictor, [{"observation": shown[0], "explore": 1.0, "seed": n} for n in draws])
        drawn = {answer.action for answer in random}
        yield BehaviouralCheck(
            "all at random: every action comes", "minimum", [len(drawn) == len(predictor.names)], 1.0
        )
        if predictor.environment == "CartPole-v1" and predictor.states is None:
            rng = np.random.default_rng(0)
            side = rng.choice([-1.0, 1.0], 100)
            ranges = ((-1, 1), (-0.5, 0.5), (0.03, 0.12), (0.2, 0.8))  # where it is plain what to do
            falling = np.column_stack([rng.uniform(low, high, 100) for low, high in ranges])
            falling[:, 2:] *= side[:, None]
            there, mirrored = actions(falling.tolist()), actions((-falling).tolist())
            yield BehaviouralCheck("left and right exchanged", "invariance", mirrored == 1 - there, 0.95)
            leaning = np.array(
                [[0.0, 0.0, side * angle, side * 0.5] for side in (-1, 1) for angle in (0.05, 0.1, 0.15)]
            )
            found = actions(leaning.tolist())
            yield BehaviouralCheck("push where the pole falls", "directional", found == (leaning[:, 2] > 0), 1.0)
            chances = predictor.weigh(leaning.astype(np.float32))[1]
            upright = predictor.weigh(np.zeros((1, 4), np.float32))[1]
            yield BehaviouralCheck("worth less than an upright pole", "directional", chances < upright, 0.8)
