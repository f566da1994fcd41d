"""Masks, learning rates by layer, and what stays frozen."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from models.bert.classifier import Classifier
from models.bert.encoder import Bert
from models.bert.tasks import IGNORE, MaskedLanguageModel, inside, mask_tokens
from tests.support.bert import SHAPES, batch


def test_a_seventh_of_the_tokens_is_asked_and_mostly_masked() -> None:
    tokens = torch.randint(10, 1000, (200, 100), generator=torch.Generator().manual_seed(1))
    free = torch.arange(100) > 0  # not [CLS]
    read, targets = mask_tokens(
        tokens, free.expand(200, -1), mask=3, vocab=1000, generator=torch.Generator().manual_seed(0)
    )
    masked = targets != IGNORE
    assert masked.float().mean().item() == pytest.approx(0.15 * 0.99, abs=0.01)
    assert not masked[:, 0].any() and torch.equal(read[~masked], tokens[~masked])
    assert torch.equal(targets[masked], tokens[masked])
    assert (read[masked] == 3).float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert (read[masked] == tokens[masked]).float().mean().item() == pytest.approx(0.1, abs=0.03)
    again, _ = mask_tokens(tokens, free.expand(200, -1), mask=3, vocab=1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(read, again)


def test_lower_blocks_learn_more_slowly() -> None:
    model = Classifier(Bert(SHAPES["many types"]), 2, lr=1.0, decay=0.5, weight_decay=0.1)
    rates = {id(p): group["lr"] for group in model.groups() for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    bert = model.bert
    assert [rates[id(block.get_parameter("expand.weight"))] for block in bert.blocks] == [0.25, 0.5, 1.0]
    assert rates[id(bert.tokens.weight)] == 0.125 and rates[id(model.head.weight)] == rates[id(bert.pooler.bias)] == 1
    decays = {id(p): group["weight_decay"] for group in model.groups() for p in group["params"]}
    assert decays[id(model.head.weight)] == 0.1 and decays[id(model.head.bias)] == 0

    model._trainer = SimpleNamespace(estimated_stepping_batches=20, precision="32-true")  # type: ignore[assignment]
    paces = [model.pace(step, 20) for step in range(21)]
    assert paces[:3] == [0.5, 1.0, 1.0] and paces[-1] == 0
    made = model.configure_optimizers()
    assert {group["initial_lr"] for group in made["optimizer"].param_groups} == {0.125, 0.25, 0.5, 1.0}


def test_it_learns_to_say_a_hidden_token_by_those_before_and_behind() -> None:
    """Every token is one of its neighbour before and one less than that behind."""
    torch.manual_seed(0)
    model = MaskedLanguageModel(Bert(replace(SHAPES["narrow"], vocab=12)), lr=1e-2)
    optimizer = torch.optim.AdamW(model.groups(), fused=True)
    generator = torch.Generator().manual_seed(0)
    seen = torch.ones(32, 8, dtype=torch.bool)
    for _ in range(120):
        text = (torch.randint(10, (32, 1), generator=generator) + torch.arange(8)) % 10
        read, targets = mask_tokens(text, seen, 11, 10, generator)
        loss = model.loss(read, seen, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1.5, "a guess costs ln 10 = 2.3"


def test_fine_tuning_starts_from_a_copy_of_the_pretrained_encoder() -> None:
    bert = Bert(SHAPES["narrow"])
    before = {name: value.clone() for name, value in bert.state_dict().items()}
    model = Classifier(bert, 2, lr=0.1, encoder={"dropout": 0.3})
    assert all(torch.equal(value, before[name]) for name, value in model.bert.state_dict().items())
    attention: Any = model.bert.blocks[0].attention
    assert model.bert.shape.dropout == attention.dropout == 0.3
    with torch.no_grad():
        model.bert.tokens.weight.zero_()
    assert torch.equal(bert.tokens.weight, before["tokens.weight"])


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_a_frozen_encoder_stays_as_it_is(pooling: Any) -> None:
    model = Classifier(Bert(SHAPES["narrow"]), 3, lr=0.1, pooling=pooling, frozen=True, decay=1.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.groups())
    tokens, seen, _ = batch(SHAPES["narrow"])
    model.training_step((tokens, seen.sum(dim=1), torch.tensor([0, 1, 2])), 0).backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    pooler = {"bert.pooler.weight", "bert.pooler.bias"} if pooling == "first" else set()
    assert changed == {"head.weight", "head.bias"} | pooler


def test_masks_are_drawn_anew_in_training_and_stay_in_validation() -> None:
    shape = SHAPES["narrow"]
    model = MaskedLanguageModel(Bert(shape), lr=1e-3, mask=3, special=(0, 1, 2, 3)).eval()
    tokens, seen, _ = batch(shape, t=20)
    texts, read = (tokens, seen.sum(dim=1)), []
    model.loss = lambda inputs, *_: read.append(inputs) or torch.zeros(())  # type: ignore[method-assign, func-returns-value]
    for _ in range(2):
        model.training_step(texts, 0)
    for _ in range(2):
        model.masked(texts, torch.Generator().manual_seed(0))
    assert not torch.equal(read[0], read[1]) and torch.equal(read[2], read[3])
    special = tokens < 4
    assert all(torch.equal(one[special], tokens[special]) for one in read)
    assert torch.equal(inside(tokens, texts[1]), seen)


def test_word_dropout_masks_words_in_training_alone() -> None:
    model = Classifier(Bert(SHAPES["narrow"]), 3, lr=0, mask=4, special=(0, 1, 2, 3, 4), word_dropout=0.25)
    model.log = lambda *_, **__: None  # type: ignore[method-assign]
    read: list[torch.Tensor] = []
    model.bert.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    tokens = torch.randint(5, 50, (200, 20), generator=torch.Generator().manual_seed(0))
    tokens[:, 0], tokens[:, 15:] = 2, 0
    given = tokens.int(), torch.full((200,), 15), torch.zeros(200, dtype=torch.long)
    model.training_step(given, 0)
    model.validation_step(given, 0)
    changed = read[0] != tokens
    assert 0.22 < changed[:, 1:15].float().mean() < 0.28 and set(read[0][changed].tolist()) == {4}
    assert not changed[:, 0].any() and not changed[:, 15:].any() and torch.equal(read[1], tokens)


def test_a_batch_without_a_masked_token_has_a_loss() -> None:
    model = MaskedLanguageModel(Bert(SHAPES["narrow"]), lr=1e-3, mask=3, special=(5,))
    loss = model.training_step((torch.full((2, 4), 5), torch.tensor([4, 2])), 0)
    assert torch.isfinite(loss)
