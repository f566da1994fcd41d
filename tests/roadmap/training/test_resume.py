"""Resuming: only from valid checkpoints of the same training; and one training at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from roadmap.data import splits
from roadmap.io.errors import Unavailable
from roadmap.training.callbacks import PARTS, ResumeCheckpoint
from roadmap.training.lightning import pl
from roadmap.training.resume import resume_or_start, sole_training
from tests.support.checkouts import ROOT

PRINT = {"data_sha256": "1", "git_commit": "a"}


def begun(folder: Path, *networks: str) -> str:
    key = resume_or_start(folder, PRINT)
    for network in networks:
        (folder / network).mkdir()
        torch.save({"weights": torch.arange(10_000)}, folder / network / "last.ckpt")
    return key


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    return content[:20_000] + bytes([content[20_000] ^ 1]) + content[20_001:]


@pytest.mark.parametrize(
    "damage", [lambda _: b"", cut, flipped, lambda _: b"nonsense" * 100, lambda content: content[:-1]]
)
def test_a_damaged_checkpoint_is_set_aside_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any
) -> None:
    key = begun(tmp_path / "checkpoints", "model", "other")
    damaged, whole = (tmp_path / "checkpoints" / name / "last.ckpt" for name in ("model", "other"))
    content = damage(damaged.read_bytes())
    damaged.write_bytes(content)
    assert resume_or_start(tmp_path / "checkpoints", {**PRINT, "git_commit": "b"}) == key
    assert not damaged.exists() and damaged.with_name("last.ckpt.damaged").read_bytes() == content
    assert torch.equal(torch.load(whole, weights_only=True)["weights"], torch.arange(10_000))
    message = capsys.readouterr().out
    assert str(damaged) in message and "starts anew" in message and str(whole) not in message


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"run": 5, "of": {}}', '{"of": {}}'])
def test_a_damaged_fingerprint_starts_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    key = begun(tmp_path / "checkpoints", "model")
    (tmp_path / "checkpoints" / "fingerprint.json").write_text(content)
    assert resume_or_start(tmp_path / "checkpoints", PRINT) != key
    assert not (tmp_path / "checkpoints" / "model").exists()
    assert "fingerprint.json: is damaged" in capsys.readouterr().out


def test_a_different_training_starts_anew(tmp_path: Path) -> None:
    key = begun(tmp_path / "checkpoints", "model")
    assert resume_or_start(tmp_path / "checkpoints", PRINT) == key
    assert resume_or_start(tmp_path / "checkpoints", {"data_sha256": "2"}) != key
    assert not (tmp_path / "checkpoints" / "model").exists()


TRAINING = """
import sys
from pathlib import Path
from roadmap.training.resume import sole_training
with sole_training("titanic", Path(sys.argv[1])):
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_a_second_training_names_the_running_one(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None and first.stdout.readline() == "begun\n"
    message = f"titanic: is being trained by process {first.pid} on .* since 20"
    with pytest.raises(Unavailable, match=message), sole_training("titanic", tmp_path):
        pass
    with sole_training("mnist", tmp_path / "mnist"):  # others go on
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with sole_training("titanic", tmp_path):  # a killed process leaves no lock
        pass


class Tiny(pl.LightningModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(width, 1)


def parts(network: pl.LightningModule) -> dict[str, Any]:
    return {name: {} for name in PARTS} | {"state_dict": network.state_dict()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (parts(Tiny(4)), "its weights are those of another network"),
        ([1, 2], "it is no checkpoint of a training"),
        ({"state_dict": Tiny(3).state_dict()}, "it is no checkpoint of a training"),
    ],
)
def test_a_whole_checkpoint_of_something_else_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, message: str
) -> None:
    resumable, path = ResumeCheckpoint(tmp_path, seed=1), tmp_path / "last.ckpt"
    assert resumable.checkpoint(Tiny(3)) is None
    torch.save(parts(Tiny(3)), path)
    assert resumable.checkpoint(Tiny(3)) == path
    torch.save(content, path)
    assert resumable.checkpoint(Tiny(3)) is None and not path.exists()
    assert message in capsys.readouterr().out and (tmp_path / "last.ckpt.damaged").exists()


def test_whatever_is_in_its_place_is_set_aside_for_what_was_before(tmp_path: Path) -> None:
    path, aside = tmp_path / "last.ckpt", tmp_path / "last.ckpt.damaged"
    for folder in (False, True, True, False):
        path.mkdir() if folder else path.write_bytes(b"")
        assert ResumeCheckpoint(tmp_path, seed=1).checkpoint(Tiny(3)) is None
        assert not path.exists() and aside.is_dir() == folder


def test_a_second_training_of_a_project_ends_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the data are read into memory or Lightning is imported."""
    from pipelines import train

    for name in ("params.yaml", "models", "pipelines", "roadmap"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame({"text": ["a"]})
    card = splits.PreparedData({"train": rows}, "somewhere", "ours", {})
    splits.write(Path("data/titanic"), card, "sample")
    monkeypatch.setattr("sys.argv", ["train", "project=titanic", "tracking=none"])
    with sole_training("titanic", Path("artifacts/titanic")), pytest.raises(SystemExit) as end:
        train.main()
    assert end.value.code == 75
    assert f"titanic: is being trained by process {os.getpid()} on" in capsys.readouterr().err
