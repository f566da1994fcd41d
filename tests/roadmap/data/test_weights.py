"""Weights come from safetensors alone, and only with the right checksum."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from roadmap.data.weights import find, load
from roadmap.io.errors import Unavailable, UsageError
from tests.standins.model_hub import Hub
from tests.standins.protocol_server import running


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


# ---------------------------------------------------------------- where they come from

CONFIG = {"model_type": "bert", "hidden_size": 8}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder as a model is published in."""
    folder = tmp_path / "published"
    folder.mkdir()
    save_file({"a": torch.arange(4.0)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n")
    return folder


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DATA_MIRROR", raising=False)


def test_a_folder_is_taken_with_tokenizer_and_licence(published: Path) -> None:
    found = find(str(published), None)
    assert set(found.files) == {"model.safetensors", "config.json", "vocab.txt"}
    assert found.json("config.json") == CONFIG
    expected = digest(published / "model.safetensors")
    assert found.card == {
        "source": str(published),
        "file": "model.safetensors",
        "sha256": expected,
        "licence": "apache-2.0",
    }
    (published / "tokenizer.json").write_text("{}")
    assert {"tokenizer.json", "vocab.txt"} & set(find(str(published), expected).files) == {"tokenizer.json"}


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("model.safetensors", r"found none; expected model\.safetensors"),
        ("config.json", r"found model\.safetensors, vocab\.txt; expected .*config\.json"),
        ("vocab.txt", r"expected .* tokenizer\.json or vocab\.txt"),
    ],
)
def test_a_missing_part_is_named(published: Path, gone: str, message: str) -> None:
    (published / gone).unlink()
    with pytest.raises(UsageError, match=message):
        find(str(published), None)


def test_a_pickle_beside_is_no_substitute(published: Path) -> None:
    (published / "model.safetensors").rename(published / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"found pytorch_model\.bin, a pickle, which can run code"):
        find(str(published), None)


def test_other_weights_than_those_pinned_are_refused(published: Path) -> None:
    with pytest.raises(UsageError, match=f"expected {'0' * 64}; get the file again"):
        find(str(published), "0" * 64)


def test_an_installed_package_is_searched_and_never_imported(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "site" / "some_weights"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("raise RuntimeError('imported')\n")
    published.rename(place / "model")
    monkeypatch.syspath_prepend(str(place.parent))
    assert find("some_weights", None).files["config.json"] == place / "model" / "config.json"
    with pytest.raises(UsageError, match=r"found no folder, hub id .* or installed package 'other_weights'"):
        find("other_weights", None)


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize(
    ("prefix", "variable", "revision"),
    [("", "HF_ENDPOINT", "main"), ("hf://", "HF_ENDPOINT", "main"), ("modelscope://", "MODELSCOPE_ENDPOINT", "master")],
)
def test_a_hub_is_asked_at_its_mirror(
    published: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, variable: str, revision: str
) -> None:
    hub = Hub({file.name: file.read_bytes() for file in published.iterdir()}, revision)
    with running(hub.routes, []) as address:
        monkeypatch.setenv(variable, address)
        found = find(f"{prefix}{hub.NAME}", None)
        assert found.sha256 == digest(published / "model.safetensors") and found.licence == "apache-2.0"
        assert found.json("config.json") == CONFIG and "vocab.txt" in found.files
        find(f"{prefix}{hub.NAME}@{revision}", found.sha256)
        assert hub.asked.count("model.safetensors") == 1  # the second time it is in the cache


@pytest.mark.usefixtures("no_cache")
def test_a_hub_is_not_trusted(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub({file.name: file.read_bytes() for file in published.iterdir()}, "main")
    with running(hub.routes, []) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(UsageError, match="checksum"):
            find(hub.NAME, "1" * 64)
        hub.stated["model.safetensors"] = "2" * 64  # it broke on its way to the hub
        with pytest.raises(UsageError, match="checksum"):
            find(hub.NAME, None)
        with pytest.raises(UsageError, match=r"401.*HF_ENDPOINT or MODELSCOPE_ENDPOINT"):
            find("someone/else", None)
        with pytest.raises(UsageError, match="404"):
            find(f"{hub.NAME}@v9", None)
        hub.files = {"pytorch_model.bin": b"", "config.json": b"{}"}
        with pytest.raises(UsageError, match=r"found config\.json, pytorch_model\.bin; expected model\.safetensors"):
            find(hub.NAME, None)


@pytest.mark.usefixtures("no_cache")
def test_a_hub_that_does_not_answer_may_answer_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadmap.data.weights.hub.PAUSES", (0.0,))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match=r"no response.*name a folder or an installed package"):
        find("someone/tiny-bert", None)
