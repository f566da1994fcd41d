"""What vectors are asked: analogies, and how alike two words are to people."""

import lzma
from typing import NamedTuple

from roadmap.data.download import fetch

WORDS = "https://raw.githubusercontent.com/tmikolov/word2vec/master/questions-words.txt.xz"
WORDS_SHA256 = "sha256:8acb5d6c7d3b4536833a054f623794e5222f4a3a37cb45b10808c60ad4b36c69"
ENGLISH = "https://raw.githubusercontent.com/mfaruqui/eval-word-vectors/master/data/word-sim"
CHINESE = "https://raw.githubusercontent.com/Leonard-Xu/CWE/master/data"
ANALOGIES = (f"{CHINESE}/zh_analogy.txt", "sha256:aa90024695f5a82411940804e03ee1512df2a3be0a5aa44da404423ae34d9247")
PAIRS = {  # name -> address, sha256
    "wordsim_353": (f"{ENGLISH}/EN-WS-353-ALL.txt", "ce12919b240af45bdf46d243601eaca2b6212b159b5e7e9b435ee7ee40c5619c"),
    "simlex_999": (f"{ENGLISH}/EN-SIMLEX-999.txt", "405394ffb7d25f6d0e3c041f87c9f27d29dc6b047506769953e85c4523b11685"),
    "wordsim_240_zh": (f"{CHINESE}/zh_240.txt", "822b25ceba0f6b916355e20a6611704de4b65933898196ee19de95f9c0203483"),
    "wordsim_297_zh": (f"{CHINESE}/zh_297.txt", "d2e7a4b162e79ef619b0c57c3019adf3d1ae1d12fe3ca11e9a86e4e0df879664"),
}


class Question(NamedTuple):
    """An analogy, a is to b as c is to d, or a pair: how alike a and b are, by people's `score`."""

    set: str
    a: str
    b: str
    c: str = ""
    d: str = ""
    score: float = 0.0


def official() -> list[Question]:
    """Google's analogies, Chen and Xu's Chinese ones, WordSim-353, SimLex-999, wordsim-240 and 297.

    Raises:
        UsageError: a file can't be had, or its checksum differs.
    """
    english = lzma.decompress(fetch("word2vec", WORDS, WORDS_SHA256).read_bytes()).decode()
    chinese = fetch("word2vec", *ANALOGIES).read_text(encoding="utf-8")
    found = []
    for text, suffix in ((english, ""), (chinese, "_zh")):
        section = ""
        for line in text.lower().splitlines():
            if line.startswith(":"):
                section = line[1:].strip().replace("-", "_") + suffix
            elif line.strip():
                a, b, c, d = line.split()
                found.append(Question(section, a, b, c, d))
    for name, (address, checksum) in PAIRS.items():
        for line in fetch("word2vec", address, f"sha256:{checksum}").read_text(encoding="utf-8").splitlines():
            if line.strip():
                a, b, score = line.lower().split("\t")[:3]
                found.append(Question(name, a, b, score=float(score)))
    return found
