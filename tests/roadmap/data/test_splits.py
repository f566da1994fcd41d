"""Splits: seeded, disjoint, stratified, and written atomically."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadmap.data import splits
from roadmap.data.splits import PreparedData, split_indices
from roadmap.io.errors import UsageError

SHARES = (0.7, 0.15, 0.15)
FRAME = pd.DataFrame(
    {
        "数量": [1.5, np.nan, -3.0, 1e300],
        "word": ["a", None, 'say "hi", please', "日本"],
        "label": pd.Series([0, 1, 1, 0], dtype="int64"),
    }
)
ARRAYS = {"image": np.arange(48, dtype=np.uint8).reshape(3, 4, 4), "digit": np.array([7, 0, 9])}


def prepared(content: Any = FRAME, **notes: Any) -> PreparedData:
    return PreparedData(dict.fromkeys(splits.SPLITS, content), "somewhere", "Apache-2.0", {"task": "test"}, notes)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(deadline=None, max_examples=50)
@given(
    st.integers(20, 300),
    st.sampled_from([SHARES, (0.6, 0.2, 0.2), (0.98, 0.01, 0.01)]),
    st.integers(0, 2**31 - 1),
    st.integers(1, 4),
)
def test_every_row_is_in_exactly_one_split(
    rows: int, shares: tuple[float, float, float], seed: int, levels: int
) -> None:
    strata = np.arange(rows) % levels
    for choice in (None, strata):
        parts = split_indices(rows, shares, seed, choice)
        assert list(parts) == ["train", "val", "test"]
        assert sorted(np.concatenate(list(parts.values()))) == list(range(rows))


def test_splits_are_stratified_even_for_rare_classes() -> None:
    strata = np.repeat(["common", "rare"], [960, 40])
    parts = split_indices(1000, SHARES, 1, strata)
    for level, total in (("common", 960), ("rare", 40)):
        got = [int((strata[rows] == level).sum()) for rows in parts.values()]
        assert got == [round(total * share) for share in SHARES]


def test_splits_depend_on_the_seed_alone() -> None:
    first, again, other = (split_indices(200, SHARES, seed)["test"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first != list(range(170, 200)), "rows are shuffled before the split"


@pytest.mark.parametrize("content", [FRAME, ARRAYS], ids=["table", "arrays"])
def test_written_splits_are_read_back(tmp_path: Path, content: Any) -> None:
    card = splits.write(tmp_path / "data", prepared(content, pixels=3), "sample")
    assert splits.read_card(tmp_path / "data") == card
    assert card["rows"] == dict.fromkeys(splits.SPLITS, len(content["label" if content is FRAME else "digit"]))
    assert (card["source"], card["licence"], card["profile"], card["pixels"]) == (
        "somewhere",
        "Apache-2.0",
        "sample",
        3,
    )
    for name in splits.SPLITS:
        found: Any = splits.read(tmp_path / "data", name)
        if content is FRAME:
            pd.testing.assert_frame_equal(found, FRAME, check_dtype=False)
            assert found["word"].isna().tolist() == [False, True, False, False]
        else:
            assert found.keys() == content.keys()
            for key, values in content.items():
                np.testing.assert_array_equal(found[key], values)
                assert found[key].dtype == values.dtype


@pytest.mark.parametrize("content", [FRAME, ARRAYS], ids=["table", "arrays"])
def test_the_same_data_gives_the_same_bytes(tmp_path: Path, content: Any) -> None:
    for name in ("a", "b"):
        splits.write(tmp_path / name / "mine", prepared(content), "sample")
    assert contents(tmp_path / "a" / "mine") == contents(tmp_path / "b" / "mine")


def test_the_card_hash_changes_with_a_single_value(tmp_path: Path) -> None:
    changed = {**ARRAYS, "digit": np.array([7, 0, 8])}
    one = prepared(ARRAYS)
    two = PreparedData({**one.splits, "test": changed}, one.source, one.licence, one.schema)
    cards = [splits.write(tmp_path / "data", each, "sample") for each in (one, two)]
    assert cards[0]["sha256"] != cards[1]["sha256"]
    assert cards[0]["files"]["train.npz"] == cards[1]["files"]["train.npz"]


def test_a_failing_write_leaves_the_old_folder_and_no_temporary_files(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "project"
    splits.write(folder, prepared(), "sample")
    before = contents(folder)
    unwritable = pd.DataFrame({"mixed": [1, "one", object()]})
    broken = PreparedData({**prepared().splits, "test": unwritable}, "new", "none", {})
    with pytest.raises(Exception, match="mixed"):
        splits.write(folder, broken, "full")
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["project"]


def test_a_new_write_removes_files_of_another_kind(tmp_path: Path) -> None:
    splits.write(tmp_path / "data", prepared(ARRAYS), "sample")
    splits.write(tmp_path / "data", prepared(FRAME), "full")
    assert sorted(contents(tmp_path / "data")) == ["card.json", "test.parquet", "train.parquet", "val.parquet"]
    assert json.loads((tmp_path / "data" / "card.json").read_text())["profile"] == "full"


def test_missing_data_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"card\.json: not there; run `dvc repro prepare@titanic` first"):
        splits.read_card(tmp_path / "titanic")
