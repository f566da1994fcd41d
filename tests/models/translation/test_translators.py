"""models/translation against torch.nn.Transformer and the paper's formulas; each rung learns and exports."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.translation.gru import GRU, AttentionGRU
from models.translation.transformer import Transformer, sinusoids
from models.translation.translator import BEGIN, END, PAD, Translator, cut
from roadmap.training.export import export

VOCAB, WIDTH, HEADS, HIDDEN, LAYERS = 20, 16, 2, 24, 2


def transformer(**changes: Any) -> Transformer:
    sizes: dict[str, Any] = {"width": WIDTH, "layers": LAYERS, "heads": HEADS, "hidden": HIDDEN, "dropout": 0.0}
    return Transformer(VOCAB, **{**sizes, "warmup": 40, **changes})


LADDER: dict[str, Callable[[], Translator]] = {
    "gru": lambda: GRU(VOCAB, WIDTH, 24, dropout=0.0, warmup=40),
    "attention": lambda: AttentionGRU(VOCAB, WIDTH, 24, dropout=0.0, warmup=40),
    "transformer": transformer,
    "pre-norm": lambda: transformer(pre_norm=True),
    "rotary": lambda: transformer(positions="rotary"),
}


@pytest.fixture(params=LADDER)
def model(request: pytest.FixtureRequest) -> Translator:
    torch.manual_seed(0)
    return LADDER[request.param]().eval()


def pairs(n: int = 3, s: int = 9, t: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    """Sources of 9, 1 and 5 tokens, targets that begin and end."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([s, 1, 5])[:n]
    source = torch.randint(3, VOCAB, (n, s), generator=generator).masked_fill(torch.arange(s) >= lengths[:, None], PAD)
    target = torch.randint(3, VOCAB, (n, t), generator=generator)
    target[:, 0], target[:, -1] = BEGIN, END
    return source, lengths, target


def reference(ours: Transformer, pre_norm: bool) -> nn.Transformer:
    """torch.nn.Transformer with our weights. Behind its last layer it always normalises; the paper doesn't."""
    options: dict[str, Any] = {"dropout": 0.0, "batch_first": True, "norm_first": pre_norm}
    theirs = nn.Transformer(WIDTH, HEADS, LAYERS, LAYERS, HIDDEN, **options).eval()
    if not pre_norm:
        theirs.encoder.norm = theirs.decoder.norm = None
    state = {}
    for stack in ("encoder", "decoder"):
        third = "norm3" if stack == "decoder" else "norm2"
        names = {"norm_1": "norm1", "norm_2": "norm2", "norm_3": third, "expand": "linear1", "contract": "linear2"}
        for i, layer in enumerate(getattr(ours, stack)):
            for ending in ("weight", "bias"):
                for part, name in (("attention", "self_attn"), ("cross", "multihead_attn")):
                    if hasattr(layer, part):
                        attention, place = getattr(layer, part), f"{stack}.layers.{i}.{name}"
                        packed = torch.cat([getattr(attention.q, ending), getattr(attention.kv, ending)])
                        state[f"{place}.in_proj_{ending}"] = packed
                        state[f"{place}.out_proj.{ending}"] = getattr(attention.project, ending)
                for part, name in names.items():
                    if hasattr(layer, part):
                        state[f"{stack}.layers.{i}.{name}.{ending}"] = getattr(getattr(layer, part), ending)
                if pre_norm:
                    state[f"{stack}.norm.{ending}"] = getattr(getattr(ours, f"{stack}_norm"), ending)
    theirs.load_state_dict(state)
    return theirs


@torch.no_grad()
@pytest.mark.parametrize("pre_norm", [False, True])
def test_logits_are_those_of_pytorchs_own_transformer(pre_norm: bool) -> None:
    torch.manual_seed(0)
    ours = transformer(pre_norm=pre_norm).eval()
    for parameter in ours.parameters():  # norms and biases too
        parameter.add_(0.1 * torch.randn_like(parameter))
    source, lengths, target = pairs()
    padding = source == PAD
    hidden = reference(ours, pre_norm)(
        ours.embed(source, 0)[0],
        ours.embed(target, 0)[0],
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(target.shape[1]),
        tgt_is_causal=True,
        src_key_padding_mask=padding,
        memory_key_padding_mask=padding,
    )
    torch.testing.assert_close(ours(source, lengths, target), ours.logits(hidden), atol=1e-5, rtol=1e-5)


def test_positions_and_warm_up_are_the_papers_formulas() -> None:
    table = sinusoids(3, 2, 8, torch.device("cpu"))
    for row, position in enumerate((3, 4)):
        for i in range(4):
            angle = position / 10_000 ** (2 * i / 8)
            assert table[row, 2 * i].item() == pytest.approx(np.sin(angle), abs=1e-6)
            assert table[row, 2 * i + 1].item() == pytest.approx(np.cos(angle), abs=1e-6)
    model = Transformer(VOCAB, 512, 1, 8, 16, 0.1)
    paces = [model.pace(step) for step in (0, 3999, 15_999)]
    assert paces == pytest.approx([512**-0.5 * 4000**-1.5, (512 * 4000) ** -0.5, (512 * 16_000) ** -0.5])


def test_a_short_training_may_let_its_learning_rate_fall_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = transformer(linear=True, warmup=10)
    monkeypatch.setattr(Transformer, "trainer", SimpleNamespace(estimated_stepping_batches=100))
    paces = [model.pace(step) for step in range(100)]
    peak = int(np.argmax(paces))
    assert 7 <= peak <= 9 and paces[4] == pytest.approx(WIDTH**-0.5 * 5 * 10**-1.5)
    np.testing.assert_allclose(np.diff(paces[10:]), paces[20] - paces[19], rtol=1e-6)
    assert 0 < paces[-1] < paces[peak] / 50


