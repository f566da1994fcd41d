"""Llama-like weights to export: random, in files as a bundle of mini_gpt has them."""

import json
from pathlib import Path
from typing import Any

import torch

from models.decoders.llama import LLaMA
from pipelines.mini_gpt.data.tokens import byte_pairs
from roadmap.data import weights

TEXT = "The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸。\n" * 30
SIZES: dict[str, Any] = {"width": 64, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 96, "block": 32}
TRAINING: dict[str, Any] = {"lr": 1e-2, "final_lr": 0.1, "warmup": 2, "weight_decay": 0.1, "beta2": 0.99}


def publish(folder: Path, tokenizer: Any = None, **sizes: Any) -> LLaMA:
    """Random weights, as a bundle of mini_gpt has them."""
    tokenizer = tokenizer or byte_pairs(TEXT, 300)
    torch.manual_seed(0)
    network = LLaMA(vocab=tokenizer.get_vocab_size(), **{**SIZES, **sizes}, **TRAINING).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    folder.mkdir()
    for name, content in weights.files_of(**network.published()).items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    return network
