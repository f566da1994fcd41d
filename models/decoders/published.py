"""Published decoders as sizes of llama.py, and the names of their weights in published files."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from models.decoders.rotary import Llama3
from models.decoders.shape import Shape

# Touvron et al., "Llama 2: Open Foundation and Fine-Tuned Chat Models" (2023), table 1.
LLAMA_2_7B = Shape(32_000, 4096, 32, 32, 32, 11_008, block=4096)
# Llama Team, "The Llama 3 Herd of Models" (2024), table 3; the context grew by its rotary base and scaling, 3.4.2.
LLAMA_3_1_8B = Shape(
    128_256, 4096, 32, 32, 8, 14_336, block=131_072, base=500_000.0, scaling=Llama3(8.0, 1.0, 4.0, original=8192)
)
# Jiang et al., "Mistral 7B" (2023), table 1.
MISTRAL_7B = Shape(32_000, 4096, 32, 32, 8, 14_336, block=8192, window=4096)
# Jiang et al., "Mixtral of Experts" (2024), table 1.
MIXTRAL_8X7B = Shape(32_000, 4096, 32, 32, 8, 14_336, block=32_768, base=1e6, experts=8, active=2)
# Qwen Team, "Qwen3 Technical Report" (2025), table 1.
QWEN3_0_6B = Shape(151_936, 1024, 28, 16, 8, 3072, block=32_768, d=128, eps=1e-6, base=1e6, tied=True, qk_norm=True)
# Gemma Team, "Gemma: Open Models Based on Gemini Research and Technology" (2024), table 1; the weights' vocabulary.
GEMMA_2B = Shape(256_000, 2048, 18, 8, 1, 16_384, block=8192, d=256, eps=1e-6, tied=True, gelu=True, offset=True)
# Gemma Team, "Gemma 3 Technical Report" (2025), tables 1 and 2, section 2.1: one layer of six sees all.
GEMMA_3_1B = replace(
    GEMMA_2B, vocab=262_144, width=1152, layers=26, heads=4, hidden=6912, block=32_768,
    base=1e6, window=512, period=6, window_base=10_000.0, qk_norm=True, post_norm=True,
)  # fmt: skip
# Allal et al., "SmolLM2: When Smol Goes Big" (2025), appendix A.
SMOLLM2_135M = Shape(49_152, 576, 30, 9, 3, 1536, block=8192, base=100_000.0, tied=True)


def shape_of(config: Mapping[str, Any], block: int) -> Shape:
    """The sizes of LLaMA-like weights. config: of config.json, with transformers' keys

    Raises:
        ValueError: it describes another architecture.
    """
    kind = config.get("model_type")
    if kind not in ("llama", "mistral", "qwen2", "qwen3"):
        raise ValueError(f"config.json: found model_type {kind!r}; expected llama, mistral, qwen2 or qwen3")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", "default") != "default":
        raise ValueError(f"config.json: found rope_type {rope['rope_type']!r}; expected default")
    return Shape(
        vocab=config["vocab_size"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config.get("num_key_value_heads") or config["num_attention_heads"],
        hidden=config["intermediate_size"],
        block=block,
        d=config.get("head_dim"),
        eps=config["rms_norm_eps"],
        base=float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
        window=config.get("sliding_window") if config.get("use_sliding_window", True) else None,
        tied=bool(config.get("tie_word_embeddings", False)),
        qkv_bias=kind == "qwen2",
        qk_norm=kind == "qwen3",
    )


def names(shape: Shape) -> dict[str, str]:
    """Our names of parts, and those in the files that the authors publish for transformers."""
    both = {"tokens": "embed_tokens", "blocks": "layers", "norm_1": "input_layernorm", "attention": "self_attn"}
    both |= {"q": "q_proj", "k": "k_proj", "v": "v_proj", "project": "o_proj", "head": "lm_head"}
    if shape.post_norm:
        both |= {"post_1": "post_attention_layernorm", "norm_2": "pre_feedforward_layernorm"}
        both |= {"post_2": "post_feedforward_layernorm"}
    else:
        both |= {"norm_2": "post_attention_layernorm"}
    if shape.experts:
        return both | {"mlp": "block_sparse_moe", "router": "gate", "gate": "w1", "up": "w3", "down": "w2"}
    return both | {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}


def to_transformers(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Our weights as in a published file, which has tied ones once."""
    theirs = names(shape)
    renamed = {".".join(theirs.get(part, part) for part in name.split(".")): value for name, value in state.items()}
    if shape.tied:
        del renamed["lm_head.weight"]
    return {name if name.startswith("lm_head") else f"model.{name}": value for name, value in renamed.items()}


def from_transformers(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Published weights under our names."""
    ours = {theirs: name for name, theirs in names(shape).items()}
    parts = {name: name.removeprefix("model.").split(".") for name in state}
    renamed = {".".join(ours.get(part, part) for part in parts[name]): value for name, value in state.items()}
    return renamed | ({"head.weight": renamed["tokens.weight"]} if shape.tied else {})


def config_of(shape: Shape) -> dict[str, object]:
    """What a config.json says of a network of this shape, with transformers' keys.

    Raises:
        ValueError: none of the families LLaMA, Mistral and Qwen3 has this shape.
    """
    if (
        shape.experts
        or shape.gelu
        or shape.offset
        or shape.post_norm
        or shape.qkv_bias
        or shape.scaling
        or shape.period
    ):
        raise ValueError(f"found {shape}; expected LLaMA's, Mistral's or Qwen3's: no experts, GELU, biases or scaling")
    kind = "qwen3" if shape.qk_norm else "mistral" if shape.window else "llama"
    return {
        "model_type": kind,
        "architectures": [f"{kind.capitalize()}ForCausalLM"],
        "vocab_size": shape.vocab,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.hidden,
        "head_dim": shape.head,
        "max_position_embeddings": shape.block,
        "rms_norm_eps": shape.eps,
        "rope_parameters": {"rope_theta": shape.base, "rope_type": "default"},
        "sliding_window": shape.window,
        "tie_word_embeddings": shape.tied,
    }
