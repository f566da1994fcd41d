"""Generates short film reviews in English and Chinese with known verdicts and a known rate of label noise.

A review has one or two statements about a film, and often an irrelevant sentence. Two things are hard for a bag of
words:

negation   "the plot was never boring", "剧情算不上精彩": nearly half of the statements are negated, so that
           neither the word nor the `never` alone is informative
contrast   "the cast was superb, but the plot was dull", "虽然演员很出色，但是剧情很无聊": words of both sides, and
           the verdict is that of the main clause: the one after `but`, or the one that `although` does not open

A label is the true verdict, flipped with probability `noise`, so that no accuracy exceeds 1 - noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KINDS = ("plain", "negation", "contrast", "both")
SHARES = (0.4, 0.25, 0.2, 0.15)  # of the four kinds


@dataclass(frozen=True)
class Review:
    text: str
    label: int  # 0 bad, 1 good; flipped at the noise rate
    truth: int
    kind: str  # of KINDS
    language: str  # en, zh


@dataclass(frozen=True)
class Language:
    subjects: Sequence[str]
    words: tuple[Sequence[str], Sequence[str]]  # bad, good
    said: Sequence[str]  # {s}: subject, {w}: word
    denied: Sequence[str]
    contrasts: Sequence[str]  # {main} decides, {side} is its opposite
    agreements: Sequence[str]  # {main} and {side} agree
    asides: Sequence[str]
    sentence: str
    space: str


ENGLISH = Language(
    subjects=(
        *("plot", "acting", "cast", "dialogue", "ending", "script", "music", "camera work", "pacing", "story"),
        *("direction", "soundtrack", "opening", "humour", "lead actor", "villain", "final act", "editing"),
    ),
    words=(
        (
            *("boring", "dull", "clumsy", "predictable", "weak", "awful", "tedious", "shallow", "lifeless", "silly"),
            *("forgettable", "disappointing", "wooden", "messy"),
        ),
        (
            *("gripping", "superb", "moving", "clever", "brilliant", "charming", "memorable", "witty", "convincing"),
            *("delightful", "powerful", "fresh", "elegant", "impressive"),
        ),
    ),
    said=(
        *("the {s} was {w}", "the {s} is really {w}", "I found the {s} {w}", "the {s} felt {w} from start to finish"),
        *("they made the {s} quite {w}", "everyone will call the {s} {w}", "what a {w} {s}"),
    ),
    denied=(
        *("the {s} was never {w}", "the {s} is not really {w}", "I did not find the {s} at all {w}"),
        *("the {s} felt anything but {w}", "nobody will call the {s} {w}", "the {s} is far from being {w}"),
        "I can't say that the {s} was {w}",
    ),
    contrasts=(
        *("{side}, but {main}", "{side}; still, {main}", "although {side}, {main}", "{main}, although {side}"),
        *("{main}, even if {side}", "while {side}, {main}"),
    ),
    agreements=("{side}, and {main}", "{side}; besides, {main}", "{main}, because {side}"),
    asides=(
        *("I saw it on a Tuesday with my sister", "it runs for about two hours", "we had seats in the third row"),
        *("the book came out ten years ago", "it was shot in Lisbon", "my neighbour lent me the disc"),
        *("this is the director's second film", "the hall was half full", "I knew nothing about it before"),
        *("it opens with a train journey", "there are two songs in it", "we talked about it on the way home"),
    ),
    sentence="{}.",
    space=" ",
)
CHINESE = Language(
    subjects=(
        *("剧情", "演技", "演员", "台词", "结局", "剧本", "配乐", "镜头", "节奏", "故事", "导演手法", "开头", "笑点"),
        *("男主角", "反派", "高潮部分", "剪辑", "画面"),
    ),
    words=(
        (
            *("无聊", "沉闷", "生硬", "老套", "糟糕", "乏味", "肤浅", "做作", "混乱", "拖沓", "尴尬", "平庸", "空洞"),
            "令人失望",
        ),
        (
            *("精彩", "出色", "动人", "巧妙", "惊艳", "迷人", "难忘", "风趣", "自然", "有力", "新颖", "优雅", "细腻"),
            "令人惊喜",
        ),
    ),
    said=(
        *("{s}很{w}", "{s}真的{w}", "我觉得{s}{w}", "{s}从头到尾都{w}", "{s}拍得相当{w}", "谁都会说{s}{w}"),
        "{s}实在是{w}",
    ),
    denied=(
        *("{s}并不{w}", "{s}一点也不{w}", "我不觉得{s}有多{w}", "{s}算不上{w}", "{s}谈不上有多{w}"),
        *("没有人会说{s}{w}", "{s}远远没有那么{w}"),
    ),
    contrasts=(
        *("{side}，但是{main}", "{side}，不过{main}", "虽然{side}，{main}", "虽然{side}，但是{main}"),
        *("{main}，尽管{side}", "{side}，然而{main}"),
    ),
    agreements=("{side}，而且{main}", "{side}，同时{main}", "{main}，因为{side}"),
    asides=(
        *("我是星期二和妹妹一起看的", "片长大约两个小时", "我们坐在第三排", "原著是十年前出版的", "影片在里斯本拍摄"),
        *(
            "碟片是邻居借给我的",
            "这是导演的第二部电影",
            "影厅坐了一半的人",
            "看之前我什么都不知道",
            "开场是一段火车旅行",
        ),
        *("片中有两首歌", "回家路上我们聊了聊它"),
    ),
    sentence="{}。",
    space="",
)
LANGUAGES = {"en": ENGLISH, "zh": CHINESE}


def generate(rows: int, seed: int, noise: float = 0.05) -> list[Review]:
    """The same seed gives the same reviews. Half are English; good and bad are equally likely in every kind."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rows):
        language, truth = str(rng.choice(list(LANGUAGES))), int(rng.integers(2))
        kind = str(rng.choice(KINDS, p=SHARES))
        text = compose(LANGUAGES[language], truth, kind, rng)
        label = truth ^ int(rng.random() < noise)
        found.append(Review(text, label, truth, kind, language))
    return found


def compose(language: Language, truth: int, kind: str, rng: np.random.Generator) -> str:
    """One review of this kind with this verdict."""

    def pick(items: Sequence[str]) -> str:
        return items[int(rng.integers(len(items)))]

    def statement(verdict: int, subject: str, deny: bool) -> str:
        word = pick(language.words[verdict ^ deny])
        return pick(language.denied if deny else language.said).format(s=subject, w=word)

    first, second = (language.subjects[i] for i in rng.permutation(len(language.subjects))[:2])
    deny = kind in ("negation", "both")
    if kind in ("contrast", "both"):
        # Of two statements either or both may be negated.
        denied = [(False, False)] if not deny else [(True, False), (False, True), (True, True)]
        main_denied, side_denied = denied[int(rng.integers(len(denied)))]
        main, side = statement(truth, first, main_denied), statement(1 - truth, second, side_denied)
        body = pick(language.contrasts).format(main=main, side=side)
    elif rng.random() < 0.4:
        main, side = statement(truth, first, deny), statement(truth, second, deny and rng.random() < 0.5)
        body = pick(language.agreements).format(main=main, side=side)
    else:
        body = statement(truth, first, deny)
    asides = [language.asides[i] for i in rng.permutation(len(language.asides))[: rng.integers(3)]]
    before = int(rng.integers(len(asides) + 1))
    sentences = [*asides[:before], body, *asides[before:]]
    return language.space.join(language.sentence.format(s[0].upper() + s[1:]) for s in sentences)
