"""Grammars that a text follows: which tokens may come next. By llguidance, an optional library. No torch.

Geng et al., "JSONSchemaBench" (2025), compares it with others; https://github.com/guidance-ai/llguidance.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

KEPT = 32  # compiled grammars
KEYWORDS = {"regex parse error": "pattern: ", "Pointer ": "$ref: ", "Resource ": "$ref: "}  # of unnamed refusals
END = "<|end of the grammar|>"
# As json.dumps writes, which models have read most; free blanks would let a weak model write nothing else.
SPACES = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def json_of(schema: JsonObject) -> str:
    """The texts that are JSON of this schema, in Lark."""
    return f"%json {json.dumps({**schema, 'x-guidance': SPACES}, ensure_ascii=False)}"


def reason(message: str) -> str:
    """Of one of the library's messages: which keyword of the schema, or what of the grammar, it refuses."""
    text = re.split(r"\n +\d+ \| ", message)[0]  # behind it the grammar's own lines follow
    text = re.sub(r"^(at )?\d+\(\d+\): (failed to compile JSON schema: )?", "", " ".join(text.split()))
    keyword = next((word for start, word in KEYWORDS.items() if text.startswith(start)), "")
    return keyword + text.partition(". Enable")[0]


class Grammars:
    """The grammars of one model. Thread-safe.

    Args:
        ends: the texts that end an answer. Those that are one token of the vocabulary end a text that could go on;
            a model without such a token ends as soon as the grammar allows it.
    """

    def __init__(self, tokenizer: Tokenizer, ends: Sequence[str] = ()) -> None:
        self.tokenizer = tokenizer
        self.ends = {one for text in ends if (one := tokenizer.token_to_id(text)) is not None}
        self.lock = Lock()
        self.words: LLTokenizer | None = None
        self.compiled: OrderedDict[str, LLMatcher] = OrderedDict()

    def start(self, grammar: str) -> "Constraint":
        """The state before the first token.

        Args:
            grammar: in Lark, as llguidance reads it.

        Raises:
            ValueError: it is broken, has a part that can't be enforced, or the vocabulary can't write it.
        """
        with self.lock:
            found = self.compiled.get(grammar)
        compiled = found or self._compile(grammar)  # which may take a second; nobody waits for another's
        with self.lock:
            self.compiled[grammar] = compiled
            self.compiled.move_to_end(grammar)
            if len(self.compiled) > KEPT:
                self.compiled.popitem(last=False)
            return Constraint(compiled.deep_copy(), self.ends, self.tokenizer.get_vocab_size())

    def _compile(self, grammar: str) -> "LLMatcher":
        words = self.words = self.words or self._words()
        from llguidance import LLMatcher

        failed, messages = LLMatcher.validate_grammar_with_warnings(grammar, words)
        if failed or messages:
            raise ValueError(f"can't be enforced: {reason(messages[0])}")
        matcher = LLMatcher(words, grammar, log_level=0)
        if matcher.is_error():
            raise ValueError(f"can't be enforced: {reason(matcher.get_error())}")
        return matcher

    def _words(self) -> "LLTokenizer":
        try:
            from llguidance import LLTokenizer
        except ImportError:
            raise ValueError("can't be enforced: llguidance is not installed; pip install llguidance") from None
        copy = Tokenizer.from_str(self.tokenizer.to_str())
        copy.no_padding()
        copy.no_truncation()
        ends = sorted(self.ends)
        if not ends:
            copy.add_special_tokens([END])
            ends = [copy.get_vocab(with_added_tokens=True)[END]]
        try:
            return LLTokenizer(copy.to_str(), eos_token=ends)
        except ValueError:
            raise ValueError("can't be enforced: the model's vocabulary is not one of bytes") from None


class Constraint:
    """The tokens that one text may go on with."""

    def __init__(self, matcher: "LLMatcher", ends: set[int], vocabulary: int) -> None:
        self.matcher, self.ends, self.vocabulary = matcher, ends, vocabulary

    def allowed(self, size: int) -> np.ndarray:
        """bool [size]

        Raises:
            ValueError: a bound of the library is exceeded.
        """
        bits = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
        found = np.zeros(size, bool)
        n = min(size, self.vocabulary)
        found[:n] = np.unpackbits(bits, count=n, bitorder="little")
        if self.matcher.is_error() or not found.any():
            raise ValueError(f"the grammar's texts end here: {self.matcher.get_error() or 'no token may follow'}")
        return found

    def accept(self, token: int) -> bool:
        """Whether the text ends with this token."""
        if not self.matcher.consume_token(token):
            raise ValueError(f"the grammar refuses token {token}: {self.matcher.get_error()}")
        return token in self.ends or self.matcher.is_stopped() or (not self.ends and self.matcher.is_accepting())
