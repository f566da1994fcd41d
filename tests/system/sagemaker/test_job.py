"""The training job's command as SageMaker runs it: argv `train`, a tree like /opt/ml, SageMaker's environment."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from roadmap.bundle import Bundle
from serving.entrypoints.sagemaker import lay_out
from tests.standins.aws.sagemaker.jobs import environment, image, prepared, tree
from tests.support.pipelines.holding import Hold

SHORT = {"project": '"titanic"', "profile": "sample", "projects.titanic.train.epochs": "3"}


class Job:
    """A job with a channel `data`, or without one: then it also prepares and evaluates."""

    def __init__(self, folder: Path, channel: Path | None = None) -> None:
        self.root, self.place = folder / "ml", image(folder / "image")
        if channel:
            shutil.copytree(channel, self.root / "input/data/data")

    def start(self, hyperparameters: dict[str, str], hosts: int = 1) -> "subprocess.Popen[str]":
        tree(self.root, hyperparameters, hosts)
        command = [sys.executable, "-m", "pipelines.sagemaker", "train"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=self.place, env=environment(self.root, "job"), text=True, **pipes)  # type: ignore[call-overload]

    def run(self, hyperparameters: dict[str, str], hosts: int = 1) -> tuple[int, str]:
        process = self.start(hyperparameters, hosts)
        message = process.communicate(timeout=240)[0]
        return process.returncode, message

    @property
    def failure(self) -> str:
        return (self.root / "output" / "failure").read_text()

    def curve(self) -> list[tuple[str, str, str]]:
        with (self.root / "model/training/history.csv").open() as file:
            return [(row["epoch"], row["train_loss"], row["val_loss"]) for row in csv.DictReader(file)]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_a_job_trains_and_packages_a_deployable_model(job: Job, tmp_path: Path) -> None:
    code, message = job.run(SHORT)
    assert code == 0, message
    assert "val_loss " in message and "test accuracy 0." in message
    assert len(job.curve()) == 3
    (tmp_path / "served").mkdir()
    lay_out(job.root / "model", tmp_path / "served")
    assert Bundle(tmp_path / "served" / "titanic" / "bundle").manifest.profile == "sample"
    assert json.loads((job.root / "model/training/train.json").read_text())["epochs"] == 3
    assert not (job.root / "output" / "failure").exists()


def test_an_interrupted_job_resumes_to_the_same_weights(tmp_path: Path) -> None:
    long = {**SHORT, "projects.titanic.train.epochs": "6", "projects.titanic.variants": "{}"}
    channel = prepared(tmp_path / "prepared")
    whole, broken = Job(tmp_path / "whole", channel), Job(tmp_path / "broken", channel)
    code, message = whole.run(long)
    assert code == 0 and len(whole.curve()) == 6, message
    hold = Hold(broken.place, "titanic.Classifier", tmp_path / "hold")
    process = broken.start(long)
    hold.reached(lambda: process.poll() is None)
    process.send_signal(signal.SIGTERM)
    message = process.communicate(timeout=60)[0]  # SageMaker waits 120 s
    assert process.returncode == 143, message
    checkpoint = broken.root / "checkpoints/titanic/shipped/last.ckpt"
    assert checkpoint.exists() and not (broken.root / "output" / "failure").exists(), message
    hold.open()
    code, message = broken.run(long)
    assert code == 0 and "resuming run" in message, message
    assert broken.curve() == whole.curve()
    versions = [Bundle(one.root / "model/bundle").manifest.version for one in (whole, broken)]
    assert versions[0] == versions[1]


@pytest.mark.parametrize(
    ("changes", "hosts", "reason"),
    [
        (
            {"projects.titanic.model.lrr": "1"},
            1,
            "hyperparameter projects.titanic.model.lrr: unknown key; did you mean",
        ),
        ({"projects.titanic.model.lr": '"quick"'}, 1, "hyperparameter projects.titanic.model.lr: found 'quick'"),
        ({"hydra.run.dir": "/"}, 1, "hyperparameter hydra.run.dir: unknown key; allowed: project, profile"),
        ({"project": "titanics"}, 1, "hyperparameter projects.titanics: unknown key; did you mean 'titanic'"),
        ({"projects.mnist.model.lr": "1"}, 1, "hyperparameter projects.mnist.model.lr: unknown key"),
        ({}, 2, "found 2 instances; expected one"),
    ],
    ids=["unknown key", "wrong type", "not ours", "unknown project", "another project's", "two instances"],
)
def test_a_usage_error_fails_the_job_in_one_line(job: Job, changes: dict[str, str], hosts: int, reason: str) -> None:
    given = changes if "project" in changes else {**SHORT, **changes}
    code, message = job.run(given, hosts)
    assert code == 1 and reason in job.failure and "\n" not in job.failure, message
    assert not any((job.root / "model").iterdir()), "no partial output"


def test_missing_and_invalid_hyperparameters_are_reported(job: Job) -> None:
    code, _ = job.run({})
    assert code == 1 and "hyperparameter project: found None" in job.failure
    (job.root / "input/config/hyperparameters.json").write_text("{")
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.sagemaker"], cwd=job.place, env=environment(job.root, "job"), check=False
    )
    assert done.returncode == 1 and "hyperparameters.json: not JSON" in job.failure
