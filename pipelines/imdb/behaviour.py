"""Sentiment: behavioural checks on names and spelling, on praise and criticism, and on plain verdicts."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.imdb.data import CLASSES
from pipelines.imdb.evaluate import CHINESE
from pipelines.imdb.predict import Predictor, Response
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck, sample_cases
from roadmap.project import Request

NEAR = 300  # characters; one more sentence hardly changes a long review


@dataclass(frozen=True)
class Words:
    """The sentences of a language. {}: a person or a subject."""

    aside: str
    names: tuple[str, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]
    subjects: tuple[str, ...]


ENGLISH = Words(
    aside=" {} told me about it.",
    names=("Anna", "John", "Maria", "Ahmed", "Li Wei"),
    good=("The {} was superb.", "The {} is brilliant.", "I found the {} delightful.", "What a memorable {}."),
    bad=("The {} was boring.", "The {} is awful.", "I found the {} tedious.", "What a dull {}."),
    subjects=("plot", "acting", "cast", "script", "story"),
)
MANDARIN = Words(
    aside="{}跟我说起过它。",
    names=("小红", "小明", "王芳", "李伟", "约翰"),
    good=("{}很精彩。", "{}真的出色。", "我觉得{}动人。", "{}实在是令人惊喜。"),
    bad=("{}很无聊。", "{}真的糟糕。", "我觉得{}乏味。", "{}实在是令人失望。"),
    subjects=("剧情", "演员", "剧本", "故事", "结局"),
)


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        """In the languages of the test rows; of classes other than sentiment only case: a name may tell a topic."""
        texts = [request["text"] for request in sample_cases(requests)]
        chinese = np.array([bool(CHINESE.search(text)) for text in texts])

        def answers(texts: list[str]) -> list[Response]:
            return predict_in_batches(predictor, [{"text": text, "explain": False} for text in texts])

        def labels(texts: list[str]) -> np.ndarray:
            return np.array([answer.label for answer in answers(texts)])

        def log_odds(texts: list[str]) -> np.ndarray:
            return np.array([answer.log_odds for answer in answers(texts)])

        yield BehaviouralCheck("capitals", "invariance", labels([t.upper() for t in texts]) == labels(texts), 0.98)
        if predictor.classes != CLASSES:
            return
        for language, phrases, selected in (("English", ENGLISH, ~chinese), ("Chinese", MANDARIN, chinese)):
            if selected.mean() < 0.1:
                continue
            own = [text for text, chosen in zip(texts, selected, strict=True) if chosen]
            named = np.stack([labels([text + phrases.aside.format(name) for text in own]) for name in phrases.names])
            yield BehaviouralCheck(f"another name, {language}", "invariance", (named == named[0]).all(axis=0), 0.95)
            praise = [text for text, odds in zip(own, log_odds(own), strict=True) if odds > 0 and len(text) <= NEAR]
            plain, worse = (
                log_odds(praise),
                log_odds([f"{text} {phrases.bad[1].format(phrases.subjects[0])}" for text in praise]),
            )
            yield BehaviouralCheck(f"praise and a bad word more, {language}", "directional", worse < plain, 0.9)
            for verdict, templates in (("good", phrases.good), ("bad", phrases.bad)):
                plainly = log_odds([one.format(subject) for one in templates for subject in phrases.subjects])
                correct = plainly > 0 if verdict == "good" else plainly < 0
                yield BehaviouralCheck(f"plainly {verdict}, {language}", "minimum", correct, 0.9)
