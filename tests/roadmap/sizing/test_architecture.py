"""Parameters and arithmetic against what the authors state, and against transformers' classes."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from roadmap.sizing.architecture import Architecture
from roadmap.sizing.published import ARCHITECTURES

UNITS = {"M": 1e6, "B": 1e9}


def near(count: int, stated: str) -> bool:
    """Whether the count is the stated one, to its last digit."""
    digits, unit = stated[:-1], UNITS.get(stated[-1])
    if unit is None:
        return count == int(stated.replace(",", ""))
    decimals = len(digits.partition(".")[2])
    return abs(count / unit - float(digits)) < 10**-decimals


@pytest.mark.parametrize("one", ARCHITECTURES.values(), ids=list(ARCHITECTURES))
def test_the_count_is_the_one_its_authors_state(one: Architecture) -> None:
    assert near(one.parameters(), one.published)
    assert bool(one.published_active) == bool(one.experts)
    if one.experts:
        assert near(one.parameters(active=True), one.published_active)


def reference(one: Architecture) -> torch.nn.Module:
    """transformers' network of these sizes, without memory behind it."""
    common: dict[str, Any] = {
        "vocab_size": one.vocab, "hidden_size": one.width, "num_hidden_layers": one.layers,
        "num_attention_heads": one.heads, "num_key_value_heads": one.groups, "intermediate_size": one.hidden,
        "tie_word_embeddings": one.tied, "max_position_embeddings": one.context, "head_dim": one.head_width,
        "attn_implementation": "eager",
    }  # fmt: skip
    latent: dict[str, Any] = {}
    if c := one.latent:
        latent = {
            "q_lora_rank": c.query, "kv_lora_rank": c.key_value, "qk_nope_head_dim": c.plain,
            "qk_rope_head_dim": c.rotary, "v_head_dim": c.value, "n_routed_experts": one.experts,
            "num_experts_per_tok": one.active, "n_shared_experts": one.shared, "first_k_dense_replace": one.dense,
            "moe_intermediate_size": one.hidden, "intermediate_size": one.dense_hidden, "head_dim": c.rotary,
        }  # fmt: skip
    t: Any = transformers
    kinds: dict[str, Any] = {
        "gpt": lambda: t.GPT2Config(
            vocab_size=one.vocab, n_embd=one.width, n_layer=one.layers, n_head=one.heads, n_inner=one.hidden,
            n_positions=one.context, attn_implementation="eager",
        ),
        "llama": lambda: t.LlamaConfig(**common),
        "smollm2": lambda: t.LlamaConfig(**common),
        "mistral": lambda: t.MistralConfig(**common),
        "mixtral": lambda: t.MixtralConfig(
            **common, num_local_experts=one.experts, num_experts_per_tok=one.active
        ),
        "qwen-2": lambda: t.Qwen2Config(**common),
        "qwen-3": lambda: t.Qwen3Config(**common)
        if not one.experts
        else t.Qwen3MoeConfig(
            **common, num_experts=one.experts, num_experts_per_tok=one.active, moe_intermediate_size=one.hidden
        ),
        "gemma-2b": lambda: t.GemmaConfig(**common),
        "gemma-2-": lambda: t.Gemma2Config(**common),
        "gemma-3": lambda: t.Gemma3TextConfig(**common),
        "deepseek-v2": lambda: t.DeepseekV2Config(**(common | latent)),
        "deepseek-v3": lambda: t.DeepseekV3Config(**(common | latent)),
    }  # fmt: skip
    config = next(make for start, make in kinds.items() if one.name.startswith(start))()
    with torch.device("meta"):
        return t.AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_count_is_that_of_the_reference_implementation(name: str) -> None:
    """Of a few layers, since all are alike."""
    full = ARCHITECTURES[name]
    one = replace(full, layers=full.dense + 2)
    assert sum(value.numel() for value in reference(one).parameters()) == one.parameters()


@pytest.mark.parametrize("name", ["llama-3.2-1b", "qwen-3-0.6b", "gemma-2b", "gpt-2"])
def test_the_arithmetic_is_that_of_the_reference_implementation(name: str) -> None:
    """Each of t tokens against all t, as the reference computes before it masks."""
    one, t = ARCHITECTURES[name], 64
    network = reference(one)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        network(torch.zeros(1, t, dtype=torch.long))
    assert counter.get_total_flops() == pytest.approx(t * one.flops(t), rel=1e-3)


def test_windows_groups_and_latents_make_the_cache_small() -> None:
    a = ARCHITECTURES
    assert a["llama-2-7b"].cache_values(4096) * 2 == 2 * 2**30, "2 GiB in 16 bits"
    assert a["mistral-7b"].cache_values(8192) == a["mistral-7b"].cache_values(4096), "a rolling buffer"
    assert a["llama-2-70b"].cache_values(1) == replace(a["llama-2-70b"], kv_heads=64).cache_values(1) / 8
    # Gemma 3's report: one layer of six sees all, the others 512.
    assert a["gemma-3-1b"].seen(32_768).count(32_768) == 4
    # DeepSeek-V2, section 2.1.4: as much as grouped-query attention with 2.25 groups.
    assert a["deepseek-v2"].cache_values(1) / 60 == pytest.approx(2.25 * 2 * 128)
