"""LoRA and NF4: what they promise, and peft's reading of the same adapter."""

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.decoders.adapters import BLOCK, LEVELS, NF4, LoRA, NF4Linear, adapt, adapted, from_peft, merge, to_peft


class Network(nn.Module):
    """Two layers, none of them square."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(48, 80), nn.Linear(80, 24, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.relu(self.up(x)))


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network().eval()


X = torch.randn(5, 48, generator=torch.Generator().manual_seed(1))


def moved(model: nn.Module) -> None:
    """As if trained."""
    for _, part in adapted(model):
        nn.init.normal_(part.b, std=0.1)


def test_training_begins_at_the_base(network: Network) -> None:
    before = network(X)
    assert adapt(network, ".", r=4, alpha=8) == ["up", "down"]
    assert torch.equal(network(X), before)
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert trained == {"up.a", "up.b", "down.a", "down.b"}


@pytest.mark.parametrize("nf4", [False, True])
def test_merged_and_unmerged_agree(network: Network, nf4: bool) -> None:
    adapt(network, ".", r=4, alpha=8, nf4=nf4)
    moved(network)
    unmerged = network(X)
    merge(network)
    assert [type(part) for part in network.children()] == [nn.Linear, nn.Linear]
    torch.testing.assert_close(network(X), unmerged, atol=1e-5, rtol=0)


def test_only_layers_of_the_pattern_are_adapted(network: Network) -> None:
    adapt(network, "^down$", r=2, alpha=2)
    assert [name for name, _ in adapted(network)] == ["down"]
    assert not any(value.requires_grad for value in network.up.parameters())
    with pytest.raises(ValueError, match=r"no linear layer matches 'query'; expected some of up, down"):
        adapt(Network(), "query", r=2, alpha=2)


@pytest.mark.parametrize("nf4", [False, True])
def test_an_adapter_learns_what_a_change_of_its_rank_can_say(network: Network, nf4: bool) -> None:
    """The target is the base plus a change of rank 2."""
    wanted = copy.deepcopy(network)
    torch.manual_seed(2)
    with torch.no_grad():
        wanted.down.weight += torch.randn(24, 2) @ torch.randn(2, 80) / 8
    adapt(network, "down", r=2, alpha=2, nf4=nf4)
    x = torch.randn(256, 48)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.02)
    first = nn.functional.mse_loss(network(x), wanted(x)).item()
    for _ in range(300):
        loss = nn.functional.mse_loss(network(x), wanted(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < (0.05 if nf4 else 0.001) * first  # four bits leave an error that no rank 2 mends


def test_nf4_errs_by_half_a_level_at_most() -> None:
    torch.manual_seed(0)
    weight = torch.randn(100, 130)  # 13,000 weights: the last block is not full
    found = NF4(weight).dense()
    blocks = nn.functional.pad(weight.flatten(), (0, -weight.numel() % BLOCK)).view(-1, BLOCK)
    largest = blocks.abs().amax(dim=1, keepdim=True).expand_as(blocks).flatten()[: weight.numel()].view_as(weight)
    gap = LEVELS.diff().max() / 2
    step = (blocks.abs().amax(dim=1).max() - blocks.abs().amax(dim=1).min()) / 255
    assert ((found - weight).abs() <= gap * largest + step).all()
    scales = blocks.abs().amax(dim=1, keepdim=True) / 7
    equal_steps = (blocks / scales).round() * scales - blocks  # the usual int4
    assert (found - weight).square().mean() < 0.8 * equal_steps.square().mean()


def test_nf4_takes_its_bytes() -> None:
    stored = sum(value.numel() * value.element_size() for value in NF4(torch.randn(512, 512)).buffers())
    weights = 512 * 512
    scales = weights // BLOCK
    assert stored == weights // 2 + scales + 2 * 4 * scales // 256
    assert 8 * stored / weights < 4.13


def test_nf4_keeps_levels_and_zero_exactly() -> None:
    weight = LEVELS.repeat(BLOCK // 16).view(8, -1)
    assert torch.equal(NF4(weight).dense(), weight)
    assert torch.equal(NF4(torch.zeros(3, 5)).dense(), torch.zeros(3, 5))


def test_gradients_pass_a_quantised_layer(network: Network) -> None:
    """The same as those of its dense matrix."""
    coarse = NF4Linear(network.up)
    x, y = X.clone().requires_grad_(), X.clone().requires_grad_()
    coarse(x).square().sum().backward()
    coarse.dense()(y).square().sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.grad)


def test_peft_loads_our_adapter_and_we_load_its(network: Network, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = copy.deepcopy(network)
    adapt(network, ".", r=4, alpha=16)
    moved(network)
    tensors, config = to_peft(network)
    save_file({name: value.contiguous() for name, value in tensors.items()}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path)).eval()
    torch.testing.assert_close(theirs(X), network(X))

    theirs = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(r=3, lora_alpha=6, target_modules=["down"]))
    nn.init.normal_(theirs.base_model.model.down.lora_B["default"].weight)
    theirs.save_pretrained(tmp_path / "theirs")
    written = json.loads((tmp_path / "theirs" / "adapter_config.json").read_text())
    from_peft(base, load_file(tmp_path / "theirs" / "adapter_model.safetensors"), written)
    torch.testing.assert_close(base(X), theirs.eval()(X))


def test_another_models_adapter_is_refused(network: Network) -> None:
    adapt(network, ".", r=4, alpha=16)
    tensors, config = to_peft(network)
    other = nn.Module()
    other.up, other.down = nn.Linear(48, 64), nn.Linear(64, 24)
    with pytest.raises(ValueError, match=r"up: found a change of 80 x 48; expected 64 x 48: another base model"):
        from_peft(other, tensors, config)
    assert not any(isinstance(part, LoRA) for part in other.modules())
    with pytest.raises(ValueError, match=r"found IA3 with options; expected plain LoRA"):
        from_peft(Network(), tensors, {**config, "peft_type": "IA3"})
    with pytest.raises(ValueError, match=r"found weights for head"):
        from_peft(Network(), {f"base_model.model.head.lora_{x}.weight": torch.zeros(4, 4) for x in "AB"}, config)
