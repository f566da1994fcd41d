"""models/bert against transformers' classes, on random weights; its question and its rates."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from models.bert.encoder import BERT_BASE, MINILM_L6, Bert, Shape, sentence_vectors
from models.bert.published import build, from_transformers, shape_of, to_transformers
from models.bert.tasks import IGNORE, Classifier, MaskedLanguageModel, inside, mask_tokens
from roadmap.training.export import export

SHAPES = {
    "narrow": Shape(50, 24, 2, 2, 40, context=20, dropout=0.0),
    "many types": Shape(31, 32, 3, 8, 16, context=12, types=4, eps=1e-5, dropout=0.0),
}


def config(shape: Shape) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=shape.vocab, hidden_size=shape.width, num_hidden_layers=shape.layers, pad_token_id=0,
        num_attention_heads=shape.heads, intermediate_size=shape.hidden, max_position_embeddings=shape.context,
        type_vocab_size=shape.types, layer_norm_eps=shape.eps, id2label={0: "a", 1: "b", 2: "c"},
    )  # fmt: skip


def shaken(model: Any) -> Any:
    """Norms and biases begin at 1 and 0, which would mask_tokens an exchange of two."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def batch(shape: Shape, n: int = 3, t: int = 11) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, which of them are no padding (each row's own length), types."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(shape.vocab, (n, t), generator=generator)
    types = torch.randint(shape.types, (n, t), generator=generator)
    return tokens, torch.arange(t) < torch.tensor([t, 1, 6])[:n, None], types


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_hidden_states_are_those_of_transformers(name: str) -> None:
    from transformers import BertModel

    shape = SHAPES[name]
    reference, ours = shaken(BertModel(config(shape))), Bert(shape).eval()
    state = from_transformers({f"bert.{key}": value for key, value in reference.state_dict().items()})
    ours.load_state_dict({key.removeprefix("bert."): value for key, value in state.items()})
    tokens, seen, types = batch(shape)
    for mask, kinds in ((seen, types), (seen, None), (None, types), (None, None)):
        wanted = reference(
            tokens, None if mask is None else mask.long(), token_type_ids=kinds, output_hidden_states=True
        )
        inside = torch.ones_like(seen) if mask is None else mask
        for found, expected in zip(ours.states(tokens, mask, kinds), wanted.hidden_states, strict=True):
            torch.testing.assert_close(found[inside], expected[inside], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.pool(ours(tokens, mask, kinds)), wanted.pooler_output, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("head", ["BertForMaskedLM", "BertForSequenceClassification"])
def test_heads_answer_the_same_both_ways(head: str) -> None:
    import transformers

    shape = SHAPES["narrow"]
    tokens, seen, types = batch(shape)

    def ours() -> Any:
        bert = Bert(shape)
        return MaskedLanguageModel(bert, lr=1e-3) if head == "BertForMaskedLM" else Classifier(bert, 3, lr=1e-3)

    reference, model = shaken(getattr(transformers, head)(config(shape))), shaken(ours())
    missing, unexpected = model.load_state_dict(from_transformers(reference.state_dict()), strict=False)
    assert not unexpected and all(name.startswith("bert.pooler") for name in missing)  # a masked one has none
    wanted = reference(tokens, seen.long(), token_type_ids=types).logits
    pick = seen if head == "BertForMaskedLM" else slice(None)
    torch.testing.assert_close(model(tokens, seen, types)[pick], wanted[pick], atol=1e-5, rtol=1e-5)

    model = shaken(ours())
    reference.load_state_dict(to_transformers(model.state_dict()), strict=False)
    wanted = reference(tokens, seen.long(), token_type_ids=types).logits
    torch.testing.assert_close(model(tokens, seen, types)[pick], wanted[pick], atol=1e-5, rtol=1e-5)


def test_the_settings_have_as_many_parameters_as_was_published() -> None:
    def count(shape: Shape) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in Bert(shape).parameters())

    assert count(BERT_BASE) == 109_482_240
    assert count(MINILM_L6) == 22_713_216


