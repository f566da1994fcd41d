"""Fine-tuning on conversations: packed rows mean what single ones mean, and every method starts at the base."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from models.decoders.chat import IGNORED, Chat
from models.decoders.language_model import Decoder
from models.decoders.published import to_transformers

SETTINGS: dict[str, Any] = {
    "vocab": 40, "width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 48, "block": 64,
    "lr": 0.01, "final_lr": 0.0, "warmup": 1, "weight_decay": 0.0, "beta2": 0.99,
}  # fmt: skip


def made(**changes: Any) -> Chat:
    torch.manual_seed(0)
    return Chat(**SETTINGS | changes).eval()


def published(model: Chat) -> dict[str, Any]:
    """Its weights as transformers would publish them."""
    shape = model.shape
    config = {
        "model_type": "llama", "vocab_size": shape.vocab, "hidden_size": shape.width,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.hidden, "rms_norm_eps": shape.eps, "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.base},
    }  # fmt: skip
    return {"config": config, "state": to_transformers(model.state_dict(), shape)}


def row(*lengths: int, filled: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Conversations of these lengths in one row; the assistant says the second half of each."""
    generator = torch.Generator().manual_seed(sum(lengths))
    tokens = torch.randint(40, (1, sum(lengths) + filled), generator=generator)
    places = torch.cat([*(torch.arange(length) for length in lengths), torch.zeros(filled, dtype=torch.long)])
    targets = torch.randint(40, tokens.shape, generator=generator)
    said = torch.cat(
        [*(torch.arange(length) >= length // 2 for length in lengths), torch.zeros(filled, dtype=torch.bool)]
    )
    return tokens, places[None], targets.where(said, IGNORED)


def test_packed_conversations_do_not_see_each_other() -> None:
    model, packed = made(), row(11, 20, 8, filled=5)
    alone, starts = [], [0, 11, 31, 39]
    for start, end in pairwise(starts):
        one = tuple(part[:, start:end] for part in packed)
        alone.append((model.answers_loss(*one), int((one[2] != IGNORED).sum())))
    wanted = sum(loss * count for loss, count in alone) / sum(count for _, count in alone)
    torch.testing.assert_close(model.answers_loss(*packed), wanted)


def test_only_the_assistants_tokens_count() -> None:
    model, (tokens, places, targets) = made(), row(16)
    logits = model(tokens)
    wanted = torch.nn.functional.cross_entropy(logits[0, 8:], targets[0, 8:])
    torch.testing.assert_close(model.answers_loss(tokens, places, targets), wanted)


def test_training_begins_with_an_earlier_network() -> None:
    base, batch = made(), row(16)
    torch.testing.assert_close(made(start=base, method="lora")(batch[0]), base(batch[0]))


def test_training_begins_with_published_weights_and_their_sizes() -> None:
    base, batch = made(), row(16)
    model = made(start=published(base), width=64, layers=1)
    torch.testing.assert_close(model(batch[0]), base(batch[0]))


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_an_adapter_learns_and_is_merged_into_the_exported_network(method: str) -> None:
    base = made()
    start = published(base)
    model, batch = made(method=method, start=start), row(11, 20, 8)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert 0 < sum(p.numel() for p in trained) < 0.5 * sum(p.numel() for p in base.parameters())
    first = model.answers_loss(*batch).item()
    if method == "lora":
        assert first == pytest.approx(base.answers_loss(*batch).item(), abs=1e-6)
    optimizer = torch.optim.Adam(trained, lr=0.03)
    for _ in range(60):
        loss = model.answers_loss(*batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < first - 0.1
    wanted = model(batch[0])
    graph = model.graphs(batch[:1])["decoder.onnx"].module
    assert isinstance(graph, Decoder)
    torch.testing.assert_close(model(batch[0]), wanted, atol=1e-5, rtol=1e-5)
    assert set(model.state_dict()) == set(base.state_dict())


def test_weights_that_copy_read_what_followed_a_token_before_any_training() -> None:
    torch.manual_seed(0)
    sizes = {"vocab": 150, "width": 64, "heads": 2, "kv_heads": 2, "hidden": 128, "base": 100_000.0}
    said = torch.stack([torch.randperm(150)[:16] for _ in range(40)]).repeat(1, 2)  # each line twice

    def advantage(model: Chat) -> float:
        """Of what followed the token before, over the other tokens of the line."""
        scores = model(said)[:, 16:-1].gather(2, said[:, None, :16].expand(-1, 15, -1))  # [n, 15, 16]
        following = scores.diagonal(offset=1, dim1=1, dim2=2)
        return float(((following - scores.median(dim=2).values).mean() / scores.std()).detach())

    assert advantage(made(**sizes, copying=True)) > 0.5
    assert abs(advantage(made(**sizes))) < 0.1


def test_copying_needs_layers_and_heads_that_fit() -> None:
    with pytest.raises(ValueError, match="copying: expected two layers"):
        made(copying=True)
