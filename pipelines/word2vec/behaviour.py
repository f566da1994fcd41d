"""word2vec: behavioural checks of what holds for any vectors that are served rightly, and of what was learnt."""

from collections.abc import Iterator
from itertools import pairwise

from pipelines.word2vec.predict import Predictor
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck, sample_cases
from roadmap.project import Request


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        cases = sample_cases(requests)
        words = [request["words"][0] for request in cases]
        others = [*words[1:], words[0]]

        def similarities(a: list[str], b: list[str]) -> list[float]:
            pairs = [{"task": "similarity", "words": [one, other]} for one, other in zip(a, b, strict=True)]
            return [output.similarity for output in predict_in_batches(predictor, pairs)]

        def neighbours(asked: list[str]) -> list[list[str]]:
            found = predict_in_batches(predictor, [{"task": "neighbours", "words": [word]} for word in asked])
            return [[one["word"] for one in output.nearest] for output in found]

        there, back = similarities(words, others), similarities(others, words)
        same = [abs(one - other) < 1e-4 for one, other in zip(there, back, strict=True)]
        yield BehaviouralCheck("a and b, b and a", "invariance", same, 1.0)
        found = neighbours(words)
        capital = [word.title() for word in words]
        yield BehaviouralCheck(
            "a capital letter", "invariance", [a == b for a, b in zip(found, neighbours(capital), strict=True)], 1.0
        )
        analogies = [{"task": "analogy", "words": [word, word, word]} for word in words]
        reached = [[one["word"] for one in output.nearest] for output in predict_in_batches(predictor, analogies)]
        equal = [a[:3] == b[:3] for a, b in zip(found, reached, strict=True)]
        yield BehaviouralCheck("a is to a as a is to: its neighbours", "invariance", equal, 0.95)
        ranked = [similarities([word] * len(near), near) for word, near in zip(words[:20], found[:20], strict=True)]
        falling = [all(a >= b - 1e-4 for a, b in pairwise(row)) for row in ranked]
        yield BehaviouralCheck("farther down the list: less similar", "directional", falling, 1.0)
        nearest = similarities(words, [near[0] for near in found])
        apart = [near >= random for near, random, a, b in zip(nearest, there, words, others, strict=True) if a != b]
        yield BehaviouralCheck("the nearest rather than another word", "directional", apart, 0.95)
        yield BehaviouralCheck("a word and itself", "minimum", [one > 0.999 for one in similarities(words, words)], 1.0)
