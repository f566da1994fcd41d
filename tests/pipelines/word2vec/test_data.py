"""pipelines/word2vec/data: the planted relations, sentences of two languages, and questions with unknown words."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from pipelines.word2vec import settings
from pipelines.word2vec.data import Data, sample, texts
from pipelines.word2vec.data.questions import Question
from pipelines.word2vec.data.texts import sentences, text_of
from roadmap.io.errors import UsageError

BLOCK = {
    "sentences": 300,
    "min_count": 1,
    "window": 2,
    "subsample": 1e-3,
    "block": 8,
    "width": 8,
    "split": (0.8, 0.1, 0.1),
}
SETTINGS = settings.Data(path=None, **BLOCK)


def test_the_seed_decides_the_sample() -> None:
    one, again, other = (Data().prepare(SETTINGS, "sample", seed).splits for seed in (1, 1, 2))
    assert one["train"]["words"].tolist() == again["train"]["words"].tolist() != other["train"]["words"].tolist()


def test_words_of_a_side_share_company_and_words_of_a_pair_share_topics() -> None:
    found = sample.generate(6000, 0)
    near = {word: {one for _, words in found if word in words for one in words} for word in ("paris", "rome", "france")}
    capitals, countries = set(sample.RELATIONS[0].right.split()), set(sample.RELATIONS[0].left.split())
    assert capitals <= near["paris"] & near["rome"] and countries <= near["france"]
    assert not near["paris"] & countries and not near["france"] & capitals
    topics = set(sample.TOPICS["en"].split())
    count = {word: [one for _, words in found if word in words for one in words if one in topics] for word in near}
    shared = {word: set(sorted(set(ones), key=ones.count)[-sample.TOPICS_OF_A_PAIR :]) for word, ones in count.items()}
    assert shared["paris"] == shared["france"] != shared["rome"]


def test_every_question_follows_a_relation_and_none_is_trivial() -> None:
    pairs = {pair for relation in sample.RELATIONS for pair in sample.pairs_of(relation)}
    for _, a, b, c, d in sample.questions(0):
        assert ({(a, b), (c, d)} <= pairs or {(b, a), (d, c)} <= pairs) and (a, b) != (c, d)


def test_sentences_are_of_one_language() -> None:
    pytest.importorskip("rjieba")
    found = sentences("It's the Captain! 宝玉笑道：“好妹妹，你别生气。” Ahab said nothing. No")
    assert found[0] == ("en", ["it's", "the", "captain"])
    assert found[1][0] == "zh" and "宝玉" in found[1][1] and "妹妹" in "".join(found[1][1])
    assert found[2] == ("en", ["ahab", "said", "nothing"]) and len(found) == 3


def test_the_publishers_words_are_left_out() -> None:
    text = b"Licence\r\n*** START OF THIS EBOOK X ***\r\nCall me Ishmael.\r\n*** END OF THIS EBOOK X ***\r\nLicence"
    assert text_of(text, "a.txt").strip() == "Call me Ishmael."
    assert text_of('[{"paragraphs": ["明月几时有", "把酒问青天"]}]'.encode(), "a.json") == "明月几时有\n把酒问青天"


def test_questions_with_unknown_words_are_counted_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.txt").write_text("the king met the queen. the man met the woman. " * 300)
    asked = [Question("family", "man", "king", "woman", "queen"), Question("family", "man", "king", "boy", "prince")]
    pairs = [Question("alike", "king", "queen", score=8.0), Question("alike", "king", "throne", score=6.0)]
    monkeypatch.setattr("pipelines.word2vec.data.questions.official", lambda: asked + pairs)
    own = SETTINGS.model_copy(update={"path": str(tmp_path / "my.txt")})
    prepared = Data().prepare(own, "full", 0)
    assert prepared.notes["known_and_unknown_questions"] == {"family": [1, 1], "alike": [1, 1]}
    assert prepared.splits["test"]["words"].tolist() == [["man", "king", "woman", "queen"], ["king", "queen", "", ""]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found no sentence of two words"),
        (b"\xff\xfet\0", "found UTF-16"),
        (b"one two three. " * 10, "found fewer than 2,000 words"),
    ],
)
def test_a_text_that_is_none(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_bytes(content)
    own = SETTINGS.model_copy(update={"path": str(tmp_path / "my.txt")})
    with pytest.raises(UsageError, match=message):
        Data().prepare(own, "sample", 0)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.txt: No such file"):
        texts.own(tmp_path / "nowhere.txt")


def test_an_archive_that_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path))
    monkeypatch.setattr(texts, "NOVELS", ((tmp_path / "novels.tar.xz").as_uri(), "sha256:0"))
    with pytest.raises(UsageError, match=r"novels\.tar\.xz of word2vec.*README\.md.*data\.path=my\.txt"):
        Data().prepare(SETTINGS, "full", 0)


@pytest.mark.slow
@pytest.mark.mirror
@pytest.mark.skipif(not os.environ.get("DATA_MIRROR"), reason="DATA_MIRROR names no folder with the official files")
def test_the_novels_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_CACHE", str(tmp_path))
    full = SETTINGS.model_copy(update={"min_count": 5})
    card = Data().prepare(full, "full", 0)
    assert card.notes["words"] > 3_800_000
    assert card.notes["known_and_unknown_questions"]["wordsim_353"] == [182, 171]
    assert np.unique(card.splits["train"]["languages"]).tolist() == [0, 1]


def test_an_archive_is_read_in_the_order_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "some.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        for name in ("b.txt", "a.txt"):
            content = f"this is {name[0]}.".encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(texts, "fetch", lambda *_: path)
    assert texts.official()[:2] == [("en", ["this", "is", "a"]), ("en", ["this", "is", "b"])]
