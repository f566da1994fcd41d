"""Sentiment: loaders, tokens, networks that read any batch alike, answers that add up, and bad input over HTTP."""

import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Checkout, checkout
from fastapi.testclient import TestClient
from torch import nn

from models import imdb as networks
from pipelines.common import plots, splits, text_plots
from pipelines.common.batches import Batches
from pipelines.common.config import UsageError
from pipelines.common.export import export
from pipelines.common.report import style
from pipelines.common.report import text as report
from pipelines.common.samples.reviews import reviews
from pipelines.imdb import data, evaluate, predict
from pipelines.imdb.settings import Data
from serving.app import create_app
from serving.bundle import Bundle, load_predictor, seal
from serving.settings import Settings

RECURRENT = (networks.RNN, networks.LSTM, networks.GRU)
every_network = pytest.mark.parametrize("kind", [*RECURRENT, networks.MeanEmbedding])


def settings(**changes: Any) -> Data:
    known = {"path": None, "text": None, "target": None, "rows": 600, "split": (0.7, 0.15, 0.15)}
    return Data(**{**known, "vocabulary": 700, "max_tokens": 64, **changes})


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


# ---------------------------------------------------------------- where texts come from


def layout(folder: Path, parts: dict[str, list[str]]) -> Path:
    for name, texts in parts.items():
        (folder / "aclImdb" / name).mkdir(parents=True)
        for n, text in enumerate(texts):
            (folder / "aclImdb" / name / f"{n}_7.txt").write_text(text)
    return folder


def packed(folder: Path, parts: dict[str, list[str]], name: str) -> Path:
    path = folder / name
    with tarfile.open(path, f"w:{path.suffix[1:]}") as archive:
        for part, texts in parts.items():
            for n, text in enumerate(texts):
                member = tarfile.TarInfo(f"aclImdb/{part}/{n}_7.txt")
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
    return path


def texts(word: str, count: int = 40) -> list[str]:
    return [f"{word} film number {n}" for n in range(count)]


TRAIN = {"train/pos": [*texts("good"), "seen twice", "seen twice"], "train/neg": [*texts("bad"), "in test too"]}
TEST = {"test/pos": [*texts("fine", 8), "in test too"], "test/neg": texts("poor", 9)}


@pytest.mark.parametrize("form", ["folder", "archive", "folder of archives"])
def test_the_official_layout_in_every_form(tmp_path: Path, form: str) -> None:
    if form == "folder":
        path = layout(tmp_path, TRAIN | TEST)
    elif form == "archive":
        path = packed(tmp_path, TRAIN | TEST, "aclImdb_v1.tar.gz")
    else:
        packed(tmp_path, TRAIN, "train.tar.xz")
        packed(tmp_path, TEST, "test.tar.gz")
        path = tmp_path
    found = data.prepare(settings(path=str(path)), "full", seed=1)
    train, val, test = (found.splits[name] for name in ("train", "val", "test"))
    assert len(test) == 18 and test["label"].sum() == 9
    # One text is known from test, one is there twice: neither may teach what test asks.
    assert found.notes["left_out"] == {"of train, in test too": 1, "repeated in train": 1}
    assert len(train) + len(val) == 81 and len(val) == 4
    assert not set(train["text"]) & (set(test["text"]) | set(val["text"]))
    assert train.loc[train["text"].str.startswith("good"), "label"].eq(1).all()


