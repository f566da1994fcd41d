"""GGUF: what the file says, queries and keys in llama.cpp's order, and what can't be written."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from pipelines.gguf import main
from pipelines.mini_gpt.data.tokens import characters
from roadmap.exporting.gguf import MODEL, MODELFILE, paired
from tests.support.gguf import TEXT, publish


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keys, and tensors as floats."""
    reader = gguf.GGUFReader(path)
    keys = {name: field.contents() for name, field in reader.fields.items()}
    return keys, {one.name: gguf.quants.dequantize(one.data, one.tensor_type) for one in reader.tensors}


@pytest.mark.parametrize(
    ("precision", "tied", "error"), [("f32", False, 0), ("f16", True, 2e-3), ("q8_0", False, 6e-3)]
)
def test_keys_and_tensors_are_the_networks(tmp_path: Path, precision: str, tied: bool, error: float) -> None:
    network = publish(tmp_path / "source", tied=tied)
    folder = tmp_path / "out"
    assert main([f"source={tmp_path / 'source'}", f"output={folder}", f"precision={precision}"]) == 0
    keys, tensors = read(folder / MODEL)
    assert keys["general.architecture"] == "llama" and keys["llama.attention.head_count_kv"] == 2
    assert keys["llama.context_length"] == 32 and keys["llama.rope.freq_base"] == 10_000
    assert len(keys["tokenizer.ggml.tokens"]) == 300 == len(tensors["token_embd.weight"])
    assert ("output.weight" in tensors) is not tied and len(tensors) == 2 + 2 * 9 + (not tied)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    for theirs, ours in {"blk.1.ffn_down": "blocks.1.mlp.down", "blk.0.attn_norm": "blocks.0.norm_1"}.items():
        np.testing.assert_allclose(tensors[f"{theirs}.weight"], state[f"{ours}.weight"], atol=error)
    q = paired(state["blocks.0.attention.q.weight"], 16)
    np.testing.assert_allclose(tensors["blk.0.attn_q.weight"], q, atol=error)
    assert "num_ctx 32" in (folder / MODELFILE).read_text()


def test_queries_and_keys_are_paired_within_each_head() -> None:
    rows = np.arange(8.0)[:, None] * np.ones(3)  # two heads of four
    np.testing.assert_array_equal(paired(rows, 4)[:, 0], [0, 2, 1, 3, 4, 6, 5, 7])


def test_the_end_is_a_token_that_no_text_has(tmp_path: Path) -> None:
    publish(tmp_path / "source")
    main([f"source={tmp_path / 'source'}", f"output={tmp_path / 'out'}"])
    keys, _ = read(tmp_path / "out" / MODEL)
    end = keys["tokenizer.ggml.eos_token_id"]
    assert keys["tokenizer.ggml.tokens"][end] == "ÿ" and keys["tokenizer.ggml.token_type"][end] == 3


@pytest.mark.parametrize(
    ("sizes", "change", "message"),
    [
        ({"window": 8}, {}, "found model_type 'mistral' with sliding_window; expected llama, mistral, qwen3"),
        ({}, {"model_type": "bert"}, "found model_type 'bert'"),
        ({}, {"rope_parameters": {"rope_type": "yarn"}}, "yarn"),
    ],
)
def test_another_network_is_one_line(
    tmp_path: Path, sizes: Any, change: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path / "source", **sizes)
    path = tmp_path / "source" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert main([f"source={tmp_path / 'source'}", f"output={tmp_path / 'out'}"]) == 2
    line = capsys.readouterr().err
    assert message in line and line.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_tokenizer_of_characters_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(tmp_path / "source", characters(TEXT))
    assert main([f"source={tmp_path / 'source'}", f"output={tmp_path / 'out'}"]) == 2
    assert "found WordLevel behind Split; expected byte-level BPE" in capsys.readouterr().err
