"""Supervised fine-tuning on conversations: loss on the assistant's words alone, several conversations in a row.

Ouyang et al., "Training language models to follow instructions with human feedback" (InstructGPT, 2022), section 3.1.

Shapes: n rows of t tokens.
"""

from dataclasses import fields
from typing import Any, TypedDict

import torch
from torch import Tensor
from torch.nn import functional as F

from models.decoders.adapters import adapt, merge
from models.decoders.copying import begin_with_copying
from models.decoders.llama import LLaMA
from models.decoders.published import from_transformers, shape_of
from models.graph import Graph

IGNORED = -100  # target of a token that is not the assistant's


class Published(TypedDict):
    """Weights as published. config: of config.json; state: the tensors, with transformers' names"""

    config: dict[str, Any]
    state: dict[str, Tensor]


class Chat(LLaMA):
    """LLaMA, tuned on conversations.

    Args:
        method: full, lora or qlora (models/decoders/adapters.py).
        r, alpha, tuned: of the adapter: its rank, its scale, and which layers have one, by a pattern of their names.
        copying: begins with weights that copy (models/decoders/copying.py), in a network with biases of its queries,
            keys and values.
        start: weights to begin with: of a network of these sizes, or published, whose sizes then count; None begins
            with random ones.
        The rest: of LLaMA.
    """

    def __init__(
        self,
        *,
        method: str = "full",
        r: int = 8,
        alpha: float = 16.0,
        tuned: str = r"blocks\.",
        copying: bool = False,
        start: LLaMA | Published | None = None,
        **model: Any,
    ) -> None:
        if start is None or isinstance(start, LLaMA):
            super().__init__(tied=True, qkv_bias=copying, **model)
            if start is not None:
                self.load_state_dict(start.state_dict())
            elif copying:
                begin_with_copying(self)
        else:
            shape = shape_of(start["config"], model["block"])
            super().__init__(**model | {one.name: getattr(shape, one.name) for one in fields(shape)})
            self.load_state_dict({k: v.float() for k, v in from_transformers(start["state"], shape).items()})
        if method != "full":
            adapt(self, tuned, r, alpha, nf4=method == "qlora")

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        """batch: tokens, places in the conversation, targets or IGNORED; int [n, t] each"""
        return self.answers_loss(*batch)

    def validation_step(self, batch: tuple[Tensor, ...], _: int) -> None:
        """batch: as of `training_step`"""
        self.log("val_loss", self.answers_loss(*batch), sync_dist=True, batch_size=len(batch[0]))

    def answers_loss(self, tokens: Tensor, places: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats of the assistant's tokens. A conversation begins at each place 0; its tokens see
        no other conversation's."""
        conversation = (places == 0).cumsum(dim=1)
        same = conversation[:, :, None] == conversation[:, None]
        mask = (same & torch.ones_like(same[0]).tril())[:, None]
        x, turn = self.embed(tokens, places), self.turns(places)
        for block in self.blocks:
            x, _ = block(x, turn, None, mask)
        wanted = targets != IGNORED
        return F.cross_entropy(self.head(self.norm(x[wanted])), targets[wanted].long())

    def graphs(self, example: tuple[Tensor, ...]) -> dict[str, Graph]:
        """As of LLaMA, with the adapter merged."""
        merge(self)
        return super().graphs(example)
