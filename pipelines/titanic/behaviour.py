"""Titanic: behavioural checks on constructed passengers."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipelines.titanic.predict import Predictor
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck, sample_cases
from roadmap.project import Request

PORTS = ("S", "C", "Q")
PASSENGERS = {"Sex": ("female", "male"), "Title": ("Mrs", "Mr"), "Pclass": ("1st", "3rd")}
EPISODE = {"sex": ("female", "male"), "class": ("1st", "2nd", "3rd", "crew"), "age": ("adult",)}


def asks(requests: list[Request], levels: Mapping[str, Sequence[str]]) -> bool:
    """Whether all of these levels are there: a table of the user's own may have columns of these names."""
    return all(set(known) <= {row.get(column) for row in requests} for column, known in levels.items())


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        """For the columns of the sample and of the passenger list; a user's own table has no checks."""
        people = sample_cases(requests)

        def chances(**changed: str | float) -> np.ndarray:
            outputs = predict_in_batches(predictor, [{**row, **changed} for row in people])
            return np.array([output.probability for output in outputs])

        alone = np.array([predict_in_batches(predictor, [row])[0].probability for row in people[:20]])
        yield BehaviouralCheck("alone or among others", "invariance", np.isclose(alone, chances()[:20], atol=1e-5), 1.0)
        if asks(requests, {"Embarked": PORTS}):
            spread = np.ptp([chances(Embarked=port) for port in PORTS], axis=0)
            yield BehaviouralCheck("another port of embarkation", "invariance", spread < 0.25, 0.9)
        if asks(requests, PASSENGERS) and any(isinstance(row.get("Age"), float) for row in requests):
            women, men = chances(Sex="female", Title="Mrs", Age=30.0), chances(Sex="male", Title="Mr", Age=30.0)
            yield BehaviouralCheck("a woman rather than a man", "directional", women > men, 1.0)
            first, third = chances(Pclass="1st"), chances(Pclass="3rd")
            yield BehaviouralCheck("first class rather than third", "directional", first > third, 0.95)
        elif asks(requests, EPISODE):
            women, men = chances(sex="female"), chances(sex="male")
            yield BehaviouralCheck("a woman rather than a man", "directional", women > men, 0.95)
            first, third = chances(**{"class": "1st"}), chances(**{"class": "3rd"})
            yield BehaviouralCheck("first class rather than third", "directional", first > third, 1.0)
            plain = [
                ("1st", "female", "adult", "survived"),
                ("2nd", "female", "adult", "survived"),
                ("2nd", "male", "adult", "died"),
                ("3rd", "male", "adult", "died"),
                ("crew", "male", "adult", "died"),
            ]
            cases = [{"class": cls, "sex": sex, "age": age} for cls, sex, age, _ in plain]
            correct = [
                output.label == row[-1] for output, row in zip(predict_in_batches(predictor, cases), plain, strict=True)
            ]
            yield BehaviouralCheck("whose fate is plain", "minimum", np.array(correct), 1.0)
