"""kill -9 at any moment, then the same command: the run goes on and ends as if nothing had happened."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.support.checkouts import Checkout, environment


def kill_while_training(clone: Checkout, command: list[str], after: float) -> None:
    """Starts the command in a process group, waits for its first checkpoint and `after` seconds more, kills it."""
    checkpoint = clone.path("artifacts", "mnist", "checkpoints", "shipped", "last.ckpt")
    process = subprocess.Popen(
        command, cwd=clone.folder, env=environment(TRACKING="none"), start_new_session=True, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoint.exists(), "the run ended before it could be killed"


def curve(clone: Checkout) -> list[tuple[str, str, str]]:
    with clone.path("artifacts", "mnist", "history.csv").open() as file:
        return [(row["epoch"], row["train_loss"], row["val_loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("batch_size", [64, 256], ids=["sample batches", "full-size batches"])
def test_a_killed_training_ends_with_the_same_metrics(
    reproduced: Checkout, copy_of: Callable[[Checkout], Checkout], batch_size: int
) -> None:
    clone = copy_of(reproduced)
    params = clone.path("params.yaml")
    text = params.read_text().replace("epochs: {sample: 25, full: 9}", "epochs: 60")
    params.write_text(text.replace("batch_size: {sample: 64, full: 256}", f"batch_size: {batch_size}"))
    undisturbed = clone.run("dvc", "repro", "train@mnist", TRACKING="none")
    assert "resuming" not in undisturbed.stdout
    expected, version = (
        curve(clone),
        json.loads(clone.path("artifacts", "mnist", "bundle", "bundle.json").read_text())["files"],
    )

    shutil.rmtree(clone.path("artifacts", "mnist"))
    clone.run("dvc", "checkout", "-q", "artifacts/mnist/baselines.json", check=False)
    after = random.Random(batch_size).uniform(0, 1.0)
    kill_while_training(clone, ["dvc", "repro", "--force", "--single-item", "train@mnist"], after)
    # dvc.lock still knows the undisturbed result; without its cached outputs the stage has to run.
    shutil.rmtree(clone.path(".dvc", "cache", "runs"), ignore_errors=True)
    clone.path(".dvc", "tmp", "rwlock").unlink(missing_ok=True)
    resumed = clone.run("dvc", "repro", "--force", "--single-item", "train@mnist", TRACKING="none")
    assert "resuming run" in resumed.stdout
    assert curve(clone) == expected
    again = json.loads(clone.path("artifacts", "mnist", "bundle", "bundle.json").read_text())["files"]
    assert again == version, "not the same weights"
    assert not clone.path("artifacts", "mnist", "checkpoints").exists()


def test_checkpoints_of_another_training_are_not_resumed(
    reproduced: Checkout, copy_of: Callable[[Checkout], Checkout]
) -> None:
    clone = copy_of(reproduced)
    shared = ["project=mnist", "projects.mnist.train.epochs=60"]
    kill_while_training(clone, ["python", "-m", "pipelines.train", *shared], 0)
    done = clone.stage("train", *shared, "projects.mnist.train.epochs=3", TRACKING="none")
    assert "resuming" not in done.stdout
