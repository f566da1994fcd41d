"""One request to a text classifier, in fp32 and in int8: latency, size, and what int8 costs in accuracy.

    python -m benchmarks.serving.bench_encoder [--project bert] [--seconds 10] [--rows 2000]

Takes artifacts/<project>/bundle, which must be fp32, and quantises a copy. Requests are test rows in their order, one
at a time, one thread, as the server runs them; the two take turns.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from roadmap.bundle import Bundle, load_predictor
from roadmap.bundle.answers import predict_in_batches
from roadmap.config.settings import ExportSettings
from roadmap.data import splits
from roadmap.evaluation.paired import paired_test
from roadmap.evaluation.scores import classification
from roadmap.inference.text.classifier import ClassifiedText, TextClassifier
from roadmap.quantisation.bundles import quantised

TURNS = 5
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")


def instructions() -> str:
    """Those of the CPU that matter to matrix products."""
    info = Path("/proc/cpuinfo")
    found = set(info.read_text().split()) if info.exists() else set()
    return ", ".join(flag for flag in FLAGS if flag in found) or "unknown"


def in_int8(bundle: Bundle, folder: Path, texts: list[str]) -> Bundle:
    """A quantised copy.

    Raises:
        UsageError: it is none in fp32.
    """
    quantised(
        bundle, folder, ExportSettings(precision="int8_dynamic"), [{"text": text} for text in texts], lambda _: {}
    )
    return Bundle(folder)


def latencies(predictor: TextClassifier, texts: list[str], seconds: float, explain: bool) -> list[float]:
    """In ms, of one request after the other, validation included."""
    found: list[float] = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop:
        text = texts[len(found) % len(texts)]
        started = time.perf_counter()
        request: Any = predictor.Request.model_validate({"text": text, "explain": explain})
        predictor.predict([request])
        found.append((time.perf_counter() - started) * 1e3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", default="bert")
    parser.add_argument("--seconds", type=float, default=10, help="of each precision, and of its explanations")
    parser.add_argument("--rows", type=int, default=2_000, help="test rows, for the accuracy")
    args = parser.parse_args()
    test = splits.read_table(Path("data") / args.project, "test").head(args.rows)
    texts, labels = list(test["text"]), test["label"].to_numpy()
    with tempfile.TemporaryDirectory() as place:
        fp32 = Bundle(Path("artifacts") / args.project / "bundle")
        bundles = {"fp32": fp32, "int8": in_int8(fp32, Path(place) / "bundle", texts[:64])}
        predictors = {name: load_predictor(bundle) for name, bundle in bundles.items()}
        times: dict[tuple[str, bool], list[float]] = {}
        for turn in range(TURNS):
            for name, predictor in list(predictors.items())[:: 1 if turn % 2 else -1]:
                assert isinstance(predictor, TextClassifier)
                for explain in (False, True):
                    spent = latencies(predictor, texts, args.seconds / TURNS, explain)
                    times.setdefault((name, explain), []).extend(spent)
        print(f"{machine.line()}; instructions {instructions()}; one thread")
        print("| | MB | p50 ms | p99 ms | p50 with contributions | accuracy | log loss |\n|" + " --- |" * 7)
        scores, vectors = {}, {}
        for name, predictor in predictors.items():
            assert isinstance(predictor, TextClassifier)
            outputs: list[ClassifiedText] = predict_in_batches(predictor, [{"text": text} for text in texts])
            chances = np.array([list(output.probabilities.values()) for output in outputs])
            scores[name] = score = classification(labels, chances)
            vectors[name] = predictor.embed(texts[:200])[0]
            size = (bundles[name].folder / "model.onnx").stat().st_size / 1e6
            p50, p99 = np.percentile(times[name, False], [50, 99])
            told = np.percentile(times[name, True], 50)
            row = f"{size:.1f} | {p50:.2f} | {p99:.2f} | {told:.1f} | {score.value:.4f}"
            print(f"| {name} | {row} | {score.metrics['log_loss']:.4f} |")
        gain = paired_test(scores["int8"], scores["fp32"], seed=0)
        print(f"int8 against fp32: accuracy {gain.value:+.4f}, at least {gain.low():+.4f} ({gain.test}, one-sided 95%)")
        print(
            f"cosine of the sentence vectors: {(vectors['fp32'] * vectors['int8']).sum(axis=1).mean():.4f} on average"
        )


if __name__ == "__main__":
    main()