def test_an_archive_and_a_folder_give_the_same_splits(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    one = data.prepare(settings(path=str(layout(tmp_path / "a", TRAIN | TEST))), "full", seed=1)
    two = data.prepare(settings(path=str(packed(tmp_path, TRAIN | TEST, "b.tar.gz"))), "full", seed=1)
    for name in splits.SPLITS:
        pd.testing.assert_frame_equal(one.splits[name], two.splits[name])


def test_what_is_wrong_with_a_path_is_said_in_one_line(tmp_path: Path) -> None:
    no_negatives = layout(tmp_path / "one", TRAIN | {"test/pos": ["x"]})
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8b\x08 not really")
    cut = packed(tmp_path, TRAIN | TEST, "cut.tar.xz")
    cut.write_bytes(cut.read_bytes()[:-200])
    latin = layout(tmp_path / "latin", TRAIN | TEST)
    (latin / "aclImdb/test/neg/0_7.txt").write_bytes(b"caf\xe9")
    for path, said in (
        (tmp_path / "absent", "no such file or folder"),
        (no_negatives, r"no texts in test/neg/\*\.txt"),
        (tmp_path / "broken.tar.gz", "is not a readable archive"),
        (cut, "is not a readable archive"),
        (latin, "is not UTF-8 text"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            data.prepare(settings(path=str(path)), "full", seed=1)
        assert "\n" not in str(caught.value)


def own_csv(folder: Path, frame: pd.DataFrame) -> dict[str, str]:
    frame.to_csv(folder / "own.csv", index=False)
    return {"path": str(folder / "own.csv"), "text": "评论", "target": "mood"}


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    rows = [(f"文本 {n}", "happy" if n % 2 else "sad") for n in range(60)] + [(None, "sad"), ("文本 1", "happy")]
    found = data.prepare(settings(**own_csv(tmp_path, pd.DataFrame(rows, columns=["评论", "mood"]))), "sample", seed=1)
    assert found.schema["classes"] == ["happy", "sad"]
    assert found.notes["left_out"] == {"empty": 1, "repeated": 1}
    assert sum(len(part) for part in found.splits.values()) == 60


def test_a_table_that_will_not_do(tmp_path: Path) -> None:
    frame = pd.DataFrame({"评论": [f"text {n}" for n in range(30)], "mood": ["sad", "happy", "angry"] * 10})
    with pytest.raises(UsageError, match="must have two classes; found 3: angry, happy, sad"):
        data.prepare(settings(**own_csv(tmp_path, frame)), "sample", seed=1)
    with pytest.raises(UsageError, match="must have two classes; found 1: sad"):
        data.prepare(settings(**own_csv(tmp_path, frame.assign(mood="sad"))), "sample", seed=1)
    with pytest.raises(UsageError, match="no column '评论' beside 'mood'; allowed: words"):
        data.prepare(settings(**own_csv(tmp_path, frame.rename(columns={"评论": "words"}))), "sample", seed=1)
    with pytest.raises(ValueError, match="text and target must name its columns"):
        settings(path="own.csv")
    with pytest.raises(ValueError, match="path is none"):
        settings(text="评论", target="mood")


def test_a_null_among_the_hotel_reviews_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    frame = pd.DataFrame({"label": [0, 1] * 30, "review": [f"房间 {n}" for n in range(60)]})
    frame.loc[7, "review"] = None
    frame.to_csv(tmp_path / "hotels.csv", index=False)
    monkeypatch.setattr(data, "fetch", lambda project, url, checksum: tmp_path / "hotels.csv")
    found = data.prepare(settings(path="chnsenticorp"), "full", seed=1)
    assert sum(len(part) for part in found.splits.values()) == 59
    assert "1 texts left out (empty)" in capsys.readouterr().out


def test_texts_of_one_word_can_be_learnt_from(tmp_path: Path) -> None:
    frame = pd.DataFrame({"评论": [f"{a}{b}" for a in "abcdefgh" for b in "rstuvw"], "mood": [0, 1] * 24})
    prepared = data.prepare(settings(**own_csv(tmp_path, frame)), "sample", seed=1)
    splits.write(tmp_path / "imdb", prepared, "sample")
    assert np.isfinite(data.training_set(tmp_path / "imdb").model["embedding"]).all()


# ---------------------------------------------------------------- tokens


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "imdb"
    splits.write(folder, data.prepare(settings(), "sample", seed=7), "sample")
    return folder


@pytest.fixture(scope="module")
def tokenizer(prepared: Path) -> Any:
    return data.train_tokenizer(splits.read(prepared, "train")["text"], 700, 64)


@pytest.mark.parametrize(
    "text",
    ["The plot was NOT boring.<br /><br />Really!", "虽然剧情很精彩，但是结局算不上动人。", "ﬁne ½ 🙂 naïve\x00"],
)
def test_spans_lead_back_to_the_text(tokenizer: Any, text: str) -> None:
    encoding = tokenizer.encode(text)
    assert encoding.ids
    spans = dict.fromkeys(encoding.offsets)  # a sign like ½ becomes several tokens of one span
    read = "".join(text[start:end] for start, end in spans)
    assert read == "".join(text.replace("<br />", "").split())
    assert [start for start, _ in encoding.offsets] == sorted(start for start, _ in encoding.offsets)


def test_case_and_line_breaks_make_no_difference(tokenizer: Any) -> None:
    assert tokenizer.encode("The PLOT<br/>was<br />dull").ids == tokenizer.encode("the plot was dull").ids


def test_chinese_words_become_tokens(tokenizer: Any) -> None:
    assert {"剧情", "但是"} & set(tokenizer.encode("剧情很精彩，但是结局无聊").tokens)


def test_the_tokenizer_travels_as_json_and_cuts(tokenizer: Any) -> None:
    from tokenizers import Tokenizer

    again = Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str())))
    long = "the plot was never dull " * 50
    assert again.encode(long).ids == tokenizer.encode(long).ids
    assert len(again.encode(long).ids) == 64


