"""Behavioural checks: capitals and politeness change nothing, nonsense is less in scope, plain requests are known."""

from collections.abc import Iterator

import numpy as np

from pipelines.bert.data.requests import INTENTS
from pipelines.bert.predict import Predictor, Response
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck, sample_cases
from roadmap.project import Request

PLAIN = {
    "track_order": ("Where is my parcel?", "我的快递到哪了？"),
    "cancel_order": ("Please cancel my order.", "请帮我取消订单。"),
    "return_item": ("How do I send back the shoes?", "鞋子怎么退货？"),
    "refund_status": ("When do I get my money back?", "我的退款什么时候到？"),
    "change_address": ("I moved last week, send the parcel there.", "请帮我改收货地址。"),
    "payment_failed": ("My card was declined.", "我的银行卡被拒了。"),
    "invoice": ("Please send a receipt for my order.", "请开一张发票。"),
    "discount": ("The coupon does not work.", "优惠券用不了。"),
    "stock": ("When is the kettle back in stock?", "水壶什么时候有货？"),
    "account": ("I forgot my password.", "我忘了密码。"),
}


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        """The plain requests only if the classes are the generated ones."""
        texts = [request["text"] for request in sample_cases(requests)]

        def answers(texts: list[str]) -> list[Response]:
            return predict_in_batches(predictor, [{"text": text} for text in texts])

        def labels(texts: list[str]) -> np.ndarray:
            return np.array([answer.label for answer in answers(texts)])

        plain = answers(texts)
        label = np.array([answer.label for answer in plain])
        known = np.array([not answer.out_of_scope for answer in plain])
        yield BehaviouralCheck("capitals", "invariance", (labels([t.upper() for t in texts]) == label)[known], 0.95)
        spaced = labels([f"  {text}  " for text in texts])
        yield BehaviouralCheck("spaces around", "invariance", spaced == label, 0.99)
        mixed = answers([" ".join(text[::-1]) for text in texts])
        less = np.array([b.scope_score > a.scope_score for a, b in zip(plain, mixed, strict=True)])
        yield BehaviouralCheck("letters backwards are less in scope", "directional", less[known], 0.8)
        if predictor.classes == INTENTS:
            asked = [(text, intent) for intent, both in PLAIN.items() for text in both]
            right = labels([text for text, _ in asked]) == np.array([intent for _, intent in asked])
            yield BehaviouralCheck("plain requests", "minimum", right, 0.9)
            polite = labels([f"{'Hello, ' if text.isascii() else '您好，'}{text}" for text, _ in asked])
            yield BehaviouralCheck("a greeting", "invariance", polite == labels([text for text, _ in asked]), 0.9)
        sure = np.array([answer.log_odds > 0 for answer in plain])
        yield BehaviouralCheck("the label is likelier than not", "minimum", sure[known], 0.8)
