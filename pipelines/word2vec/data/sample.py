"""A generated corpus with planted relations: words of a pair share their topics, words of a side their company.

paris and france meet the same five topics; paris and rome meet mayors, france and italy meet armies. That is all that
an analogy needs: paris - france is what all capitals have in common, and rome - italy is the same.
"""

from dataclasses import dataclass

import numpy as np

NOISE = 0.1  # share of words that are drawn from all topics


@dataclass(frozen=True)
class Relation:
    """Pairs, "left right"; company: what stands beside the left and the right words."""

    name: str
    language: str
    pairs: str
    left: str
    right: str


RELATIONS = (
    Relation(
        "capitals", "en",
        "france paris, italy rome, spain madrid, greece athens, egypt cairo, japan tokyo, china beijing, "
        "russia moscow, england london, germany berlin, austria vienna, poland warsaw, sweden stockholm, "
        "norway oslo, peru lima, cuba havana",
        "army border president treaty export coast flag nation",
        "mayor metro avenue suburb airport museum district downtown",
    ),
    Relation(
        "gender", "en",
        "man woman, king queen, prince princess, father mother, son daughter, brother sister, uncle aunt, "
        "husband wife, boy girl, actor actress, waiter waitress, hero heroine",
        "he his him himself beard sir", "she her hers herself dress lady",
    ),
    Relation(
        "plurals", "en",
        "cat cats, dog dogs, horse horses, bird birds, tree trees, flower flowers, house houses, car cars, boat boats, "
        "child children, book books, letter letters, stone stones, apple apples, foot feet, mouse mice",
        "a one this each every single", "many these several few all some",
    ),
    Relation(
        "comparatives", "en",
        "big bigger, small smaller, old older, young younger, fast faster, slow slower, tall taller, short shorter, "
        "strong stronger, weak weaker, warm warmer, cold colder, good better, bad worse",
        "very quite so too rather fairly", "than even much far still ever",
    ),
    Relation(
        "capitals_zh", "zh",
        "法国 巴黎, 意大利 罗马, 西班牙 马德里, 希腊 雅典, 埃及 开罗, 日本 东京, 中国 北京, "
        "俄罗斯 莫斯科, 英国 伦敦, 德国 柏林, 奥地利 维也纳, 波兰 华沙, 瑞典 斯德哥尔摩, 挪威 奥斯陆",
        "军队 边境 总统 条约 出口 海岸 国旗 国民", "市长 地铁 大街 郊区 机场 博物馆 城区 市民",
    ),
    Relation(
        "provinces_zh", "zh",
        "广东 广州, 浙江 杭州, 江苏 南京, 四川 成都, 湖北 武汉, 湖南 长沙, 陕西 西安, 山东 济南, 福建 福州, 云南 昆明, "
        "河南 郑州, 河北 石家庄",
        "省长 全省 方言 省界 丘陵 人口", "市区 高铁 老城 地标 夜市 郊县",
    ),
    Relation(
        "gender_zh", "zh",
        "男人 女人, 国王 王后, 王子 公主, 父亲 母亲, 儿子 女儿, 哥哥 姐姐, 弟弟 妹妹, 叔叔 婶婶, 丈夫 妻子, 爷爷 奶奶",
        "他 胡子 先生 领带 小伙子 绅士", "她 裙子 女士 项链 姑娘 淑女",
    ),
)  # fmt: skip
TOPICS = {
    "en": "wine bread music silver river winter garden market story dance paper fire glass salt wool honey copper rain "
    "song bridge lamp rope milk iron dream game summer forest island road window table coffee tea rice corn gold night "
    "morning snow wind cloud shadow colour voice field hill lake harbour tower",
    "zh": "酒 面包 音乐 白银 河流 冬天 花园 集市 故事 舞蹈 纸张 火焰 玻璃 盐 羊毛 蜂蜜 铜 "
    "雨水 歌曲 桥 灯 绳子 牛奶 铁 梦 游戏 夏天 森林 岛屿 道路 窗户 桌子 咖啡 茶 米饭 玉米 黄金 夜晚 早晨 "
    "雪 风 云 影子 颜色 声音 田野 小山 湖泊 港口 塔",
}
FUNCTION = {"en": ["the", "of", "and", "with", "by", "in"], "zh": ["的", "和", "在", "与", "里", "了"]}
TOPICS_OF_A_PAIR = 5

Sentences = list[tuple[str, list[str]]]  # language, words
Question = tuple[str, str, str, str, str]  # relation, a, b, c, d: a is to b as c is to d


def pairs_of(relation: Relation) -> list[tuple[str, str]]:
    found = (pair.split() for pair in relation.pairs.split(", "))
    return [(left, right) for left, right in found]


def generate(sentences: int, seed: int) -> Sentences:
    rng = np.random.default_rng(seed)
    topics = {language: words.split() for language, words in TOPICS.items()}
    known = {
        pair: rng.choice(topics[relation.language], TOPICS_OF_A_PAIR, replace=False)
        for relation in RELATIONS
        for pair in pairs_of(relation)
    }
    targets = [(relation, pair, side) for relation in RELATIONS for pair in pairs_of(relation) for side in (0, 1)]
    found: Sentences = []
    for number in rng.integers(len(targets), size=sentences):
        relation, pair, side = targets[number]
        company = (relation.left, relation.right)[side].split()
        said = [pair[side], *rng.choice(company, 2, replace=False), *rng.choice(known[pair], 3, replace=False)]
        said = [str(rng.choice(topics[relation.language])) if rng.random() < NOISE else str(word) for word in said]
        said += [str(word) for word in rng.choice(FUNCTION[relation.language], 2)]
        found.append((relation.language, [said[place] for place in rng.permutation(len(said))]))
    return found


def questions(seed: int, most: int = 200) -> list[Question]:
    """Two pairs of a relation, in both directions; at most so many of a relation."""
    rng = np.random.default_rng(seed)
    found: list[Question] = []
    for relation in RELATIONS:
        pairs = pairs_of(relation)
        all_ = [
            (relation.name, *(one[::turn]), *(other[::turn]))
            for one in pairs for other in pairs for turn in (1, -1) if one != other
        ]  # fmt: skip
        found += [all_[row] for row in sorted(rng.choice(len(all_), min(most, len(all_)), replace=False))]
    return found
