"""Our decoding (ONNX, cache of keys and values) against a loop without a cache and transformers' generate().

    python -m benchmarks.serving.bench_decoding [--tokens 128] [--rounds 3]

The same untrained GPT-2 weights in all three, greedy, one thread; float32. The texts are checked to be equal.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import machine
from models.decoders.gpt import GPT, to_gpt2
from roadmap.inference.language.decoding import Decoder, DecodingBatch
from roadmap.training.export import export

VOCAB, BLOCK, PROMPT = 65, 256, 32
SIZE: dict[str, Any] = {"layers": 4, "heads": 4, "width": 128}  # nanoGPT's published CPU setting
Texts = list[list[int]]


def network() -> GPT:
    torch.manual_seed(0)
    recipe: dict[str, Any] = {
        "dropout": 0.0,
        "lr": 1e-3,
        "final_lr": 0.1,
        "warmup": 100,
        "weight_decay": 0.1,
        "beta2": 0.99,
    }
    model = GPT(vocab=VOCAB, block=BLOCK, **SIZE, **recipe, positions="learned", bias=True).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # larger than at initialisation: the likeliest token is far ahead
    return model


def ours(model: GPT) -> Callable[[Texts, int], Texts]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        export(model, (np.zeros((2, BLOCK), np.int32),), Path(folder))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            Path(folder) / "decoder.onnx", options, providers=["CPUExecutionProvider"]
        )
    decoder = Decoder(session, BLOCK)

    def write(texts: Texts, tokens: int) -> Texts:
        written: Texts = [[] for _ in texts]

        def choose(number: int, logits: np.ndarray) -> int | None:
            written[number].append(int(logits.argmax()))
            return written[number][-1] if len(written[number]) < tokens else None

        batch = DecodingBatch(decoder)
        for number, text in enumerate(texts):
            batch.add(text, partial(choose, number))
        while len(batch):
            batch.step()
        return written

    return write


def without_cache(model: GPT) -> Callable[[Texts, int], Texts]:
    @torch.inference_mode()
    def write(texts: Texts, tokens: int) -> Texts:
        x = torch.tensor(texts)
        for _ in range(tokens):
            x = torch.cat([x, model(x[:, -BLOCK:])[:, -1:].argmax(-1)], dim=1)
        return x[:, len(texts[0]) :].tolist()

    return write


def transformers_generate(model: GPT) -> Callable[[Texts, int], Texts]:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes: dict[str, Any] = {
        "n_positions": BLOCK,
        "n_embd": SIZE["width"],
        "n_layer": SIZE["layers"],
        "n_head": SIZE["heads"],
    }
    reference = GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, bos_token_id=None, eos_token_id=None, **sizes)).eval()
    reference.load_state_dict(to_gpt2(model.state_dict()), strict=False)
    reference.generation_config.pad_token_id = 0

    @torch.inference_mode()
    def write(texts: Texts, tokens: int) -> Texts:
        x = torch.tensor(texts)
        mask = torch.ones_like(x)
        y = reference.generate(x, attention_mask=mask, max_new_tokens=tokens, do_sample=False, use_cache=True)
        return y[:, len(texts[0]) :].tolist()

    return write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = network()
    contenders = {
        "ours (ONNX Runtime, cache)": ours(model),
        "PyTorch loop, no cache": without_cache(model),
        "transformers generate()": transformers_generate(model),
    }
    print(f"{machine.line()}; one thread, prompts of {PROMPT}, {args.tokens} tokens, median of {args.rounds} rounds")
    print("| batch | decoder | tokens per second | ms per step | ours is |\n| --- | --- | --- | --- | --- |")
    for batch in (1, 8):
        texts = np.random.default_rng(0).integers(0, VOCAB, (batch, PROMPT)).tolist()
        times: dict[str, list[float]] = {name: [] for name in contenders}
        texts_ = {name: write(texts, args.tokens) for name, write in contenders.items()}  # warm
        assert len({str(answer) for answer in texts_.values()}) == 1, "the texts differ"
        for _ in range(args.rounds):
            for name, write in contenders.items():
                started = time.perf_counter()
                write(texts, args.tokens)
                times[name].append(time.perf_counter() - started)
        ours_seconds = times["ours (ONNX Runtime, cache)"]
        for name, seconds in times.items():
            ratio = statistics.median(other / own for other, own in zip(seconds, ours_seconds, strict=True))
            middle = statistics.median(seconds)
            rate, step = batch * args.tokens / middle, 1e3 * middle / args.tokens
            print(f"| {batch} | {name} | {rate:,.0f} | {step:.2f} | {ratio:.1f}x |")


if __name__ == "__main__":
    main()