def test_a_batch_is_cut_to_its_longest() -> None:
    source, lengths, target = pairs()
    target[:, 4:] = PAD
    found = cut(torch.cat([source, torch.zeros_like(source)], dim=1), lengths, target)
    assert found[0].shape == (3, 9) and found[2].shape == (3, 4)


def test_the_base_model_has_the_papers_size() -> None:
    """Table 3: 65 million, with the 37,000 tokens of section 5.1; their matrices have no biases, and ours have."""
    with torch.device("meta"):
        base = Transformer(37_000, 512, 6, 8, 2048, 0.1)
    assert sum(parameter.numel() for parameter in base.parameters()) / 1e6 == pytest.approx(63, abs=0.2)


def test_smoothed_labels_cost_what_section_5_4_says() -> None:
    model = LADDER["transformer"]().eval()
    source, lengths, target = pairs()
    target[1, 4:] = PAD
    logits = model(source, lengths, target[:, :-1]).log_softmax(dim=-1)
    costs = []
    for row, column in (target[:, 1:] != PAD).nonzero().tolist():
        wanted = torch.full((VOCAB,), 0.1 / VOCAB)
        wanted[target[row, column + 1]] += 0.9
        costs.append(-(wanted * logits[row, column]).sum())
    assert model.loss(source, lengths, target, smoothing=0.1).item() == pytest.approx(torch.stack(costs).mean().item())


@torch.no_grad()
def test_a_target_sees_nothing_later_and_padding_changes_nothing(model: Translator) -> None:
    source, lengths, target = pairs()
    later = target.clone()
    later[:, 5:] = 3
    whole = model(source, lengths, target)
    torch.testing.assert_close(model(source, lengths, later)[:, :5], whole[:, :5])
    noise = torch.where(source == PAD, 7, source)
    torch.testing.assert_close(model(noise, lengths, target), whole)
    torch.testing.assert_close(model(source[2:, :5], lengths[2:], target[2:]), whole[2:], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_attention_is_to_the_source_alone(model: Translator) -> None:
    source, lengths, target = pairs()
    _, attention, _ = model.step(target, *model.encode(source, lengths))
    if isinstance(model, GRU):
        assert attention is None
    else:
        assert attention is not None and attention.shape == (3, 7, 9)
        torch.testing.assert_close(attention.sum(dim=-1), torch.ones(3, 7))
        assert (attention[1, :, 1:] == 0).all()


@pytest.mark.parametrize("model", ["gru", "attention", "rotary"], indirect=True)  # PyTorch's equal the others
def test_it_learns_to_say_the_source_backwards(model: Translator) -> None:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, fused=True)
    generator = torch.Generator().manual_seed(0)

    def batch(n: int) -> tuple[Tensor, Tensor, Tensor]:
        source = torch.randint(3, 9, (n, 2), generator=generator)
        ends = torch.full((n, 1), BEGIN), torch.full((n, 1), END)
        return source, torch.full((n,), 2), torch.cat([ends[0], source.flip(1), ends[1]], dim=1)

    for _ in range(80):
        loss = model.training_step(batch(32), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    source, lengths, target = batch(50)
    written = model.eval().greedy(source, lengths, most=4)
    right = sum(row == wanted for row, wanted in zip(written, target[:, 1:-1].tolist(), strict=True))
    assert right > 30, "by chance one of 36"


@torch.no_grad()
@pytest.mark.parametrize("model", ["gru", "attention", "transformer", "rotary"], indirect=True)
def test_the_exported_graphs_write_what_a_plain_loop_does_and_follow_parents(model: Translator, tmp_path: Path) -> None:
    import onnxruntime

    source, lengths, _ = pairs()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5  # which the graphs must not have
    export(model, (source[:2].int().numpy(), lengths[:2].int().numpy()), tmp_path)
    encoder, decoder = (
        onnxruntime.InferenceSession(tmp_path / f"{name}.onnx", providers=["CPUExecutionProvider"])
        for name in ("encoder", "decoder")
    )
    names = [one.name for one in encoder.get_outputs()]
    found = dict(zip(names, encoder.run(None, {"source": source.numpy(), "lengths": lengths.numpy()}), strict=True))
    outputs = [one.name for one in decoder.get_outputs()]
    parents = np.arange(3)
    tokens, written = np.full(3, BEGIN), list[Any]()
    for i in range(6):
        got = dict(zip(outputs, decoder.run(None, {"tokens": tokens, "parents": parents, **found}), strict=True))
        found |= {name.removeprefix("next_"): value for name, value in got.items() if name.startswith("next_")}
        tokens, parents = got["log_probabilities"].argmax(axis=1), np.arange(3)
        written.append(tokens)
        if i == 2:  # from here the first two rows have changed places, their source as well
            parents = np.array([1, 0, 2])
            tokens = tokens[parents]
            found |= {name: value[parents] for name, value in found.items() if name.startswith("memory")}
            written = [row[parents] for row in written]
    expected = torch.full((3, 1), BEGIN)
    for _ in range(6):
        expected = torch.cat([expected, model(source, lengths, expected)[:, -1:].argmax(dim=-1)], dim=1)
    assert np.stack(written, axis=1).tolist() == expected[[1, 0, 2], 1:].tolist()
