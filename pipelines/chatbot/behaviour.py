"""chatbot: checks on seeds, on company in the batch, on facts that change, and on what was said before."""

from collections.abc import Iterator

import numpy as np

from pipelines.chatbot.data import ANSWER, shop
from pipelines.chatbot.predict import Predictor
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck, sample_cases
from roadmap.project import Request

ALONE = 20  # cases that are asked one by one
SHOPS = 60  # drawn anew


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        cases = sample_cases(requests)[:SHOPS]

        def answers(requests: list[Request]) -> list[str]:
            return [output.text.strip() for output in predict_in_batches(predictor, requests)]

        def chat(*messages: tuple[str, str]) -> Request:
            said = [{"role": role, "content": content} for role, content in messages]
            return {"messages": said, "max_tokens": ANSWER, "temperature": 0.0}

        now = answers(cases)
        same = [one == other for one, other in zip(now, answers([{**one, "seed": 2} for one in cases]), strict=True)]
        yield BehaviouralCheck("another seed at temperature 0", "invariance", same, 1.0)
        alone = [answers([one])[0] for one in cases[:ALONE]]
        same = [one == other for one, other in zip(now, alone, strict=False)]
        yield BehaviouralCheck("others in the same batch", "invariance", same, 1.0)
        yield BehaviouralCheck("something is said", "minimum", [bool(text) for text in now], 0.95)
        if not predictor.shop:
            return
        rng = np.random.default_rng(0)
        asked, changed, wanted = [], [], []
        for number in range(SHOPS):
            found, language = shop.draw_shop(rng, 2, 1, True), shop.LANGUAGES[number % 2]
            good = next(iter(found.goods))
            question = shop.QUESTIONS["price"][language].format(**found.words("price", language, good))
            price, left = found.goods[good]
            other = shop.Shop(found.hours, {**found.goods, good: (price % 23 + 2, left)}, found.orders)
            asked.append(chat(("system", found.system()), ("user", question)))
            changed.append(chat(("system", other.system()), ("user", question)))
            wanted.append(shop.FACTS["price"][language].format(**other.words("price", language, good)))
        before, after = answers(asked), answers(changed)
        moved = [one != other for one, other in zip(before, after, strict=True)]
        yield BehaviouralCheck("another price in the system message: another answer", "directional", moved, 0.9)
        right = [one == other for one, other in zip(after, wanted, strict=True)]
        yield BehaviouralCheck("the price of the system message", "minimum", right, 0.9)
