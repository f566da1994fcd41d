"""models/bert against transformers' classes, both ways, on random weights."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from models.bert.classifier import Classifier
from models.bert.encoder import BERT_BASE, MINILM_L6, Bert, Shape, sentence_vectors
from models.bert.published import build, from_transformers, shape_of, to_transformers
from models.bert.tasks import MaskedLanguageModel
from tests.support.bert import SHAPES, batch, config, shaken


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
