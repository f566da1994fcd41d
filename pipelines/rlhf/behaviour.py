"""rlhf: text stays text, and the reward model knows praise from complaint."""

import re
from collections.abc import Iterator

import numpy as np

from pipelines.rlhf.evaluate import SEED, asked_of
from pipelines.rlhf.predict import Predictor
from pipelines.rlhf.predict.rule import COMPLAINTS, PRAISE
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck
from roadmap.project import Request

ROWS = 100  # prompts
STRANGE = 0.99  # a text is strange if it surprises the reference more than this share of its own
DIVERGENCE = 15.0  # nats a text


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        some = requests[:ROWS]
        prompts, new = [request["prompt"] for request in some], some[0]["max_tokens"]

        def written(policy: str, seed: int) -> list[dict]:
            asked = asked_of(prompts, policy, new, seed)
            return [answer.model_dump() for answer in predict_in_batches(predictor, asked)]

        greedy = [
            [
                one.text
                for one in predict_in_batches(predictor, [{**row, "temperature": 0.0, "seed": n} for row in some])
            ]
            for n in (1, 2)
        ]
        same = np.array(greedy[0]) == np.array(greedy[1])
        yield BehaviouralCheck("another seed at temperature 0", "invariance", same, 1.0)
        after, before = written("aligned", 0), written("reference", SEED)
        limit = np.quantile([one["perplexity"] for one in before], STRANGE)
        usual = np.array([one["perplexity"] <= limit for one in after])
        yield BehaviouralCheck("text stays text: no stranger than the reference's", "minimum", usual, 0.85)
        near = np.array([one["kl"] <= DIVERGENCE for one in after])
        yield BehaviouralCheck("it stays near the reference", "minimum", near, 0.9)
        if predictor.by_rule:
            swapped = [(one["text"], turned(one["text"])) for one in before]
            pairs = [(prompt, *both) for prompt, both in zip(prompts, swapped, strict=True) if both[0] != both[1]]
            worse = np.array([self._falls(predictor, *pair) for pair in pairs])
            yield BehaviouralCheck("praise turned into complaint is worth less", "directional", worse, 0.9)
        else:
            higher = np.array([a["learned_reward"] > b["learned_reward"] for a, b in zip(after, before, strict=True)])
            yield BehaviouralCheck("it is worth more than the reference's", "directional", higher, 0.6)

    def _falls(self, predictor: Predictor, prompt: str, text: str, worse: str) -> bool:
        start = predictor.encode(prompt)
        found = predictor.judgements([(start, predictor.encode(one)) for one in (text, worse)])
        return found[1]["learned_reward"] < found[0]["learned_reward"]


def turned(text: str) -> str:
    """With a complaint in place of each word of praise."""
    opposite = dict(zip(PRAISE, COMPLAINTS, strict=True))
    return re.sub(r"[a-z]+", lambda word: opposite.get(word[0], word[0]), text)
