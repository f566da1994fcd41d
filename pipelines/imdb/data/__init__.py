"""Sentiment: generated reviews (sample), Maas et al.'s 50,000 (full), ChnSentiCorp, or labelled texts of your own."""

import json
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.imdb.data.reviews import generate
from pipelines.imdb import settings
from pipelines.imdb.predict import MOST, is_blank
from roadmap.io.errors import UsageError
from roadmap.data import csv_table, splits, tables
from roadmap.data.download import fetch
from roadmap.data.splits import PreparedData, split_indices
from roadmap import project
from roadmap.data.training_set import TrainingSet
from roadmap.project import Request, Row, Schema

# Maas, Daly, Pham, Huang, Ng and Potts, "Learning Word Vectors for Sentiment Analysis", ACL 2011.
IMDB = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
IMDB_MD5 = "md5:7c2ac02c03563afcf9b574c7e56c153a"
HOTELS = (
    "https://raw.githubusercontent.com/SophonPlus/ChineseNlpCorpus/master/datasets/ChnSentiCorp_htl_all/"
    "ChnSentiCorp_htl_all.csv"
)
HOTELS_SHA256 = "sha256:1d414b9c65caf3a836abdb4efded621968502ad3338e1a9d885ae131c86083f0"
CHNSENTICORP = "chnsenticorp"

CLASSES = ["negative", "positive"]
MEMBER = re.compile(r"(?:^|/)(train|test)/(neg|pos)/[^/]+\.txt$")
LABELS = {"neg": 0, "pos": 1}
HELD_OUT = 0.05  # fraction of the official training texts, for validation
DIMENSIONS, WINDOW = 128, 5  # of the initial word vectors
EXPLAINED = 1_000  # test texts with contributions: enough to rank words
# Metadata of a test row; `truth` and the tags only for generated reviews.
FIELDS = [("label", "i8"), ("truth", "i8"), ("kind", "U16"), ("language", "U8")]


class Data(project.Data[settings.Data], project.TakesLabels):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        classes = CLASSES
        if data.path is None and profile == "sample":
            frame = pd.DataFrame(vars(review) for review in generate(data.rows, seed))
            parts, dropped = cut(frame, data, seed)
            source, licence = "generated reviews", "ours"
        elif data.path == CHNSENTICORP:
            parts, dropped = cut(hotels(), data, seed)
            source, licence = "ChnSentiCorp, 7,765 hotel reviews", "not stated"
        elif data.path and data.text and data.target:
            frame, classes = table(data.path, data.text, data.target)
            parts, dropped = cut(frame, data, seed)
            source, licence = f"csv:{Path(data.path).name}", "yours"
        else:
            parts, dropped = official(Path(data.path) if data.path else fetch("imdb", IMDB, IMDB_MD5), seed)
            source, licence = "IMDB" if data.path is None else f"aclImdb layout:{Path(data.path).name}", "not stated"
        for why, count in dropped.items():
            print(f"{source}: {count:,} texts skipped ({why})")
        schema = {
            "task": "text",
            "text": "text",
            "target": "label",
            "classes": classes,
            "vocabulary": data.vocabulary,
            "max_tokens": data.max_tokens,
        }
        return PreparedData(splits=parts, source=source, licence=licence, schema=schema, notes={"left_out": dropped})

    def labelled(self, request: Request, schema: Schema) -> Row | None:
        text = request.get("text")
        return {"text": text} if isinstance(text, str) and text.strip() else None

    def training(self, folder: Path) -> TrainingSet:
        """Token ids int32 [n, most] padded with 0, lengths int64 [n], labels float32 [n]."""
        schema = splits.read_card(folder)["schema"]
        train, val = (splits.read(folder, name) for name in ("train", "val"))
        tokenizer = train_tokenizer(train["text"], schema["vocabulary"], schema["max_tokens"])
        parts = [
            (*padded(encode(tokenizer, part["text"])), part["label"].to_numpy(np.float32)) for part in (train, val)
        ]
        example = [{"text": train["text"][int((train["label"] == label).argmax())]} for label in (1, 0)]
        return TrainingSet(
            train=parts[0],
            val=parts[1],
            lengths=(parts[0][1], parts[1][1]),
            model={"embedding": embedding(*parts[0], tokenizer.get_vocab_size())},
            assets={"schema.json": schema, "tokenizer.json": json.loads(tokenizer.to_str()), "example.json": example},
        )

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Requests and a record per row; for real texts the tags are empty and the truth is -1."""
        test = splits.read(folder, split)
        requests = [{"text": text, "explain": row < EXPLAINED} for row, text in enumerate(test["text"])]
        targets = np.zeros(len(test), FIELDS)
        targets["truth"] = -1
        for name, _ in FIELDS:
            if name in test:
                targets[name] = test[name]
        return requests, targets


def hotels() -> pd.DataFrame:
    """ChnSentiCorp's hotel reviews without the null one."""
    return tidy(pd.read_csv(fetch("imdb_zh", HOTELS, HOTELS_SHA256)), "review", "label")


