"""Sentence pairs: Multi30k from its publisher, Tatoeba and those of your own from files."""

import gzip
import lzma
from pathlib import Path

import numpy as np
import pandas as pd

from roadmap.data.download import fetch
from roadmap.data.splits import SPLITS, split_indices
from roadmap.io.errors import UsageError, of_file
from roadmap.io.texts import decoded

# Elliott et al., "Multi30K: Multilingual English-German Image Descriptions", 2016; French: 2017; Czech: 2018.
MULTI30K = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/"
FILES = {"train": "train", "val": "val", "test": "test_2016_flickr"}
SHA256 = {
    "test_2016_flickr.cs": "200a4a74cc9560f051924abb9803be008d1908d77f747e9141aeb86dfd2797f1",
    "test_2016_flickr.de": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.en": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "test_2016_flickr.fr": "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
    "train.cs": "a65adb8b32e3bc664f21ecba7a6e7f6950fd1f405e135f7c312faabdb6255077",
    "train.de": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.en": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "train.fr": "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    "val.cs": "b63226e05c4bd5dd6a42897d74b86a1b9d2c31498252c572b1ea7f7996927fcc",
    "val.de": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.en": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "val.fr": "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
}

OPENERS = {".gz": gzip.decompress, ".xz": lzma.decompress}


def multi30k(source: str, target: str) -> dict[str, pd.DataFrame]:
    """The publisher's splits, as tables of `source` and `target`."""
    found = {}
    for split, file in FILES.items():
        sides = []
        for language in (source, target):
            name = f"{file}.{language}"
            path = fetch("translation/multi30k", f"{MULTI30K}{name}.gz", f"sha256:{SHA256[name]}")
            sides.append(lines(path))
        found[split] = pairs(*sides)
    return found


def own(path: str | tuple[str, str]) -> pd.DataFrame:
    """A file of source<TAB>target, or a file of each.

    Raises:
        UsageError: unreadable, or not as many lines in one file as in the other.
    """
    if isinstance(path, str):
        return from_table(path)
    sides = [lines(Path(one)) for one in path]
    if len(sides[0]) != len(sides[1]):
        found = f"found {len(sides[0]):,} lines, and {len(sides[1]):,} in {path[1]}"
        raise UsageError(f"{path[0]}: {found}; expected a line for each of the other's")
    return pairs(*sides)


def from_table(path: str) -> pd.DataFrame:
    """Lines of source<TAB>target; further columns are passed over.

    Raises:
        UsageError: unreadable, or a line with one column.
    """
    cells = [line.split("\t") for line in lines(Path(path))]
    for number, row in enumerate(cells, 1):
        if len(row) < 2 and row != [""]:
            raise UsageError(f"{path}: line {number}: found no tab; expected source<TAB>target")
    cells = [row for row in cells if row != [""]]
    return pairs([row[0] for row in cells], [row[1] for row in cells])


def lines(path: Path) -> list[str]:
    """
    Raises:
        UsageError: unreadable, or no text.
    """
    try:
        content = path.read_bytes()
        if path.suffix in OPENERS:
            content = OPENERS[path.suffix](content)
    except (OSError, EOFError, lzma.LZMAError) as error:
        found = of_file(error) if isinstance(error, OSError) and error.filename else f"{path}: {error}"
        raise UsageError(f"{found}; expected a file of lines") from None
    text = decoded(content, str(path)).replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n").split("\n")


def pairs(source: list[str], target: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"source": [" ".join(text.split()) for text in source],
                         "target": [" ".join(text.split()) for text in target]})  # fmt: skip


def cut(table: pd.DataFrame, shares: tuple[float, float, float], seed: int) -> dict[str, pd.DataFrame]:
    """A random split. Pairs with a side in common stay together: else the test would hold sentences of the training.

    Raises:
        UsageError: no pair has both sides.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    whole = table[(table[["source", "target"]] != "").all(axis=1)].reset_index(drop=True)
    if whole.empty:
        raise UsageError(f"projects.translation.data.path: found no pair with both sides among {len(table):,}")
    if len(whole) < len(table):
        print(f"{len(table) - len(whole):,} pairs left out: a side is empty")
    table = whole
    rows = np.arange(len(table))
    sides = [pd.factorize(table[side])[0] for side in ("source", "target")]
    size = len(table) + sum(side.max() + 1 for side in sides)
    ends = np.concatenate([len(table) + sides[0], len(table) + sides[0].max() + 1 + sides[1]])
    links = coo_array((np.ones(len(ends)), (np.tile(rows, 2), ends)), shape=(size, size))
    groups = connected_components(links, directed=False)[1][: len(table)]
    names, group = np.unique(groups, return_inverse=True)
    parts = split_indices(len(names), shares, seed)
    return {name: table[np.isin(group, parts[name])].reset_index(drop=True) for name in SPLITS}
