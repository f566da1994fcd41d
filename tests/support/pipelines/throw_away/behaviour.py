from collections.abc import Iterator

import numpy as np
from pipelines.throw_away.predict import Predictor

from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck
from roadmap.project import Request


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        one, two = (
            np.array([o.probability for o in predict_in_batches(predictor, r)]) for r in (requests, requests[::-1])
        )
        yield BehaviouralCheck("in another order", "invariance", np.isclose(one, two[::-1], atol=1e-5), 1.0)