def test_rows_keep_their_labels_and_lengths(prepared: Path) -> None:
    found = data.training_set(prepared)
    tokens, lengths, _ = found.train
    texts = splits.read(prepared, "train")
    assert ((tokens != 0).sum(axis=1) == lengths).all() and lengths.max() == tokens.shape[1]
    known = {bytes(tokens[i, : lengths[i]].tobytes()): label for i, label in enumerate(texts["label"])}
    batches = Batches(tuple(map(torch.from_numpy, found.train)), 32, seed=0, lengths=torch.from_numpy(lengths))
    for x, of, y in batches:
        assert x.shape[1] == of.max()
        for row, length, label in zip(x, of, y, strict=True):
            assert known[row[:length].numpy().tobytes()] == label


def test_word_vectors_put_like_words_together() -> None:
    """Words 1 to 10 keep company with each other, 11 to 20 too: within a group vectors are alike."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, (400, 1))
    tokens = (1 + 10 * group + rng.integers(0, 10, (400, 12))).astype(np.int32)
    vectors = data.word_vectors(tokens, np.full(400, 12), 21)[1:]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    assert alike[:10, :10].mean() > alike[:10, 10:].mean() + 0.3


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize(("kind", "layer"), zip(RECURRENT, (nn.RNN, nn.LSTM, nn.GRU), strict=True))
def test_turning_rows_round_is_what_packing_does(kind: type[networks.Recurrent], layer: type[nn.RNNBase]) -> None:
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
def test_padding_and_company_change_nothing(kind: type[networks.Classifier]) -> None:
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
def test_contributions_add_up_to_the_log_odds(kind: type[networks.Classifier]) -> None:
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


def test_the_mean_of_embeddings_does_not_see_order_and_the_others_do() -> None:
    tokens, lengths = ragged([8], width=8)
    for kind in (*RECURRENT, networks.MeanEmbedding):
        with torch.no_grad():
            one, other = (network(kind)(row, lengths) for row in (tokens, tokens.flip(1)))
        assert torch.allclose(one, other, atol=1e-6) == (kind is networks.MeanEmbedding)


# ---------------------------------------------------------------- serving


@pytest.fixture(scope="module")
def artifacts(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle as training writes it, of a network that has learnt nothing."""
    folder = tmp_path_factory.mktemp("artifacts")
    bundle = folder / "imdb" / "bundle"
    bundle.mkdir(parents=True)
    found = data.training_set(prepared)
    torch.manual_seed(0)
    model = networks.LSTM(**found.model, width=8, hidden=6, dropout=0, word_dropout=0, lr=0.1, weight_decay=0).eval()
    export(model, tuple(array[:2] for array in found.val[:-1]), bundle)
    for name, content in found.assets.items():
        (bundle / name).write_text(json.dumps(content, ensure_ascii=False))
    lineage = {"source": "test", "created": "2026-11-24T00:00:00+00:00", "git_commit": None, "run": "0" * 32}
    hashes = {"data_sha256": "1" * 64, "params_sha256": "2" * 64}
    seal(bundle, project="imdb", predictor="pipelines.imdb.predict", profile="sample", **lineage, **hashes)
    return folder


@pytest.fixture(scope="module")
def client(artifacts: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(artifacts))), raise_server_exceptions=False) as client:
        yield client


def ask(client: TestClient, *inputs: Any) -> Any:
    body = json.dumps({"inputs": list(inputs)})  # escapes surrogates, as a client that sends half an emoji does
    return client.post("/models/imdb/predict", content=body, headers={"content-type": "application/json"})


