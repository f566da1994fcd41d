"""The command that sizes a deployment: its table, its page in two languages, and wrong input."""

from pathlib import Path

import pytest

from pipelines import architectures
from roadmap.io import command_line

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> int:
    return command_line.run(architectures.COMMANDS, architectures.__doc__, arguments)


def test_the_table_has_every_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(architectures.ARCHITECTURES)
    for language in ("en", "zh"):
        assert "\n".join(lines) in (ROOT / f"docs/{language}/architectures.md").read_text()
    assert "6,738,415,616 parameters (published: 6.7B)" in next(line for line in lines if "llama-2-7b" in line)


def test_the_page_says_whether_it_fits_in_both_languages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("page", "model=llama-3.1-70b", "machine=h100", "batch=2", f"output={tmp_path}") == 0
    assert "146.5 of 80.0 GB, does not fit" in capsys.readouterr().out
    english, chinese = (tmp_path / name for name in ("index.html", "index.zh.html"))
    assert "does not fit" in english.read_text() and '<html lang="en">' in english.read_text()
    assert "放不下" in chinese.read_text() and '<html lang="zh-CN">' in chinese.read_text()
    assert english.read_text().count("<svg") == chinese.read_text().count("<svg") == 3
    for one in architectures.ARCHITECTURES.values():
        assert f"{one.parameters():,}" in english.read_text()


def test_a_machine_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ("machine=laptop", "memory=32", "bandwidth=100", "teraflops=5")
    assert run("page", "model=smollm2-135m", *own, "context=1", f"output={tmp_path}") == 0
    assert "at most 372 tokens/s" in capsys.readouterr().out, "100 GB/s over 269 MB"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("model=lama-2-7b", "model: found 'lama-2-7b'; did you mean 'llama-2-7b'?"),
        ("machine=laptop", "machine: found 'laptop'; allowed: a10"),
        ("context=9000000", "context: found 9,000,000; expected at most 131,072"),
        ("precision=fp8", "precision: found 'fp8'"),
        ("batch=0", "batch: found '0'"),
    ],
)
def test_wrong_input_is_one_line(wrong: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("page", wrong, f"output={tmp_path}/page") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "page").exists()
