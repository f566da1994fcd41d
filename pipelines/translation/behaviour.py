"""Translation: checks on spaces and company, on the beam, on disorder, and on simple cases."""

from collections.abc import Iterator

import numpy as np

from pipelines.translation.data import numerals
from pipelines.translation.predict import Predictor, Translation
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck, sample_cases
from roadmap.project import Request

ALONE = 20  # cases that are asked one by one


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        texts = [request["text"] for request in sample_cases(requests)]

        def answers(texts: list[str], beam: int = 4) -> list[Translation]:
            return predict_in_batches(predictor, [{"text": text, "beam": beam} for text in texts])

        now, spaced = answers(texts), answers([f"  {text} " for text in texts])
        same = [one.translation == other.translation for one, other in zip(now, spaced, strict=True)]
        yield BehaviouralCheck("spaces around the text", "invariance", same, 1.0)
        alone = [answers([text])[0] for text in texts[:ALONE]]
        same = [one.translation == other.translation for one, other in zip(now[:ALONE], alone, strict=True)]
        yield BehaviouralCheck("others in the same batch", "invariance", same, 1.0)
        score = np.array([answer.score for answer in now])
        greedy = np.array([answer.score for answer in answers(texts, beam=1)])
        yield BehaviouralCheck("a wider beam: at least as likely", "directional", score >= greedy - 1e-4, 0.95)
        rng = np.random.default_rng(0)
        mixed = [shuffled(text, rng) for text in texts]
        moved = np.array([one != other for one, other in zip(mixed, texts, strict=True)])
        less = np.array([answer.score for answer in answers(mixed)]) < score
        yield BehaviouralCheck("its words in disorder: less likely", "directional", less[moved], 0.6)
        yield BehaviouralCheck("something is written", "minimum", [bool(answer.translation) for answer in now], 1.0)
        if predictor.corpus == "numerals":
            cases = [(numerals.chinese(n), numerals.english(n)) for n in (*range(1, 31), *range(100, 1000, 100))]
            for name, (asked, wanted) in {
                "counting, into English": zip(*cases, strict=True),
                "counting, into Chinese": zip(*((en, zh) for zh, en in cases), strict=True),
            }.items():
                right = [a.translation == one for a, one in zip(answers(list(asked)), wanted, strict=True)]
                yield BehaviouralCheck(name, "minimum", right, 0.9)


def shuffled(text: str, rng: np.random.Generator) -> str:
    """Its words in another order; of Chinese, which has no spaces, its characters."""
    parts = text.split() if " " in text else list(text)
    return (" " if " " in text else "").join(rng.permutation(parts))
