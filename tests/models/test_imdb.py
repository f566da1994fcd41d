"""The networks for sentiment: independence of the batch, and additive contributions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models import imdb as networks
from roadmap.training.export import export

RECURRENT = (networks.RNN, networks.LSTM, networks.GRU)
every_network = pytest.mark.parametrize("kind", [*RECURRENT, networks.MeanEmbedding])


def network(kind: type[networks.Classifier], vocabulary: int = 50, **changes: float) -> networks.Classifier:
    torch.manual_seed(0)
    start = np.random.default_rng(0).normal(0, 1, (vocabulary, 3)).astype(np.float32)
    known: dict[str, Any] = {
        "width": 8,
        "hidden": 6,
        "dropout": 0.3,
        "word_dropout": 0.1,
        "lr": 0.01,
        "weight_decay": 0,
    }
    return kind(start, **{**known, **changes}).eval()


def ragged(lengths: list[int], width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.from_numpy(np.random.default_rng(seed).integers(2, 50, (len(lengths), width)).astype(np.int32))
    of = torch.tensor(lengths)
    return tokens.masked_fill(torch.arange(width) >= of[:, None], 0), of


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize(("kind", "layer"), zip(RECURRENT, (nn.RNN, nn.LSTM, nn.GRU), strict=True))
def test_reversing_rows_equals_packing(kind: type[networks.Recurrent], layer: Callable[..., nn.RNNBase]) -> None:
    model = network(kind)
    both = layer(8, 6, batch_first=True, bidirectional=True)
    assert isinstance(model, networks.Recurrent)
    with torch.no_grad():
        for name, weight in model.forwards.named_parameters():
            getattr(both, name).copy_(weight)
            getattr(both, f"{name}_reverse").copy_(dict(model.backwards.named_parameters())[name])
        e, lengths = torch.randn(5, 9, 8), torch.tensor([9, 4, 1, 7, 4])
        states = nn.utils.rnn.pack_padded_sequence(e, lengths, batch_first=True, enforce_sorted=False)
        expected, _ = nn.utils.rnn.pad_packed_sequence(both(states)[0], batch_first=True)
        found = model.encode(e, lengths)
    real = networks.inside(e, lengths)
    torch.testing.assert_close(found[..., :12][real], expected[real])


@every_network
def test_padding_and_the_batch_change_nothing(kind: type[networks.Classifier]) -> None:
    model = network(kind)
    tokens, lengths = ragged([12, 3, 7, 1], width=12)
    with torch.no_grad():
        together, shares = model.explain(tokens, lengths)
        for i, length in enumerate(lengths):
            alone, share = model.explain(tokens[i : i + 1, :length], lengths[i : i + 1])
            torch.testing.assert_close(alone[0], together[i])
            torch.testing.assert_close(share[0], shares[i, :length])
            assert (shares[i, length:] == 0).all()
        wider = nn.functional.pad(tokens, (0, 20))
        torch.testing.assert_close(model(wider, lengths), together)


@every_network
def test_contributions_sum_to_the_log_odds(kind: type[networks.Classifier]) -> None:
    model = network(kind)
    tokens, lengths = ragged([30, 30, 11, 2, 1], width=30)
    tokens[1, :] = 5  # one token over and over: many share a maximum
    with torch.no_grad():
        logit, shares = model.explain(tokens, lengths)
        torch.testing.assert_close(shares.sum(dim=1) + model.mean.bias, model(tokens, lengths))
        torch.testing.assert_close(logit, model(tokens, lengths))


@every_network
def test_the_graph_answers_batches_of_any_shape(kind: type[networks.Classifier], tmp_path: Path) -> None:
    import onnxruntime

    model = network(kind)
    example = ragged([6, 4], width=9)
    export(model, tuple(array.numpy() for array in example), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for lengths, width in (([1], 1), ([40], 40), ([5, 17, 3], 17), ([2] * 20, 6)):
        tokens, of = ragged(lengths, width)
        with torch.no_grad():
            expected = model.explain(tokens, of)
        found = session.run(["logit", "contributions"], {"tokens": tokens.numpy(), "lengths": of.numpy()})
        for got, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, wanted.numpy(), atol=1e-5)


def test_only_the_mean_of_embeddings_ignores_word_order() -> None:
    tokens, lengths = ragged([8], width=8)
    for kind in (*RECURRENT, networks.MeanEmbedding):
        with torch.no_grad():
            one, other = (network(kind)(row, lengths) for row in (tokens, tokens.flip(1)))
        assert torch.allclose(one, other, atol=1e-6) == (kind is networks.MeanEmbedding)
