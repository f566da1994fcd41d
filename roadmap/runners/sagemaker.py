"""`runner: sagemaker`: trains in a SageMaker job and downloads bundle/, history.csv and train.json.

The job's name is a hash of its inputs, so that a repeated stage finds its job: it follows a running one, takes the
result of a completed one, and starts the next after a failed one. SIGTERM and Ctrl-C stop the job.
README.md describes the settings.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from roadmap.bundle import Bundle
from roadmap.bundle.code import git_commit
from roadmap.config.schema import Run
from roadmap.data import splits
from roadmap.dependencies import code_sha256
from roadmap.io.atomic import atomic_folder
from roadmap.io.aws import aws_errors
from roadmap.io.errors import Unavailable, UsageError
from roadmap.io.json import JsonObject
from roadmap.runners._aws import JobSettings, client, settings

GROUP = "/aws/sagemaker/TrainingJobs"
POLL = float(os.environ.get("SAGEMAKER_POLL") or 10)  # seconds between polls
ATTEMPTS = 20  # jobs of one training
MOST = 20 * 2**30  # most bytes of the unpacked archive
METRICS = [{"Name": name, "Regex": rf"\b{name} ([-+0-9.e]+)"} for name in ("train_loss", "val_loss")]
PASSING = ("CapacityError", "InsufficientCapacity", "InternalServerError")  # in a job's FailureReason


def train(run: Run) -> None:
    with aws_errors(UsageError, Unavailable, busy=("ResourceLimitExceeded",)):
        given, api = settings(run.name), client("sagemaker")
        code = code_sha256("train", run.name, run.settings.network)
        card = splits.read_card(run.data)
        what = [run.params_sha256(), card["sha256"], code, given.image, run.trainer.model_dump()]
        base = f"roadmap-{run.name.replace('_', '-')}-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]}"
        name, job = find(api, base)
        if job is None:
            environment = {"NETWORK": run.settings.network, "CODE_SHA256": code, "GIT_COMMIT": git_commit()}
            data = upload(run.data, given.bucket, f"sagemaker/{run.name}/data/{card['sha256']}")
            request = job_request(run, name, base, data, given)
            api.create_training_job(**request, Environment={key: value for key, value in environment.items() if value})
        print(f"{name}: {'started on ' + given.instance if job is None else 'exists already'}", flush=True)
        with stopping(api, name):
            job = follow(api, name)
        bring(run, job["ModelArtifacts"]["S3ModelArtifacts"], card["sha256"])
    spent = f"{job.get('TrainingTimeInSeconds', 0)} s, {job.get('BillableTimeInSeconds', 0)} s billed"
    print(f"{run.artifacts}/bundle: version {Bundle(run.artifacts / 'bundle').manifest.version}, {name}, {spent}")


def find(api: Any, base: str) -> tuple[str, JsonObject | None]:
    """The running or completed job of this training, else the name of the next.

    api: SageMaker's client of boto3; a job is DescribeTrainingJob's response

    Raises:
        UsageError: too many jobs have failed.
    """
    for number in range(1, ATTEMPTS + 1):
        name = f"{base}-{number}"
        try:
            job: JsonObject = api.describe_training_job(TrainingJobName=name)
        except api.exceptions.ClientError as error:
            if "not found" in error.response["Error"].get("Message", "").lower():
                return name, None
            raise
        if job["TrainingJobStatus"] in ("InProgress", "Completed"):
            return name, job
    raise UsageError(f"{base}: {ATTEMPTS} jobs have failed; see `aws sagemaker list-training-jobs` for the reasons")


def job_request(run: Run, name: str, base: str, data: str, given: JobSettings) -> JsonObject:
    """CreateTrainingJob's arguments."""
    stopping: dict[str, int] = {"MaxRuntimeInSeconds": given.seconds}
    if given.spot:
        stopping["MaxWaitTimeInSeconds"] = 2 * given.seconds
    where = f"s3://{given.bucket}"
    source = {"S3DataType": "S3Prefix", "S3Uri": data, "S3DataDistributionType": "FullyReplicated"}
    network = {"SecurityGroupIds": given.security_groups, "Subnets": given.subnets}
    return {
        "TrainingJobName": name,
        "RoleArn": given.role,
        "AlgorithmSpecification": {
            "TrainingImage": given.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": METRICS,
        },
        "HyperParameters": hyperparameters(run),
        "InputDataConfig": [{"ChannelName": "data", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"{where}/sagemaker/{run.name}/jobs"},
        "CheckpointConfig": {"S3Uri": f"{where}/checkpoints/{run.name}/{base}"},  # the next job resumes from them
        "ResourceConfig": {"InstanceType": given.instance, "InstanceCount": 1, "VolumeSizeInGB": 50},
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": given.spot,
        "Tags": [{"Key": "project", "Value": "roadmap"}, {"Key": "stage", "Value": given.stage}],
        **({"VpcConfig": network} if given.subnets else {}),
    }


def hyperparameters(run: Run) -> dict[str, str]:
    """All parameters of the model, as strings; pipelines/sagemaker.py turns them into overrides."""
    found: JsonObject = {"project": run.name, "profile": run.profile, "seed": run.seed}
    chosen = [word.partition("=")[2] for word in sys.argv[1:] if word.startswith("trainer=")]
    if trainer := chosen[-1] if chosen else os.environ.get("TRAINER"):
        found["trainer"] = trainer
    for block, values in run.params().items():
        if block in ("model", "train"):
            found |= {f"projects.{run.name}.{block}.{key}": value for key, value in values.items()}
        elif block in ("data", "variants"):
            found[f"projects.{run.name}.{block}"] = values
    return {key: json.dumps(value) for key, value in found.items()}


def upload(folder: Path, bucket: str, prefix: str) -> str:
    """Uploads the data under `prefix`, named after its content, and returns the address. card.json comes last, as the
    mark of a complete upload."""
    s3, there = client("s3"), f"{prefix}/card.json"
    if not s3.list_objects_v2(Bucket=bucket, Prefix=there).get("KeyCount"):
        paths = sorted(
            (path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.name == "card.json"
        )
        for path in paths:
            s3.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(folder).as_posix()}")
    return f"s3://{bucket}/{prefix}/"


def follow(api: Any, name: str) -> JsonObject:
    """Prints the progress of the job until it has completed.

    Raises:
        Unavailable: there was no capacity.
        UsageError: it failed or was stopped.
    """
    reported = 0
    read: dict[str, str] = {}
    while True:
        job: JsonObject = api.describe_training_job(TrainingJobName=name)
        steps = job.get("SecondaryStatusTransitions", [])
        for step in steps[reported:]:
            print(f"{name}: {step['Status']}: {step.get('StatusMessage', '')}", flush=True)
        reported = len(steps)
        read = passed_on(name, read)
        status = job["TrainingJobStatus"]
        if status == "Completed":
            return job
        if status == "Failed":
            reason = " ".join(job.get("FailureReason", "no reason given").split())
            raise (Unavailable if any(word in reason for word in PASSING) else UsageError)(f"{name}: {reason}")
        if status == "Stopped":
            if job["SecondaryStatus"] == "MaxWaitTimeExceeded":
                raise Unavailable(f"{name}: no spot instance in time; set SAGEMAKER_SPOT=0 for on-demand instances")
            if job["SecondaryStatus"] == "MaxRuntimeExceeded":
                raise UsageError(f"{name}: exceeded its time limit; raise SAGEMAKER_MAX_SECONDS")
            raise UsageError(f"{name}: was stopped; run the same command to resume from its checkpoints")
        time.sleep(POLL)


def passed_on(name: str, read: dict[str, str]) -> dict[str, str]:
    """Prints the job's new log lines; returns the next token of each stream. A missing log is not an error."""
    from botocore.exceptions import BotoCoreError, ClientError

    with suppress(BotoCoreError, ClientError):
        logs = client("logs")
        streams = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
        for stream in (one["logStreamName"] for one in streams):
            token = {"nextToken": read[stream]} if stream in read else {}
            got = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, **token)
            for event in got["events"]:
                print(event["message"], flush=True)
            read[stream] = got["nextForwardToken"]
    return read


