"""Requests are generated, published sets are read, weights come with their tokenizer."""

import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.bert.classifier import Classifier
from models.bert.encoder import Bert, Shape
from models.bert.published import to_transformers
from pipelines.bert.data import NONE, OUTSIDE, UNLABELLED, Data, corpora
from pipelines.bert.data.requests import INTENTS, generate, generate_outside
from pipelines.bert.data.tokens import encode, published_tokenizer, train_tokenizer
from pipelines.bert.settings import Data as Settings
from roadmap.data import splits
from roadmap.data.training_set import TrainingSet
from roadmap.io.errors import UsageError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film", "##s", "good", "bad", "电", "影", ".", "!"]
FOUND: dict[str, Any] = {"set": "requests", "path": None, "text": None, "target": None, "rows": 900, "labelled": None}
FOUND |= {"split": (0.7, 0.1, 0.2), "vocabulary": 400, "max_tokens": 32, "weights": {"path": None, "sha256": None}}


def training_set(found: object) -> TrainingSet:
    assert isinstance(found, TrainingSet)
    return found


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({**FOUND, **changes})


def written(folder: Path, found: Settings) -> Path:
    place = folder / "data" / "bert"
    splits.write(place, Data().prepare(found, "sample", 7), "sample")
    return place


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder as a BERT with six words is published in."""
    folder = tmp_path / "published"
    folder.mkdir()
    shape = Shape(len(WORDS), 16, 1, 2, 24, context=40)
    torch.manual_seed(0)
    state = to_transformers({f"bert.{name}": value for name, value in Bert(shape).state_dict().items()})
    save_file({name.removeprefix("bert."): value for name, value in state.items()}, folder / "model.safetensors")
    config = {"model_type": "bert", "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 40, "type_vocab_size": 2}
    config |= {"layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


def test_requests_have_every_intent_in_both_languages_and_none_is_broken() -> None:
    found = generate(3000, seed=1)
    assert found[:20] == generate(20, seed=1) and found[:20] != generate(20, seed=2)
    assert {(one.intent, one.language) for one in found} == {(name, code) for name in INTENTS for code in ("en", "zh")}
    outside = generate_outside(500, seed=1)
    assert {one.kind for one in outside} == {"far", "near"} and {one.intent for one in outside} == {None}
    for one in [*found, *outside]:
        assert not set("{}|") & set(one.text) and one.text.strip()
        assert (one.language == "zh") == any("\u4e00" <= sign <= "\u9fff" for sign in one.text)
    assert not {one.text for one in found} & {one.text for one in outside}


def test_few_labels_leave_the_other_texts_for_pretraining(tmp_path: Path) -> None:
    folder = written(tmp_path, settings(labelled=200))
    parts = {name: splits.read_table(folder, name) for name in ("train", "val", "test", UNLABELLED, OUTSIDE)}
    rows = len(parts["train"])
    assert abs(rows - 200) < len(INTENTS) and len(parts[UNLABELLED]) > 200  # the same share of each class
    texts = [set(part["text"]) for part in parts.values()]
    assert sum(map(len, texts)) == len(set().union(*texts)), "a text is in two splits"
    fits = Data().training(folder)
    assert list(fits) == ["pretrain", "model"]
    pretrain, model = (training_set(fits[name]({})) for name in fits)
    assert len(pretrain.train[0]) == rows + len(parts[UNLABELLED]) and len(model.train[0]) == rows
    requests, targets = Data().test_rows(folder)
    outside = targets["label"] == NONE
    assert len(requests) == len(parts["test"]) + len(parts[OUTSIDE]) and outside.sum() == len(parts[OUTSIDE])


def test_weights_are_in_the_card_and_beside_the_splits(tmp_path: Path, weights: Path) -> None:
    folder = written(tmp_path, settings(weights={"path": str(weights), "sha256": None}))
    card = splits.read_card(folder)
    assert card["weights"]["sha256"] == card["files"]["model.safetensors"]
    splits.verify(folder)
    model = training_set(Data().training(folder)["model"]({}))
    assert (
        set(model.model) == {"start", "mask", "special", "classes"}
        and model.model["start"]["config"]["hidden_size"] == 16
    )
    assert model.train[0].max() < len(WORDS)
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(UsageError, match=r"model\.safetensors"):
        Data().training(folder)


def test_one_training_starts_from_the_bundle_of_another(tmp_path: Path, weights: Path) -> None:
    first = written(tmp_path / "first", settings(weights={"path": str(weights), "sha256": None}))
    data = training_set(Data().training(first)["model"]({}))
    network = Classifier(**data.model, lr=0, pooling="mean", publish=True)
    torch.nn.init.normal_(network.bert.tokens.weight)
    assert callable(data.assets)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for name, content in data.assets(network).items():
        (bundle / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    second = written(tmp_path / "second", settings(weights={"path": str(bundle), "sha256": None}))
    again = Classifier(**training_set(Data().training(second)["model"]({})).model, lr=0)
    for name, value in network.bert.state_dict().items():
        assert torch.equal(again.bert.state_dict()[name], value), name
    assert "model.safetensors" not in data.assets(Classifier(**data.model, lr=0, pooling="mean"))
    with pytest.raises(UsageError, match="max_tokens: found 41; expected at most 40, as many"):
        written(tmp_path / "third", settings(max_tokens=41, weights={"path": str(bundle), "sha256": None}))


@pytest.mark.parametrize("text", ["A film.", "films GOOD!", "电影 good", "unheard films", "a" * 300, " . "])
def test_a_vocabulary_alone_reads_as_transformers_does(weights: Path, text: str) -> None:
    from transformers import BertTokenizer

    reference = BertTokenizer(str(weights / "vocab.txt"))
    ours = published_tokenizer(weights, {"do_lower_case": True}, max_tokens=12)
    assert ours.encode(text).ids == reference(text, truncation=True, max_length=12)["input_ids"]


def test_a_tokenizer_of_another_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("<s>\n</s>\n")
    with pytest.raises(UsageError, match=r"found no \[PAD\], \[UNK\].*expected the tokenizer of a BERT"):
        published_tokenizer(tmp_path, {}, 8)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match=r"tokenizer\.json: found no tokenizer"):
        published_tokenizer(tmp_path, {}, 8)


def test_own_tokens_frame_truncate_and_know_chinese_words() -> None:
    tokenizer = train_tokenizer(["我的快递到哪了", "快递还没到", "Where is my parcel"] * 20, 200, max_tokens=6)
    tokens, lengths = encode(tokenizer, ["快递", "where is my parcel where is my parcel", "\u200b"])
    assert lengths.tolist() == [3, 6, 2] or lengths.tolist()[:2] == [3, 6]
    assert set(tokens[:, 0]) == {tokenizer.token_to_id("[CLS]")}
    ends = tokens[np.arange(3), lengths - 1]
    assert set(ends) == {tokenizer.token_to_id("[SEP]")} and tokens[0, 3] == 0


@pytest.mark.parametrize("packed", [False, True])
def test_a_published_set_is_read_from_its_folder(tmp_path: Path, packed: bool) -> None:
    for name, lines in {"train.tsv": "a film\t1\nbad\t0\n", "dev.tsv": "tab\there\t1\n\n"}.items():
        content = lines.encode()
        file = tmp_path / (f"sst2_{name}.xz" if packed else name)
        file.write_bytes(lzma.compress(content) if packed else content)
    found = corpora.read(corpora.SST2, str(tmp_path))
    assert found["train"].to_dict("list") == {"text": ["a film", "bad"], "label": [1, 0]}
    assert found["test"]["text"].tolist() == ["tab\there"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no label\n", r"line 1: found 'no label'; expected text<TAB>class, from 0 to 1"),
        (b"a\t0\nb\t2\n", r"line 2: found 'b\\t2'"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_other_lines_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "train.tsv").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        corpora.read(corpora.SST2, str(tmp_path))


def test_a_set_that_can_not_be_fetched_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.path: found null; expected a folder .*research use only"):
        corpora.read(corpora.THUCNEWS, None)
    (tmp_path / "train_a.txt").touch()
    (tmp_path / "train_b.txt").touch()
    with pytest.raises(UsageError, match=r"found train_a\.txt, train_b\.txt; expected one file train\.txt"):
        corpora.read(corpora.THUCNEWS, str(tmp_path))


def test_own_texts_need_a_place_and_both_columns() -> None:
    with pytest.raises(ValueError, match="found own, but no path"):
        settings(set="own")
    with pytest.raises(ValueError, match="text and target"):
        settings(set="own", path="a.csv", text="t")
    with pytest.raises(ValueError, match="only with set: own"):
        settings(set="sst2", path="a.csv", text="t", target="y")
    assert settings(set="own", path="a.csv", text="t", target="y").path == "a.csv"


def test_own_table(tmp_path: Path) -> None:
    rows = [f"{'good' if row % 2 else 'bad'} film {row},{'up' if row % 2 else 'down'}" for row in range(60)]
    (tmp_path / "own.csv").write_text("t,y\n" + "\n".join(rows) + "\n")
    found = Data().prepare(settings(set="own", path=str(tmp_path / "own.csv"), text="t", target="y"), "full", 1)
    assert found.schema["classes"] == ["down", "up"] and sum(map(len, found.splits.values())) == 60
