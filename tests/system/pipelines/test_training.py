"""Training as a process: a killed one resumes to the same result, and two processes match one."""

import csv
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkouts import Checkout, checkout, environment
from tests.support.pipelines.holding import Hold

# Two processes take the same steps from the same weights as one; only the order differs in which float32 sums are
# added up. At the learning rate of params.yaml (0.05) training amplifies that to a percent or two within six epochs of
# the tiny sample; at 0.02 it stays below the fifth digit.
LR, TOLERANCE = 0.02, 1e-3


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clone with mnist's data."""
    clone = Checkout(checkout(tmp_path_factory.mktemp("training") / "clone"))
    clone.run("dvc", "repro", "-q", "prepare@mnist", TRACKING="none")
    return clone


@pytest.fixture
def clone(prepared: Checkout, tmp_path: Path) -> Checkout:
    shutil.copytree(prepared.folder, tmp_path / "clone", symlinks=True)
    return Checkout(tmp_path / "clone")


def kill_while_training(clone: Checkout, hold: Hold, *command: str) -> None:
    """Starts the command in a process group, and kills the group in its third epoch."""
    process = subprocess.Popen(
        command, cwd=clone.folder, env=environment(TRACKING="none"), start_new_session=True, stdout=subprocess.DEVNULL
    )
    hold.reached(lambda: process.poll() is None)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert clone.path("artifacts", "mnist", "checkpoints", "shipped", "last.ckpt").exists()
    hold.open()


def curve(clone: Checkout) -> list[tuple[str, str, str]]:
    with clone.path("artifacts", "mnist", "history.csv").open() as file:
        return [(row["epoch"], row["train_loss"], row["val_loss"]) for row in csv.DictReader(file)]


def files(clone: Checkout) -> dict[str, str]:
    """The hash of each file of the bundle."""
    found: dict[str, str] = json.loads(clone.path("artifacts/mnist/bundle/bundle.json").read_text())["files"]
    return found


@pytest.mark.parametrize("batch_size", [64, 256], ids=["sample batches", "full-size batches"])
def test_a_killed_training_resumes_to_the_same_metrics(clone: Checkout, tmp_path: Path, batch_size: int) -> None:
    params = clone.path("params.yaml")
    text = params.read_text().replace("epochs: {sample: 25, full: 9}", "epochs: 6")
    params.write_text(text.replace("batch_size: {sample: 64, full: 256}", f"batch_size: {batch_size}"))
    hold = Hold(clone.folder, "mnist.CNN", tmp_path / "hold")
    hold.open()
    command: tuple[str, ...] = ("dvc", "repro", "--force", "--single-item", "train@mnist")
    undisturbed = clone.run(*command, TRACKING="none")
    assert "resuming" not in undisturbed.stdout
    expected = curve(clone), files(clone)
    assert len(expected[0]) == 6

    hold.close()
    shutil.rmtree(clone.path("artifacts", "mnist"))
    kill_while_training(clone, hold, *command)
    # dvc.lock still has the uninterrupted result; without its cached outputs the stage must run.
    shutil.rmtree(clone.path(".dvc", "cache", "runs"), ignore_errors=True)
    clone.path(".dvc", "tmp", "rwlock").unlink(missing_ok=True)
    resumed = clone.run(*command, TRACKING="none")
    assert "resuming run" in resumed.stdout
    assert (curve(clone), files(clone)) == expected, "not the same weights"
    assert not clone.path("artifacts", "mnist", "checkpoints").exists()


def test_other_trainings_checkpoints_are_not_resumed(clone: Checkout, tmp_path: Path) -> None:
    hold = Hold(clone.folder, "mnist.CNN", tmp_path / "hold")
    command = ("project=mnist", "projects.mnist.train.epochs=6")
    kill_while_training(clone, hold, "python", "-m", "pipelines.train", *command)
    done = clone.stage("train", *command, "projects.mnist.train.epochs=3", TRACKING="none")
    assert "resuming" not in done.stdout
    assert len(curve(clone)) == 3


def test_checkpoints_are_resumed_only_with_the_same_code(clone: Checkout, tmp_path: Path) -> None:
    """The predictor computes the bundle's reference, so it is part of the training code; scoring is not."""
    hold = Hold(clone.folder, "mnist.CNN", tmp_path / "hold")
    command = ("project=mnist", "projects.mnist.train.epochs=6")
    kill_while_training(clone, hold, "python", "-m", "pipelines.train", *command)
    for part, resumed in (("predict", False), ("evaluate", True)):
        edited = Checkout(shutil.copytree(clone.folder, tmp_path / part, symlinks=True))
        with edited.path("pipelines", "mnist", part, "__init__.py").open("a") as file:
            file.write("\n# edited\n")
        done = edited.stage("train", *command, TRACKING="none")
        assert ("resuming run" in done.stdout) is resumed, part


def test_two_processes_match_the_loss_curve_of_one(clone: Checkout) -> None:
    overrides = ("project=mnist", "projects.mnist.train.epochs=6", f"projects.mnist.model.lr={LR}")
    curves: list[Any] = []
    for trainer in ("cpu", "ddp"):
        clone.stage("train", f"trainer={trainer}", *overrides, TRACKING="none")
        curves.append([(int(epoch), float(train), float(val)) for epoch, train, val in curve(clone)])
    one, two = curves
    assert len(one) == len(two) == 6
    for a, b in zip(one, two, strict=True):
        assert b == pytest.approx(a, rel=TOLERANCE), f"epoch {a[0]}: train and val loss {a[1:]} and {b[1:]}"
