"""Pairs by rule, from the publisher and from files; what is broken is named in one line."""

import gzip
import lzma
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from pipelines.translation import data
from pipelines.translation.data import corpora, numerals, tokens
from pipelines.translation.settings import Data
from roadmap.data import splits
from roadmap.io.errors import UsageError

SHARES = (0.8, 0.1, 0.1)


def settings(**changes: Any) -> Data:
    known = {"corpus": "own", "source": "de", "target": "en", "path": "pairs.tsv", "rows": 600, "vocabulary": 200}
    return Data(**{**known, "max_tokens": 32, "split": SHARES, **changes})


@pytest.mark.parametrize(
    ("n", "zh", "en"),
    [
        (0, "零", "zero"),
        (12, "十二", "twelve"),
        (110, "一百一十", "one hundred and ten"),
        (2_002, "两千零二", "two thousand and two"),
        (3_005, "三千零五", "three thousand and five"),
        (20_305, "两万零三百零五", "twenty thousand three hundred and five"),
        (123_456, "十二万三千四百五十六", "one hundred and twenty-three thousand four hundred and fifty-six"),
        (5_000_017, "五百万零一十七", "five million and seventeen"),
    ],
)
def test_numbers_are_said_as_in_both_languages(n: int, zh: str, en: str) -> None:
    assert (numerals.chinese(n), numerals.english(n)) == (zh, en)


def test_dates_and_times_are_said_as_in_both_languages() -> None:
    assert numerals.date(3, 21, 1905) == ("一九零五年三月二十一日", "the twenty-first of March nineteen oh five")
    assert numerals.date(12, 12, 2026)[1] == "the twelfth of December twenty twenty-six"
    assert numerals.date(1, 2, weekday=6) == ("一月二日星期日", "Sunday the second of January")
    assert numerals.time("下午", 2, 15) == ("下午两点一刻", "a quarter past two in the afternoon")
    assert numerals.time("上午", 11, 50) == ("上午十一点五十分", "ten to twelve in the morning")
    assert numerals.time("凌晨", 3, 5) == ("凌晨三点零五分", "five past three at night")


def test_every_value_has_one_translation_each_way() -> None:
    pairs = [(numerals.chinese(n), numerals.english(n)) for n in range(20_000)]
    pairs += [
        numerals.time(part, hour, m) for part, (_, hours) in numerals.PARTS.items() for hour in hours for m in range(60)
    ]
    pairs += [numerals.date(month, 9, year) for month in range(1, 13) for year in numerals.YEARS]
    for side in zip(*pairs, strict=True):
        assert len(set(side)) == len(pairs)


def test_the_sample_holds_values_back_and_knows_which_are_longer() -> None:
    parts, again, other = (numerals.generate(2_000, SHARES, seed) for seed in (1, 1, 2))
    for name, part in parts.items():
        pd.testing.assert_frame_equal(part, again[name])
    assert not parts["train"].equals(other["train"])
    seen = set(parts["train"]["source"])
    assert seen.isdisjoint(parts["val"]["source"]) and seen.isdisjoint(parts["test"]["source"])
    test = parts["test"]
    assert set(test["kind"]) == {"number", "date", "time", "longer"}
    assert test["source"].str.isascii().mean() == 0.5
    longest = max(map(len, parts["train"].loc[parts["train"]["kind"] == "number", "source"]))
    assert test.loc[test["kind"] == "longer", "source"].str.len().max() > longest


