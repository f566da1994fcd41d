"""Types and ranges of params.yaml's `projects.translation`."""

from typing import Literal

from pydantic import Field, model_validator

from roadmap.config.settings import DataSettings, ModelSettings

Corpus = Literal["numerals", "multi30k", "tatoeba", "own"]


class Data(DataSettings):
    """`split` is of pairs; Multi30k has splits of its own."""

    corpus: Corpus = Field(
        description="numerals: generated Chinese and English; multi30k; tatoeba: `path` is its cmn.txt; own: `path`"
    )
    source: str = Field(pattern=r"^[a-z]{2,3}$", description="language to translate from: de, fr or cs of multi30k")
    target: str = Field(pattern=r"^[a-z]{2,3}$", description="language to translate into: en of multi30k")
    path: str | tuple[str, str] | None = Field(
        description="a file of `source<TAB>target` lines, or two files of as many lines; .gz and .xz too"
    )
    rows: int = Field(ge=500, le=1_000_000, description="of the generated sample")
    vocabulary: int = Field(ge=100, le=100_000, description="tokens of both languages together, at most")
    max_tokens: int = Field(ge=8, le=1024, description="of a text; longer pairs are left out, longer requests are cut")

    @model_validator(mode="after")
    def _the_corpus_can_be_had(self) -> "Data":
        needed = self.corpus in ("tatoeba", "own")
        if needed != (self.path is not None):
            raise ValueError(
                f"corpus {self.corpus}: found path {self.path!r}; expected "
                + ("a file, or two" if needed else "null; set corpus=own to read files of your own")
            )
        if self.corpus == "multi30k" and (self.source == self.target or {self.source, self.target} - MULTI30K):
            raise ValueError(
                f"corpus multi30k: found {self.source} to {self.target}; expected two of {', '.join(sorted(MULTI30K))}"
            )
        return self


MULTI30K = {"cs", "de", "en", "fr"}


class Network(ModelSettings):
    """What every translator has: its size, and how it is trained; models/translation/translator.py."""

    width: int = Field(ge=8, le=4096, description="values of a token")
    hidden: int = Field(ge=8, le=16_384, description="of the feed-forward networks, or of the recurrent state")
    dropout: float = Field(ge=0, lt=1)
    smoothing: float = Field(ge=0, lt=1, description="of the labels")
    warmup: int = Field(ge=1, description="steps until the learning rate's peak")
    factor: float = Field(gt=0, le=100, description="of the learning rate; 1 is the paper's")
    average: float = Field(ge=0, lt=1, description="decay of the weights' moving average, by step; 0 for none")
    linear: bool = Field(description="the learning rate falls in a straight line to 0, not as in the paper")


class Model(Network):
    """models/translation/transformer.py"""

    layers: int = Field(ge=1, le=64, description="of the encoder, and as many of the decoder")
    heads: int = Field(ge=1, le=64)
    positions: Literal["sinusoidal", "rotary"]
    pre_norm: bool = Field(description="normalise before each part of a layer, not behind it")

    @classmethod
    def of(cls, target: str) -> type[ModelSettings]:
        """Recurrent networks have neither layers nor heads."""
        return Network if target.startswith("models.translation.gru.") else cls

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Model":
        if self.width % (2 * self.heads):
            raise ValueError(f"width must be a multiple of 2 x heads, found {self.width} and {self.heads} heads")
        return self
