"""rlhf: the judge's rewards of what the aligned model writes, against what the reference writes on the same prompts."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.rlhf.data import TESTED
from pipelines.rlhf.data.judges import judge_of
from pipelines.rlhf.data.tokens import tokenizer_of
from pipelines.rlhf.evaluate.ngrams import Trigrams
from pipelines.rlhf.predict import END
from pipelines.rlhf.predict.rule import COMPLAINTS, PRAISE
from roadmap import project
from roadmap.bundle import Predictor as AnyPredictor
from roadmap.bundle.answers import predict_in_batches
from roadmap.data import splits
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request

HEADLINE = "mean_reward"
SEED = 1_000_000  # of the reference's texts, from there: a shared seed would draw like words


class Pair(NamedTuple):
    """What both models write on a prompt. `reward` and `before` are by the judge."""

    prompt: str
    text: str
    reward: float
    learned: float
    kl: float
    perplexity: float
    before_text: str
    before: float
    before_learned: float
    before_perplexity: float


class Evaluation(project.Evaluation[Pair]):
    def played(self, predictor: AnyPredictor, targets: np.ndarray) -> list[Pair]:
        """One text of each model on each prompt, by the predictor that serves.

        Raises:
            pydantic.ValidationError: it takes other requests.
        """
        judge = judge_of({"judge": str(targets["judge"][0]) or None})
        prompts = targets["prompt"].tolist()
        texts, rewards = {}, {}
        for policy, first in (("aligned", 0), ("reference", SEED)):
            asked = asked_of(prompts, policy, int(targets["new"][0]), first)
            texts[policy] = [answer.model_dump() for answer in predict_in_batches(predictor, asked)]
            rewards[policy] = judge([answer["text"] for answer in texts[policy]]).tolist()
        rows = zip(prompts, texts["aligned"], rewards["aligned"], texts["reference"], rewards["reference"], strict=True)
        return [
            Pair(
                prompt, after["text"], reward, after["learned_reward"], after["kl"], after["perplexity"],
                before["text"], other, before["learned_reward"], before["perplexity"],
            )
            for prompt, after, reward, before, other in rows
        ]  # fmt: skip

    def score(self, targets: np.ndarray, outputs: Sequence[Pair]) -> Score:
        """A win is a higher reward than the reference's text has; a tie is half of one."""
        rewards, before = (np.array([getattr(one, name) for one in outputs]) for name in ("reward", "before"))
        wins = (rewards > before) + (rewards == before) / 2
        win_rate = Score("win_rate", True, wins.astype(np.float64), {})
        low, high = win_rate.interval(0)
        metrics = {
            "reference_reward": float(before.mean()),
            "win_rate": win_rate.value,
            "win_rate_low": low,
            "win_rate_high": high,
            "learned_reward": float(np.mean([one.learned for one in outputs])),
            "reference_learned_reward": float(np.mean([one.before_learned for one in outputs])),
            "kl": float(np.mean([one.kl for one in outputs])),
            "perplexity": geometric([one.perplexity for one in outputs]),
            "reference_perplexity": geometric([one.before_perplexity for one in outputs]),
            "reward_model_accuracy": agreement(outputs),
        }
        return Score(HEADLINE, True, rewards, metrics)

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        """Prompts that begin with praise, with a complaint, or with neither; of other texts, short and long ones."""
        words = [set(request["prompt"].split()) for request in requests]
        praise, complaint = (np.array([bool(one & set(known)) for one in words]) for known in (PRAISE, COMPLAINTS))
        if praise.any() and complaint.any():
            return {"after praise": praise, "after a complaint": complaint, "after neither": ~praise & ~complaint}
        lengths = np.array([len(request["prompt"]) for request in requests])
        return {"short prompts": lengths <= np.median(lengths), "long prompts": lengths > np.median(lengths)}

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        """Words at random, how the texts went on themselves, and a trigram model."""
        card, test = splits.read_card(folder), splits.read_table(folder, "test")[:TESTED]
        schema, tokenizer = card["schema"], tokenizer_of(card)
        judge, rng = judge_of(schema), np.random.default_rng(seed)
        prompts = list(test["prompt"])
        trigrams = Trigrams(list(splits.read_table(folder, "train")["text"]))

        def cut(text: str) -> str:
            return str(tokenizer.decode(tokenizer.encode(text).ids[: schema["new"]]))

        ways: dict[str, Callable[[int], str]] = {
            "words at random": lambda _: " ".join(rng.choice(trigrams.vocabulary, schema["new"])),
            "the texts themselves": lambda row: test["rest"][row],
            "trigram model": lambda row: trigrams.write(prompts[row], schema["new"], rng),
        }
        rows = []
        for name, way in ways.items():
            started = time.perf_counter()
            reward = float(judge([cut(way(row)) for row in range(len(prompts))]).mean())
            seconds = round(time.perf_counter() - started, 2)
            rows.append({"name": name, "metric": HEADLINE, "test": reward, "seconds": seconds})
            print(f"  {name:24s} {HEADLINE} {reward:.4f}")
        return rows

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from pipelines.rlhf.evaluate import figures as draw

        return {
            "overoptimisation": draw.overoptimisation(evaluated.history),
            "rewards": draw.rewards(evaluated.outputs),
            "texts": draw.texts(evaluated.outputs),
        }


def asked_of(prompts: Sequence[str], policy: str, new: int, seed: int) -> list[Request]:
    """Requests for judged texts, drawn from the model as it is."""
    return [
        {"prompt": prompt, "max_tokens": new, "temperature": 1.0, "seed": seed + row, "stop": [END], "policy": policy,
         "judge": True}
        for row, prompt in enumerate(prompts)
    ]  # fmt: skip


def agreement(outputs: Sequence[Pair]) -> float:
    """How often the reward model prefers of a pair what the judge prefers; without ties. 0.5 is chance."""
    gaps = np.array([(one.reward - one.before, one.learned - one.before_learned) for one in outputs])
    told = gaps[gaps[:, 0] != 0]
    return float((np.sign(told[:, 0]) == np.sign(told[:, 1])).mean()) if len(told) else 0.5


def geometric(values: Sequence[float]) -> float:
    return float(np.exp(np.log(values).mean()))
