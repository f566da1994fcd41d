"""What language models answer over HTTP: a prompt in, its continuation out, at once or piece by piece. No torch."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from tokenizers import Tokenizer

from pipelines.common.decoding import Decoder
from pipelines.common.sampling import Sampling, distribution, draw, log_softmax
from serving.bundle import Bundle

MAX_TOKENS = 1024  # of one answer
MAX_PROMPT = 20_000  # characters
MAX_PROMPTS = 64  # of one request, so that it ends in seconds
MAX_BATCH = 32  # prompts that are decoded together
BROKEN = "\N{REPLACEMENT CHARACTER}"  # what a decoder says of half a character

Stop = Annotated[str, Field(min_length=1, max_length=100)]
Chance = tuple[float | None, dict[str, float] | None]  # log-probability of a token, and of the likeliest in its place


class Request(BaseModel):
    """Everything but the prompt, whose length and letters depend on the model."""

    model_config = ConfigDict(extra="forbid")

    max_tokens: int = Field(default=100, ge=0, le=MAX_TOKENS, strict=True, description="longest answer, in tokens")
    temperature: float = Field(default=0.8, ge=0, le=10, allow_inf_nan=False, description="0: the likeliest token")
    top_k: int = Field(default=0, ge=0, le=1_000_000, strict=True, description="of the k likeliest tokens; 0: of all")
    top_p: float = Field(default=1.0, gt=0, le=1, allow_inf_nan=False, description="of the likeliest tokens so likely")
    repetition_penalty: float = Field(default=1.0, ge=0.1, le=10, allow_inf_nan=False, description="1: none")
    seed: int | None = Field(default=None, ge=0, lt=2**63, strict=True, description="the same seed, the same answer")
    stop: list[Stop] = Field(default=[], max_length=4, description="the answer ends before any of these")
    logprobs: bool = Field(default=False, strict=True, description="whether to say how likely each token was")
    top_logprobs: int = Field(default=0, ge=0, le=5, strict=True, description="and so many of the likeliest instead")
    echo: bool = Field(default=False, strict=True, description="whether the answer begins with the prompt")


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Logprobs(BaseModel):
    """Natural logarithms, of the model itself: before temperature, top_k, top_p and penalty.

    Of the tokens that begin in the text; the first one of an echoed prompt has none, since nothing stands before it.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int] = Field(description="the character of the text with which each token begins")


class Response(BaseModel):
    text: str
    finish_reason: Literal["stop", "length"]
    usage: Usage
    logprobs: Logprobs | None = None


class Writer:
    """One answer in the making."""

    def __init__(self, request: Any, tokenizer: Tokenizer) -> None:
        encoding = tokenizer.encode(request.prompt, add_special_tokens=False)
        self.prompt: list[int] = list(encoding.ids)
        self.places: list[int] = [start for start, _ in encoding.offsets]  # where the prompt's tokens begin
        self.request, self.tokenizer = request, tokenizer
        self.how = Sampling(request.temperature, request.top_k, request.top_p, request.repetition_penalty)
        self.rng = np.random.default_rng(request.seed)
        self.tokens: list[int] = []
        self.seen: np.ndarray | None = None  # bool [vocab], for the repetition penalty
        self.offsets: list[int] = []
        self.chances: list[Chance] = []
        self.pending: list[int] = []  # tokens whose last character is not whole yet
        self.text = ""
        self.sent = 0
        self.finish_reason: Literal["stop", "length"] | None = None

    def choose(self, logits: np.ndarray) -> int | None:
        """The next token, None after the last. logits: [vocab]"""
        if self.seen is None and self.how.repetition_penalty != 1:
            self.seen = np.zeros(len(logits), bool)
            self.seen[self.prompt] = True
        token = draw(distribution(logits, self.how, self.seen), self.rng)
        if self.seen is not None:
            self.seen[token] = True
        self.tokens.append(token)
        self.offsets.append(len(self.text))
        if self.request.logprobs:
            self.chances.append(self.chance(log_softmax(logits.astype(np.float64)), token))
        last = len(self.tokens) == self.request.max_tokens
        self._append(token, last)
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
        # A stop sequence may have begun in the text before this piece. Of several, the one that ends first counts,
        # whatever pieces the text came in.
        start = max(0, len(self.text) - max(map(len, self.request.stop), default=0))
        self.text += piece
        found = [(at + len(stop), at) for stop in self.request.stop if (at := self.text.find(stop, start)) >= 0]
        if found:
            self.text, self.finish_reason = self.text[: min(found)[1]], "stop"

    def take(self) -> str:
        """What is new and certain: text that may be the beginning of a stop sequence is held back."""
        held = 0
        if not self.finish_reason:
            for stop in self.request.stop:
                lengths = range(min(len(stop) - 1, len(self.text)), 0, -1)
                held = max(held, next((n for n in lengths if self.text.endswith(stop[:n])), 0))
        piece = self.text[self.sent : len(self.text) - held]
        self.sent += len(piece)
        return piece

    def response(self, echoed: list[Chance]) -> Response:
        echo = self.request.echo
        return Response(
            text=self.request.prompt * echo + self.text,
            finish_reason=self.finish_reason or "length",
            usage=self.usage(),
            logprobs=self._logprobs(echoed) if self.request.logprobs else None,
        )

    def _logprobs(self, echoed: list[Chance]) -> Logprobs:
        prompt, places, shift = (
            (self.prompt, self.places, len(self.request.prompt)) if self.request.echo else ([], [], 0)
        )
        shown = bisect_left(self.offsets, len(self.text))  # those of a stop sequence are not
        chances = [*echoed, *self.chances[:shown]]
        return Logprobs(
            tokens=[self.word(token) for token in (*prompt, *self.tokens[:shown])],
            token_logprobs=[logprob for logprob, _ in chances],
            top_logprobs=[top for _, top in chances] if self.request.top_logprobs else None,
            text_offset=[*places, *(shift + offset for offset in self.offsets[:shown])],
        )

    def usage(self) -> Usage:
        prompt, completion = len(self.prompt), len(self.tokens)
        return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


