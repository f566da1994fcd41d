"""A trigram model of words that writes: what a language model without a network comes to."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

END = ""


class Trigrams:
    def __init__(self, texts: Sequence[str]) -> None:
        self.after: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for text in texts:
            line = [*text.split(), END]
            for place, word in enumerate(line):
                for order in (2, 1, 0):
                    if order <= place:
                        self.after[tuple(line[place - order : place])].append(word)
        self.vocabulary = sorted(set(self.after[()]) - {END})

    def write(self, prompt: str, words: int, rng: np.random.Generator) -> str:
        """What follows the prompt: the next word as in a text where the two before it stand, or the one."""
        line = prompt.split()
        start = len(line)
        while len(line) - start < words:
            known = next(found for order in (2, 1, 0) if (found := self.after.get(tuple(line[len(line) - order :]))))
            word = known[rng.integers(len(known))]
            if word == END:
                break
            line.append(word)
        return " ".join(line[start:])