@contextmanager
def stopping(api: Any, name: str) -> Iterator[None]:
    """SIGTERM and Ctrl-C stop the job too."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        with suppress(api.exceptions.ClientError):  # it may have ended
            api.stop_training_job(TrainingJobName=name)
        print(f"{name}: stopped; run the same command to resume from its checkpoints", file=sys.stderr, flush=True)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before)


def bring(run: Run, address: str, data_sha256: str) -> None:
    """Unpacks model.tar.gz as the stage's outputs, atomically, after checking that it is of this training.

    Raises:
        UsageError, BundleError: the archive is damaged or of another training.
    """
    bucket, _, key = address.removeprefix("s3://").partition("/")
    run.artifacts.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sagemaker.", dir=run.artifacts) as scratch:
        archive, folder = Path(scratch) / "model.tar.gz", Path(scratch) / "model"
        client("s3").download_file(bucket, key, str(archive))
        unpack(archive, folder, address)
        manifest = Bundle(folder / "bundle").manifest
        found = (manifest.project, manifest.params_sha256, manifest.data_sha256)
        if found != (run.name, run.params_sha256(), data_sha256):
            raise UsageError(f"{address}: found a bundle of another training ({manifest.project}, {manifest.version})")
        if missing := [name for name in ("history.csv", "train.json") if not (folder / "training" / name).is_file()]:
            raise UsageError(f"{address}: training/{missing[0]} is missing")
        with atomic_folder(run.artifacts / "bundle") as draft:
            shutil.copytree(folder / "bundle", draft, dirs_exist_ok=True)
        for name in ("history.csv", "train.json"):
            (folder / "training" / name).replace(run.artifacts / name)


def unpack(archive: Path, folder: Path, address: str) -> None:
    """
    Raises:
        UsageError: the archive is damaged, or larger than MOST.
    """
    try:
        with tarfile.open(archive, "r:gz") as packed:
            size = 0
            for member in packed:
                if (size := size + member.size) > MOST:
                    raise UsageError(f"{address}: unpacks to more than {MOST:,} bytes")
            packed.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise UsageError(f"{address}: damaged archive ({error})") from None
