"""Tokenizers compared: bytes per token and bits per byte, by language and size of the vocabulary.

    python -m pipelines.tokenizers                          # Gutenberg, Chinese novels, Python's own library
    python -m pipelines.tokenizers vocabularies=1000,4000 english=a.txt chinese=b.txt code=c.py

Prints a table and writes it with a picture. The tokens are learnt from the three texts together. Bits per byte are of a
Kneser-Ney trigram of tokens, trained on each text and measured on its last part.
"""

import sys
import sysconfig
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import Field, field_validator

from pipelines.mini_gpt.evaluate.ngrams import probabilities
from pipelines.word2vec.data.texts import CLASSICS, NOVELS, text_of
from roadmap.data.download import fetch
from roadmap.io import command_line
from roadmap.io.atomic import write_atomically
from roadmap.io.command_line import Options
from roadmap.io.errors import UsageError
from roadmap.io.texts import decoded
from roadmap.tokenizing.compare import Row, Text, rows

LANGUAGES = ("English", "Chinese", "code")
ORDER = 3


class Choice(Options):
    vocabularies: tuple[int, ...] = Field((1000, 4000, 16000), description="sizes, with commas: 1000,4000,16000")
    english: Path | None = Field(None, description="a text of your own, UTF-8 (six English novels)")
    chinese: Path | None = Field(None, description="a text of your own, UTF-8 (four Chinese novels)")
    code: Path | None = Field(None, description="a file of your own, UTF-8 (Python's standard library)")
    size: int = Field(
        400_000, ge=10_000, le=100_000_000, description="bytes of each text; its last tenth is for testing"
    )
    output: Path = Field(Path("artifacts/tokenizers"), description="folder of the table and the picture")

    @field_validator("vocabularies", mode="before")
    @classmethod
    def _numbers(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("vocabularies")
    @classmethod
    def _large_enough(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or not all(600 <= one <= 200_000 for one in value):
            raise ValueError("expected sizes from 600, twice the bytes and some, to 200,000")
        return value


def main(choice: Choice) -> None:
    """
    Raises:
        UsageError: a text can't be had, or has fewer bytes than `size`.
    """
    texts = {name: cut(name, whole, choice.size) for name, whole in read(choice).items()}
    print(f"{choice.size:,} bytes each of {', '.join(texts)}", file=sys.stderr)
    found = rows(texts, sorted(choice.vocabularies), trigram, lambda what: print(what, file=sys.stderr, flush=True))
    table = as_table(found)
    write_atomically(choice.output / "table.md", table)
    draw(found, choice.output / "tokenizers.png")
    print(table, end="")


def trigram(train: np.ndarray, test: np.ndarray, vocabulary: int) -> np.ndarray:
    """train, test: int [n], [m] -> probability of each test token, [m]"""
    return probabilities(train, test, vocabulary, ORDER)


def read(choice: Choice) -> dict[str, str]:
    own = {"English": choice.english, "Chinese": choice.chinese, "code": choice.code}
    found = {}
    for name, path in own.items():
        if path is not None:
            found[name] = decoded(path.read_bytes(), str(path))
        elif name == "code":
            files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
            found[name] = "\n".join(file.read_text(encoding="utf-8") for file in files)
        else:
            with tarfile.open(fetch("word2vec", *(NOVELS if name == "English" else CLASSICS))) as archive:
                members = sorted(filter(tarfile.TarInfo.isfile, archive.getmembers()), key=lambda one: one.name)
                files_ = [file.read() for member in members if (file := archive.extractfile(member))]
                found[name] = "\n".join(
                    text_of(content, member.name) for content, member in zip(files_, members, strict=True)
                )
    return found


def cut(name: str, whole: str, size: int) -> Text:
    """The first `size` bytes, nine tenths and the rest."""
    content = whole.encode()
    if len(content) < size:
        raise UsageError(
            f"{name.lower()}: found {len(content):,} bytes; expected {size:,}; lower size= or give more text"
        )
    train, test = content[: size * 9 // 10], content[size * 9 // 10 : size]
    return Text(train.decode(errors="ignore"), test.decode(errors="ignore"))


def as_table(found: list[Row]) -> str:
    """In Markdown."""
    head = [f"{name}, {unit}" for unit in ("bytes per token", "bits per byte") for name in LANGUAGES]
    lines = ["| tokenizer | vocabulary | " + " | ".join(head) + " |", "| --- |" + " --- |" * (len(head) + 1)]
    for row in found:
        figures = [f"{row.bytes_per_token[name]:.2f}" for name in LANGUAGES]
        figures += [f"{row.bits_per_byte[name]:.3f}" for name in LANGUAGES]
        lines.append(f"| {row.kind} | {row.vocabulary:,} | " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n"


def draw(found: list[Row], path: Path) -> None:
    """A column a language: bytes per token above, bits per byte below."""
    import matplotlib.pyplot as plt

    from roadmap.evaluation.plots.style import BLUE, GREY, ORANGE, RED, save

    colours = {"BPE": BLUE, "WordPiece": ORANGE, "Unigram": RED}
    figure, axes = plt.subplots(2, len(LANGUAGES), figsize=(10, 5.6), sharex=True, sharey="row")
    for column, language in enumerate(LANGUAGES):
        for ax, unit in zip(axes[:, column], ("bytes_per_token", "bits_per_byte"), strict=True):
            for kind, colour in colours.items():
                points = [(row.vocabulary, getattr(row, unit)[language]) for row in found if row.kind == kind]
                ax.plot(*zip(*points, strict=True), "o-", color=colour, label=kind, ms=4)
            (single,) = (row for row in found if row.kind == "bytes")
            ax.axhline(getattr(single, unit)[language], color=GREY, ls="--", label="bytes")
            ax.set(xscale="log")
        axes[0, column].set_title(language)
        axes[1, column].set_xlabel("vocabulary")
    axes[0, 0].set_ylabel("bytes per token")
    axes[1, 0].set_ylabel("bits per byte")
    axes[0, 0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)


COMMANDS: dict[str, tuple[type[Choice], Callable[[Choice], int | None]]] = {"": (Choice, main)}

if __name__ == "__main__":
    sys.exit(command_line.run(COMMANDS, __doc__, sys.argv[1:]))
