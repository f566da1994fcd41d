"""`runner: sagemaker`: the train stage starts a job that actually trains, follows it and downloads its outputs."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from roadmap.bundle import Bundle
from tests.standins.aws.sagemaker.server import SageMaker, sagemaker
from tests.support.checkouts import Checkout, checkout, environment
from tests.support.pipelines.holding import Hold
from tests.support.waiting import until

WORDS = ("project=titanic", "projects.titanic.runner=sagemaker", "projects.titanic.variants={}")
ROLE = "arn:aws:iam::123456789012:role/train"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/roadmap-staging/train:1"


@pytest.fixture
def aws(tmp_path: Path, s3: None, s3_server: str) -> Iterator[SageMaker]:
    with sagemaker(tmp_path / "aws", s3_server) as server:
        yield server


class Stage:
    """The train stage in a clone with prepared data."""

    def __init__(self, clone: Checkout, aws: SageMaker) -> None:
        self.clone, self.aws, self.bucket = clone, aws, f"models-{id(aws)}"
        boto3.client("s3").create_bucket(Bucket=self.bucket)
        environment = {"ROLE": ROLE, "IMAGE": IMAGE, "BUCKET": self.bucket, "POLL": "0.2"}
        environment = {f"SAGEMAKER_{key}": value for key, value in environment.items()}
        self.env = {**environment, "AWS_ENDPOINT_URL_SAGEMAKER": aws.address, "TRACKING": "none"}

    def run(self, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return self.clone.stage("train", *WORDS, *words, check=False, **{**self.env, **env})

    def start(self, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "pipelines.train", *WORDS, *words]
        where: dict[str, Any] = {"cwd": self.clone.folder, "env": environment(**self.env)}
        return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **where)

    @property
    def artifacts(self) -> Path:
        return self.clone.path("artifacts", "titanic")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    clone = Checkout(checkout(tmp_path_factory.mktemp("prepared") / "clone"))
    clone.stage("prepare", "project=titanic")
    return clone


@pytest.fixture
def stage(prepared: Checkout, copy_of: Callable[[Checkout], Checkout], aws: SageMaker) -> Stage:
    return Stage(copy_of(prepared), aws)


def test_the_stage_downloads_the_jobs_model_and_reuses_a_finished_job(stage: Stage, aws: SageMaker) -> None:
    aws.fail("CreateTrainingJob", "ThrottlingException", times=2)  # a transient error
    done = stage.run("projects.titanic.train.epochs=3")
    assert done.returncode == 0, done.stdout + done.stderr
    bundle = Bundle(stage.artifacts / "bundle")
    assert bundle.manifest.version in done.stdout
    assert (stage.artifacts / "history.csv").read_text().count("\n") == 4
    assert json.loads((stage.artifacts / "train.json").read_text())["bundle_version"] == bundle.manifest.version
    assert "Training job completed" in done.stdout and "val_loss" in done.stdout, "progress and log"
    assert bundle.manifest.git_commit, "the image has no .git; the job gets the caller's commit"
    (name,) = aws.jobs.jobs
    assert aws.jobs.jobs[name]["EnableManagedSpotTraining"]

    again = stage.run("projects.titanic.train.epochs=3")
    assert again.returncode == 0 and "exists already" in again.stdout and len(aws.jobs.jobs) == 1, again.stderr
    assert not list(stage.artifacts.glob(".*")), "temporary files left"


def test_a_stopped_stage_stops_its_job_and_a_killed_one_resumes(stage: Stage, aws: SageMaker, tmp_path: Path) -> None:
    hold = Hold(stage.clone.folder, "titanic.Classifier", tmp_path / "hold")
    aws.jobs.code = stage.clone.folder
    first = stage.start()
    hold.reached(lambda: first.poll() is None)
    (name,) = aws.jobs.running
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second, request = stage.start(), aws.count("DescribeTrainingJob")
    until(lambda: aws.count("DescribeTrainingJob") > request + 2, 120)
    second.send_signal(signal.SIGTERM)
    message = second.communicate(timeout=60)[0]
    assert second.returncode == 130 and "exists already" in message and f"{name}: stopped" in message
    until(lambda: aws.jobs.jobs[name]["TrainingJobStatus"] == "Stopped", 150)
    assert aws.count("CreateTrainingJob") == 1 and not stage.artifacts.joinpath("bundle").exists()


@pytest.mark.parametrize(
    ("code", "exit_code", "says"),
    [
        ("ResourceLimitExceeded", 75, "ResourceLimitExceeded"),
        ("ThrottlingException", 75, "the same command resumes"),
        ("ExpiredTokenException", 2, "renew them with `aws sso login`"),
    ],
)
def test_errors_are_one_line_with_the_right_exit_code(
    stage: Stage, aws: SageMaker, code: str, exit_code: int, says: str
) -> None:
    aws.fail("*", code, times=50)
    done = stage.run()
    assert done.returncode == exit_code and says in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not stage.artifacts.joinpath("bundle").exists()


def test_missing_settings_are_named(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    done = stage.run(SAGEMAKER_ROLE="")
    wanted = "SAGEMAKER_ROLE: not set, and found no stack roadmap-staging-training-titanic with RoleArn"
    assert done.returncode == 2 and wanted in done.stderr
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    done = stage.run(AWS_CONFIG_FILE="/dev/null")
    assert done.returncode == 2 and "AWS region: found none" in done.stderr, done.stderr


def test_a_failed_job_reports_the_reason(stage: Stage, aws: SageMaker) -> None:
    network = stage.clone.path("models", "titanic.py")
    network.write_text(network.read_text() + "\n# not in the image\n")
    done = stage.run()
    assert done.returncode == 2 and "AlgorithmError: training code of titanic in the image: found" in done.stderr
    assert done.stderr.count("\n") == 1
