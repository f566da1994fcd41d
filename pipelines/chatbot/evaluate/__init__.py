"""chatbot: whether answers are exact, whether what isn't known is refused, the language, and the memory."""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipelines.chatbot.data import Data, conversations
from pipelines.chatbot.data.shop import LANGUAGES, UNKNOWN
from roadmap import project
from roadmap.data.conversations import Conversation
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.inference.language.writing import Response
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request

METRIC = "exact_match"
# Kind of the wanted answer -> the metric that it counts for.
METRICS = {"fact": "exactness", "unknown": "refusals", "memory": "memory"}
HAN = re.compile(r"[\u4e00-\u9fff]")


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        return score(targets, [output.text for output in outputs])

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        """By kind and language of the answer; of other conversations by what is read."""
        found = {f"kind={kind}": targets["kind"] == kind for kind in METRICS}
        found |= {f"language={one}": targets["language"] == one for one in LANGUAGES}
        found = {name: rows for name, rows in found.items() if rows.any() and not rows.all()}
        if found:
            return found
        lengths = np.array([sum(len(one["content"]) for one in request["messages"]) for request in requests])
        return {"short": lengths <= np.median(lengths), "long": lengths > np.median(lengths)}

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        """The most frequent answer of training; a line of the system message at random (chance), or the most alike."""
        frequent, _ = Counter(answers(conversations(folder, "train"))).most_common(1)[0]
        test = conversations(folder, "test")
        rng = np.random.default_rng(seed)
        _, targets = Data().test_rows(folder)

        def at_random(one: Conversation) -> str:
            lines = lines_of(one)
            return str(rng.choice(lines)) if lines else frequent

        def most_alike(one: Conversation) -> str:
            asked = characters(one.messages[-2].content)
            lines = lines_of(one)
            found = max(lines, key=lambda line: len(asked & characters(line)) / len(characters(line)), default="")
            return found or frequent

        ways: dict[str, Callable[[Conversation], str]] = {
            "the most frequent answer": lambda _: frequent,
            "a line of the system message (chance)": at_random,
            "the line most like the question": most_alike,
        }
        rows = []
        for name, way in ways.items():
            started = time.perf_counter()
            found = score(targets, [way(one) for one in test])
            seconds = round(time.perf_counter() - started, 2)
            rows.append({"name": name, "metric": METRIC, "test": found.value, **found.metrics, "seconds": seconds})
            print(f"  {name:38s} {METRIC} {found.value:.4f}")
        return rows

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from pipelines.chatbot.evaluate import figures as draw

        written = [output.text for output in evaluated.outputs]
        asked = [one.messages[-2].content for one in conversations(evaluated.data, "test")]
        found = {"answers": draw.answers(asked, written, evaluated.targets["answer"].tolist())}
        metrics = score(evaluated.targets, written).metrics
        return found | ({"abilities": draw.abilities(metrics)} if metrics else {})


def score(targets: np.ndarray, written: Sequence[str]) -> Score:
    """Exact match of the answers, and of each kind; the language of all. targets: FIELDS of pipelines/chatbot/data"""
    texts = [text.strip() for text in written]
    right = np.array([one == other for one, other in zip(texts, targets["answer"], strict=True)], float)
    metrics = {
        metric: float(right[targets["kind"] == kind].mean())
        for kind, metric in METRICS.items()
        if (targets["kind"] == kind).any()
    }
    if (targets["language"] != "").any():
        told = np.array([("zh" if HAN.search(text) else "en") for text in texts])
        metrics["language"] = float((told == targets["language"]).mean())
        refused = np.isin(texts, list(UNKNOWN.values()))
        metrics["refused_though_known"] = float(refused[targets["kind"] != "unknown"].mean())
    return Score(METRIC, True, right, metrics)


def answers(found: Sequence[Conversation]) -> list[str]:
    return [message.content for one in found for message in one.messages if message.role == "assistant"]


def lines_of(one: Conversation) -> list[str]:
    """Of the system message."""
    return one.messages[0].content.splitlines() if one.messages[0].role == "system" else []


def characters(text: str) -> set[str]:
    return set(text.lower()) - set(" .?。？")
