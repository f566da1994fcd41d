"""Texts as sentences of words: English by its letters, Chinese by a dictionary."""

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from pipelines.word2vec.data.sample import Sentences
from roadmap.data.download import fetch
from roadmap.io.errors import UsageError
from roadmap.io.texts import decoded

# Archives of the publishers' files: Project Gutenberg's ebooks 2701, 2600, 1400, 145, 1023, 766 and four Chinese
# novels, all in the public domain; lyrics by the repository chinese-poetry (MIT).
NOVELS = ("https://www.gutenberg.org/files/gutenberg_6_novels.tar.xz",
          "sha256:714415b1f01982f597be0889a0c125dfade7c442ed701e64aae019bdf21af890")  # fmt: skip
CLASSICS = ("https://www.gutenberg.org/files/zh_classics_4.tar.xz",
            "sha256:be1eee47be86443f807f2f09ffc73e789dd8b4972e8bbf640f4a7d2b43b37cc9")  # fmt: skip
LYRICS = ("https://github.com/chinese-poetry/chinese-poetry/chinese-poetry_songci_11k.tar.xz",
          "sha256:05b5591e68459002ff1454a38d5b1f280cd2da6f315a87457b71257020545cc1")  # fmt: skip

ENGLISH = re.compile(r"[a-z]+(?:'[a-z]+)*")
CHINESE = re.compile(r"[㐀-鿿]+")
SENTENCE = re.compile(r"(?<=[.!?;。！？；])\s*|\n\s*\n")
BEGIN = re.compile(r"\*\*\* ?START OF.*?\*\*\*")
END = re.compile(r"\*\*\* ?END OF|End of (?:the )?Project Gutenberg")


def official() -> Sentences:
    """The six English novels, the four Chinese ones and the lyrics.

    Raises:
        UsageError: a file can't be had, or its checksum differs.
    """
    found: Sentences = []
    for address, checksum in (NOVELS, CLASSICS, LYRICS):
        with tarfile.open(fetch("word2vec", address, checksum)) as archive:
            for member in sorted(filter(tarfile.TarInfo.isfile, archive.getmembers()), key=lambda one: one.name):
                file = archive.extractfile(member)
                assert file is not None
                found += sentences(text_of(file.read(), member.name))
    return found


def text_of(content: bytes, name: str) -> str:
    """The text of an archive's file, without the publisher's words around it."""
    if name.endswith(".json"):
        return "\n\n".join("\n".join(poem["paragraphs"]) for poem in json.loads(content))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    text = text.replace("\r\n", "\n")
    begin, end = BEGIN.search(text), END.search(text)
    return text[begin.end() if begin else 0 : end.start() if end else len(text)]


def own(path: Path) -> Sentences:
    """
    Raises:
        UsageError: the file can't be read, or is no UTF-8 text, or has no sentence of two words.
    """
    try:
        text = decoded(path.read_bytes(), str(path)).replace("\r\n", "\n")
    except OSError as error:
        raise UsageError(f"params.yaml: projects.word2vec.data.path: {path}: {error.strerror}") from None
    if not (found := sentences(text)):
        raise UsageError(f"{path}: found no sentence of two words; expected English or Chinese text")
    return found


def sentences(text: str) -> Sentences:
    """Sentences of at least two words, each of one language."""
    found: Sentences = []
    for sentence in SENTENCE.split(text):
        english = ENGLISH.findall(sentence.lower())
        chinese = list(segmented(sentence))
        found += [(name, words) for name, words in (("en", english), ("zh", chinese)) if len(words) > 1]
    return found


def segmented(sentence: str) -> Iterator[str]:
    """Chinese words by jieba's dictionary, with its hidden Markov model for names, in Rust.

    Characters need no dictionary, but then no question could be asked: the words of all Chinese sets have two.
    """
    import rjieba

    for run in CHINESE.findall(sentence):
        yield from rjieba.cut(run)
