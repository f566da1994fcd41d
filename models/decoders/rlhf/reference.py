"""The language model that is to be aligned: what it writes is where all methods start, and what they stay near."""

import torch
from torch import Tensor

from models.decoders.gpt import GPT
from models.decoders.rlhf.texts import write
from models.graph import Graph


class Reference(GPT):
    """A GPT whose graph is kept beside that of the policy."""

    def write(self, prompts: Tensor, new: int, end: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As of models/decoders/rlhf/texts.py."""
        return write(self, prompts, new, end, generator)

    def graphs(self, example: tuple[Tensor, ...]) -> dict[str, Graph]:
        """reference.onnx: as LanguageModel's decoder.onnx"""
        return {"reference.onnx": super().graphs(example)["decoder.onnx"]}
