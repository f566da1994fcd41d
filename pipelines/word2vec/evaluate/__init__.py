"""word2vec: analogies answered, similarity against people's, and what counting and chance reach."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.word2vec.evaluate.scoring import HEADLINE, Answered, by_vectors, interval, spearman
from pipelines.word2vec.predict import Response
from roadmap import project
from roadmap.data import splits
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request

FEWEST = 20  # pairs of a set that is correlated


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        analogies = ~targets["pair"]
        nearest = [[one["word"] for one in output.nearest or []] for output in outputs]
        first = np.array(
            [bool(found) and found[0] == row["answer"] for found, row in zip(nearest, targets, strict=True)]
        )
        top = np.array([row["answer"] in found for found, row in zip(nearest, targets, strict=True)])
        cosines = np.array([output.similarity or 0.0 for output in outputs])
        metrics = {"analogy_accuracy_top10": float(top[analogies].mean()), **similarities(targets, cosines)}
        for name in np.unique(targets["set"]):
            row = targets[targets["set"] == name][0]
            metrics |= {f"known_{name}": float(row["known"]), f"unknown_{name}": float(row["unknown"])}
        return Answered(HEADLINE, True, first[analogies].astype(float), metrics, analogies=analogies)

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        """By relation."""
        names = np.unique(targets["set"][~targets["pair"]])
        return {str(name): targets["set"] == name for name in names} if len(names) > 1 else {}

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        from pipelines.word2vec.evaluate.ppmi import factorise, ppmi

        card, train, test = (
            splits.read_card(folder),
            splits.read_arrays(folder, "train"),
            splits.read_arrays(folder, "test"),
        )
        vocabulary, targets = train["vocabulary"].tolist(), test["rows"]
        number = {word: place for place, word in enumerate(vocabulary)}
        numbers = np.array([[number.get(word, 0) for word in words[:3]] for words in test["words"].tolist()])
        answers = np.array([number.get(row["answer"], -1) for row in targets])
        width = min(card["schema"]["width"], len(vocabulary) - 2)

        def counted() -> np.ndarray:
            matrix = ppmi(train["words"], train["sentences"], len(vocabulary), card["schema"]["window"])
            return factorise(matrix, width)

        def random() -> np.ndarray:
            return np.random.default_rng(seed).normal(size=(len(vocabulary), width))

        rows = []
        for name, make in (("PPMI and SVD", counted), ("random vectors", random)):
            started = time.perf_counter()
            found, cosines = by_vectors(make(), numbers)
            right = float((found == answers)[~targets["pair"]].mean())
            seconds = round(time.perf_counter() - started, 2)
            rows.append(
                {"name": name, "metric": HEADLINE, "test": right, "seconds": seconds, **similarities(targets, cosines)}
            )
            print(f"  {name:24s} {HEADLINE} {right:.4f}")
        return [*rows, {"name": "chance", "metric": HEADLINE, "test": 1 / (len(vocabulary) - 3), "seconds": 0.0}]

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from pipelines.word2vec.evaluate import figures as draw

        (mapped,) = evaluated.predictor.predict([evaluated.predictor.Request(task="map", top=300)])
        found = {"map": draw.map_of_words(mapped.nearest)}
        right = self.score(evaluated.targets, evaluated.outputs)
        shares = {
            name: right.subset(rows).value for name, rows in self.slices(evaluated.requests, evaluated.targets).items()
        }
        return found | ({"analogies": draw.analogies(shares)} if shares else {})


def similarities(targets: np.ndarray, cosines: np.ndarray) -> dict[str, float]:
    """Spearman's correlation of each set of pairs, with its interval. targets: of the test rows; cosines: [n]"""
    found: dict[str, float] = {}
    for name in np.unique(targets["set"][targets["pair"]]):
        rows = targets["set"] == name
        if rows.sum() >= FEWEST:
            people = targets["score"][rows]
            low, high = interval(people, cosines[rows])
            found |= {
                f"spearman_{name}": spearman(people, cosines[rows]),
                f"spearman_{name}_ci95_low": low,
                f"spearman_{name}_ci95_high": high,
            }
    return found