def table(path: str, text: str, target: str) -> tuple[pd.DataFrame, list[str]]:
    """A user's CSV -> texts with label 0 or 1, names of the classes."""
    cells = csv_table.read(path, [target], raw=[text])
    if text not in cells.columns or text == target:
        others = [name for name in cells.columns if name != target]
        raise UsageError(f"{path}: line 1: no column {text!r} beside {target!r}; allowed: {', '.join(others)}")
    frame = csv_table.typed(cells, target, None, raw=[text]).frame
    for row, review in frame[text].items():
        check_length(review, f"{path}: data row {int(str(row)) + 1}, column {text!r}")
    frame[target], classes = tables.binary_target(frame[target], path)
    return tidy(frame, text, target), classes


def check_length(text: str, where: str) -> None:
    """Raises: UsageError: a text that no request may have."""
    if len(text) > MOST:
        raise UsageError(f"{where}: found {len(text):,} characters; expected at most {MOST:,}, as of a request")


def tidy(frame: pd.DataFrame, text: str, target: str) -> pd.DataFrame:
    return pd.DataFrame({"text": frame[text], "label": frame[target].astype("int64")})


def cut(frame: pd.DataFrame, data: settings.Data, seed: int) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """A random split, each text once: a repeated one would stand in train and in test."""
    known = frame[frame["text"].map(lambda text: isinstance(text, str) and not is_blank(text))]
    if known.empty:
        raise UsageError(f"{len(frame)} rows have no text; expected some in the column that data.text names")
    kept = known.drop_duplicates("text").reset_index(drop=True)
    dropped = {"empty": len(frame) - len(known), "repeated": len(known) - len(kept)}
    rows = split_indices(len(kept), data.split, seed, strata=kept["label"].to_numpy())
    parts = {name: kept.iloc[index].reset_index(drop=True) for name, index in rows.items()}
    for name, part in parts.items():
        if part["label"].nunique() < 2:
            raise UsageError(f"{len(kept)} texts leave {name} without both classes; add texts or change data.split")
    return parts, dropped


def official(path: Path, seed: int) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """The published split. Validation is taken from train, and training texts that test has too are dropped.

    Raises:
        UsageError: missing path, unreadable archive, or a class without texts.
    """
    columns = ("split", "label", "name", "text")
    # Sorted by name, so that a folder and an archive give the same splits.
    frame = pd.DataFrame(sorted(members(path)), columns=columns)
    for split in ("train", "test"):
        for label in LABELS:
            if not ((frame["split"] == split) & (frame["label"] == LABELS[label])).any():
                raise UsageError(
                    f"{path}: no texts in {split}/{label}/*.txt, in the layout of aclImdb; {len(frame)} found"
                )
    train, test = (frame[frame["split"] == split][["text", "label"]] for split in ("train", "test"))
    unseen = train[~train["text"].isin(set(test["text"]))]
    kept = unseen.drop_duplicates("text").reset_index(drop=True)
    dropped = {"of train, in test too": len(train) - len(unseen), "repeated in train": len(unseen) - len(kept)}
    rows = split_indices(len(kept), (1 - HELD_OUT, HELD_OUT, 0), seed, strata=kept["label"].to_numpy())
    parts = {name: kept.iloc[rows[name]].reset_index(drop=True) for name in ("train", "val")}
    return parts | {"test": test.reset_index(drop=True)}, dropped


