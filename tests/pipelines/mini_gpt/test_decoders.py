"""The decoders of mini_gpt's README: validated by their own settings, trained, exported and served like GPT."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fastapi.testclient import TestClient

from models.decoders.language_model import Decoder, LanguageModel
from models.decoders.llama import LLaMA
from pipelines.mini_gpt.data import Data, tokens
from pipelines.mini_gpt.predict import Predictor
from roadmap.bundle import Bundle
from roadmap.config.check import check
from roadmap.config.schema import SHIPPED, Run
from roadmap.data import splits
from roadmap.data.training_set import MODEL, fits_of
from roadmap.io.errors import UsageError
from roadmap.training.bundling import write_bundle
from roadmap.training.fitting import Fitted, fit_all
from serving.http.app import create_app
from serving.settings import Settings
from tests.support.checkouts import ROOT

README = (ROOT / "pipelines/mini_gpt/README.md").read_text()
VARIANTS: dict[str, dict[str, Any]] = yaml.safe_load(
    next(block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "variants:" in block)
)["variants"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["mini_gpt"]
SIZE = {"layers": 2, "heads": 4, "width": 32, "lr": 0.01, "warmup": 4}
GPT_ONLY = ("positions", "bias", "dropout", "compile")
BLOCK, NEW = 32, 12  # every prompt and NEW tokens fit into the context
TEXT = "".join(f"{n} times {n} is {n * n}, and the next is {n + 1}.\n" for n in range(300))
PROMPTS = ("7 times 7 is ", "9", "12 times 12 is 14")

each_variant = pytest.mark.parametrize("variant", VARIANTS)


def run_of(folder: Path, model: dict[str, Any], **variants: dict[str, Any]) -> Run:
    """A validated run on a short text."""
    (folder / "text.txt").write_text(TEXT)
    data = {**PARAMS["data"], "path": str(folder / "text.txt"), "block": BLOCK, "rows": 512, "split": [0.8, 0.1, 0.1]}
    train = {"epochs": 2, "batch_size": 16, "clip": 1.0, "threads": 1}
    block = {**PARAMS, "data": data, "model": model, "train": train, "variants": variants}
    trainer = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    top = {"profile": "sample", "seed": 1, "trainer": trainer}
    return check({**top, "projects": {"mini_gpt": block}, "project": "mini_gpt"})


def trained(run: Run, variant: str, folder: Path) -> tuple[dict[str, Fitted], list[dict[str, float]]]:
    """By the functions of the stages; the network, and its curve."""
    splits.write(run.data, Data().prepare(run.settings.data, run.profile, run.seed), run.profile)
    rows: list[dict[str, float]] = []
    made = fit_all(run, variant, fits_of(Data().training(run.data)), folder, lambda _, row: rows.append(row))
    return made, rows


@torch.no_grad()
def greedy(network: LanguageModel, prompt: Sequence[int]) -> list[int]:
    """NEW tokens by the whole network again and again."""
    text = torch.tensor([prompt])
    for _ in range(NEW):
        text = torch.cat([text, network(text)[:, -1:].argmax(dim=-1)], dim=1)
    return text[0, len(prompt) :].tolist()


@torch.no_grad()
def cached(network: LanguageModel, prompt: Sequence[int]) -> list[int]:
    """NEW tokens, one at a time, with a cache."""
    heads, d = network.cache
    decoder, past = Decoder(network), [torch.zeros(1, heads, 0, d)] * (2 * len(network.blocks))
    new, found = torch.tensor([prompt]), list[int]()
    for _ in range(NEW):
        logits, *past, _ = decoder(new, torch.zeros(1, dtype=torch.long), *past)
        new = logits[:, -1:].argmax(dim=-1)
        found.append(int(new))
    return found


@each_variant
@pytest.mark.filterwarnings("ignore")
def test_the_stage_trains_every_variant(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path, {**PARAMS["model"], **SIZE}, **{variant: VARIANTS[variant]})
    monkeypatch.chdir(tmp_path)
    made, rows = trained(run, variant, tmp_path / "checkpoints")
    network = made[MODEL].network
    assert isinstance(network, LLaMA) and network.shape.block == BLOCK
    wanted = {key: value for key, value in VARIANTS[variant].items() if key != "_target_"}
    assert {key: getattr(network.shape, key) for key in wanted} == wanted
    first, last = (row["val_bits_per_token"] for row in (rows[0], rows[-1]))
    assert last < first and last < 4, "a uniform guess of 20 characters has 4.3 bits"
    tokenizer = tokens.characters(TEXT)
    for prompt in PROMPTS:
        assert cached(network, tokenizer.encode(prompt).ids) == greedy(network, tokenizer.encode(prompt).ids)


@pytest.mark.slow
@each_variant
@pytest.mark.filterwarnings("ignore")
def test_every_door_writes_what_the_network_writes(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {key: value for key, value in PARAMS["model"].items() if key not in GPT_ONLY}
    layers = VARIANTS[variant].get("period", 1)  # an export costs seconds per layer
    run = run_of(tmp_path, {**shared, **SIZE, **VARIANTS[variant], "layers": layers})
    monkeypatch.chdir(tmp_path)
    made, _ = trained(run, SHIPPED, tmp_path / "checkpoints")
    lineage: dict[str, Any] = {"source": "numbers", "run": "3" * 32, "git_commit": None}
    write_bundle(run, made, {**lineage, "data_sha256": "1" * 64, "params_sha256": "2" * 64}, lambda _: {})
    network, tokenizer = made[MODEL].network, tokens.characters(TEXT)
    assert isinstance(network, LanguageModel)
    wanted = [tokenizer.decode(greedy(network, tokenizer.encode(prompt).ids)) for prompt in PROMPTS]

    requests = [{"prompt": prompt, "max_tokens": NEW, "temperature": 0} for prompt in PROMPTS]
    predictor = Predictor(Bundle(run.artifacts / "bundle"))
    together = predictor.predict([predictor.Request.model_validate(request) for request in requests])
    assert [answer.text for answer in together] == wanted
    with TestClient(create_app(Settings(bundles="artifacts"))) as client:
        answer = client.post("/models/mini_gpt/predict", json={"inputs": requests})
        assert [one["text"] for one in answer.json()["outputs"]] == wanted
        body = {"model": "mini_gpt", "prompt": list(PROMPTS), "max_tokens": NEW, "temperature": 0}
        answer = client.post("/v1/completions", json=body)
        assert [one["text"] for one in answer.json()["choices"]] == wanted
        streamed = client.post("/models/mini_gpt/stream", json=requests[0]).text
        events = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
        assert "".join(event.get("text", "") for event in events[:-1]) == wanted[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"windw": 8}, ["variants.one.windw", "unknown key", "did you mean 'window'"]),
        ({"positions": "rotary"}, ["variants.one.positions", "unknown key", "kv_heads"]),
        ({"kv_heads": 3}, ["variants.one", "kv_heads must divide heads, found 3 and 4 heads"]),
        ({"experts": 4}, ["variants.one", "active must be 1 to 4, the experts, found 0"]),
        ({"period": 2}, ["variants.one", "found window: null"]),
        ({"width": 30}, ["variants.one", "a multiple of 2 x heads, found 30 and 4 heads; or set d"]),
        ({"_target_": "models.decoders.llama.Llama"}, ["variants.one._target_", "did you mean 'LLaMA'"]),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, changes: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        run_of(tmp_path, PARAMS["model"], one={**VARIANTS["llama"], **changes})
    message = str(caught.value)
    assert "\n" not in message
    for part in expected:
        assert part in message


def test_gpt_does_not_take_the_settings_of_llama(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"projects\.mini_gpt\.model\.window: unknown key; .*positions"):
        run_of(tmp_path, {**PARAMS["model"], "window": 8})
