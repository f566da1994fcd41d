"""Time to a test accuracy on CIFAR-10: our recipe against the standard DataLoader script, the same net.

    python -m benchmarks.training.bench_cifar10 --path <CIFAR-10>                      # to 90%
    python -m benchmarks.training.bench_cifar10 --path <CIFAR-10> --target 0.8 --epochs 4 --script-epochs 4 --minutes 5

Both train the shipped network (params.yaml, profile full) on the 50,000 training images and are evaluated after each
epoch on the 10,000 test images, one view each, outside the measured time. The learning-rate schedule ends with the last
epoch: --epochs and --script-epochs set their number, --minutes ends a contender early. Without --path the
archive comes from DATA_MIRROR or the publisher.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image, ImageOps
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks import machine
from models import cifar10 as networks
from pipelines.cifar10.data import MD5, URL, read, statistics
from roadmap.config.check import for_profile
from roadmap.config.settings import TrainSettings
from roadmap.data.download import fetch
from roadmap.data.training_set import TrainingSet
from roadmap.io.json import JsonObject
from roadmap.training.batches import InMemoryDataModule
from roadmap.training.callbacks import MetricHistory, ResumeCheckpoint
from roadmap.training.fitting import precision_for, quieten
from roadmap.training.memory import keep_freed_memory

SEED = 42
Images = dict[str, np.ndarray]
Report = Callable[[float, float], bool]  # training seconds so far, test accuracy -> go on?


def network(train: Images) -> tuple[networks.Classifier, JsonObject]:
    """The shipped network, and the settings of its training."""
    block = for_profile(yaml.safe_load(Path("params.yaml").read_text())["projects"]["cifar10"], "full")
    settings = {name: value for name, value in block["model"].items() if name != "_target_"}
    mean, std, patches = statistics(train["image"])
    torch.manual_seed(SEED)
    cls = getattr(networks, block["model"]["_target_"].rpartition(".")[2])
    return cls(size=32, classes=10, mean=mean, std=std, patches=patches, **settings), block["train"]


class Stop(pl.Callback):
    """Ends the training when `report` returns false."""

    def __init__(self, history: MetricHistory, report: Report) -> None:
        self.history, self.report = history, report

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        row = self.history.rows[-1]
        trainer.should_stop = not self.report(row["seconds"], row["val_accuracy"])


def ours(train: Images, test: Images, epochs: int, report: Report) -> None:
    """What `pipelines.train` does: Lightning, in-memory batches, history, averaging and checkpoints."""
    keep_freed_memory()
    model, settings = network(train)
    rows = [(part["image"], np.random.default_rng(0).integers(0, 2, len(part["label"])), part["label"]) for part in
            (train, test)]  # fmt: skip
    data = InMemoryDataModule(
        TrainingSet(rows[0], rows[1], {}, {}), TrainSettings(**{**settings, "epochs": epochs}), SEED
    )
    history = MetricHistory("ours", lambda row: None)
    precision: Any = precision_for("32-true", settings["bf16"])
    with tempfile.TemporaryDirectory() as folder:
        pl.Trainer(
            accelerator="cpu",
            devices=1,
            precision=precision,
            max_epochs=epochs,
            callbacks=[history, Stop(history, report), ResumeCheckpoint(Path(folder), SEED)],
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        ).fit(model, data)


class ImageDataset(Dataset):
    """One image at a time: RandomCrop(32, padding=4), RandomHorizontalFlip, ToTensor, Normalize.

    The transforms do what torchvision's of these names do, step by step; torchvision itself is not a dependency.
    """

    def __init__(self, part: Images, mean: torch.Tensor, std: torch.Tensor) -> None:
        self.images, self.labels, self.mean, self.std = part["image"], part["label"], mean, std

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        image = ImageOps.expand(Image.fromarray(self.images[i]), border=4)
        top, left = (torch.randint(0, 9, size=(1,)).item() for _ in range(2))
        image = image.crop((left, top, left + 32, top + 32))
        if torch.rand(1) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x = torch.from_numpy(np.array(image, np.uint8, copy=True)).view(32, 32, 3).permute(2, 0, 1).contiguous()
        return x.to(torch.float32).div(255).sub_(self.mean).div_(self.std), int(self.labels[i])


def script(train: Images, test: Images, epochs: int, report: Report) -> None:
    """The usual script: two workers, batches of 128, SGD at 0.1 with momentum and a cosine schedule, float32."""
    model, _ = network(train)
    net = model.layers.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # not in the stub
    loader = DataLoader(ImageDataset(train, model.mean, model.std), 128, shuffle=True, num_workers=2)
    learnt = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learnt, 0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    spent = 0.0
    for _ in range(epochs):
        started = time.perf_counter()
        net.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
        schedule.step()
        spent += time.perf_counter() - started
        net.eval()
        with torch.no_grad():
            parts = [net(model.normalise(x)).argmax(1) for x in torch.from_numpy(test["image"]).split(1000)]
        if not report(spent, float((torch.cat(parts).numpy() == test["label"]).mean())):
            return


CONTENDERS = {"ours": ours, "DataLoader script": script}


class Outcome(TypedDict):
    reached: float | None  # training seconds to the target; None if it was missed
    spent: float  # training seconds
    speed: float  # images per second
    best: float  # test accuracy


def compete(name: str, args: argparse.Namespace) -> Outcome:
    """In a separate process, so that memory allocators don't interfere.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.training.bench_cifar10", *sys.argv[1:], "--only", name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    rows = []
    for line in process.stdout:
        if not line.startswith("{"):  # the training's own output
            continue
        rows.append(json.loads(line))
        print(f"{name:18s} {rows[-1]['seconds']:7.1f} s  test accuracy {rows[-1]['accuracy']:.4f}", flush=True)
    if process.wait() or not rows:
        sys.exit(f"{name} failed")
    reached = [row["seconds"] for row in rows if row["accuracy"] >= args.target]
    speed = rows[-1]["images"] / rows[-1]["seconds"]
    best = max(row["accuracy"] for row in rows)
    return {"reached": reached[0] if reached else None, "spent": rows[-1]["seconds"], "speed": speed, "best": best}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, help="an archive of CIFAR-10 or a folder of its batches")
    parser.add_argument("--target", type=float, default=0.9)
    parser.add_argument("--epochs", type=int, default=12, help="of our schedule")
    parser.add_argument("--script-epochs", type=int, default=15, help="of the script's schedule")
    parser.add_argument("--minutes", type=float, default=60, help="of training, per contender")
    parser.add_argument("--only", choices=CONTENDERS, help="one contender; prints a line of JSON per epoch")
    args = parser.parse_args()
    if args.only:
        quieten()
        train, test = read(args.path or fetch("cifar10", URL, MD5))
        epochs = args.epochs if args.only == "ours" else args.script_epochs

        images = 0

        def report(seconds: float, accuracy: float) -> bool:
            nonlocal images
            images += len(train["label"])
            print(json.dumps({"seconds": seconds, "accuracy": accuracy, "images": images}), flush=True)
            return accuracy < args.target and seconds < 60 * args.minutes

        CONTENDERS[args.only](train, test, epochs, report)
        return
    found = {name: compete(name, args) for name in CONTENDERS}
    print(
        f"\n{machine.line()}; {args.target:.0%} test accuracy; schedules of {args.epochs}, {args.script_epochs} epochs"
    )
    print("| recipe | seconds to target | images/s | best accuracy |\n| --- | --- | --- | --- |")
    for name, of in found.items():
        seconds = f"{of['reached']:.0f}" if of["reached"] else f"not in {of['spent']:.0f}"
        print(f"| {name} | {seconds} | {of['speed']:.0f} | {of['best']:.4f} |")
    ours_, other = found.values()
    if ours_["reached"]:
        print(f"ratio: {'' if other['reached'] else 'more than '}{other['spent'] / ours_['reached']:.2f}x")


if __name__ == "__main__":
    main()