class Generator:
    """The predictor of a language model.

    The bundle holds decoder.onnx, tokenizer.json and schema.json, which says `block`, the longest context in tokens.
    """

    max_inputs = MAX_PROMPTS
    Request: Any
    Response: Any = Response

    def __init__(self, bundle: Bundle) -> None:
        self.block: int = bundle.json("schema.json")["block"]
        self.tokenizer = Tokenizer.from_file(str(bundle.folder / "tokenizer.json"))
        self.letters = set(self.tokenizer.get_vocab()) if bundle.json("schema.json")["tokenizer"] == "char" else None
        self.decoder = Decoder(bundle.session("decoder.onnx"), self.block)
        length = Field(max_length=MAX_PROMPT)  # before the tokenizer is asked
        field = Field(description=f"of a longer one the model sees the last {self.block} tokens")
        config = ConfigDict(json_schema_extra={"example": bundle.example[0]})
        prompt: Any = (Annotated[str, length, AfterValidator(self._readable), field], ...)
        base = type("request", (Request,), {"model_config": {**Request.model_config, **config}})
        self.Request = create_model(f"{bundle.manifest.project}_request", __base__=base, prompt=prompt)

    def _readable(self, prompt: str) -> str:
        if not prompt:
            raise ValueError("should have at least 1 character: the model continues a text, it begins none")
        if self.letters is not None and (unknown := next((c for c in prompt if c not in self.letters), None)):
            raise ValueError(f"the model does not know the character {unknown!r}")
        return prompt

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(inputs), MAX_BATCH):
            writers = [Writer(request, self.tokenizer) for request in inputs[start : start + MAX_BATCH]]
            echoed = self._echoed(writers)
            for _ in self._steps(writers):
                pass
            answers += [writer.response(echoed[number]) for number, writer in enumerate(writers)]
        return answers

    def stream(self, request: Any) -> Iterator[Any]:
        """The answer's text in pieces, then the whole answer. Closing the iterator stops the decoding."""
        writer = Writer(request, self.tokenizer)
        if request.echo:
            yield request.prompt
        for _ in self._steps([writer]):
            if piece := writer.take():
                yield piece
        yield writer.response(self._echoed([writer])[0])

    def _steps(self, writers: list[Writer]) -> Iterator[None]:
        busy = [writer for writer in writers if writer.request.max_tokens]
        if busy:
            yield from self.decoder.write(
                [writer.prompt for writer in busy], lambda number, logits: busy[number].choose(logits)
            )

    def _echoed(self, writers: list[Writer]) -> list[list[Chance]]:
        """How likely the tokens of each prompt are that shall be echoed, [] for the others.

        A prompt longer than the context is read in windows that overlap by half of it: behind the first window, each
        token is judged by at least half a context.
        """
        overlap = self.block // 2
        found: list[list[Chance]] = [[] for _ in writers]
        windows = []
        for n, writer in enumerate(writers):
            if writer.request.echo and writer.request.logprobs:
                found[n] = [(None, None)]
                last = max(1, len(writer.prompt) - 1 - overlap)
                windows += [(n, start) for start in range(0, last, self.block - overlap)]
        for first in range(0, len(windows), MAX_BATCH):
            batch = windows[first : first + MAX_BATCH]
            read = self.decoder.read([writers[n].prompt[start : start + self.block] for n, start in batch])
            for (n, start), logits in zip(batch, read, strict=True):
                known = len(found[n])
                following = writers[n].prompt[known : start + self.block + 1]
                logprobs = log_softmax(logits[known - 1 - start :].astype(np.float64))
                found[n] += [writers[n].chance(row, token) for row, token in zip(logprobs, following, strict=False)]
        return found
