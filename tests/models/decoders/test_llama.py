"""models/decoders/llama.py against transformers' classes, in files that go both ways; its cache, window, experts."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.decoders.llama import Experts, LLaMA, Shape
from models.decoders.published import (
    GEMMA_2B,
    GEMMA_3_1B,
    LLAMA_2_7B,
    LLAMA_3_1_8B,
    MISTRAL_7B,
    MIXTRAL_8X7B,
    QWEN3_0_6B,
    SMOLLM2_135M,
    from_transformers,
    to_transformers,
)
from models.decoders.rotary import Linear, Llama3, Yarn
from roadmap.training.export import export

VOCAB = 40
TINY = {"vocab": VOCAB, "width": 32, "layers": 3, "heads": 4, "kv_heads": 2, "hidden": 48, "block": 64, "d": None}
TRAINING: dict[str, Any] = {"lr": 1e-2, "final_lr": 0.1, "warmup": 2, "weight_decay": 0.1, "beta2": 0.99}


@dataclass
class Case:
    """A shape, transformers' class for it, and what its configuration says beside the usual."""

    shape: Shape
    name: str
    config: dict[str, Any]


def tiny(shape: Shape, **changes: Any) -> Shape:
    return replace(shape, **{**TINY, **changes})


def rope(base: float, kind: str = "default", **scaling: Any) -> dict[str, Any]:
    return {"rope_theta": base, "rope_type": kind, **scaling}