def test_an_answer_can_be_checked_by_hand(client: TestClient) -> None:
    texts = ["The plot was never boring, but the ending was dull.", "虽然剧情很精彩，但是结局算不上动人。", "Superb!"]
    outputs = ask(client, *({"text": text} for text in texts)).json()["outputs"]
    for text, output in zip(texts, outputs, strict=True):
        total = output["bias"] + sum(one["weight"] for one in output["contributions"])
        assert total == pytest.approx(output["log_odds"], abs=1e-3)
        assert output["label"] == ("positive" if output["log_odds"] >= 0 else "negative")
        assert output["probability"] == pytest.approx(1 / (1 + np.exp(-abs(output["log_odds"]))), abs=1e-5)
        for one in output["contributions"]:
            assert text[one["start"] : one["end"]] == one["token"]
        assert output["read"] == len(text)
    assert len({output["bias"] for output in outputs}) == 1 or np.ptp([o["bias"] for o in outputs]) < 1e-4


def test_a_text_is_answered_the_same_alone_and_among_others(artifacts: Path) -> None:
    predictor = load_predictor(Bundle(artifacts / "imdb" / "bundle"))
    requests = [predictor.Request(text=review.text) for review in reviews(60, seed=9)]
    together = predictor.predict(requests)
    alone = [predictor.predict([request])[0] for request in requests]
    for one, other in zip(together, alone, strict=True):
        assert one.log_odds == pytest.approx(other.log_odds, abs=1e-4)
        assert [c["token"] for c in one.contributions] == [c["token"] for c in other.contributions]


def test_explanations_are_left_out_on_request(client: TestClient) -> None:
    output = ask(client, {"text": "fine", "explain": False}).json()["outputs"][0]
    assert output["contributions"] is None and output["label"]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"text": ""}, "at least 1 character"),
        ({"text": " \t\n\u3000"}, "more than white space"),
        ({"text": "<br /><br/>"}, "more than white space"),
        ({"text": "x" * 20_001}, "at most 20000 characters"),
        ({"text": 5}, "valid string"),
        ({"text": None}, "valid string"),
        ({"text": ["a"]}, "valid string"),
        ({}, "is missing"),
        ({"text": "a", "lang": "en"}, "is not a known field"),
        ({"text": "a", "explain": "yes"}, "valid boolean"),
        ("just a text", "should be a JSON object"),
    ],
)
def test_bad_input_is_named(client: TestClient, sent: Any, said: str) -> None:
    response = ask(client, {"text": "fine"}, sent)
    assert response.status_code == 422, response.text
    problem = response.json()
    assert said in problem["detail"] and problem["errors"][0]["pointer"].startswith("#/inputs/1")


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 20_000, "电" * 20_000, "🙂" * 20_000, "!" * 20_000, "\u0301" * 20_000, "word " * 4_000, "ﷺ" * 20_000),
        *(
            "\x00\x01\x7f",
            "\u200b",
            "\u202eright to left",
            "a\x00b",
            "�",
            "🏴\U000e0067\U000e007f",
            "ﬃ½",
            "\ud83d\ude42",
        ),
    ],
)
def test_odd_texts_get_an_answer_soon(client: TestClient, text: str) -> None:
    started = time.perf_counter()
    response = ask(client, {"text": text})
    assert response.status_code == 200, response.text
    assert time.perf_counter() - started < 5
    output = response.json()["outputs"][0]
    assert 0.5 <= output["probability"] <= 1
    assert 0 < output["read"] <= 20_000 and len(output["contributions"]) <= 64


def test_batches_bound_what_a_pass_may_hold() -> None:
    lengths = [int(length) for length in np.random.default_rng(0).integers(1, 512, 700)]
    groups = predict.batches(lengths)
    assert sorted(row for group in groups for row in group) == list(range(700))
    assert all(len(group) * max(lengths[row] for row in group) <= predict.TOKENS for group in groups)
    assert len(groups) < 1.3 * sum(lengths) / predict.TOKENS + 2


# ---------------------------------------------------------------- evaluation and report


def test_the_bag_of_words_fails_where_words_are_denied(prepared: Path) -> None:
    rows = {row["name"]: row for row in evaluate.baselines(prepared, seed=0)}
    plain = rows["logistic regression on TF-IDF"]
    assert plain["accuracy_negation"] < 0.5 and plain["accuracy_contrast"] < 0.7
    assert {"NB-SVM on pairs", "logistic regression on TF-IDF of pairs"} < set(rows)


def test_nb_svm_is_the_published_one() -> None:
    """On separable counts: the right answers, and weights between the mean of their sizes and the machine's own."""
    texts = ["good fine", "good", "fine day", "bad", "poor bad", "poor day"] * 5
    labels = np.array([1, 1, 1, 0, 0, 0] * 5)
    model = evaluate.NBSVM().fit(texts, labels)
    assert (model.predict(texts) == labels).all()
    ratio = dict(zip(model.vectorizer.get_feature_names_out(), model.weights, strict=True))
    assert ratio["good"] > 0 > ratio["bad"] and abs(ratio["day"]) < 1e-6


