"""rlhf over HTTP: a prompt in, a continuation out, by the aligned model or the one it began as. No torch.

With `judge`, the answer also says what the rule and the reward model think of the text, and how far from the reference
model the aligned one has moved while writing it.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, create_model

from pipelines.rlhf.predict.rule import liked
from roadmap.bundle import Bundle
from roadmap.inference.language import writing
from roadmap.inference.language.decoding import Decoder
from roadmap.inference.language.generation import Generator, Piece, TextBatch
from roadmap.inference.language.sampling import log_softmax
from roadmap.inference.language.writing import CompletionState, Stop

END = "\n"
WRITERS: Any = Literal["aligned", "reference"]


class Judged(writing.Response):
    """`reward` and what follows it are null without `judge`, and for a text without tokens."""

    reward: float | None = Field(None, description="by the rule, -1 to 1; null where another judge decides")
    learned_reward: float | None = Field(None, description="of the reward model; texts of the reference have 0 +- 1")
    kl: float | None = Field(None, description="divergence of the aligned model from the reference, in nats a text")
    perplexity: float | None = Field(None, description="of the text under the reference model, by token")


class JudgedBatch(TextBatch):
    """Requests of both models, generated together."""

    def __init__(self, predictor: "Predictor") -> None:
        super().__init__(predictor.tokenizer, predictor.decoder, predictor.grammars)
        self.reference = TextBatch(predictor.tokenizer, predictor.reference, predictor.grammars)
        self.predictor = predictor

    def __len__(self) -> int:
        return super().__len__() + len(self.reference)

    def add(self, request: BaseModel) -> CompletionState:
        if getattr(request, "policy", "aligned") == "reference":
            return self.reference.add(request)
        return super().add(request)

    def drop(self, writer: CompletionState) -> None:
        super().drop(writer)
        self.reference.drop(writer)

    def step(self) -> list[tuple[CompletionState, Piece]]:
        news = super().step() + (self.reference.step() if len(self.reference) else [])
        done = [writer for writer, piece in news if isinstance(piece, writing.Response)]
        judged = dict(zip(done, self.predictor.judged(done), strict=True)) if done else {}
        return [(writer, judged[writer] if isinstance(piece, writing.Response) else piece) for writer, piece in news]


class Predictor(Generator):
    Response = Judged

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        schema = bundle.json("schema.json")
        self.by_rule = not schema["judge"]
        self.reference = Decoder(bundle.session("reference.onnx"), self.block)
        self.rewards = bundle.session("reward.onnx")
        self.Request = create_model(
            f"{bundle.manifest.project}_request",
            __base__=self.Request,
            stop=(list[Stop], Field([END], max_length=32, description="the text ends before any of these")),
            policy=(
                WRITERS,
                Field("aligned", description="who writes: the aligned model, or the one that it began as"),
            ),
            judge=(bool, Field(False, strict=True, description="whether to return rewards, divergence and perplexity")),
        )

    def batch(self) -> TextBatch:
        return JudgedBatch(self)

    def judged(self, writers: Sequence[CompletionState]) -> list[Judged]:
        """The responses of finished texts."""
        responses = [Judged(**writer.response().model_dump()) for writer in writers]
        asked = [row for row, writer in enumerate(writers) if writer.request.judge and writer.tokens]
        if asked:
            rows = [(writers[row].prompt, writers[row].tokens) for row in asked]
            for row, judgement in zip(asked, self.judgements(rows), strict=True):
                rule = {"reward": liked(responses[row].text)} if self.by_rule else {}
                responses[row] = responses[row].model_copy(update={**rule, **judgement})
        return responses

    def judgements(self, rows: Sequence[tuple[list[int], list[int]]]) -> list[dict[str, float]]:
        """Of prompts and what was written behind them, in tokens; of long ones the last `block`."""
        texts = [(prompt + tokens)[-self.block :] for prompt, tokens in rows]
        last = np.array([len(text) - 1 for text in texts])
        padded = np.array([text + [0] * (last.max() + 1 - len(text)) for text in texts])
        (rewards,) = self.rewards.run(["rewards"], {"tokens": padded, "last": last})
        found = []
        logits = zip(*(model.read(texts) for model in (self.decoder, self.reference)), strict=True)
        for text, (_, tokens), pair, reward in zip(texts, rows, logits, rewards, strict=True):
            new = min(len(tokens), len(text) - 1)
            policy, reference = (log_softmax(each[-new - 1 : -1].astype(np.float64)) for each in pair)
            surprise = -reference[np.arange(new), text[-new:]].mean()
            kl = (np.exp(policy) * (policy - reference)).sum()
            found.append({"learned_reward": float(reward), "kl": float(kl), "perplexity": float(np.exp(surprise))})
        return found
