"""The predictor of language models: continuous batching and streaming. No torch."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator
from tokenizers import Tokenizer

from roadmap.bundle import Batches, Bundle, Chats, Predictor, Tokenizes
from roadmap.bundle.predictor import Answered
from roadmap.inference.language import decoding
from roadmap.inference.language.chat import template_of
from roadmap.inference.language.decoding import Decoder
from roadmap.inference.language.grammars import Grammars
from roadmap.inference.language.sampling import log_softmax
from roadmap.inference.language.writing import CompletionState, Request, Response
from roadmap.io.json import JsonObject

MAX_PROMPT = 20_000  # characters
MAX_PROMPTS = 64  # per request, which bounds its time to seconds
MAX_BATCH = 32  # prompts decoded together

Piece: TypeAlias = str | BaseModel | Exception  # of the output of a request; the last two end it


class TextBatch:
    """Requests that are generated together (roadmap/bundle/predictor.py, class GenerationBatch)."""

    size = MAX_BATCH

    def __init__(self, tokenizer: Tokenizer, decoder: Decoder, grammars: Grammars) -> None:
        self.tokenizer, self.decoder, self.grammars = tokenizer, decoder, grammars
        self.decoding = decoding.DecodingBatch(decoder)
        self.texts: dict[CompletionState, decoding.Text | None] = {}  # None: max_tokens is 0
        self.windows: deque[tuple[CompletionState, int]] = deque()  # prompts that need their own logprobs

    def __len__(self) -> int:
        return len(self.texts)

    def add(self, request: BaseModel) -> CompletionState:
        """Adds a request; returns what it has written so far, its key."""
        grammar = getattr(request, "grammar", None)
        constraint = self.grammars.start(grammar) if grammar is not None else None
        writer = CompletionState(request, self.tokenizer, constraint)
        self.texts[writer] = self.decoding.add(writer.prompt, writer.choose) if writer.request.max_tokens else None
        if writer.request.echo and writer.request.logprobs:
            # A prompt longer than the context is read in windows that overlap by half of it: behind the first window,
            # each token has at least half a context before it.
            overlap = self.decoder.block // 2
            last = max(1, len(writer.prompt) - 1 - overlap)
            self.windows += [(writer, start) for start in range(0, last, self.decoder.block - overlap)]
        return writer

    def drop(self, writer: CompletionState) -> None:
        if text := self.texts.pop(writer, None):
            self.decoding.drop(text)
        self.windows = deque(window for window in self.windows if window[0] is not writer)

    def step(self) -> list[tuple[CompletionState, Piece]]:
        """New output of each: a piece of text, finally its response, or the error that ended it."""
        reading = self._read_windows()
        self.decoding.step()
        news: list[tuple[CompletionState, Piece]] = []
        for writer, text in list(self.texts.items()):
            if piece := writer.take():
                news.append((writer, piece))
            error = text.error if text else None
            if error or (writer.done and writer not in reading):
                self.drop(writer)
                news.append((writer, error or writer.response()))
        return news

    def _read_windows(self) -> set[CompletionState]:
        """Log-probabilities of echoed prompts, a chunk at a time. Returns those with more to read."""
        block = self.decoder.block
        count = min(len(self.windows), max(1, decoding.CHUNK // block))
        if count:
            windows = [self.windows.popleft() for _ in range(count)]
            read = self.decoder.read([writer.prompt[start : start + block] for writer, start in windows])
            for (writer, start), logits in zip(windows, read, strict=True):
                known = max(1, len(writer.echoed))
                following = writer.prompt[known : start + block + 1]
                logprobs = log_softmax(logits[known - 1 - start :].astype(np.float64))
                writer.echoed = writer.echoed or [(None, None)]
                writer.echoed += [writer.chance(row, token) for row, token in zip(logprobs, following, strict=False)]
        return {writer for writer, _ in self.windows}


class Generator(Predictor[BaseModel, Answered], Batches[BaseModel], Chats, Tokenizes):
    """The predictor of a language model.

    The bundle holds decoder.onnx, tokenizer.json and schema.json, whose `block` is the context length in tokens.
    """

    max_inputs = MAX_PROMPTS
    Response = Response

    def __init__(self, bundle: Bundle) -> None:
        self.block: int = bundle.json("schema.json")["block"]
        self.tokenizer = Tokenizer.from_file(str(bundle.folder / "tokenizer.json"))
        self.letters = set(self.tokenizer.get_vocab()) if bundle.json("schema.json")["tokenizer"] == "char" else None
        self.decoder = Decoder(bundle.session("decoder.onnx"), self.block)
        self.template = template_of(bundle, self.tokenizer)
        self.calls = self.template.calls
        self.grammars = Grammars(self.tokenizer, self.template.stop)
        # MAX_PROMPT is checked before tokenizing. Not as Annotated: typing's cache would keep the predictor for ever.
        seen = f"the model sees the last {self.block} tokens of a longer one"
        config = ConfigDict(json_schema_extra={"example": bundle.example[0]})
        base = type("request", (Request,), {"model_config": {**Request.model_config, **config}})
        self.Request = create_model(
            f"{bundle.manifest.project}_request",
            __base__=base,
            __validators__={
                "readable": field_validator("prompt")(lambda prompt: self.readable(prompt)),
                "enforceable": field_validator("grammar")(lambda grammar: self.enforceable(grammar)),
            },
            prompt=(str, Field(max_length=MAX_PROMPT, description=seen)),
        )
        if self.decoder.hidden:  # then it `Embeds`; graphs of older bundles have no hidden states
            self.embed = self._embed

    def readable(self, prompt: str) -> str:
        """
        Raises:
            ValueError: the prompt is empty, or has a character outside the vocabulary.
        """
        if not prompt:
            raise ValueError("should have at least 1 character: the model continues a text")
        if self.letters is not None and (unknown := next((c for c in prompt if c not in self.letters), None)):
            raise ValueError(f"should have only characters of the model's vocabulary, found {unknown!r}")
        return prompt

    def enforceable(self, grammar: str | None) -> str | None:
        """
        Raises:
            ValueError: no text of this model can be made to follow it.
        """
        if grammar is not None:
            self.grammars.start(grammar)
        return grammar

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def text_of(self, ids: Sequence[int]) -> str:
        """
        Raises:
            ValueError: an id is not in the vocabulary, or the text's tokens are others.
        """
        size = self.tokenizer.get_vocab_size()
        if unknown := next((one for one in ids if one >= size), None):
            raise ValueError(f"token id {unknown} is none of this model's {size}; send text, or ids of its tokenizer")
        text = self.tokenizer.decode(list(ids), skip_special_tokens=False)
        if self.encode(text) != list(ids):
            raise ValueError("the tokenizer writes this text with other token ids; send the text")
        return text

    def batch(self) -> TextBatch:
        return TextBatch(self.tokenizer, self.decoder, self.grammars)

    def predict(self, inputs: Sequence[BaseModel]) -> list[Answered]:
        """One `Response` per `Request`, in order.

        Raises:
            Exception: what ended a request.
        """
        batch, waiting = self.batch(), deque(inputs)
        order: list[CompletionState] = []
        answers: dict[CompletionState, Any] = {}
        while waiting or len(batch):
            while waiting and len(batch) < batch.size:
                order.append(batch.add(waiting.popleft()))
            for writer, piece in batch.step():
                if isinstance(piece, Exception):
                    raise piece
                answers[writer] = piece  # the last one is the response
        return [answers[writer] for writer in order]

    def stream(self, request: BaseModel) -> Iterator[str | BaseModel]:
        """Pieces of text, then the `Response`. Closing the iterator stops the decoding.

        Raises:
            Exception: what ended the request.
        """
        batch = self.batch()
        batch.add(request)
        while len(batch):
            for _, piece in batch.step():
                if isinstance(piece, Exception):
                    raise piece
                yield piece

    def chat(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] = ()) -> tuple[str, list[str]]:
        """OpenAI's messages and tools -> the prompt to continue, and the stop texts.

        Raises:
            ValueError: the template refuses the messages, or fails.
        """
        return self.template.prompt(messages, tools), self.template.stop

    def _embed(self, texts: Sequence[str]) -> tuple[np.ndarray, int]:
        """The mean of the last hidden states over each text's last `block` tokens, of length 1: float32 [n, width].

        And the number of tokens that were read.

        Raises:
            ValueError: a text is empty, too long, or has a character outside the vocabulary.
        """
        if long := next((text for text in texts if len(text) > MAX_PROMPT), None):
            raise ValueError(f"should have at most {MAX_PROMPT} characters, found {len(long)}")
        tokens = [self.encode(self.readable(text))[-self.block :] for text in texts]
        means: list[np.ndarray] = []
        for start in range(0, len(tokens), MAX_BATCH):
            means += [hidden.mean(axis=0) for hidden in self.decoder.embed(tokens[start : start + MAX_BATCH])]
        vectors = np.stack(means)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), sum(map(len, tokens))
