"""Types and ranges of params.yaml's `projects.mini_gpt`."""

from typing import Literal

from pydantic import Field, model_validator

from roadmap.config.settings import LAYOUTS, DataSettings, ModelSettings, TrainerSettings

HEADS = "a multiple of 2 x heads, found {} and {} heads"


class Data(DataSettings):
    """`split` is by position: beginning, middle and end of the text."""

    path: str | None = Field(description="a text file of your own, UTF-8; null for the project's text")
    tokenizer: Literal["char", "bpe"] = Field(description="a token per character, or byte-pair encoding")
    vocab: int = Field(ge=300, le=65_536, description="vocabulary of the byte-pair encoding")
    block: int = Field(ge=8, le=8192, description="context length in tokens")
    rows: int = Field(ge=1, description="training windows of `block` tokens per epoch")


class Decoder(ModelSettings):
    """What every decoder has: its size, and how it is trained."""

    strategies = ("ddp", *LAYOUTS)

    layers: int = Field(ge=1, le=96)
    heads: int = Field(ge=1, le=128)
    width: int = Field(ge=8, le=16_384, description="values per token")
    lr: float = Field(gt=0, le=1, description="peak of the schedule")
    final_lr: float = Field(ge=0, le=1, description="final learning rate, as a fraction of the peak")
    warmup: int = Field(ge=0, description="steps until the peak")
    weight_decay: float = Field(ge=0)
    beta2: float = Field(gt=0, lt=1, description="of AdamW")
    muon: float | None = Field(gt=0, le=1, description="learning rate of Muon on the blocks' matrices; null for AdamW")

    def refuses(self, trainer: TrainerSettings) -> str | None:
        if self.heads % trainer.tensor:
            return f"heads: {self.heads} can't be divided among {trainer.tensor} processes"
        if self.layers < trainer.pipeline:
            return f"layers: {self.layers} are too few for {trainer.pipeline} stages"
        if self.muon is not None and trainer.way in LAYOUTS:
            return "Muon needs whole matrices; set model.muon=null"
        return super().refuses(trainer)


class Model(Decoder):
    """models/decoders/gpt.py"""

    positions: Literal["learned", "rotary"]
    bias: bool = Field(description="biases in linear layers and normalisation, as in GPT-2")
    dropout: float = Field(ge=0, lt=1)
    compile: bool = Field(description="torch.compile; needs a C++ compiler")

    @classmethod
    def of(cls, target: str) -> type[ModelSettings]:
        """LLaMA's, or GPT's."""
        return LLaMA if target.startswith("models.decoders.llama.") else cls

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Model":
        if self.width % (2 * self.heads):
            raise ValueError(f"width must be {HEADS.format(self.width, self.heads)}")
        return self


class LLaMA(Decoder):
    """models/decoders/llama.py, which says where each idea is from. The defaults are LLaMA's."""

    kv_heads: int = Field(ge=1, le=128, description="heads of keys and values; as many as `heads`, or a divisor")
    hidden: int = Field(ge=8, le=65_536, description="width inside the MLP, of each expert where there are several")
    d: int | None = Field(None, ge=2, le=512, multiple_of=2, description="of a head; null for width / heads")
    base: float = Field(10_000.0, gt=1, description="of the rotary positions")
    window: int | None = Field(None, ge=1, description="tokens that a token sees, itself included; null for all")
    period: int = Field(0, ge=0, description="every so many layers, one sees all; 0 for none")
    window_base: float | None = Field(None, gt=1, description="rotary base of layers with a window; null for `base`")
    tied: bool = Field(False, description="embedding and output share their matrix")
    qkv_bias: bool = Field(False, description="biases of queries, keys and values")
    qk_norm: bool = Field(False, description="queries and keys are normalised by head")
    gelu: bool = Field(False, description="GELU in the MLP's gate, not SiLU")
    offset: bool = Field(False, description="norms multiply by 1 + weight, embeddings by sqrt(width)")
    post_norm: bool = Field(False, description="a norm after each part too")
    experts: int = Field(0, ge=0, le=256, description="of a layer; 0 for one dense MLP")
    active: int = Field(0, ge=0, description="experts that process a token")
    balance: float = Field(0.01, ge=0, description="weight of the experts' load-balancing loss")
    publish: bool = Field(False, description="also writes the weights, for pipelines.gguf and transformers")

    def refuses(self, trainer: TrainerSettings) -> str | None:
        if self.kv_heads % trainer.tensor:
            return f"kv_heads: {self.kv_heads} can't be divided among {trainer.tensor} processes"
        if self.experts and trainer.pipeline > 1:
            return "the balance of experts is of all layers together, which a stage doesn't have"
        return super().refuses(trainer)

    @model_validator(mode="after")
    def _sizes_fit(self) -> "LLaMA":
        if self.d is None and self.width % (2 * self.heads):
            raise ValueError(f"width must be {HEADS.format(self.width, self.heads)}; or set d")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads must divide heads, found {self.kv_heads} and {self.heads} heads")
        if not min(1, self.experts) <= self.active <= self.experts:
            raise ValueError(f"active must be 1 to {self.experts}, the experts, found {self.active}")
        odd = [name for name in ("experts", "gelu", "offset", "post_norm", "qkv_bias", "period") if getattr(self, name)]
        if self.publish and odd:
            raise ValueError(f"publish is for LLaMA, Mistral and Qwen3; found {', '.join(odd)}")
        if self.window is None and (self.period or self.window_base):
            raise ValueError("period and window_base are of layers with a window; found window: null")
        return self
