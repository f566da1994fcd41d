"""mini_gpt: behavioural checks on generated text and on the likelihood of corrupted text."""

from collections.abc import Iterator

import numpy as np

from pipelines.mini_gpt.predict import Predictor
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck
from roadmap.project import Request

ROWS = 32  # windows to corrupt; each costs a forward pass
LENGTH = 40  # generated tokens


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        texts = [request["prompt"] for request in requests[:: max(1, len(requests) // ROWS)]][:ROWS]
        letters = set("".join(request["prompt"] for request in requests))
        begun = [text[: len(text) // 2 + 1] for text in texts]

        def written(seed: int, temperature: float) -> list[str]:
            prompts = [
                {"prompt": text, "max_tokens": LENGTH, "temperature": temperature, "seed": seed} for text in begun
            ]
            return [output.text for output in predict_in_batches(predictor, prompts)]

        def bits(texts: list[str]) -> np.ndarray:
            outputs = predict_in_batches(predictor, [{**requests[0], "prompt": text} for text in texts])
            return np.array([-np.mean(output.logprobs.token_logprobs[1:]) for output in outputs])

        same = [one == two for one, two in zip(written(1, 0.0), written(2, 0.0), strict=True)]
        yield BehaviouralCheck("another seed at temperature 0", "invariance", np.array(same), 1.0)
        now, rng = bits(texts), np.random.default_rng(0)
        shuffled = bits(["".join(rng.permutation(list(text))) for text in texts])
        yield BehaviouralCheck("its letters shuffled: less likely", "directional", shuffled > now, 0.95)
        backwards = bits([text[::-1] for text in texts])
        yield BehaviouralCheck("written backwards: less likely", "directional", backwards > now, 0.9)
        drawn = written(3, 0.8)
        known = np.array([np.mean([letter in letters for letter in text]) for text in drawn])
        yield BehaviouralCheck("it writes in the letters of its text", "minimum", known >= 0.95, 0.95)
        spaced = np.array([" " in text or "\n" in text for text in drawn])
        yield BehaviouralCheck("it writes words, with spaces between", "minimum", spaced, 0.9)
