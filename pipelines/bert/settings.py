"""Types and ranges of params.yaml's `projects.bert`."""

from typing import Any, Literal

from pydantic import Field, model_validator

from roadmap.config.settings import DataSettings, EarlierNetwork, ModelSettings, Strict


class Weights(Strict):
    path: str | None = Field(
        description="a folder, an id of a hub (hf://owner/name, modelscope://owner/name or owner/name), or an "
        "installed package; null: none"
    )
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$", description="of its model.safetensors; null: any")


class Data(DataSettings):
    set: Literal["requests", "sst2", "thucnews", "imdb", "own"] = Field(
        description="requests: generated; own: a table or folder of your own, `path`"
    )
    path: str | None = Field(description="where the set lies; null: at its publisher")
    text: str | None = Field(description="the text column, if `path` is a table")
    target: str | None = Field(description="the column of the classes, if `path` is a table")
    rows: int | None = Field(ge=100, le=1_000_000, description="at most, of train; of the generated requests all")
    labelled: int | None = Field(
        ge=20, description="training texts with a label; pre-training reads the others too. null: all"
    )
    weights: Weights
    vocabulary: int = Field(ge=100, le=200_000, description="of a tokenizer of its own; with weights, theirs counts")
    max_tokens: int = Field(ge=8, le=4096, description="per text; longer ones are truncated")

    @model_validator(mode="after")
    def _own_texts_have_a_place(self) -> "Data":
        if self.set == "own" and not self.path:
            raise ValueError("set: found own, but no path; expected a table or a folder of texts")
        if (self.text is None) != (self.target is None) or (self.text and self.set != "own"):
            raise ValueError("text and target name the columns of a table: both, and only with set: own")
        return self


class Encoder(Strict):
    width: int = Field(ge=8, le=4096)
    layers: int = Field(ge=1, le=48)
    heads: int = Field(ge=1, le=64)
    hidden: int = Field(ge=8, le=16_384, description="width of the feed-forward layer")
    dropout: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "Encoder":
        if self.width % self.heads:
            raise ValueError(f"width: found {self.width}; expected a multiple of heads, {self.heads}")
        return self


class Pretraining(EarlierNetwork):
    encoder: Encoder
    share: float = Field(gt=0, lt=1, description="of the tokens that are masked")
    lr: float = Field(gt=0, le=1)
    warmup: float = Field(ge=0, le=1, description="share of the steps")
    weight_decay: float = Field(ge=0)


class Model(ModelSettings):
    encoder: Encoder = Field(description="of a network without published weights; with them, only the dropout counts")
    pooling: Literal["first", "mean"] = Field(description="first: [CLS] through the pooler, as in the paper")
    frozen: bool = Field(description="only the head learns")
    word_dropout: float = Field(ge=0, lt=1, description="share of the tokens that are masked in training")
    publish: bool = Field(description="the bundle also has the weights, for `data.weights.path` of another training")
    lr: float = Field(gt=0, le=1, description="peak, of the last block")
    decay: float = Field(gt=0, le=1, description="factor of the learning rate from a block to the one below")
    warmup: float = Field(ge=0, le=1, description="share of the steps")
    weight_decay: float = Field(ge=0)
    pretrain: Pretraining

    @model_validator(mode="before")
    @classmethod
    def _one_encoder(cls, block: Any) -> Any:
        """It is stated once, for pre-training and fine-tuning."""
        if isinstance(block, dict) and isinstance(block.get("pretrain"), dict):
            return {**block, "pretrain": {"encoder": block.get("encoder"), **block["pretrain"]}}
        return block