def members(path: Path) -> Iterator[tuple[str, int, str, str]]:
    """Split, label, file name and text of every review in a folder, an archive or a folder of archives."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    if path.is_file():
        yield from _archived(path)
        return
    for file in path.rglob("*"):
        if match := MEMBER.search(file.as_posix()):
            yield match[1], LABELS[match[2]], file.name, _decoded(file.read_bytes(), file)
        elif ".tar" in file.suffixes or file.suffix == ".tgz":
            yield from _archived(file)


def _archived(path: Path) -> Iterator[tuple[str, int, str, str]]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                match = MEMBER.search(member.name)
                if match and (file := archive.extractfile(member)):
                    yield match[1], LABELS[match[2]], Path(member.name).name, _decoded(file.read(), member.name)
    except (tarfile.TarError, EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise UsageError(f"{path}: unreadable archive ({error})") from None


def _decoded(content: bytes, where: Any) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    check_length(text, str(where))
    return text


def train_tokenizer(texts: Iterable[str], vocabulary: int, max_tokens: int) -> Any:
    """Byte-pair encoding of lower-case words and punctuation (Sennrich et al., 2016).

    A run of Chinese characters counts as one word, in which merging finds the words. The JSON file has all steps from
    text to token ids, truncation at `max_tokens` included, so that training and serving can't differ.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(r"(?i)<br\s*/?>"), " "), normalizers.NFKC(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        max_token_length=20,
        special_tokens=["[PAD]", "[UNK]"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def encode(tokenizer: Any, texts: Iterable[str]) -> list[list[int]]:
    """Token ids; a text without tokens becomes one unknown token."""
    return [encoding.ids or [1] for encoding in tokenizer.encode_batch_fast(list(texts))]


def padded(ids: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """-> int32 [n, longest], int64 [n]"""
    lengths = np.array([len(row) for row in ids])
    tokens = np.zeros((len(ids), lengths.max()), np.int32)
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = np.concatenate(ids)
    return tokens, lengths


def embedding(tokens: np.ndarray, lengths: np.ndarray, labels: np.ndarray, vocabulary: int) -> np.ndarray:
    """Initial embeddings: the polarity of each token, then its similarity to others. float32 [vocabulary, k]"""
    ratios = log_count_ratios(tokens, labels, vocabulary)
    return np.column_stack([ratios, word_vectors(tokens, lengths, vocabulary)])


def log_count_ratios(tokens: np.ndarray, labels: np.ndarray, vocabulary: int) -> np.ndarray:
    """log p(token | second class) / p(token | first), counting each token once per text (Wang and Manning, 2012)."""
    counts = np.ones((2, vocabulary))
    for row, label in zip(tokens, labels.astype(int), strict=True):
        counts[label, np.unique(row)] += 1
    bad, good = counts / counts.sum(axis=1, keepdims=True)
    return np.log(good / bad).astype(np.float32)


def word_vectors(tokens: np.ndarray, lengths: np.ndarray, vocabulary: int) -> np.ndarray:
    """Word vectors from the training texts alone: float32 [vocabulary, at most DIMENSIONS].

    The leading singular vectors of the positive pointwise mutual information of tokens up to WINDOW apart, weighted by
    proximity (Levy, Goldberg and Dagan, "Improving Distributional Similarity", 2015).
    """
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    size = (vocabulary, vocabulary)
    pairs = sparse.csr_matrix(size, dtype=np.float32)
    for gap in range(1, WINDOW + 1):
        near, far = tokens[:, :-gap], tokens[:, gap:]
        real = np.arange(far.shape[1]) + gap < lengths[:, None]
        weights = np.full(np.count_nonzero(real), 1 / gap, np.float32)
        pairs += sparse.coo_matrix((weights, (near[real], far[real])), shape=size).tocsr()
    pairs = (pairs + pairs.T).tocoo()
    often = np.asarray(pairs.sum(axis=1)).ravel()
    context = often**0.75 / (often**0.75).sum()  # smoothed, or rare tokens would get high values
    with np.errstate(divide="ignore"):
        information = np.log(pairs.data / (often[pairs.row] * context[pairs.col]))
    pairs.data = np.maximum(information, 0).astype(np.float32)
    u, s, _ = randomized_svd(pairs.tocsr(), min(DIMENSIONS, vocabulary - 1), n_iter=2, random_state=0)
    vectors = u * np.sqrt(s)
    return (0.3 * vectors / (vectors.std() or 1)).astype(np.float32)
