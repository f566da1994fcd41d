"""What language models answer over HTTP: a prompt in, its continuation out, at once or piece by piece. No torch."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from tokenizers import Tokenizer

from pipelines.common.decoding import Decoder
from pipelines.common.sampling import Sampling, distribution, draw, log_softmax
from serving.bundle import Bundle

MAX_TOKENS = 2048  # of one answer
MAX_BATCH = 32  # prompts that are decoded together
BROKEN = "\N{REPLACEMENT CHARACTER}"  # what a decoder says of half a character

Stop = Annotated[str, Field(min_length=1, max_length=100)]


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
    echo: bool = Field(default=False, strict=True, description="whether the answer begins with the prompt")


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Logprobs(BaseModel):
    """Natural logarithms, of the model itself: before temperature, top_k, top_p and penalty."""

    tokens: list[str]
    token_logprobs: list[float | None] = Field(description="the first token of an echoed prompt has none")


class Response(BaseModel):
    text: str
    finish_reason: Literal["stop", "length"]
    usage: Usage
    logprobs: Logprobs | None = None


class Writer:
    """One answer in the making."""

    def __init__(self, request: Any, prompt: list[int], tokenizer: Tokenizer) -> None:
        self.request, self.prompt, self.tokenizer = request, prompt, tokenizer
        self.how = Sampling(request.temperature, request.top_k, request.top_p, request.repetition_penalty)
        self.rng = np.random.default_rng(request.seed)
        self.tokens: list[int] = []
        self.logprobs: list[float | None] = []
        self.pending: list[int] = []  # tokens whose last character is not whole yet
        self.text = ""
        self.sent = 0
        self.finish_reason: Literal["stop", "length"] | None = None

    def choose(self, logits: np.ndarray) -> int | None:
        """The next token, None after the last. logits: [vocab]"""
        seen = None
        if self.how.repetition_penalty != 1:
            seen = np.zeros(len(logits), bool)
            seen[self.prompt + self.tokens] = True
        token = draw(distribution(logits, self.how, seen), self.rng)
        self.tokens.append(token)
        if self.request.logprobs:
            self.logprobs.append(float(log_softmax(logits.astype(np.float64))[token]))
        last = len(self.tokens) == self.request.max_tokens
        self._append(token, last)
        if last and not self.finish_reason:
            self.finish_reason = "length"
        return None if self.finish_reason else token

    def _append(self, token: int, last: bool) -> None:
        self.pending.append(token)
        piece = self.tokenizer.decode(self.pending, skip_special_tokens=False)
        if piece.endswith(BROKEN) and not last:
            return
        self.pending = []
        # A stop sequence may have begun in the text before this piece.
        start = max(0, len(self.text) - max(map(len, self.request.stop), default=0))
        self.text += piece
        ends = [at for stop in self.request.stop if (at := self.text.find(stop, start)) >= 0]
        if ends:
            self.text, self.finish_reason = self.text[: min(ends)], "stop"

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

    def response(self, echoed: list[float | None]) -> Response:
        tokens, echo = self.tokens, self.request.echo
        shown = [*self.prompt, *tokens] if echo else tokens
        logprobs = None
        if self.request.logprobs:
            words = [self.tokenizer.decode([token], skip_special_tokens=False) for token in shown]
            logprobs = Logprobs(tokens=words, token_logprobs=[*echoed, *self.logprobs])
        return Response(
            text=self.request.prompt * echo + self.text,
            finish_reason=self.finish_reason or "length",
            usage=self.usage(),
            logprobs=logprobs,
        )

    def usage(self) -> Usage:
        prompt, completion = len(self.prompt), len(self.tokens)
        return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


class Generator:
    """The predictor of a language model.

    The bundle holds decoder.onnx, tokenizer.json and schema.json, which says `block`, the longest context in tokens.
    """

    Request: Any
    Response: Any = Response

    def __init__(self, bundle: Bundle) -> None:
        self.block: int = bundle.json("schema.json")["block"]
        self.tokenizer = Tokenizer.from_file(str(bundle.folder / "tokenizer.json"))
        self.letters = set(self.tokenizer.get_vocab()) if bundle.json("schema.json")["tokenizer"] == "char" else None
        self.decoder = Decoder(bundle.session("decoder.onnx"), self.block)
        most = 16 * self.block
        length = Field(max_length=most)  # before the tokenizer is asked
        field = Field(description=f"at most {self.block} tokens, the model's context")
        config = ConfigDict(json_schema_extra={"example": bundle.example[0]})
        prompt: Any = (Annotated[str, length, AfterValidator(self._readable), field], ...)
        base = type("request", (Request,), {"model_config": {**Request.model_config, **config}})
        self.Request = create_model(f"{bundle.manifest.project}_request", __base__=base, prompt=prompt)

    def _readable(self, prompt: str) -> str:
        if not prompt:
            raise ValueError("should have at least 1 character: the model continues a text, it begins none")
        if self.letters is not None and (unknown := next((c for c in prompt if c not in self.letters), None)):
            raise ValueError(f"the model does not know the character {unknown!r}")
        if (tokens := len(self.encode(prompt))) > self.block:
            raise ValueError(f"{tokens} tokens, the model reads at most {self.block}")
        return prompt

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(inputs), MAX_BATCH):
            writers = [self._writer(request) for request in inputs[start : start + MAX_BATCH]]
            echoed = self._echoed(writers)
            for _ in self._steps(writers):
                pass
            answers += [writer.response(echoed[number]) for number, writer in enumerate(writers)]
        return answers

    def stream(self, request: Any) -> Iterator[Any]:
        """The answer's text in pieces, then the whole answer. Closing the iterator stops the decoding."""
        writer = self._writer(request)
        if request.echo:
            yield request.prompt
        for _ in self._steps([writer]):
            if piece := writer.take():
                yield piece
        yield writer.response(self._echoed([writer])[0])

    def _writer(self, request: Any) -> Writer:
        return Writer(request, self.encode(request.prompt), self.tokenizer)

    def _steps(self, writers: list[Writer]) -> Iterator[None]:
        busy = [writer for writer in writers if writer.request.max_tokens]
        if busy:
            yield from self.decoder.write(
                [writer.prompt for writer in busy], lambda number, logits: busy[number].choose(logits)
            )

    def _echoed(self, writers: list[Writer]) -> list[list[float | None]]:
        """How likely the tokens of each prompt are that shall be echoed, [] for the others."""
        chosen = [n for n, writer in enumerate(writers) if writer.request.echo and writer.request.logprobs]
        found: list[list[float | None]] = [[] for _ in writers]
        if chosen:
            for n, logits in zip(chosen, self.decoder.read([writers[n].prompt for n in chosen]), strict=True):
                following = np.array(writers[n].prompt[1:], dtype=np.int64)
                steps = np.arange(len(following))
                found[n] = [None, *log_softmax(logits.astype(np.float64))[steps, following].tolist()]
        return found
