"""Our training loop against a plain PyTorch loop and against the standard DataLoader script: same net, same epochs.

    python -m benchmarks.training.bench_training [--epochs 2] [--rounds 6]

The three take turns, round by round, so that a slow phase of the machine affects all. Data: the full MNIST from
DATA_MIRROR or the publisher, or random images of the same shape if neither can be reached (speed is the same).
"""

import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks import machine
from benchmarks.training.lightning import fit
from models.mnist import CNN, random_shift
from pipelines.mnist.data import idx, pixels
from roadmap.config.settings import TrainSettings
from roadmap.data.training_set import TrainingSet
from roadmap.io.errors import UsageError
from roadmap.training.batches import BatchLoader, InMemoryDataModule
from roadmap.training.fitting import precision_for, quieten
from roadmap.training.memory import keep_freed_memory

BATCH, SEED, SCRIPT_ROUNDS = 256, 42, 2
PRECISION: Any = precision_for("32-true", bf16=True)


def network() -> CNN:
    torch.manual_seed(SEED)
    return CNN(size=28, mean=0.1307, std=0.3081, width=16, lr=0.05, weight_decay=5e-4, shift=2)


def ours(images: np.ndarray, labels: np.ndarray, epochs: int) -> float:
    """What `pipelines.train` does: Lightning, in-memory batches, history and checkpoints, no validation.

    Seconds; images uint8 [n, 28, 28], labels int [n].
    """
    keep_freed_memory()
    training_set = TrainingSet((pixels(images), labels), (pixels(images[:256]), labels[:256]), {}, {})
    data = InMemoryDataModule(training_set, TrainSettings(epochs=epochs, batch_size=BATCH, threads=None), SEED)
    return fit(network(), data, SEED, max_epochs=epochs, precision=PRECISION)


def optimizer_for(model: CNN, steps: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=steps, cycle_momentum=False)


def plain(images: np.ndarray, labels: np.ndarray, epochs: int) -> float:
    """The same work without Lightning: the minimum. Seconds; arrays as for `ours`."""
    keep_freed_memory()
    batches = BatchLoader((torch.from_numpy(pixels(images)), torch.from_numpy(labels)), BATCH, seed=SEED)
    model, bf16 = network(), PRECISION == "bf16-mixed"
    started = time.perf_counter()
    optimizer, schedule = optimizer_for(model, epochs * len(batches))
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        for x, y in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(model(random_shift(x, 2)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return time.perf_counter() - started


class ImageDataset(Dataset):
    """As tutorials write it, one image at a time: PIL, RandomCrop(28, padding=2), ToTensor, Normalize.

    The transforms do what torchvision's of these names do, step by step; torchvision itself is not a dependency.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        image = Image.fromarray(self.images[i].numpy())
        return normalize(to_tensor(random_crop(image, padding=2))), int(self.labels[i])


def random_crop(image: Image.Image, padding: int) -> Image.Image:
    """An image of the same size, moved by up to `padding` pixels; black where it was not."""
    width, height = image.size
    padded = ImageOps.expand(image, border=padding)
    top = torch.randint(0, 2 * padding + 1, size=(1,)).item()
    left = torch.randint(0, 2 * padding + 1, size=(1,)).item()
    return padded.crop((left, top, left + width, top + height))


def to_tensor(image: Image.Image) -> torch.Tensor:
    """-> float32 [1, height, width], between 0 and 1"""
    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
    return pixels.view(image.size[1], image.size[0], 1).permute(2, 0, 1).contiguous().to(torch.float32).div(255)


def normalize(x: torch.Tensor) -> torch.Tensor:
    """x: float [1, height, width] -> the same, with MNIST's mean and deviation taken out"""
    mean, std = (torch.as_tensor(value, dtype=x.dtype).view(-1, 1, 1) for value in ([0.1307], [0.3081]))
    return x.clone().sub_(mean).div_(std)


def dataloader_script(images: np.ndarray, labels: np.ndarray, epochs: int, workers: int) -> float:
    """The usual script: Dataset, DataLoader with workers, float32, the layers of the same net. Seconds, as `ours`."""
    loader = DataLoader(ImageDataset(images, labels), BATCH, shuffle=True, num_workers=workers)
    model = network().to(memory_format=torch.contiguous_format)
    started = time.perf_counter()
    optimizer, schedule = optimizer_for(model, epochs * len(loader))
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model.layers(x), y)
            loss.backward()
            optimizer.step()
            schedule.step()
    return time.perf_counter() - started


CONTENDERS = {
    "ours (Lightning, in-memory batches)": ours,
    "plain PyTorch loop": plain,
    "DataLoader script, no workers": lambda images, labels, epochs: dataloader_script(images, labels, epochs, 0),
    "DataLoader script, 2 workers": lambda images, labels, epochs: dataloader_script(images, labels, epochs, 2),
}


def training_images() -> tuple[np.ndarray, np.ndarray, str]:
    """Images uint8 [60000, 28, 28], labels int [60000], and what they are: random ones if MNIST can't be had."""
    try:
        return idx("train-images-idx3-ubyte.gz"), idx("train-labels-idx1-ubyte.gz"), "MNIST"
    except UsageError:
        rng = np.random.default_rng(0)
        images, labels = rng.integers(0, 256, (60_000, 28, 28), dtype=np.uint8), rng.integers(0, 10, 60_000)
        return images, labels, "random images"


def seconds_per_epoch(name: str, epochs: int) -> float:
    """In a separate process, so that memory allocators don't interfere."""
    command = [sys.executable, "-m", "benchmarks.training.bench_training", "--only", name, "--epochs", str(epochs)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6, help="the slow scripts take part in two of them")
    parser.add_argument("--only", choices=CONTENDERS, help="one contender once; prints its seconds per epoch")
    args = parser.parse_args()
    images, labels, source = training_images()
    if args.only:
        quieten()
        print(CONTENDERS[args.only](images, labels, args.epochs) / args.epochs)
        return
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for round_ in range(args.rounds):
        # Alternating, so that neither always follows the slow scripts.
        for name in list(CONTENDERS)[:: 1 if round_ % 2 else -1]:
            if "script" in name and round_ >= SCRIPT_ROUNDS:
                continue
            times[name].append(seconds_per_epoch(name, args.epochs))
            print(f"round {round_ + 1}: {name:38s} {times[name][-1]:6.2f} s per epoch", flush=True)
    ours_ = times["ours (Lightning, in-memory batches)"]
    print(f"\n{machine.line()}, {source}, {args.epochs} epochs, median of {args.rounds} rounds")
    print("| loop | seconds per epoch | of ours |\n| --- | --- | --- |")
    for name, seconds in times.items():
        ratio = statistics.median(other / own for other, own in zip(seconds, ours_, strict=False))
        print(f"| {name} | {statistics.median(seconds):.2f} | {ratio:.2f}x |")


if __name__ == "__main__":
    main()
