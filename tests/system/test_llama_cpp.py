"""llama.cpp reads our GGUF: the same tokens, and the same log-probabilities as the network's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from pipelines.gguf import main
from roadmap.exporting.gguf import MODEL
from tests.support.gguf import publish

xllamacpp = pytest.importorskip("xllamacpp", reason="needs llama.cpp: pip install xllamacpp")
PROMPT = "The lazy dog. 敏捷的 fox"


def completed(model: Path, **asked: Any) -> dict[str, Any]:
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx, params.n_parallel, params.n_gpu_layers = 64, 1, 0
    params.warmup = params.fit_params = False
    params.cpuparams.n_threads = 1
    return dict(xllamacpp.Server(params).handle_completions(asked))


@pytest.mark.parametrize(
    "sizes", [{}, {"tied": True, "kv_heads": 1}, {"qk_norm": True, "d": 32}], ids=["llama", "tied", "qwen_3"]
)
def test_log_probabilities_are_the_networks(tmp_path: Path, sizes: dict[str, Any]) -> None:
    network = publish(tmp_path / "source", **sizes)
    tokenizer = Tokenizer.from_file(str(tmp_path / "source" / "tokenizer.json"))
    assert main([f"source={tmp_path / 'source'}", f"output={tmp_path / 'out'}", "precision=f32"]) == 0
    tokens = tokenizer.encode(PROMPT).ids
    with torch.no_grad():
        expected = network(torch.tensor([tokens]))[0, -1].log_softmax(dim=-1).numpy()
    asked = {"n_predict": 1, "n_probs": len(expected), "temperature": 0, "cache_prompt": False}
    for prompt in (tokens, PROMPT):  # ids, and the text by llama.cpp's own tokenizer
        answer = completed(tmp_path / "out" / MODEL, prompt=prompt, **asked)
        assert answer["usage"]["prompt_tokens"] == len(tokens)
        (told,) = answer["choices"][0]["logprobs"]["content"]
        found = {one["id"]: one["logprob"] for one in told["top_logprobs"]}
        assert len(found) == len(expected)
        np.testing.assert_allclose([found[n] for n in range(len(expected))], expected, atol=2e-3)
