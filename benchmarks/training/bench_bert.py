"""What pre-training, fine-tuning and its learning rates are worth: rows of one table, on the same texts.

    python -m pipelines.prepare project=bert [profile=full ...]
    python -m benchmarks.training.bench_bert [profile=full ...] [rows=frozen,TextCNN,...] [folder=<place>]

Takes what `prepare` wrote, and overrides as the stages take them. `rows` are parts of their names; `folder` keeps the
networks, so that another call, for other rows or after an interruption, trains none of them twice. Accuracy is on the
test texts that have a class; each row is compared with `fine-tuning` by the paired test of the gate. TextCNN and the
LSTM are those of models/imdb.py, with the tokens of BERT and the settings of imdb's `full` profile.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import machine
from models.bert.classifier import Classifier
from models.bert.tasks import inside
from pipelines.bert.data import Data, tokenizer_of
from pipelines.bert.data.tokens import encode
from pipelines.bert.evaluate import tfidf
from pipelines.imdb import settings as imdb
from pipelines.imdb.data.tokens import embedding
from roadmap.config.schema import Run
from roadmap.config.settings import ModelSettings, TrainSettings
from roadmap.config.stage import stage
from roadmap.data import splits
from roadmap.data.training_set import TrainingSet
from roadmap.evaluation.paired import holm, paired_test
from roadmap.evaluation.scores import Score
from roadmap.training.fitting import fit
from roadmap.training.memory import keep_freed_memory
from roadmap.training.resume import resume_or_start

MAIN = "fine-tuning"
ABLATIONS: dict[str, dict[str, object]] = {  # changes of `model:`
    MAIN: {},
    "one learning rate": {"decay": 1.0},
    "frozen encoder, linear head": {"frozen": True, "lr": 0.01},
    "without pre-training or weights": {},
}
OWN: dict[str, str] = {}  # arguments of this module
OTHERS = {"TextCNN": "models.imdb.TextCNN", "LSTM": "models.imdb.LSTM"}
RECURRENT = {"width": 128, "hidden": 96, "dropout": 0.5, "word_dropout": 0.2, "lr": 0.002, "weight_decay": 0.01}
Row = tuple[Score, float, int]  # score, CPU seconds, parameters


class Bench:
    """The prepared texts, and networks trained on them."""

    def __init__(self, run: Run, folder: Path) -> None:
        """folder: of the networks"""
        self.run, self.folder = run, folder
        self.fits = Data().training(run.data)
        self.test = splits.read_table(run.data, "test")
        plain = self.fits["model"]({})
        assert isinstance(plain, TrainingSet)
        self.plain = plain
        self.tokens = encode(tokenizer_of(run.data), self.test["text"])
        self.labels = self.test["label"].to_numpy()

    def trained(
        self, name: str, model: ModelSettings, settings: TrainSettings, data: TrainingSet
    ) -> tuple[torch.nn.Module, float]:
        """-> the network, and the CPU seconds that its training took, whenever that was"""
        place = self.folder / name.replace(" ", "_").replace(",", "")
        blocks = {"model": model.model_dump(mode="json"), "train": settings.model_dump(mode="json")}
        resume_or_start(place, {"data": splits.read_card(self.run.data)["files"], "seed": self.run.seed, **blocks})
        spent, started = place / "cpu_seconds.txt", time.process_time()
        network = fit(self.run, name, model, settings, data, place, lambda *_: None).network
        before = float(spent.read_text()) if spent.exists() else 0.0
        spent.write_text(str(seconds := before + time.process_time() - started))
        return network, seconds

    def score(self, logits: Callable[[Tensor, Tensor], Tensor]) -> Score:
        """logits: of tokens [n, t] and lengths [n] -> [n, classes], or log-odds of the second of two [n]"""
        tokens, lengths = map(torch.from_numpy, self.tokens)
        guess = torch.zeros(len(tokens), dtype=torch.long)
        with torch.no_grad():
            for rows in lengths.argsort().split(128):
                found = logits(tokens[rows][:, : int(lengths[rows].max())].long(), lengths[rows])
                guess[rows] = (found > 0).long() if found.ndim == 1 else found.argmax(dim=1)
        return Score("accuracy", True, (guess.numpy() == self.labels).astype(float), {})

    def bert(self, name: str, changes: dict[str, object], earlier: dict[str, torch.nn.Module]) -> Row:
        model = self.run.settings.model.model_copy(update=changes)
        data = self.fits["model"](earlier)  # type: ignore[arg-type]
        assert isinstance(data, TrainingSet)
        if name.startswith("without"):
            start = self.plain.model["start"]
            vocabulary = start["config"]["vocab_size"] if "config" in start else start["vocab"]
            start = {"vocab": vocabulary, "context": self.run.settings.data.max_tokens}
            data = TrainingSet(**{**vars(data), "model": {**data.model, "start": start}})
        network, seconds = self.trained(name, model, self.run.settings.train, data)
        assert isinstance(network, Classifier)
        size = sum(parameter.numel() for parameter in network.parameters())
        return self.score(lambda x, lengths: network(x, inside(x, lengths))), seconds, size

    def recurrent(self, name: str) -> Row:
        (tokens, lengths, labels), classes = self.plain.train, self.plain.model["classes"]
        first = embedding(tokens, lengths, labels, int(tokens.max()) + 1, classes)
        parts = [(*part[:2], part[2].astype(np.float32)) for part in (self.plain.train, self.plain.val)]
        model = {"embedding": first, "classes": classes}
        data = TrainingSet(parts[0], parts[1], model, lengths=self.plain.lengths)
        settings = self.run.settings.train.model_copy(update={"epochs": 5, "batch_size": 64})
        network, seconds = self.trained(name, imdb.Model(_target_=OTHERS[name], **RECURRENT), settings, data)
        size = sum(parameter.numel() for parameter in network.parameters())
        known = len(first) - 1
        return self.score(lambda x, lengths: network(x.clamp(max=known), lengths)), seconds, size

    def linear(self) -> Row:
        started = time.process_time()
        train = splits.read_table(self.run.data, "train")
        guess = tfidf(list(train["text"]), train["label"].to_numpy()).predict(list(self.test["text"]))
        return Score("accuracy", True, (guess == self.labels).astype(float), {}), time.process_time() - started, 0


@stage
def main(run: Run) -> None:
    bench = Bench(run, Path(OWN.get("folder") or tempfile.mkdtemp()))
    keep_freed_memory()
    earlier: dict[str, torch.nn.Module] = {}
    before = 0.0
    for name, block in bench.run.settings.model.earlier().items():
        data = bench.fits[name]({})
        assert isinstance(data, TrainingSet)
        earlier[name], seconds = bench.trained(name, block, block.train, data)
        before += seconds

    def wanted(name: str) -> bool:
        return name == MAIN or any(word in name for word in OWN.get("rows", "").split(","))

    rows: dict[str, Row] = {}
    for name, changes in ABLATIONS.items():
        if wanted(name):
            rows[name] = bench.bert(name, changes, {} if name.startswith("without") else earlier)
    for name in OTHERS:
        if wanted(name):
            rows[name] = bench.recurrent(name)
    if wanted("TF-IDF"):
        rows["logistic regression on TF-IDF"] = bench.linear()
    card, others = splits.read_card(bench.run.data), [name for name in rows if name != MAIN]
    gains = {name: paired_test(rows[MAIN][0], rows[name][0], bench.run.seed) for name in others}
    p = dict(zip(others, holm([gain.p(0) for gain in gains.values()]), strict=True))
    print(f"\n{machine.line()}; {card['source']}, {card['rows']}, pre-training {before:.0f} CPU-s")
    print("| | accuracy | 95% interval | fine-tuning gains | p | parameters | CPU-s |\n|" + " --- |" * 7)
    for name, (score, seconds, size) in rows.items():
        low, high = score.interval(bench.run.seed)
        compared = f"{gains[name].value:+.4f} | {p[name]:.3f}" if name in gains else " | "
        interval = f"{low:.4f} to {high:.4f}"
        print(f"| {name} | {score.value:.4f} | {interval} | {compared} | {size / 1e6:.2f} M | {seconds:.0f} |")


if __name__ == "__main__":
    OWN |= dict(word.split("=", 1) for word in sys.argv[1:] if word.startswith(("rows=", "folder=")))
    sys.argv = ["bench_bert", "project=bert", "tracking=none", *(w for w in sys.argv[1:] if w.split("=")[0] not in OWN)]
    main()
