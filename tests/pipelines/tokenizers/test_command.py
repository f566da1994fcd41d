"""The command that compares tokenizers: its table and picture, and wrong input in one line."""

import re
from pathlib import Path

import pytest

from pipelines import tokenizers
from roadmap.io import command_line
from tests.support.checkouts import ROOT


def run(*arguments: str) -> int:
    return command_line.run(tokenizers.COMMANDS, tokenizers.__doc__, arguments)


@pytest.fixture
def texts(tmp_path: Path) -> list[str]:
    """Real text of each language, from this repository."""
    english = "".join(path.read_text() for path in sorted((ROOT / "docs/en").glob("*.md")))
    chinese = "".join(path.read_text() for path in sorted((ROOT / "docs/zh").glob("*.md")))
    code = "".join(path.read_text() for path in sorted((ROOT / "roadmap/io").glob("*.py")))
    for name, text in (("english", english), ("chinese", chinese), ("code", code)):
        (tmp_path / name).write_text(text)
    return [f"{name}={tmp_path / name}" for name in ("english", "chinese", "code")]


def test_the_table_has_a_row_for_each_tokenizer_and_size(
    texts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*texts, "size=20000", "vocabularies=700,1200", f"output={tmp_path / 'out'}") == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert (tmp_path / "out" / "table.md").read_text().splitlines() == lines
    assert (tmp_path / "out" / "tokenizers.png").stat().st_size > 10_000
    found = {tuple(line.split(" | ")[:2]): re.findall(r"\d+\.\d+", line) for line in lines[2:] if line}
    assert len(found) == 1 + 3 * 2 and "BPE, 1,200" in said.err, "it says what it is at"
    assert found[("| bytes", "256")][:3] == ["1.00"] * 3
    for row in found.values():
        assert all(1 <= float(size) < 10 for size in row[:3]) and all(0 < float(bits) < 8 for bits in row[3:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vocabularies=100",), "expected sizes from 600"),
        (("vocabularies=many",), "valid integer"),
        (("english=nowhere.txt",), "nowhere.txt: no such file"),
        (("sizes=3",), "did you mean 'size'"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: tuple[str, ...], message: str, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    own = [] if arguments[0].startswith("english") else texts
    assert run(*arguments, *own) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and message in error[0], error


def test_a_text_that_is_too_short(texts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*texts, "size=90000000") == 2
    assert "lower size= or give more text" in capsys.readouterr().err
