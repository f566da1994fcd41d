"""A tiny untrained language model of a few letters, and a server for it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn

from models.decoders.gpt import GPT
from roadmap.bundle import write_manifest
from roadmap.inference.language.generation import Generator
from roadmap.training.export import export
from serving.http.app import Api, create_app
from serving.settings import Settings

LETTERS = "abcdefghij \n.é你"
BLOCK = 24
CHAT = {"system": "{content}\n", "user": "a{content}\n", "assistant": "b{content}\n", "answer": "b", "stop": ["\n"]}


def bundle_of(folder: Path, tokenizer: Any, kind: str) -> Path:
    """A bundle of an untrained network with varied logits."""
    torch.manual_seed(0)
    recipe: dict[str, Any] = {
        "dropout": 0.0,
        "lr": 1e-2,
        "final_lr": 0.1,
        "warmup": 2,
        "weight_decay": 0.1,
        "beta2": 0.99,
    }
    size: dict[str, Any] = {"vocab": tokenizer.get_vocab_size(), "block": BLOCK, "layers": 2, "heads": 2, "width": 32}
    model = GPT(**size, **recipe, positions="rotary", bias=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    bundle = folder / "mini_gpt" / "bundle"
    bundle.mkdir(parents=True)
    export(model, (np.zeros((2, BLOCK), np.int32),), bundle)
    schema = {"task": "corpus", "tokenizer": kind, "vocab": size["vocab"], "block": BLOCK}
    example = [{"prompt": "abc", "max_tokens": 5, "seed": 1}, {"prompt": "j", "max_tokens": 3, "seed": 2}]
    assets = {"schema.json": schema, "example.json": example, "tokenizer.json": json.loads(tokenizer.to_str())}
    if kind == "char":
        assets["chat_template.json"] = CHAT
    for name, content in assets.items():
        (bundle / name).write_text(json.dumps(content))
    lineage = {"source": "none", "created": "2026-11-24T07:00:00+00:00", "git_commit": None, "run": "3" * 32}
    digests = {"data_sha256": "1" * 64, "params_sha256": "2" * 64}
    write_manifest(
        bundle, project="mini_gpt", predictor="pipelines.mini_gpt.predict", profile="sample", **lineage, **digests
    )
    return folder


def ask(predictor: Generator, *requests: dict[str, Any]) -> list[Any]:
    return predictor.predict([predictor.Request.model_validate(request) for request in requests])


@contextmanager
def served(artifacts: Path, **settings: Any) -> Iterator[tuple[Api, str]]:
    """Runs the app on a free port; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = create_app(Settings(bundles=str(artifacts), **settings))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield app, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)
