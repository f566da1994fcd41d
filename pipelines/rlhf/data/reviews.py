"""Generated reviews of a restaurant."""

import numpy as np

from pipelines.rlhf.predict.rule import COMPLAINTS, PRAISE

PLAIN = ["small", "red", "round", "new", "plain", "usual", "long", "wooden", "early", "local", "simple", "blue"]
THINGS = [
    "soup",
    "bread",
    "fish",
    "salad",
    "coffee",
    "tea",
    "cake",
    "waiter",
    "room",
    "music",
    "table",
    "menu",
    "garden",
    "chef",
    "rice",
    "wine",
]
DAYS = ["monday", "tuesday", "friday", "saturday", "sunday"]
SENTENCES = (3, 7)  # of a review: at least, and fewer than
MOODS = (0.1, 0.5, 0.9)  # chance that an opinion is praise
OPINIONS = 0.65  # share of the adjectives that are one


def generate(rows: int, seed: int) -> list[str]:
    """No review uses an adjective twice."""
    rng = np.random.default_rng(seed)
    return list(dict.fromkeys(review(rng) for _ in range(rows)))


def review(rng: np.random.Generator) -> str:
    mood, used = float(rng.choice(MOODS)), set[str]()

    def adjective() -> str:
        opinion = PRAISE if rng.random() < mood else COMPLAINTS
        words = opinion if rng.random() < OPINIONS else PLAIN
        word = str(rng.choice([word for word in words if word not in used]))
        used.add(word)
        return word

    def sentence() -> str:
        one, other = rng.choice(THINGS, 2, replace=False)
        match rng.integers(7):
            case 0:
                return f"we came on {rng.choice(DAYS)}."
            case 1:
                return f"we had the {one} and the {other}."
            case 2:
                return f"the {one} was {adjective()} and the {other} {adjective()}."
            case 3:
                return f"i found the {one} {adjective()}."
            case 4:
                return f"they brought {adjective()} {one}."
            case _:
                return f"the {one} was {adjective()}."

    return " ".join(sentence() for _ in range(rng.integers(*SENTENCES)))
