"""models/decoders/gpt.py against what is known: transformers' GPT-2, causality, its own graph with a cache."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from models.decoders.gpt import GPT, Block, from_gpt2, to_gpt2
from models.decoders.muon import MuonAdamW
from roadmap.training.export import export

VOCAB, BLOCK = 40, 24


def gpt(**changes: Any) -> GPT:
    torch.manual_seed(0)
    size = {"vocab": VOCAB, "block": BLOCK, "layers": 3, "heads": 2, "width": 32}
    recipe = {"dropout": 0.0, "lr": 1e-2, "final_lr": 0.1, "warmup": 2, "weight_decay": 0.1, "beta2": 0.99}
    return GPT(**{**size, **recipe, "positions": "learned", "bias": True, **changes}).eval()


def tokens(n: int, t: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(VOCAB, (n, t), generator=torch.Generator().manual_seed(seed))


def transformers_model() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=VOCAB, n_positions=BLOCK, n_embd=32, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return GPT2LMHeadModel(config).eval()


@torch.no_grad()
def test_our_weights_match_in_transformers_and_back() -> None:
    ours, reference, x = gpt(), transformers_model(), tokens(2, BLOCK)
    for parameter in ours.parameters():  # norms and biases too
        parameter.add_(0.1 * torch.randn_like(parameter))
    missing, unexpected = reference.load_state_dict(to_gpt2(ours.state_dict()), strict=False)
    assert not unexpected and all(name.endswith("attn.bias") for name in missing)
    torch.testing.assert_close(reference(x).logits, ours(x), atol=1e-4, rtol=1e-4)
    again = gpt()
    again.load_state_dict(from_gpt2(reference.state_dict()))
    torch.testing.assert_close(again(x), ours(x), atol=0, rtol=0)


@torch.no_grad()
def test_weights_from_transformers_match_here() -> None:
    ours, reference, x = gpt(), transformers_model(), tokens(2, BLOCK)
    ours.load_state_dict(from_gpt2(reference.state_dict()))
    torch.testing.assert_close(ours(x), reference(x).logits, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_attention_is_causal(positions: str) -> None:
    model, x = gpt(positions=positions), tokens(1, 12)
    changed = x.clone()
    changed[0, 8] = (changed[0, 8] + 1) % VOCAB
    before, after = model(x), model(changed)
    torch.testing.assert_close(before[:, :8], after[:, :8])
    assert (before[:, 8:] - after[:, 8:]).abs().amax(dim=(0, 2)).min() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_the_order_of_tokens_matters(positions: str) -> None:
    model = gpt(positions=positions, layers=1)
    assert not torch.allclose(
        model(torch.tensor([[1, 2, 3]]))[0, -1], model(torch.tensor([[2, 1, 3]]))[0, -1], atol=1e-6
    )


def test_weights_are_initialised_as_published() -> None:
    model = gpt(width=128, layers=8)
    assert model.head.weight is model.tokens.weight
    first = model.blocks[0]
    assert isinstance(first, Block)
    assert first.mlp.expand.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert first.mlp.project.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    loss = model.loss(tokens(4, BLOCK), tokens(4, BLOCK, 1)).item()
    assert loss == pytest.approx(np.log(VOCAB), abs=0.1), "before training all tokens are about as likely"


def test_the_schedule_warms_up_and_decays() -> None:
    paces = [gpt().pace(step, 20) for step in range(21)]
    assert paces[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert paces[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(paces[2:]))


def test_muon_updates_block_matrices_and_the_schedule_reaches_both_optimizers() -> None:
    model = gpt(muon=0.02, lr=1e-3)
    model._trainer = SimpleNamespace(estimated_stepping_batches=20)  # type: ignore[assignment]
    made = model.configure_optimizers()
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]
    assert isinstance(optimizer, MuonAdamW) and isinstance(scheduler, dict)
    schedule = scheduler["scheduler"]
    assert isinstance(schedule, LambdaLR)
    matrices = {id(p) for name, p in model.named_parameters() if name.startswith("blocks.") and p.ndim == 2}
    muon, adamw = optimizer.both
    assert {id(p) for group in muon.param_groups for p in group["params"]} == matrices
    rest = {id(p) for group in adamw.param_groups for p in group["params"]}
    assert rest == {id(p) for p in model.parameters()} - matrices
    before = [group["lr"] for group in muon.param_groups + adamw.param_groups]
    optimizer.step()
    schedule.step()
    after = [group["lr"] for group in muon.param_groups + adamw.param_groups]
    assert all(b > a for a, b in zip(before, after, strict=True)), "warm-up"


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_it_learns_a_task_that_needs_attention(positions: str) -> None:
    """The second half of a text repeats the first: each of its tokens occurs eight positions earlier."""
    model = gpt(positions=positions, vocab=8, layers=2, width=64, heads=4).train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, fused=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        half = torch.randint(8, (32, 8), generator=generator)
        text = torch.cat([half, half], dim=1)
        loss = F.cross_entropy(model(text[:, :-1])[:, 8:].flatten(0, 1), text[:, 9:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.1:
            break
    assert loss.item() < 0.2 < np.log(8)


@pytest.fixture(scope="module", params=["learned", "rotary"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[GPT, Any]:
    import onnxruntime

    folder: Path = tmp_path_factory.mktemp(request.param)
    model = gpt(positions=request.param)
    export(model, (tokens(2, BLOCK).int().numpy(),), folder)
    return model, onnxruntime.InferenceSession(folder / "decoder.onnx", providers=["CPUExecutionProvider"])


@torch.no_grad()
def test_reading_in_chunks_equals_reading_at_once(exported: tuple[GPT, Any]) -> None:
    model, session = exported
    x = tokens(3, 20)
    expected = model(x).numpy()
    past = {one.name: np.zeros((3, 2, 0, 16), np.float32) for one in session.get_inputs()[2:]}
    got = []
    for start, end in ((0, 7), (7, 8), (8, 9), (9, 20)):
        feeds = {"tokens": x[:, start:end].numpy(), "padding": np.zeros(3, np.int64), **past}
        logits, *present, _ = session.run(None, feeds)
        past = dict(zip(past, present, strict=True))
        got.append(logits)
    np.testing.assert_allclose(np.concatenate(got, axis=1), expected, atol=1e-4)


@torch.no_grad()
def test_padding_changes_nothing(exported: tuple[GPT, Any]) -> None:
    model, session = exported
    x = tokens(1, 9)
    past = {one.name: np.zeros((2, 2, 0, 16), np.float32) for one in session.get_inputs()[2:]}
    both = np.zeros((2, 9), np.int64)
    both[0], both[1, 4:] = x[0].numpy(), x[0, :5].numpy()
    logits = session.run(["logits"], {"tokens": both, "padding": np.array([0, 4]), **past})[0]
    np.testing.assert_allclose(logits[0], model(x)[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(logits[1, 4:], model(x[:, :5])[0].numpy(), atol=1e-4)
