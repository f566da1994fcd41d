"""Types and ranges of params.yaml's `projects.mini_gpt`."""

from typing import Literal

from pydantic import Field, model_validator

from roadmap.config.settings import DataSettings, ModelSettings


class Data(DataSettings):
    """`split` is by position: beginning, middle and end of the text."""

    path: str | None = Field(description="a text file of your own, UTF-8; null for the project's text")
    tokenizer: Literal["char", "bpe"] = Field(description="a token per character, or byte-pair encoding")
    vocab: int = Field(ge=300, le=65_536, description="vocabulary of the byte-pair encoding")
    block: int = Field(ge=8, le=8192, description="context length in tokens")
    rows: int = Field(ge=1, description="training windows of `block` tokens per epoch")


class Model(ModelSettings):
    layers: int = Field(ge=1, le=96)
    heads: int = Field(ge=1, le=128)
    width: int = Field(ge=8, le=16_384, description="values per token; a multiple of 2 x heads")
    positions: Literal["learned", "rotary"]
    bias: bool = Field(description="biases in linear layers and normalisation, as in GPT-2")
    dropout: float = Field(ge=0, lt=1)
    lr: float = Field(gt=0, le=1, description="peak of the schedule")
    final_lr: float = Field(ge=0, le=1, description="final learning rate, as a fraction of the peak")
    warmup: int = Field(ge=0, description="steps until the peak")
    weight_decay: float = Field(ge=0)
    beta2: float = Field(gt=0, lt=1, description="of AdamW")
    muon: float | None = Field(gt=0, le=1, description="learning rate of Muon on the blocks' matrices; null for AdamW")
    compile: bool = Field(description="torch.compile; needs a C++ compiler")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Model":
        if self.width % (2 * self.heads):
            raise ValueError(f"width must be a multiple of 2 x heads, found {self.width} and {self.heads} heads")
        return self