@torch.no_grad()
def test_padding_changes_nothing() -> None:
    shape = SHAPES["narrow"]
    model = shaken(Bert(shape))
    tokens, seen, _ = batch(shape)
    other = torch.where(seen, tokens, (tokens + 7) % shape.vocab)
    torch.testing.assert_close(model(tokens, seen)[seen], model(other, seen)[seen])
    vectors = sentence_vectors(model(tokens, seen), seen)
    torch.testing.assert_close(vectors, sentence_vectors(model(other, seen), seen))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


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


def test_published_weights_come_with_their_settings() -> None:
    from transformers import BertModel

    shape = SHAPES["many types"]
    reference = shaken(BertModel(config(shape)))
    settings = reference.config.to_dict()
    assert shape_of(settings) == replace(shape, dropout=0.1)
    found = build(settings, reference.state_dict()).eval()
    tokens, seen, _ = batch(shape)
    wanted = reference(tokens, seen.long()).last_hidden_state
    torch.testing.assert_close(found(tokens, seen)[seen], wanted[seen], atol=1e-5, rtol=1e-5)
    old = {
        f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in reference.state_dict().items()
        if "pooler" not in name
    }
    torch.testing.assert_close(build(settings, old).eval()(tokens, seen)[seen], wanted[seen], atol=1e-5, rtol=1e-5)


def test_transformers_reads_what_is_published() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    shape = SHAPES["narrow"]
    ours = shaken(Classifier(Bert(shape), 3, lr=0))
    found: Any = ours.published()
    reference = BertForSequenceClassification(BertConfig(**found["config"], id2label={0: "a", 1: "b", 2: "c"})).eval()
    reference.load_state_dict(found["state"])
    tokens, seen, types = batch(shape)
    wanted = reference(tokens, seen.long(), token_type_ids=types).logits
    torch.testing.assert_close(ours(tokens, seen, types), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "model_type: found 'roberta'; expected 'bert'"),
        ({"hidden_act": "relu"}, "hidden_act: found 'relu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"hidden_size": None}, "no 'hidden_size'"),
        ({"num_hidden_layers": 4}, r"blocks\.3\.\S+: found none; expected \(32"),
        ({"vocab_size": 30}, r"tokens\.weight: found \(31, 32\); expected \(30, 32\)"),
    ],
)
def test_other_weights_are_refused(change: dict[str, Any], message: str) -> None:
    from transformers import BertModel

    reference = BertModel(config(SHAPES["many types"]))
    settings = {name: value for name, value in (reference.config.to_dict() | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        build(settings, reference.state_dict())


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


def test_the_graph_takes_other_batches_and_lengths(tmp_path: Path) -> None:
    shape = SHAPES["narrow"]
    model = Classifier(shaken(Bert(shape)), 3, lr=1e-3, pooling="mean").eval()
    export(model, (np.arange(10, dtype=np.int32).reshape(2, 5), np.array([5, 3])), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    tokens, seen, _ = batch(shape, n=3, t=11)
    logits, vectors = session.run(["logits", "vectors"], {"tokens": tokens.numpy(), "seen": seen.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(tokens, seen).numpy(), atol=1e-4)
        np.testing.assert_allclose(vectors, sentence_vectors(model.bert(tokens, seen), seen).numpy(), atol=1e-5)


def test_int8_is_smaller_and_close(tmp_path: Path) -> None:
    shape = Shape(300, 64, 2, 4, 256, context=20, dropout=0.0)
    torch.manual_seed(0)
    bert, example = Bert(shape), (np.arange(40, dtype=np.int32).reshape(2, 20), np.array([20, 11]))
    for precision in ("fp32", "int8"):
        model = Classifier(bert, 3, lr=1e-3, pooling="mean", precision=precision).eval()
        (tmp_path / precision).mkdir()
        export(model, example, tmp_path / precision)
    sizes = [(tmp_path / precision / "model.onnx").stat().st_size for precision in ("fp32", "int8")]
    assert sizes[1] < 0.4 * sizes[0]
    tokens, seen, _ = batch(shape, t=20)
    inputs = {"tokens": tokens.numpy(), "seen": seen.numpy()}
    one, other = (
        onnxruntime.InferenceSession(tmp_path / precision / "model.onnx").run(["vectors"], inputs)[0]
        for precision in ("fp32", "int8")
    )
    assert (one * other).sum(axis=1).min() > 0.98
