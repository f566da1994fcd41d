"""The published sets: SST-2 (English), THUCNews titles (Chinese), and the reviews of IMDB."""

import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from roadmap.data.download import fetch
from roadmap.data.texts import from_files
from roadmap.io.errors import UsageError, of_file
from roadmap.io.texts import decoded

Frames = dict[str, pd.DataFrame]  # train and test: text, label


@dataclass(frozen=True)
class Table:
    """A set whose lines are text<TAB>number of the class.

    files       of train and of test: (name, sha256), at `address`; without a checksum they are not downloaded
    """

    name: str
    address: str
    files: tuple[tuple[str, str | None], tuple[str, str | None]]
    classes: tuple[str, ...]
    licence: str


# Socher et al., "Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank", EMNLP 2013: whole
# sentences; the 872 of dev are GLUE's, on which results are compared.
SST2 = Table(
    "SST-2",
    "https://github.com/clairett/pytorch-sentiment-classification/raw/master/data/SST2/",
    (
        ("train.tsv", "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920"),
        ("dev.tsv", "eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359"),
    ),
    ("negative", "positive"),
    "not stated",
)
# Sun et al., THUCTC, 2016: titles of Sina News, 2005 to 2011.
THUCNEWS = Table(
    "THUCNews titles",
    "https://github.com/649453932/Bert-Chinese-Text-Classification-Pytorch/tree/master/THUCNews/data",
    (("train.txt", None), ("dev.txt", None)),
    (
        *("finance", "realty", "stocks", "education", "science"),
        *("society", "politics", "sports", "game", "entertainment"),
    ),
    "research use only",
)
IMDB = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
IMDB_MD5 = "md5:7c2ac02c03563afcf9b574c7e56c153a"


def read(table: Table, path: str | None) -> Frames:
    """The set from a folder, or from its publisher.

    Raises:
        UsageError: a file is missing or has other lines; or the set is not downloaded by itself.
    """
    found = {}
    for split, (name, sha256) in zip(("train", "test"), table.files, strict=True):
        if path:
            file = in_folder(Path(path), name)
        elif sha256:
            file = fetch("bert", table.address + name, f"sha256:{sha256}")
        else:
            raise UsageError(
                f"data.path: found null; expected a folder with train.txt and dev.txt of {table.name}, from "
                f"{table.address} ({table.licence})"
            )
        found[split] = pd.DataFrame(lines(file, len(table.classes)), columns=["text", "label"])
    return found


def in_folder(folder: Path, name: str) -> Path:
    """`train.tsv`, or as it may have been renamed when it was packed or cut: `sst2_train.tsv.xz`, `train_45k.txt.xz`.

    Raises:
        UsageError: none, or several.
    """
    stem, _, suffix = name.partition(".")
    found = sorted(path for path in folder.glob(f"*{stem}*") if path.name.removesuffix(".xz").endswith(f".{suffix}"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UsageError(f"{folder}: found {names}; expected one file {name}, or {name}.xz")
    return found[0]


def lines(file: Path, classes: int) -> Iterator[tuple[str, int]]:
    """-> text, number of the class

    Raises:
        UsageError: unreadable, or a line that isn't text<TAB>number.
    """
    try:
        content = file.read_bytes()
        content = lzma.decompress(content) if file.suffix == ".xz" else content
    except OSError as error:
        raise UsageError(f"{of_file(error)}; expected lines of text<TAB>class") from None
    except lzma.LZMAError as error:
        raise UsageError(f"{file}: damaged ({error}); expected xz; get the file again") from None
    for number, line in enumerate(decoded(content, str(file)).split("\n"), 1):
        if line.strip():
            text, _, label = line.rstrip("\r").rpartition("\t")
            if not (text and label.isdigit() and int(label) < classes):
                expected = f"expected text<TAB>class, from 0 to {classes - 1}"
                raise UsageError(f"{file}: line {number}: found {line[:60]!r}; {expected}")
            yield text, int(label)


def reviews(path: str | None) -> Frames:
    """aclImdb with its published split: Maas et al., ACL 2011.

    Raises:
        UsageError: no such layout.
    """
    found, _ = from_files(Path(path) if path else fetch("imdb", IMDB, IMDB_MD5))
    if "test" not in found:
        raise UsageError(f"{path}: found no train and test; expected the layout of aclImdb; or set: own")
    return found
