"""models/t5.py against transformers' T5, in files that go both ways; buckets of distances; span corruption."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.t5 import (
    END,
    PAD,
    T5,
    T5_1_1_SMALL,
    T5_SMALL,
    Shape,
    bucket,
    corrupt_spans,
    from_transformers,
    to_transformers,
)  # fmt: skip

TINY: dict[str, Any] = {"vocab": 40, "width": 24, "layers": 2, "heads": 3, "d": 5, "hidden": 32, "far": 20}
TINY |= {"buckets": 12, "dropout": 0.0}
SHAPES = {"t5": replace(T5_SMALL, **TINY), "t5 1.1": replace(T5_1_1_SMALL, **TINY)}


def shaken(model: Any) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def transformers_model(shape: Shape) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    tied: Any = {"tie_word_embeddings": shape.tied}
    config = T5Config(
        vocab_size=shape.vocab, d_model=shape.width, d_kv=shape.d, d_ff=shape.hidden, num_layers=shape.layers,
        num_heads=shape.heads, relative_attention_num_buckets=shape.buckets, relative_attention_max_distance=shape.far,
        feed_forward_proj="gated-gelu" if shape.gated else "relu", dropout_rate=0.0, **tied,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    if not shape.tied:  # the class ties them until it reads a file that has both
        model.lm_head.weight = torch.nn.Parameter(torch.randn(shape.vocab, shape.width))
    return shaken(model)


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """Sources of 30, 1 and 11 tokens, targets of 25."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(2, 40, (3, 30), generator=generator)
    source = source.masked_fill(torch.arange(30) >= torch.tensor([30, 1, 11])[:, None], PAD)
    return source, torch.randint(2, 40, (3, 25), generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_files_of_transformers_answer_the_same_here_and_ours_there(name: str, tmp_path: Path) -> None:
    shape, (source, target) = SHAPES[name], pairs()
    reference, ours = transformers_model(shape), shaken(T5(shape))

    def answer(model: Any) -> torch.Tensor:
        logits: torch.Tensor = model(source, (source != PAD).long(), decoder_input_ids=target).logits
        return logits

    save_file({key: value.clone() for key, value in reference.state_dict().items()}, tmp_path / "model.safetensors")
    model = T5(shape).eval()
    model.load_state_dict(from_transformers(load_file(tmp_path / "model.safetensors"), shape))
    torch.testing.assert_close(model(source, target), answer(reference), atol=1e-4, rtol=1e-4)

    reference.config.save_pretrained(tmp_path)
    save_file(to_transformers(ours.state_dict(), shape), tmp_path / "model.safetensors", metadata={"format": "pt"})
    again = type(reference).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(answer(again), ours(source, target), atol=1e-4, rtol=1e-4)


def test_the_settings_have_as_many_parameters_as_was_published() -> None:
    for shape, published in ((T5_SMALL, 60_506_624), (T5_1_1_SMALL, 76_961_152)):
        with torch.device("meta"):
            assert sum(parameter.numel() for parameter in T5(shape).parameters()) == published


def test_near_distances_have_buckets_of_their_own_and_far_ones_share() -> None:
    distance = torch.arange(-200, 201)
    both = bucket(distance, 32, 128, both=True)
    assert set(both.tolist()) == set(range(32)) - {16}, "0 behind would be 0 before"
    near = distance.abs() < 8
    assert torch.equal(both[near], (distance.abs() + 16 * (distance > 0))[near])
    assert (both[distance <= -128] == 15).all() and (both[distance >= 128] == 31).all()
    before = bucket(distance, 32, 128, both=False)
    assert (before[distance >= 0] == 0).all() and (before[distance <= -128] == 31).all()
    assert (before[distance <= 0].diff() <= 0).all()


def test_cut_spans_and_their_sentinels_give_the_text_back() -> None:
    text = list(range(100, 300))
    read, target_tokens = corrupt_spans(text, vocab=1000, generator=torch.Generator().manual_seed(0))
    assert read[-1] == target_tokens[-1] == END
    spans: dict[int, list[int]] = {}
    for token in target_tokens[:-1]:
        if token >= 900:
            spans[token] = []
        else:
            spans[next(reversed(spans))].append(token)
    assert list(spans) == [999 - i for i in range(10)] and sum(map(len, spans.values())) == 30
    assert all(spans.values())
    assert [token for one in read[:-1] for token in spans.get(one, [one])] == text


@pytest.mark.parametrize("length", [2, 3, 7, 20])
def test_short_texts_have_a_span(length: int) -> None:
    for seed in range(5):
        read, target_tokens = corrupt_spans(range(10, 10 + length), 100, torch.Generator().manual_seed(seed))
        sentinels = [token for token in target_tokens if token > 90]
        assert sentinels and sentinels == [token for token in read if token > 90]
        assert sorted(token for token in read[:-1] + target_tokens[:-1] if token <= 90) == list(range(10, 10 + length))
    with pytest.raises(ValueError, match="found 1 tokens; expected at least 2"):
        corrupt_spans([5], 100, torch.Generator())


@torch.no_grad()
def test_a_target_sees_nothing_later_and_padding_changes_nothing() -> None:
    shape, (source, target) = SHAPES["t5 1.1"], pairs()
    model = shaken(T5(shape))
    later = target.clone()
    later[:, 20:] = 3
    torch.testing.assert_close(model(source, target)[:, :20], model(source, later)[:, :20])
    torch.testing.assert_close(model(source, target)[2], model(source[2:, :11], target[2:])[0], atol=1e-5, rtol=1e-5)


def test_it_learns_to_say_the_source_backwards() -> None:
    torch.manual_seed(0)
    model = T5(replace(SHAPES["t5 1.1"], vocab=10, layers=1))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, fused=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(80):
        source = torch.randint(2, 10, (32, 2), generator=generator)
        target = torch.cat([source.flip(1), torch.full((32, 1), END)], dim=1)
        loss = model.loss(source, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.7, "a guess costs 2/3 ln 8 = 1.39"
