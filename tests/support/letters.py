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
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from models.decoders.gpt import GPT
from roadmap.bundle import write_manifest
from roadmap.inference.language.generation import Generator
from roadmap.training.export import export
from serving.http.app import Api, create_app
from serving.settings import Settings

LETTERS = "abcdefghij \n.é你"
BLOCK = 24
CHAT = {"system": "{content}\n", "user": "a{content}\n", "assistant": "b{content}\n", "answer": "b", "stop": ["\n"]}


CHATML = """\
{%- if tools %}{{ '<|im_start|>system\\nTools:' }}{% for tool in tools %} {{ tool | tojson }}{% endfor %}
    {{- '<|im_end|>\\n' }}{% endif %}
{%- for message in messages %}
    {%- if message.role not in ('system', 'user', 'assistant', 'tool') or not message.content.strip() and not
        message.tool_calls %}{{ raise_exception('every turn needs words') }}{% endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content }}
    {%- for call in message.tool_calls or [] %}
        {{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson }}
        {{- '}\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""


def byte_level(*special: str) -> Tokenizer:
    """A token for each byte, and special ones."""
    vocabulary = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def chatml_bundle(folder: Path, template: str = CHATML) -> Path:
    """The untrained network, with the tokens and the template of a model that chats and calls tools."""
    return bundle_of(folder, byte_level("<|im_start|>", "<|im_end|>"), "bpe", {"chat_template.jinja": template})


def bundle_of(folder: Path, tokenizer: Any, kind: str, texts: dict[str, str] | None = None) -> Path:
    """A bundle of an untrained network with varied logits.

    texts: files that are no JSON
    """
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
    for name, text in (texts or {}).items():
        (bundle / name).write_text(text)
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