def test_a_figure_with_chinese_is_an_svg_whose_text_is_text(tmp_path: Path) -> None:
    texts, chances = ["剧情很无聊" * 200, "a good film"], np.array([0.99, 0.2])
    plots.save(text_plots.mistakes(texts, np.array([0, 1]), chances, ["bad", "good"]), tmp_path / "wrong.png")
    plots.save(text_plots.by_length(np.array([1, 2, 3]), np.array([1, 0, 1])), tmp_path / "length.png")
    assert {path.name for path in tmp_path.iterdir()} == {"wrong.svg", "length.png"}
    content = (tmp_path / "wrong.svg").read_text()
    assert "剧情很无聊" in content and "bad, taken for good, 99.0% sure" in content
    assert content.count("剧情很无聊") < 60  # its middle is left out


@pytest.mark.parametrize("text", ["word " * 500, "x" * 5000, "字" * 3000, "short", ""])
def test_excerpts_fit(text: str) -> None:
    lines = text_plots.wrapped(text)
    assert len(lines) <= 5 and all(text_plots.width(line) <= text_plots.COLUMNS for line in lines)


def test_telling_words_are_those_of_the_class() -> None:
    texts = [["the", "good", "film"]] * 40 + [["the", "bad", "film"]] * 40
    z = report.telling(report.Texts([""] * 80, np.repeat([1, 0], 40), texts), 2)
    assert max(z, key=lambda word: z[word][1]) == "good" and max(z, key=lambda word: z[word][0]) == "bad"
    assert abs(z["the"]).max() < 0.1
    assert report.words_of("Don't 很好看 <br />it's 5") == ["don't", "很好", "好看", "it's"]
    assert [report.script(text) for text in ("Très bien", "很好", "хорошо", "5!")] == [
        "Latin",
        "Chinese",
        "Cyrillic",
        "none",
    ]


def test_the_report_counts_repeated_texts(prepared: Path) -> None:
    parts = {name: splits.read(prepared, name) for name in splits.SPLITS}
    parts["test"].loc[0, "text"] = parts["train"].loc[0, "text"].upper() + "  "
    parts["train"].loc[1, "text"] = parts["train"].loc[2, "text"]
    folder = prepared.parent / "repeated"
    schema = splits.read_card(prepared)["schema"]
    splits.write(folder, splits.Prepared(splits=parts, source="s", licence="l", schema=schema), "sample")
    with style.applied():
        sections = report.sections(folder, splits.read_card(folder))
    assert "1 test text is in train too" in sections[0].lead and "1 training text repeats" in sections[0].lead


# ---------------------------------------------------------------- the official data


mirror = pytest.mark.skipif(not os.environ.get("DATA_MIRROR"), reason="DATA_MIRROR names no folder with the data")


def trained(folder: Path, *overrides: str) -> dict[str, Any]:
    """Prepare, baselines, train and evaluate with the settings of `full`, some changed; -> metrics"""
    clone = Checkout(checkout(folder / "clone"))
    common = ("project=imdb", "profile=full", "tracking=none", *(f"projects.imdb.{one}" for one in overrides))
    for stage in ("prepare", "baselines", "train", "evaluate"):
        clone.stage(stage, *common, timeout=600)
    return json.loads(clone.path("artifacts", "imdb", "metrics.json").read_text())


@pytest.mark.slow
@pytest.mark.mirror
@mirror
def test_imdb_in_two_epochs_is_above_logistic_regression(tmp_path: Path) -> None:
    path = Path(os.environ["DATA_MIRROR"]) / "imdb"
    short = ("train.epochs=2", "data.max_tokens=400", "model.dropout=0.3", "model.word_dropout=0.1")
    found = trained(tmp_path, f"data.path={path}", *short)
    assert found["rows"]["test"] == 5_000
    assert found["headline"]["value"] >= 0.885
    assert found["baselines"]["logistic regression on TF-IDF"]["test"] < found["headline"]["value"]


@pytest.mark.slow
@pytest.mark.mirror
@mirror
def test_chinese_hotel_reviews(tmp_path: Path) -> None:
    found = trained(tmp_path, "data.path=chnsenticorp", "data.vocabulary=6000", "data.max_tokens=256")
    assert found["headline"]["value"] >= 0.86
    assert found["source"].startswith("ChnSentiCorp")
