"""Generated conversations with the assistant of a small shop, in English and Chinese.

The facts of the shop stand in the system message, drawn anew for each conversation, so that the right answer to every
question is known and can't be learnt by heart: it has to be read. A question whose answer is nowhere gets a refusal.
Facts are written in both languages, as on a sign; each answer is in the language of its question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from roadmap.data.conversations import Conversation, Message

Language: TypeAlias = str  # en or zh
LANGUAGES = ("en", "zh")
GOODS = {
    "Tea": "茶", "Rice": "米", "Salt": "盐", "Eggs": "蛋", "Milk": "奶",
    "Sugar": "糖", "Oil": "油", "Wine": "酒", "Meat": "肉", "Fish": "鱼",
}  # fmt: skip
STATES = {"paid": "付款", "packed": "打包", "sent": "寄出"}
ORDERS = "ABCDEFGH"
NAMES = ("Amy", "Ann", "Ben", "Eva", "Leo", "Max", "Tom", "Zoe")
UNKNOWN = {"en": "I don't know.", "zh": "不知道。"}
# A fact is its own answer: the sentence of the system message that the question asks for.
FACTS = {
    "hours": {"en": "Open from {opens} to {closes}.", "zh": "营业{opens}点到{closes}点。"},
    "price": {"en": "{good} costs {price} yuan.", "zh": "{good}卖{price}元。"},
    "stock": {"en": "{good} has {left} left.", "zh": "{good}剩{left}件。"},
    "order": {"en": "Order {order}: {state}.", "zh": "订单{order}：{state}。"},
}
QUESTIONS = {
    "hours": {"en": "Opening hours?", "zh": "几点营业？"},
    "price": {"en": "{good} price?", "zh": "{good}多少钱？"},
    "stock": {"en": "{good} left?", "zh": "{good}还有吗？"},
    "order": {"en": "Order {order}?", "zh": "订单{order}？"},
    "greet": {"en": "I am {name}.", "zh": "我是{name}。"},
    "name": {"en": "Who am I?", "zh": "我是谁？"},
}
GREETING = {"en": "Hello {name}.", "zh": "你好{name}。"}
NAMED = {"en": "You are {name}.", "zh": "你是{name}。"}
KNOWN = 0.6  # share of questions about facts of this shop
KINDS = ("fact", "unknown", "greet", "memory")  # of an answer; memory: what was said two turns ago


@dataclass(frozen=True)
class Turn:
    """kind: of KINDS"""

    kind: str
    language: Language
    question: str
    answer: str


@dataclass(frozen=True)
class Shop:
    """hours: opening and closing, None if they aren't known; goods: price and number left; orders: state"""

    hours: tuple[int, int] | None
    goods: dict[str, tuple[int, int]]
    orders: dict[str, str]

    def words(self, kind: str, language: Language, key: str = "") -> dict[str, object]:
        """What the sentences about a fact are filled with. key: the good or the order"""
        if kind == "hours" and self.hours:
            return {"opens": self.hours[0], "closes": self.hours[1]}
        if kind == "order":
            state = self.orders.get(key, "")
            return {"order": key, "state": STATES[state] if state and language == "zh" else state}
        price, left = self.goods.get(key, (0, 0))
        return {"good": GOODS[key] if key and language == "zh" else key, "price": price, "left": left}

    def system(self) -> str:
        """The system message: a line for each fact and language."""
        facts = [("hours", "")] * (self.hours is not None)
        facts += [(kind, good) for good in self.goods for kind in ("price", "stock")]
        facts += [("order", order) for order in self.orders]
        lines = [FACTS[kind][one].format(**self.words(kind, one, key)) for kind, key in facts for one in LANGUAGES]
        return "\n".join(lines)


def draw_shop(
    rng: np.random.Generator, goods: int, orders: int, hours: bool, names: Sequence[str] = tuple(GOODS)
) -> Shop:
    """names: of the goods that it may have"""
    chosen = map(str, rng.choice(names, size=goods, replace=False))
    return Shop(
        hours=(int(rng.integers(6, 12)), int(rng.integers(16, 23))) if hours else None,
        goods={good: (int(rng.integers(2, 25)), int(rng.integers(1, 25))) for good in chosen},
        orders={
            str(order): str(rng.choice(list(STATES)))
            for order in rng.choice(list(ORDERS), size=orders, replace=False)
        },
    )  # fmt: skip


def ask(shop: Shop, kind: str, language: Language, rng: np.random.Generator, name: str | None) -> Turn:
    """One turn. kind: of QUESTIONS; name: what the user has said of it"""
    question = QUESTIONS[kind][language]
    if kind == "greet":
        return Turn("greet", language, question.format(name=name), GREETING[language].format(name=name))
    if kind == "name":
        answer = NAMED[language].format(name=name) if name else UNKNOWN[language]
        return Turn("memory" if name else "unknown", language, question, answer)
    known, key = rng.random() < KNOWN, ""
    if kind != "hours":
        there, all_ = (shop.orders, ORDERS) if kind == "order" else (shop.goods, GOODS)
        known = known and bool(there)
        key = str(rng.choice([one for one in all_ if (one in there) == known]))
    else:
        known = shop.hours is not None
    words = shop.words(kind, language, key)
    answer = FACTS[kind][language].format(**words) if known else UNKNOWN[language]
    return Turn("fact" if known else "unknown", language, question.format(**words), answer)


def draw_turns(
    rng: np.random.Generator, turns: int, whole: bool, names: Sequence[str] = tuple(GOODS)
) -> tuple[Shop, list[Turn]]:
    """A shop and a conversation about it. In most the user says a name, and asks for it two turns later.

    Args:
        whole: with all kinds of facts; otherwise with some, which are learnt sooner.
        names: of the goods that the shop may have.
    """
    goods, orders = (2, 2) if whole else (int(rng.integers(0, 3)), int(rng.integers(0, 3)))
    shop = draw_shop(rng, goods, orders, whole or rng.random() < 0.6, names)
    kinds = list(map(str, rng.choice(["hours", *["price", "stock", "order"] * 2], size=turns)))
    name = str(rng.choice(NAMES)) if rng.random() < 0.7 else None
    at = int(rng.integers(0, turns - 2))
    if name:
        kinds[at], kinds[at + 2] = "greet", "name"
    elif rng.random() < 0.4:
        kinds[at + 2] = "name"
    return shop, [ask(shop, kind, str(rng.choice(LANGUAGES)), rng, name) for kind in kinds]


def conversation(shop: Shop, turns: list[Turn]) -> Conversation:
    """As messages. A shop without facts has no system message."""
    messages = [Message("system", system)] if (system := shop.system()) else []
    for turn in turns:
        messages += [Message("user", turn.question), Message("assistant", turn.answer)]
    return Conversation(tuple(messages))
