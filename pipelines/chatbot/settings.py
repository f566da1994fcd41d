"""Types and ranges of params.yaml's `projects.chatbot`."""

from typing import Literal

from pydantic import Field, model_validator

from roadmap.config.settings import DataSettings, ModelSettings, Strict


class Weights(Strict):
    path: str | None = Field(
        description="a folder, an id of a hub (hf://owner/name, modelscope://owner/name or owner/name), or an "
        "installed package; null: none, the network begins with random ones"
    )
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$", description="of its model.safetensors; null: any")


class Data(DataSettings):
    """`split` is of conversations."""

    set: Literal["shop", "alpaca", "own"] = Field(
        description="shop: generated; alpaca: English and Chinese instructions; own: a file of your own, `path`"
    )
    path: str | None = Field(description="conversations of alpaca, ShareGPT or OpenAI: .json or .jsonl, also .xz, .gz")
    rows: int = Field(ge=100, le=1_000_000, description="conversations; of a file at most")
    vocabulary: int = Field(ge=300, le=200_000, description="of a tokenizer of its own; with weights, theirs counts")
    block: int = Field(ge=32, le=8192, description="context length in tokens; longer conversations are left out")
    weights: Weights

    @model_validator(mode="after")
    def _own_conversations_have_a_place(self) -> "Data":
        if (self.set == "own") != (self.path is not None):
            raise ValueError(f"set {self.set}: found path {self.path!r}; expected a file with set: own, otherwise null")
        return self


class Model(ModelSettings):
    """models/decoders/chat.py. With published weights, the sizes are theirs."""

    method: Literal["full", "lora", "qlora"] = Field(description="what is trained: all weights, or an adapter")
    r: int = Field(ge=1, le=1024, description="rank of the adapter")
    alpha: float = Field(gt=0, description="its scale")
    tuned: str = Field(min_length=1, description="layers that have one: a regular expression of their names")
    copying: bool = Field(description="begins with weights that copy, where there are none published")
    layers: int = Field(ge=1, le=96)
    heads: int = Field(ge=1, le=128)
    kv_heads: int = Field(ge=1, le=128, description="heads of keys and values; as many as `heads`, or a divisor")
    width: int = Field(ge=8, le=16_384, description="values per token")
    hidden: int = Field(ge=8, le=65_536, description="width inside the MLP")
    base: float = Field(gt=1, description="of the rotary positions")
    lr: float = Field(gt=0, le=1, description="peak of the schedule")
    final_lr: float = Field(ge=0, le=1, description="final learning rate, as a fraction of the peak")
    warmup: int = Field(ge=0, description="steps until the peak")
    weight_decay: float = Field(ge=0)
    beta2: float = Field(gt=0, lt=1, description="of AdamW")
    muon: float | None = Field(gt=0, le=1, description="learning rate of Muon on the blocks' matrices; null for AdamW")

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Model":
        if self.width % (2 * self.heads) or self.heads % self.kv_heads:
            found = f"{self.width}, {self.heads} and {self.kv_heads}"
            raise ValueError(f"width must be a multiple of 2 x heads, and heads of kv_heads; found {found}")
        if self.copying and (self.layers < 2 or self.heads != self.kv_heads):
            found = f"{self.layers}, {self.heads} and {self.kv_heads}"
            raise ValueError(f"copying: expected two layers or more, and kv_heads as many as heads; found {found}")
        return self
