"""Types and ranges of params.yaml's `projects.rlhf`."""

from typing import Literal

from pydantic import Field, model_validator

from roadmap.config.settings import DataSettings, EarlierNetwork, ModelSettings


class Data(DataSettings):
    corpus: Literal["reviews", "imdb", "own"] = Field(description="reviews: generated; own: a text per line of `path`")
    path: str | None = Field(description="where the corpus lies; null: at its publisher, or generated")
    rows: int = Field(ge=300, le=1_000_000, description="texts, at most")
    vocabulary: int = Field(ge=300, le=65_536, description="of the byte-pair encoding, at most")
    prompt: int = Field(ge=1, le=1024, description="tokens of a text that are given")
    new: int = Field(ge=4, le=1024, description="tokens that are written behind them, at most")
    judge: str | None = Field(
        description="the bundle of a text classifier, whose last class is the best; null for the rule of "
        "pipelines/rlhf/predict"
    )
    preferences: str | None = Field(
        description="JSON Lines of your own: prompt, chosen, rejected; null: pairs that the reference writes are judged"
    )
    pairs: int = Field(ge=20, le=1_000_000, description="that are judged")
    noise: float = Field(ge=0, le=10, description="how much people disagree with the judge, in units of its reward")

    @model_validator(mode="after")
    def _a_corpus_has_a_place(self) -> "Data":
        if self.path is None if self.corpus == "own" else self.path and self.corpus == "reviews":
            raise ValueError(f"path: found {self.path}; expected one for corpus own, none for corpus reviews")
        return self


class Reference(EarlierNetwork):
    """models/decoders/rlhf/reference.py"""

    layers: int = Field(ge=1, le=96)
    heads: int = Field(ge=1, le=128)
    width: int = Field(ge=8, le=16_384, description="values per token, a multiple of 2 x heads")
    positions: Literal["learned", "rotary"]
    bias: bool
    dropout: float = Field(ge=0, lt=1)
    lr: float = Field(gt=0, le=1)
    final_lr: float = Field(ge=0, le=1)
    warmup: int = Field(ge=0)
    weight_decay: float = Field(ge=0)
    beta2: float = Field(gt=0, lt=1)
    muon: float | None = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Reference":
        if self.width % (2 * self.heads):
            raise ValueError(f"width must be a multiple of 2 x heads, found {self.width} and {self.heads} heads")
        return self


class Reward(EarlierNetwork):
    """models/decoders/rlhf/reward.py"""

    lr: float = Field(gt=0, le=1)
    weight_decay: float = Field(ge=0)


class Policy(ModelSettings):
    """What all methods have."""

    signal: Literal["learned", "rule"] = Field(
        description="learned: of the reward model; rule: of the judge, which preferences come from"
    )
    samples: int = Field(ge=2, le=65_536, description="texts of a rollout")
    rollouts: int = Field(ge=1, le=65_536, description="of an epoch")
    passes: int = Field(ge=1, le=100, description="how often a rollout is read")
    group: int = Field(ge=1, le=1024, description="texts on one prompt")
    beta: float = Field(ge=0, description="weight of the KL divergence from the reference")
    lr: float = Field(gt=0, le=1)
    reference: Reference
    reward_model: Reward

    @classmethod
    def of(cls, target: str) -> type[ModelSettings]:
        return METHODS.get(target, cls)

    @model_validator(mode="after")
    def _groups_fill_a_rollout(self) -> "Policy":
        if self.samples % self.group:
            raise ValueError(f"samples must be a multiple of group, found {self.samples} and {self.group}")
        return self


class Model(Policy):
    """models/decoders/rlhf/grpo.py"""

    clip: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _a_group_has_a_deviation(self) -> "Model":
        if self.group < 2:
            raise ValueError(f"group must be at least 2, texts to compare, found {self.group}")
        return self


class PPO(Policy):
    group: int = Field(1, ge=1, le=1024)
    clip: float = Field(0.2, gt=0, le=1)
    trace: float = Field(0.95, ge=0, le=1, description="lambda of the advantages")
    value: float = Field(0.1, ge=0, description="weight of the value's loss")


class DPO(Policy):
    group: Literal[2] = 2


METHODS: dict[str, type[Policy]] = {
    "models.decoders.rlhf.grpo.GRPO": Model,
    "models.decoders.rlhf.ppo.PPO": PPO,
    "models.decoders.rlhf.dpo.DPO": DPO,
}
