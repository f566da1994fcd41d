"""The data of imdb: sources of texts, and tokenization."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from pipelines.imdb import data
from pipelines.imdb.data import tokens as tokenizing
from roadmap.data import splits
from roadmap.io.errors import UsageError
from roadmap.training.batches import BatchLoader
from tests.support.pipelines.reviews import settings

# ---------------------------------------------------------------- where texts come from


def layout(folder: Path, parts: dict[str, list[str]]) -> Path:
    for name, texts in parts.items():
        (folder / "aclImdb" / name).mkdir(parents=True)
        for n, text in enumerate(texts):
            (folder / "aclImdb" / name / f"{n}_7.txt").write_text(text)
    return folder


def packed(folder: Path, parts: dict[str, list[str]], name: str) -> Path:
    path = folder / name
    mode: Any = f"w:{path.suffix[1:]}"  # one of the known ones
    with tarfile.open(path, mode) as archive:
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
def test_the_official_layout_as_archive_and_folder(tmp_path: Path, form: str) -> None:
    if form == "folder":
        path = layout(tmp_path, TRAIN | TEST)
    elif form == "archive":
        path = packed(tmp_path, TRAIN | TEST, "aclImdb_v1.tar.gz")
    else:
        packed(tmp_path, TRAIN, "train.tar.xz")
        packed(tmp_path, TEST, "test.tar.gz")
        path = tmp_path
    found = data.Data().prepare(settings(path=str(path)), "full", seed=1)
    train, val, test = (found.splits[name] for name in ("train", "val", "test"))
    assert len(test) == 18 and test["label"].sum() == 9
    # One text is also in test, one is duplicated: both are dropped.
    assert found.notes["left_out"] == {"of train, in test too": 1, "repeated in train": 1}
    assert len(train) + len(val) == 81 and len(val) == 4
    assert not set(train["text"]) & (set(test["text"]) | set(val["text"]))
    assert train.loc[train["text"].str.startswith("good"), "label"].eq(1).all()


def test_an_archive_and_a_folder_give_the_same_splits(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    one = data.Data().prepare(settings(path=str(layout(tmp_path / "a", TRAIN | TEST))), "full", seed=1)
    two = data.Data().prepare(settings(path=str(packed(tmp_path, TRAIN | TEST, "b.tar.gz"))), "full", seed=1)
    for name in splits.SPLITS:
        pd.testing.assert_frame_equal(one.splits[name], two.splits[name])


def test_an_invalid_path_is_one_line(tmp_path: Path) -> None:
    no_negatives = layout(tmp_path / "one", TRAIN | {"test/pos": ["x"]})
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8b\x08 not really")
    cut = packed(tmp_path, TRAIN | TEST, "cut.tar.xz")
    cut.write_bytes(cut.read_bytes()[:-200])
    latin = layout(tmp_path / "latin", TRAIN | TEST)
    (latin / "aclImdb/test/neg/0_7.txt").write_bytes(b"caf\xe9")
    for path, message in (
        (tmp_path / "absent", "no such file or folder"),
        (no_negatives, "in the folders test/pos, train/neg, train/pos; expected <class>"),
        (tmp_path / "broken.tar.gz", "unreadable archive"),
        (cut, "unreadable archive"),
        (latin, "not UTF-8 text"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            data.Data().prepare(settings(path=str(path)), "full", seed=1)
        assert "\n" not in str(caught.value)


def own_csv(folder: Path, frame: pd.DataFrame) -> dict[str, str]:
    frame.to_csv(folder / "own.csv", index=False)
    return {"path": str(folder / "own.csv"), "text": "评论", "target": "mood"}


def test_a_users_own_table(tmp_path: Path) -> None:
    rows = [(f"文本 {n}", "happy" if n % 2 else "sad") for n in range(60)] + [(None, "sad"), ("文本 1", "happy")]
    found = data.Data().prepare(
        settings(**own_csv(tmp_path, pd.DataFrame(rows, columns=["评论", "mood"]))), "sample", seed=1
    )
    assert found.schema["classes"] == ["happy", "sad"]
    assert found.notes["left_out"] == {"empty": 1, "repeated": 1}
    assert sum(len(part) for part in found.splits.values()) == 60


def test_an_unusable_table_is_rejected(tmp_path: Path) -> None:
    frame = pd.DataFrame({"评论": [f"text {n}" for n in range(60)], "mood": ["sad", "happy", "angry"] * 20})
    frame.loc[59, "mood"] = "wistful"
    with pytest.raises(UsageError, match="class 'wistful' is too rare: found 1 of 60 rows"):
        data.Data().prepare(settings(**own_csv(tmp_path, frame)), "sample", seed=1)
    with pytest.raises(UsageError, match="target 'mood': found 1: sad; expected 2 to 1,000 classes"):
        data.Data().prepare(settings(**own_csv(tmp_path, frame.assign(mood="sad"))), "sample", seed=1)
    with pytest.raises(UsageError, match="no column '评论' beside 'mood'; allowed: words"):
        data.Data().prepare(settings(**own_csv(tmp_path, frame.rename(columns={"评论": "words"}))), "sample", seed=1)
    with pytest.raises(ValueError, match="text and target must name its columns"):
        settings(path="own.csv")
    with pytest.raises(ValueError, match="path is not one"):
        settings(text="评论", target="mood")


def test_a_numeric_column_can_be_the_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"评论": [f"{n:03}" for n in range(60)], "mood": ["sad", "happy"] * 30})
    found = data.Data().prepare(settings(**own_csv(tmp_path, frame)), "sample", seed=1)
    assert "007" in {text for part in found.splits.values() for text in part["text"]}


def test_a_text_above_the_request_limit_is_named_by_row(tmp_path: Path) -> None:
    frame = pd.DataFrame({"评论": [f"text {n}" for n in range(60)], "mood": ["sad", "happy"] * 30})
    frame.loc[6, "评论"] = "x" * 20_001
    with pytest.raises(UsageError, match=r"own\.csv: data row 7, column '评论': found 20,001 characters"):
        data.Data().prepare(settings(**own_csv(tmp_path, frame)), "sample", seed=1)
    long = layout(tmp_path / "long", TRAIN | TEST)
    (long / "aclImdb/test/neg/0_7.txt").write_text("x" * 20_001)
    with pytest.raises(UsageError, match=r"0_7\.txt: found 20,001 characters; expected at most 20,000"):
        data.Data().prepare(settings(path=str(long)), "full", seed=1)


def test_missing_hotel_reviews_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    frame = pd.DataFrame({"label": [0, 1] * 30, "review": [f"房间 {n}" for n in range(60)]})
    frame.loc[7, "review"] = None
    frame.to_csv(tmp_path / "hotels.csv", index=False)
    monkeypatch.setattr(data, "fetch", lambda project, url, checksum: tmp_path / "hotels.csv")
    found = data.Data().prepare(settings(path="chnsenticorp"), "full", seed=1)
    assert sum(len(part) for part in found.splits.values()) == 59
    assert "1 texts skipped (empty)" in capsys.readouterr().out


def test_one_word_texts_can_be_trained_on(tmp_path: Path) -> None:
    frame = pd.DataFrame({"评论": [f"{a}{b}" for a in "abcdefgh" for b in "rstuvw"], "mood": [0, 1] * 24})
    prepared = data.Data().prepare(settings(**own_csv(tmp_path, frame)), "sample", seed=1)
    splits.write(tmp_path / "imdb", prepared, "sample")
    assert np.isfinite(data.Data().training(tmp_path / "imdb").model["embedding"]).all()


# ---------------------------------------------------------------- tokens


@pytest.fixture(scope="module")
def tokenizer(prepared: Path) -> Any:
    return data.train_tokenizer(splits.read_table(prepared, "train")["text"], 700, 64)


@pytest.mark.parametrize(
    "text",
    ["The plot was NOT boring.<br /><br />Really!", "虽然剧情很精彩，但是结局算不上动人。", "ﬁne ½ 🙂 naïve\x00"],
)
def test_spans_map_back_to_the_text(tokenizer: Any, text: str) -> None:
    encoding = tokenizer.encode(text)
    assert encoding.ids
    spans = dict.fromkeys(encoding.offsets)  # a sign like ½ becomes several tokens of one span
    read = "".join(text[start:end] for start, end in spans)
    assert read == "".join(text.replace("<br />", "").split())
    assert [start for start, _ in encoding.offsets] == sorted(start for start, _ in encoding.offsets)


def test_case_and_line_breaks_do_not_matter(tokenizer: Any) -> None:
    assert tokenizer.encode("The PLOT<br/>was<BR />dull").ids == tokenizer.encode("the plot was dull").ids


def test_chinese_words_become_tokens(tokenizer: Any) -> None:
    assert {"剧情", "但是"} & set(tokenizer.encode("剧情很精彩，但是结局无聊").tokens)


def test_the_tokenizer_is_json_and_truncates(tokenizer: Any) -> None:
    from tokenizers import Tokenizer

    again = Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str())))
    long = "the plot was never dull " * 50
    assert again.encode(long).ids == tokenizer.encode(long).ids
    assert len(again.encode(long).ids) == 64


def test_rows_keep_their_labels_and_lengths(prepared: Path) -> None:
    found = data.Data().training(prepared)
    tokens, lengths, _ = found.train
    texts = splits.read_table(prepared, "train")
    assert ((tokens != 0).sum(axis=1) == lengths).all() and lengths.max() == tokens.shape[1]
    known = {bytes(tokens[i, : lengths[i]].tobytes()): label for i, label in enumerate(texts["label"])}
    batches = BatchLoader(tuple(map(torch.from_numpy, found.train)), 32, seed=0, lengths=torch.from_numpy(lengths))
    for x, of, y in batches:
        assert x.shape[1] == of.max()
        for row, length, label in zip(x, of, y, strict=True):
            assert known[row[:length].numpy().tobytes()] == label


def test_word_vectors_group_similar_words() -> None:
    """Words 1 to 10 co-occur, and so do 11 to 20: within a group vectors are similar."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, (400, 1))
    tokens = (1 + 10 * group + rng.integers(0, 10, (400, 12))).astype(np.int32)
    vectors = tokenizing.word_vectors(tokens, np.full(400, 12), 21)[1:]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    assert alike[:10, :10].mean() > alike[:10, 10:].mean() + 0.3
