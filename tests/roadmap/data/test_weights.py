"""Weights come from safetensors alone, and only with the right checksum."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from roadmap.data.weights import load
from roadmap.io.errors import UsageError


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_weights_come_back_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}, file)
    found = load(file, digest(file))
    assert set(found) == {"a", "b"} and found["b"].dtype == torch.bfloat16
    assert torch.equal(found["a"], torch.arange(6.0).view(2, 3))


def test_other_content_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(2)}, file)
    expected = digest(file)
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(UsageError, match=f"found sha256 {digest(file)}; expected {expected}"):
        load(file, expected)


def test_a_pickle_is_refused_whatever_its_name(tmp_path: Path) -> None:
    for name in ("pytorch_model.bin", "model.safetensors"):
        file = tmp_path / name
        torch.save({"a": torch.ones(2)}, file)
        with pytest.raises(UsageError, match=r"expected (a .safetensors file|safetensors)"):
            load(file, digest(file))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found no file .*gone\.safetensors"):
        load(tmp_path / "gone.safetensors", "0" * 64)
