"""Byte-level byte-pair encoding, written to be read; its merges are those of the library `tokenizers`.

Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units" (ACL 2016): merge the most
frequent pair of neighbours, again and again. Radford et al., GPT-2 (2019): of bytes, so that no text is unknown.

    vocabulary of 300 = 256 bytes + 44 merges
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

from tokenizers.pre_tokenizers import ByteLevel

Pair = tuple[int, int]
Piece = tuple[int, ...]  # ids of the tokens of a piece of text

# GPT-2 shows bytes as letters: printable ones as themselves, the others as letters beyond. Ids follow the letters.
PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTES = PRINTABLE + [byte for byte in range(256) if byte not in PRINTABLE]  # id -> byte
ID = {byte: token for token, byte in enumerate(BYTES)}


def pieces(text: str) -> list[bytes]:
    """The text in words, each with the space before it, numbers, and signs: no merge crosses their borders."""
    found = ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    return [text[start:end].encode() for _, (start, end) in found]


def train(texts: Iterable[str], vocabulary: int) -> list[Pair]:
    """The merges, first ones first; token 256 + i is merge i. Fewer than asked for if all pieces are one token.

    Every pair waits in a priority queue under its count. A merge changes the counts of a few others, whose entries are
    not looked for: an entry whose count is out of date is put back with the right one when its turn comes.
    """
    counts = Counter(piece for text in texts for piece in pieces(text))
    words = [[ID[byte] for byte in piece] for piece in counts]
    times = list(counts.values())
    pairs: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[int]] = defaultdict(set)  # the words that have, or had, the pair
    for number, word in enumerate(words):
        for pair in pairwise(word):
            pairs[pair] += times[number]
            places[pair].add(number)
    queue = [(-count, pair) for pair, count in pairs.items()]  # of equal counts, the smaller ids first
    heapq.heapify(queue)
    merges: list[Pair] = []
    while queue and len(merges) < vocabulary - 256:
        count, pair = heapq.heappop(queue)
        if -count != pairs[pair]:
            if pairs[pair]:
                heapq.heappush(queue, (-pairs[pair], pair))
            continue
        token = 256 + len(merges)
        merges.append(pair)
        gained: set[Pair] = set()
        for number in places.pop(pair):
            words[number], changes = merged(words[number], pair, token)
            for one, change in changes:
                pairs[one] += change * times[number]
                if change > 0:
                    places[one].add(number)
                    gained.add(one)
        for one in gained:
            heapq.heappush(queue, (-pairs[one], one))
    return merges


def merged(word: list[int], pair: Pair, token: int) -> tuple[list[int], list[tuple[Pair, int]]]:
    """The word with every such pair, from the left, as one token; and the pairs it has lost, -1, and gained, 1."""
    found: list[int] = []
    changes: list[tuple[Pair, int]] = []
    left, right = pair
    place = 0
    while place < len(word):
        if word[place] != left or place + 1 == len(word) or word[place + 1] != right:
            found.append(word[place])
            place += 1
            continue
        if found:
            changes += [((found[-1], left), -1), ((found[-1], token), 1)]
        if place + 2 < len(word):
            changes += [((right, word[place + 2]), -1), ((token, word[place + 2]), 1)]
        found.append(token)
        place += 2
    return found, changes


class Encoder:
    """Text to tokens and back, by merges."""

    def __init__(self, merges: list[Pair]) -> None:
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.bytes = [bytes([byte]) for byte in BYTES]
        for left, right in merges:
            self.bytes.append(self.bytes[left] + self.bytes[right])
        self.seen: dict[bytes, list[int]] = {}  # most words come again and again

    def encode(self, text: str) -> list[int]:
        found: list[int] = []
        for piece in pieces(text):
            if piece not in self.seen:
                self.seen[piece] = self._encode(piece)
            found += self.seen[piece]
        return found

    def _encode(self, piece: bytes) -> list[int]:
        """The merge that was learnt first is done first, wherever it stands."""
        word = [ID[byte] for byte in piece]
        while len(word) > 1:
            pair = min(pairwise(word), key=lambda one: self.ranks.get(one, len(self.ranks)))
            if pair not in self.ranks:
                break
            word, _ = merged(word, pair, 256 + self.ranks[pair])
        return word

    def decode(self, tokens: Iterable[int]) -> str:
        """Bytes that are no UTF-8 become U+FFFD: a token may end within a letter."""
        return b"".join(self.bytes[token] for token in tokens).decode(errors="replace")
