"""The train image as SageMaker runs a job: `docker run <image> train`, its /opt/ml, its environment, its signals.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

import csv
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadmap.bundle import Bundle
from tests.standins.aws.sagemaker.jobs import environment, image, tree
from tests.support.infra import engine
from tests.support.pipelines.holding import Hold

pytestmark = [engine.trains]

SHORT = {"project": '"titanic"', "profile": '"sample"', "projects.titanic.train.epochs": "3"}
LONG = {**SHORT, "projects.titanic.train.epochs": "6", "projects.titanic.variants": "{}"}
PATIENCE = 300.0  # seconds of a job
GRACE = 120  # seconds between SIGTERM and SIGKILL


@pytest.fixture(scope="module")
def train() -> str:
    return engine.built("train")


class Job:
    """One attempt: a machine with the image, /opt/ml and no network."""

    def __init__(self, image: str, root: Path, hyperparameters: dict[str, str], *options: str) -> None:
        self.root = tree(root, hyperparameters)
        self.name = f"roadmap-test-{uuid.uuid4().hex[:8]}"
        environment = {"TRAINING_JOB_NAME": "job", "AWS_REGION": "us-east-1", "CURRENT_HOST": "algo-1"}
        given = [part for key, value in environment.items() for part in ("-e", f"{key}={value}")]
        options = ("--network", "none", "-v", f"{root}:/opt/ml", *given, *options)
        engine.docker("run", "-d", "--name", self.name, *options, image, "train")

    def wait(self) -> int:
        return int(engine.docker("wait", self.name, timeout=PATIENCE).stdout)

    def running(self) -> bool:
        return engine.docker("inspect", "-f", "{{.State.Running}}", self.name).stdout == "true\n"

    def log(self) -> str:
        done = engine.docker("logs", self.name)
        return done.stdout + done.stderr

    def end(self) -> None:
        engine.docker("rm", "-f", self.name, check=False)

    @property
    def bundle(self) -> Bundle:
        return Bundle(self.root / "model" / "bundle")

    def curve(self) -> list[tuple[str, str, str]]:
        with (self.root / "model/training/history.csv").open() as file:
            return [(row["epoch"], row["train_loss"], row["val_loss"]) for row in csv.DictReader(file)]


class Jobs:
    """The jobs' folders, owned by root afterwards: SageMaker runs jobs as root."""

    def __init__(self, image: str, folder: Path) -> None:
        self.image, self.folder, self.started = image, folder, list[Job]()

    def start(self, name: str, hyperparameters: dict[str, str], *options: str) -> Job:
        self.started.append(Job(self.image, self.folder / name, hyperparameters, *options))
        return self.started[-1]

    def end(self) -> None:
        for one in self.started:
            one.end()
        engine.give_back(self.folder, self.image)


@pytest.fixture
def jobs(train: str, tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(train, tmp_path)
    yield jobs
    jobs.end()


def checkout_version(folder: Path, hyperparameters: dict[str, str]) -> str:
    """The bundle of the same job, run in this checkout's environment."""
    root = tree(folder / "ml", hyperparameters)
    command = [sys.executable, "-m", "pipelines.sagemaker", "train"]
    environ = {key: value for key, value in environment(root, "job").items() if key != "DATA_MIRROR"}
    done = subprocess.run(command, cwd=image(folder / "image"), env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return Bundle(root / "model" / "bundle").manifest.version


def test_a_job_makes_the_same_bundle_as_a_checkout(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.start("job", SHORT)
    assert job.wait() == 0, job.log()
    assert job.bundle.manifest.version == checkout_version(tmp_path / "checkout", SHORT)
    assert len(job.curve()) == 3 and "test accuracy 0." in job.log()
    assert json.loads((job.root / "model/training/train.json").read_text())["epochs"] == 3
    assert not (job.root / "output" / "failure").exists()


@pytest.mark.parametrize("words", [(), ("nonsense",)], ids=["nothing to do", "a wrong word"])
def test_an_unknown_start_command_is_one_line(train: str, words: tuple[str, ...]) -> None:
    done = engine.docker("run", "--rm", train, *words, check=False)
    assert done.returncode in (2, 127) and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_job_trains_on_its_channels_data(jobs: Jobs) -> None:
    """`prepare` ran elsewhere: the job only trains."""
    whole = jobs.start("whole", SHORT)
    assert whole.wait() == 0, whole.log()
    root = jobs.folder / "channel"
    made = engine.docker(
        "run", "--rm", "--network", "none", "-v", f"{root}:/made", jobs.image, "sh", "-c",
        "python -m pipelines.prepare project=titanic profile=sample && cp -r data/titanic /made/data",
        check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    tree(root, SHORT)
    engine.docker("run", "--rm", "-v", f"{root}:/opt/ml", jobs.image, "mv", "/opt/ml/data", "/opt/ml/input/data/data")
    job = jobs.start("channel", SHORT)
    assert job.wait() == 0, job.log()
    assert job.curve() == whole.curve()
    assert not (job.root / "model/training/metrics.json").exists(), "evaluation is left to the caller"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"projects.titanic.model.lrr": "1"}, "hyperparameter projects.titanic.model.lrr: unknown key; did you mean"),
        ({"project": '"titanics"'}, "hyperparameter projects.titanics: unknown key; did you mean 'titanic'"),
        ({"profile": '"full"'}, "prepare: "),  # no network, and no channel
    ],
    ids=["unknown key", "unknown project", "no way to the data"],
)
def test_a_failure_is_an_exit_code_and_one_line(jobs: Jobs, changes: dict[str, str], reason: str) -> None:
    given = changes if "project" in changes else {**SHORT, **changes}
    job = jobs.start("job", given)
    assert job.wait() == 1, job.log()
    failure = (job.root / "output" / "failure").read_text()
    assert reason in failure and "\n" not in failure and "Traceback" not in failure
    assert not any((job.root / "model").iterdir()), "no partial output"


def test_a_spot_interruption_resumes_from_the_last_checkpoint(jobs: Jobs, tmp_path: Path) -> None:
    """SIGTERM, 120 s, SIGKILL; then another machine has only the checkpoints."""
    code = image(tmp_path / "code")
    hold = Hold(code, "titanic.Classifier", jobs.folder / "first" / "hold", seen_as=Path("/opt/ml/hold"))
    held = ("-v", f"{code}/models/titanic.py:/opt/roadmap/models/titanic.py:ro")
    first = jobs.start("first", LONG, *held)
    hold.reached(first.running)
    engine.docker("stop", "-t", str(GRACE), first.name)
    assert first.wait() == 143 and "the next job resumes from the checkpoints" in first.log()
    assert (first.root / "checkpoints/titanic/shipped/last.ckpt").exists()
    assert not (first.root / "output/failure").exists() and not any((first.root / "model").iterdir())

    second = jobs.folder / "second"
    (second / "hold").mkdir(parents=True)
    (second / "hold" / "open").touch()
    (first.root / "checkpoints").rename(second / "checkpoints")
    again, whole = jobs.start("second", LONG, *held), jobs.start("whole", LONG)
    assert again.wait() == 0, again.log()
    assert "resuming run" in again.log() and "epoch 1/6" not in again.log()
    assert whole.wait() == 0, whole.log()
    assert again.curve() == whole.curve()
    assert again.bundle.manifest.version == whole.bundle.manifest.version