STRETCHED = Llama3(8.0, 1.0, 4.0, original=16)
CASES = {
    "llama": Case(tiny(LLAMA_2_7B, kv_heads=4), "Llama", {"rope_parameters": rope(1e4)}),
    "llama_3": Case(
        tiny(LLAMA_3_1_8B, scaling=STRETCHED),
        "Llama",
        {
            "rope_parameters": rope(
                500_000.0,
                "llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=16,
            )
        },
    ),
    "linear": Case(
        tiny(LLAMA_2_7B, scaling=Linear(4.0)), "Llama", {"rope_parameters": rope(1e4, "linear", factor=4.0)}
    ),
    "mistral": Case(tiny(MISTRAL_7B, window=5), "Mistral", {"rope_parameters": rope(1e4), "sliding_window": 5}),
    "mixtral": Case(
        tiny(MIXTRAL_8X7B, experts=4),
        "Mixtral",
        {"rope_parameters": rope(1e6), "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    ),
    "qwen_2": Case(
        tiny(QWEN3_0_6B, qk_norm=False, qkv_bias=True),
        "Qwen2",
        {"rope_parameters": rope(1e6)},
    ),
    "qwen_3": Case(tiny(QWEN3_0_6B, d=16), "Qwen3", {"rope_parameters": rope(1e6)}),
    "yarn": Case(
        tiny(QWEN3_0_6B, d=16, scaling=Yarn(4.0, original=16)),
        "Qwen3",
        {"rope_parameters": rope(1e6, "yarn", factor=4.0, original_max_position_embeddings=16)},
    ),
    "gemma": Case(tiny(GEMMA_2B, kv_heads=1, d=16), "Gemma", {"rope_parameters": rope(1e4)}),
    "gemma_3": Case(
        tiny(GEMMA_3_1B, kv_heads=1, d=16, window=5, period=2),
        "Gemma3",
        {
            "rope_parameters": {"full_attention": rope(1e6), "sliding_attention": rope(1e4)},
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "sliding_window": 5,
            "query_pre_attn_scalar": 16,
        },
    ),
}


def ours(shape: Shape, seed: int = 0) -> LLaMA:
    """Random weights, in norms and biases too."""
    torch.manual_seed(seed)
    model = LLaMA(**vars(shape), **TRAINING).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def transformers_model(case: Case) -> Any:
    import transformers

    s, name = case.shape, "Gemma3Text" if case.name == "Gemma3" else case.name
    config = getattr(transformers, f"{name}Config")(
        vocab_size=s.vocab, hidden_size=s.width, num_hidden_layers=s.layers, num_attention_heads=s.heads,
        num_key_value_heads=s.kv_heads, head_dim=s.head, intermediate_size=s.hidden, rms_norm_eps=s.eps,
        max_position_embeddings=s.block, tie_word_embeddings=s.tied, bos_token_id=0, eos_token_id=0, pad_token_id=0,
        **case.config,
    )  # fmt: skip
    torch.manual_seed(1)
    model = getattr(transformers, f"{case.name}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def tokens(n: int, t: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(VOCAB, (n, t), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_files_round_trip_with_transformers(name: str, tmp_path: Path) -> None:
    case, x = CASES[name], tokens(2, 33)
    reference, model = transformers_model(case), ours(case.shape)
    reference.save_pretrained(tmp_path)
    mine = {key: value.clone() for key, value in model.state_dict().items()}

    model.load_state_dict(from_transformers(load_file(tmp_path / "model.safetensors"), case.shape))
    torch.testing.assert_close(model(x), reference(x).logits, atol=1e-4, rtol=1e-4)

    model.load_state_dict(mine)
    save_file(to_transformers(mine, case.shape), tmp_path / "model.safetensors", metadata={"format": "pt"})
    again = type(reference).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(x).logits, model(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "published"),
    [
        (LLAMA_2_7B, 6_738_415_616),
        (LLAMA_3_1_8B, 8_030_261_248),
        (MISTRAL_7B, 7_241_732_096),
        (MIXTRAL_8X7B, 46_702_792_704),
        (QWEN3_0_6B, 596_049_920),
        (GEMMA_2B, 2_506_172_416),
        (GEMMA_3_1B, 999_885_952),
        (SMOLLM2_135M, 134_515_008),
    ],
    ids=["llama_2", "llama_3", "mistral", "mixtral", "qwen_3", "gemma", "gemma_3", "smollm2"],
)
def test_settings_have_the_published_number_of_parameters(shape: Shape, published: int) -> None:
    def count(layers: int) -> int:
        with torch.device("meta"):
            model = LLaMA(**vars(replace(shape, layers=layers)), **TRAINING)
        return sum(parameter.numel() for parameter in model.parameters())

    one, two = count(1), count(2)
    assert one + (shape.layers - 1) * (two - one) == published


@torch.no_grad()
def test_sliding_windows_limit_attention() -> None:
    x = tokens(1, 12)
    changed = x.clone()
    changed[0, 2] = (changed[0, 2] + 1) % VOCAB

    def reached(shape: Shape) -> list[int]:
        model = ours(shape)
        return ((model(x) - model(changed)).abs().amax(dim=(0, 2)) > 1e-6).nonzero().flatten().tolist()

    assert reached(tiny(MISTRAL_7B, layers=1, window=4)) == [2, 3, 4, 5]
    assert reached(tiny(MISTRAL_7B, layers=2, window=4)) == [2, 3, 4, 5, 6, 7, 8]
    assert reached(tiny(GEMMA_3_1B, kv_heads=1, layers=2, window=4, period=2)) == list(range(2, 12))


def test_the_expert_balance_loss_is_one_if_uniform() -> None:
    torch.manual_seed(0)
    experts = Experts(tiny(MIXTRAL_8X7B, experts=4, active=1))
    x = torch.eye(4, 32).repeat(3, 1)[None]
    with torch.no_grad():
        experts.router.weight.copy_(10 * torch.eye(4, 32))
        experts(x)
        assert experts.balance.item() == pytest.approx(1, abs=0.01)
        experts.router.weight.copy_(10 * torch.eye(1, 32).expand(4, -1) * torch.tensor([[1.0], [0], [0], [0]]))
        experts(x[:, :1])
        assert experts.balance.item() == pytest.approx(4, abs=0.01), "a single expert"


def test_a_small_mixture_of_experts_learns() -> None:
    """Of a text that repeats three tokens, every token after the third is known."""
    torch.manual_seed(0)
    model = LLaMA(**vars(tiny(MIXTRAL_8X7B, vocab=8, block=16, layers=1)), **TRAINING)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, fused=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        text = torch.randint(8, (16, 3), generator=generator).repeat(1, 4)
        loss = model.loss(text[:, :-1], text[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1.0, "a guess costs ln 8 = 2.08"


@pytest.mark.slow
@torch.no_grad()
def test_the_exported_decoder_reads_in_chunks_and_ignores_padding(tmp_path: Path) -> None:
    import onnxruntime

    shape = replace(CASES["gemma_3"].shape, layers=2, experts=4, active=2)  # windows, norms and experts at once
    model, x = ours(shape), tokens(3, 14)
    export(model, (tokens(2, 8).int().numpy(),), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "decoder.onnx", providers=["CPUExecutionProvider"])
    expected = model(x).numpy()
    short = model(x[1:2, :9]).numpy()[0]  # this one comes five tokens later
    x[1, 5:] = x[1, :9].clone()
    padding = np.array([0, 5, 0])
    past = {one.name: np.zeros((3, shape.kv_heads, 0, shape.head), np.float32) for one in session.get_inputs()[2:]}
    got = []
    for start, end in ((0, 7), (7, 8), (8, 9), (9, 14)):
        logits, *present, _ = session.run(None, {"tokens": x[:, start:end].numpy(), "padding": padding, **past})
        past = dict(zip(past, present, strict=True))
        got.append(logits)
    read = np.concatenate(got, axis=1)
    np.testing.assert_allclose(read[[0, 2]], expected[[0, 2]], atol=1e-4)
    np.testing.assert_allclose(read[1, 5:], short, atol=1e-4)
