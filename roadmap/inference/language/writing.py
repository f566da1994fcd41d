"""One completion of a language model: request, state while it is generated, response. No torch."""

from bisect import bisect_left
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer

from roadmap.bundle import ScoredText
from roadmap.inference.language.grammars import Constraint
from roadmap.inference.language.sampling import Sampling, distribution, draw, log_softmax

MAX_TOKENS = 4096  # per completion: what editors ask for by default
MAX_GRAMMAR = 100_000  # characters
BROKEN = "\N{REPLACEMENT CHARACTER}"  # what a decoder returns for an incomplete character

Stop = Annotated[str, Field(min_length=1, max_length=100)]
Chance = tuple[float | None, dict[str, float] | None]  # log-probability of a token, and of the most likely alternatives


class Request(BaseModel):
    """Everything but the prompt, whose limits depend on the model."""

    model_config = ConfigDict(extra="forbid")

    max_tokens: int = Field(default=100, ge=0, le=MAX_TOKENS, strict=True, description="most tokens to generate")
    temperature: float = Field(default=0.8, ge=0, le=10, allow_inf_nan=False, description="0: greedy decoding")
    top_k: int = Field(
        default=0, ge=0, le=1_000_000, strict=True, description="sample from the k most likely tokens; 0: all"
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, allow_inf_nan=False, description="sample from the smallest set of this probability"
    )
    repetition_penalty: float = Field(default=1.0, ge=0.1, le=10, allow_inf_nan=False, description="1: none")
    seed: int | None = Field(default=None, ge=0, lt=2**63, strict=True, description="the same seed gives the same text")
    stop: list[Stop] = Field(default=[], max_length=32, description="the text ends before any of these")
    logprobs: bool = Field(
        default=False, strict=True, description="whether to return the log-probability of each token"
    )
    top_logprobs: int = Field(
        default=0, ge=0, le=20, strict=True, description="return this many alternatives per token"
    )
    echo: bool = Field(default=False, strict=True, description="whether the text begins with the prompt")
    grammar: str | None = Field(
        default=None, max_length=MAX_GRAMMAR, description="in Lark, as llguidance reads it; the text follows it"
    )


class TokenUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Logprobs(BaseModel):
    """Natural logarithms of the model's own probabilities: before temperature, top_k, top_p and penalty.

    For tokens that begin in the text. The first one of an echoed prompt has none: it has no context.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int] = Field(description="offset of each token in the text, in characters")


class Response(BaseModel):
    text: str
    finish_reason: Literal["stop", "length"]
    usage: TokenUsage
    logprobs: Logprobs | None = None


class CompletionState:
    """The state of one completion during decoding.

    constraint: of the request's grammar
    """

    def __init__(self, request: Any, tokenizer: Tokenizer, constraint: Constraint | None = None) -> None:
        encoding = tokenizer.encode(request.prompt, add_special_tokens=False)
        self.prompt: list[int] = list(encoding.ids)
        self.places: list[int] = [start for start, _ in encoding.offsets]  # where the prompt's tokens begin
        self.request, self.tokenizer, self.constraint = request, tokenizer, constraint
        self.how = Sampling(request.temperature, request.top_k, request.top_p, request.repetition_penalty)
        self.rng = np.random.default_rng(request.seed)
        self.tokens: list[int] = []
        self.seen: np.ndarray | None = None  # bool [vocab], for the repetition penalty
        self.offsets: list[int] = []
        self.echoed: list[Chance] = []  # of the prompt's tokens, if requested
        self.chances: list[Chance] = []
        self.pending: list[int] = []  # tokens whose last character is incomplete
        self.text = ""
        self.sent, self.begun = 0, False
        self.told = 0  # tokens whose log-probabilities were taken
        self.finish_reason: Literal["stop", "length"] | None = None

    def choose(self, logits: np.ndarray) -> int | None:
        """The next token, or None at the end. logits: [vocab]"""
        if self.seen is None and self.how.repetition_penalty != 1:
            self.seen = np.zeros(len(logits), bool)
            self.seen[self.prompt] = True
        allowed = logits
        if self.constraint:
            allowed = np.where(self.constraint.allowed(len(logits)), logits, -np.inf)
        token = draw(distribution(allowed, self.how, self.seen), self.rng)
        if self.seen is not None:
            self.seen[token] = True
        self.tokens.append(token)
        self.offsets.append(len(self.text))
        if self.request.logprobs:
            self.chances.append(self.chance(log_softmax(logits.astype(np.float64)), token))
        last = len(self.tokens) == self.request.max_tokens
        ended = self.constraint is not None and self.constraint.accept(token)
        if not (self.constraint and token in self.constraint.ends):  # which is no text
            self._append(token, last or ended)
        if ended:
            self.finish_reason = "stop"
        if last and not self.finish_reason:
            self.finish_reason = "length"
        return None if self.finish_reason else token

    def chance(self, logprobs: np.ndarray, token: int) -> Chance:
        """logprobs: [vocab]"""
        top = None
        if k := self.request.top_logprobs:
            likeliest = np.argsort(-logprobs, kind="stable")[:k].tolist()
            top = {self.word(one): float(logprobs[one]) for one in likeliest}
        return float(logprobs[token]), top

    def word(self, token: int) -> str:
        return self.tokenizer.decode([token], skip_special_tokens=False)

    def _append(self, token: int, last: bool) -> None:
        self.pending.append(token)
        piece = self.tokenizer.decode(self.pending, skip_special_tokens=False)
        if piece.endswith(BROKEN) and not last:
            return
        self.pending = []
        # A stop sequence may begin before this piece. Of several, the one that ends first counts,
        # however the text is split into pieces.
        start = max(0, len(self.text) - max(map(len, self.request.stop), default=0))
        self.text += piece
        found = [(at + len(stop), at) for stop in self.request.stop if (at := self.text.find(stop, start)) >= 0]
        if found:
            self.text, self.finish_reason = self.text[: min(found)[1]], "stop"

    @property
    def done(self) -> bool:
        return self.finish_reason is not None or not self.request.max_tokens

    def take(self) -> str:
        """New text, without what may be the beginning of a stop sequence."""
        held_back, prompt = 0, ""
        if self.request.echo and not self.begun:
            prompt = self.request.prompt
        self.begun = True
        if not self.finish_reason:
            for stop in self.request.stop:
                lengths = range(min(len(stop) - 1, len(self.text)), 0, -1)
                held_back = max(held_back, next((n for n in lengths if self.text.endswith(stop[:n])), 0))
        piece = self.text[self.sent : len(self.text) - held_back]
        self.sent += len(piece)
        if not self.request.logprobs:
            return prompt + piece
        first, self.told = self.told, bisect_left(self.offsets, self.sent)
        return ScoredText(prompt + piece, self._logprobs(first, self.told))

    def response(self) -> Response:
        echo = self.request.echo
        return Response(
            text=self.request.prompt * echo + self.text,
            finish_reason=self.finish_reason or "length",
            usage=self.usage(),
            logprobs=self._logprobs(0, bisect_left(self.offsets, len(self.text))) if self.request.logprobs else None,
        )

    def _logprobs(self, first: int, last: int) -> Logprobs:
        """Of the tokens from `first` up to `last`, the prompt's before the very first; none of a stop sequence."""
        echo = self.request.echo and not first
        shift = len(self.request.prompt) if self.request.echo else 0
        chances = [*(self.echoed if echo else ()), *self.chances[first:last]]
        return Logprobs(
            tokens=[self.word(token) for token in (*(self.prompt if echo else ()), *self.tokens[first:last])],
            token_logprobs=[logprob for logprob, _ in chances],
            top_logprobs=[top for _, top in chances] if self.request.top_logprobs else None,
            text_offset=[*(self.places if echo else ()), *(shift + offset for offset in self.offsets[first:last])],
        )

    def usage(self) -> TokenUsage:
        prompt, completion = len(self.prompt), len(self.tokens)
        return TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