def test_words_are_tokens_with_their_space_and_chinese_characters_are_tokens() -> None:
    parts = numerals.generate(2_000, SHARES, 1)
    tokenizer = tokens.train_tokenizer([*parts["train"]["source"]], 1_000)
    found = tokenizer.encode("twenty-three thousand and five")
    assert found.tokens == ["▁twenty", "-three", "▁thousand", "▁and", "▁five"]
    assert tokenizer.encode("三千零五").tokens == ["▁", "三", "千", "零", "五"]
    for text in ("twenty-three thousand and five", "三千零五"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.encode("  three\n thousand ").tokens == ["▁three", "▁thousand"]


def pairs(count: int = 300) -> list[tuple[str, str]]:
    return [(f"Satz {n} von {n % 7}", f"sentence {n} of {n % 7}") for n in range(count)]


@pytest.mark.parametrize("kind", ["tsv", "tsv.gz", "tsv.xz", "two files"])
def test_pairs_of_ones_own_are_the_same_in_every_form(tmp_path: Path, kind: str) -> None:
    path: str | tuple[str, str] = str(tmp_path / f"pairs.{kind}")
    if kind == "two files":
        path = (str(tmp_path / "a.de"), str(tmp_path / "a.en"))
        for name, side in zip(path, zip(*pairs(), strict=True), strict=True):
            Path(name).write_text("\n".join(side) + "\n", encoding="utf-8-sig")
    else:
        content = "".join(f"{one}\t{other}\tthanks\r\n" for one, other in pairs()).encode()
        packed = {"tsv.gz": gzip.compress(content), "tsv.xz": lzma.compress(content)}
        Path(str(path)).write_bytes(packed.get(kind, content))
    found = data.Data().prepare(settings(path=path), "full", seed=3)
    assert sum(map(len, found.splits.values())) == 300
    assert {(row.source, row.target) for part in found.splits.values() for row in part.itertuples()} == set(pairs())


def test_pairs_with_a_side_in_common_stay_in_one_split() -> None:
    table = corpora.pairs([f"s{n // 3}" for n in range(300)], [f"t{(n + 1) // 3}" for n in range(300)])
    chained = corpora.cut(table, SHARES, 1)
    assert sorted(map(len, chained.values())) == [0, 0, 300], "each pair shares a side with the next"
    apart = corpora.pairs([f"s{n // 3}" for n in range(300)], [f"t{n}" for n in range(300)])
    parts = corpora.cut(apart, SHARES, 1)
    for name, part in parts.items():
        assert len(part) % 3 == 0 and len(part) > 0, name
        others = pd.concat([other for key, other in parts.items() if key != name])
        assert set(part["source"]).isdisjoint(others["source"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ein Satz\ta sentence\nnoch einer\n", "line 2: found no tab; expected source<TAB>target"),
        (b"\xff\xfea\x00", "not UTF-8 text: found UTF-16"),
        (b"", "found no pair with both sides among 0"),
        (b"a\tb\n" * 50, "the (val|test) split has 0 pairs|the train split has 0 pairs"),
        (b"\xc3(\ta\n", "not UTF-8 text"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        data.Data().prepare(settings(path=str(path)), "full", seed=3)
    assert "\n" not in str(caught.value)


def test_files_that_do_not_go_together_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.de").write_text("eins\nzwei\n")
    (tmp_path / "a.en").write_text("one\n")
    with pytest.raises(UsageError, match=r"a\.de: found 2 lines, and 1 in .*a\.en"):
        corpora.own((str(tmp_path / "a.de"), str(tmp_path / "a.en")))
    with pytest.raises(UsageError, match=r"nowhere\.tsv: .* expected a file of lines"):
        corpora.own(str(tmp_path / "nowhere.tsv"))
    (tmp_path / "half.tsv.gz").write_bytes(gzip.compress(b"a\tb\n" * 1_000)[:-20])
    with pytest.raises(UsageError, match=r"half\.tsv\.gz"):
        corpora.own(str(tmp_path / "half.tsv.gz"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": None}, "corpus own: found path None; expected a file, or two"),
        ({"corpus": "numerals"}, "corpus numerals: found path 'pairs.tsv'; expected null"),
        ({"corpus": "multi30k", "path": None, "source": "zh"}, "found zh to en; expected two of cs, de, en, fr"),
        ({"path": ["a"]}, "path"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**changes)


def test_what_training_gets_is_padded_behind(tmp_path: Path) -> None:
    prepared = data.Data().prepare(settings(corpus="numerals", path=None), "sample", 1)
    splits.write(tmp_path / "translation", prepared, "sample")
    found = data.Data().training(tmp_path / "translation")
    source, lengths, target = found.train
    assert (source[:, 0] != tokens.PAD).all() and ((source != tokens.PAD).sum(axis=1) == lengths).all()
    assert (target[:, 0] == tokens.BEGIN).all() and ((target == tokens.END).sum(axis=1) == 1).all()
    assert found.lengths is not None and (found.lengths[0] >= lengths).all()


@pytest.mark.slow
@pytest.mark.mirror
@pytest.mark.skipif(not os.environ.get("DATA_MIRROR"), reason="DATA_MIRROR names no folder with the official files")
class TestOfficialData:
    @pytest.mark.parametrize("source", ["de", "fr", "cs"])
    def test_multi30k_has_its_published_sizes(
        self, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATA_CACHE", str(tmp_path))
        found = corpora.multi30k(source, "en")
        assert {name: len(part) for name, part in found.items()} == {"train": 29_000, "val": 1_014, "test": 1_000}
        assert found["train"]["target"][0] == "Two young, White males are outside near many bushes."

    def test_tatoeba_is_translated_from_chinese(self) -> None:
        path = str(Path(os.environ["DATA_MIRROR"], "translation/tatoeba/cmn.txt.xz"))
        asked = settings(corpus="tatoeba", path=path, source="zh", vocabulary=4_000, max_tokens=64)
        found = data.Data().prepare(asked, "full", seed=1)
        assert found.licence.startswith("CC BY 2.0")
        assert sum(map(len, found.splits.values())) > 29_000
        test, train = found.splits["test"], found.splits["train"]
        assert set(test["target"]).isdisjoint(train["target"]), "English sides repeat in the file"
        assert not test["source"].str.isascii().any()
