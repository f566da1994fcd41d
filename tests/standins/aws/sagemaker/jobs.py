"""Training jobs for server.py: the image's command in a process, on a tree like /opt/ml.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import boto3

ROOT = Path(__file__).parents[4]
ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job"
GROUP = "/aws/sagemaker/TrainingJobs"
TERMINAL = ("Completed", "Failed", "Stopped")


def image(folder: Path, code: Path = ROOT) -> Path:
    """What the train image has under /opt/roadmap: the code, and neither .git nor data."""
    folder.mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml", "pyproject.toml", "roadmap", "pipelines", "models", "serving"):
        (folder / name).symlink_to(code / name)
    return folder


def environment(root: Path, job: str, **more: str) -> dict[str, str]:
    """What SageMaker tells the container, and no more of this process's than it takes to run."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "OMP_NUM_THREADS", "DATA_MIRROR") if key in os.environ}
    variables = {
        "TRAINING_JOB_NAME": job,
        "TRAINING_JOB_ARN": f"{ARN}/{job}",
        "AWS_REGION": "us-east-1",
        "HOME": "/tmp",
    }
    return {**kept, **variables, "OPT_ML": str(root), "PYTHONUNBUFFERED": "1", **more}


def prepared(folder: Path) -> Path:
    """The channel `data` of titanic's sample: a job that is given it only trains."""
    command = [sys.executable, "-m", "pipelines.prepare", "project=titanic", "profile=sample"]
    subprocess.run(command, cwd=image(folder), env=environment(folder, "job"), check=True, capture_output=True)
    return folder / "data" / "titanic"


def tree(root: Path, hyperparameters: dict[str, str], hosts: int = 1) -> Path:
    for name in ("input/config", "input/data", "checkpoints", "model", "output"):
        (root / name).mkdir(parents=True, exist_ok=True)
    names = [f"algo-{number}" for number in range(1, hosts + 1)]
    about = {"current_host": "algo-1", "hosts": names, "network_interface_name": "eth0"}
    (root / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))
    (root / "input/config/resourceconfig.json").write_text(json.dumps(about))
    (root / "input/config/inputdataconfig.json").write_text("{}")
    return root


class Jobs:
    def __init__(self, scratch: Path, moto: str, scale: float, lock: Any) -> None:
        self.scratch, self.moto, self.scale, self.lock = scratch / "jobs", moto, scale, lock
        self.code = ROOT  # of which the next image is made
        self.jobs: dict[str, dict[str, Any]] = {}
        self.running: dict[str, subprocess.Popen[str]] = {}
        self.interrupted: set[str] = set()
        self.threads: list[threading.Thread] = []

    def client(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=self.moto, region_name="us-east-1")

    def create_training_job(self, TrainingJobName: str, **given: Any) -> dict[str, Any]:
        if TrainingJobName in self.jobs:
            raise FileExistsError("Job name must be unique within an AWS account and region, and a training job with")
        stopping = given.get("StoppingCondition", {})
        if given.get("EnableManagedSpotTraining"):
            if stopping.get("MaxWaitTimeInSeconds", 0) < stopping.get("MaxRuntimeInSeconds", 86400):
                raise ValueError("MaxWaitTimeInSeconds must be present and at least MaxRuntimeInSeconds for spot")
        elif "MaxWaitTimeInSeconds" in stopping:
            raise ValueError("MaxWaitTimeInSeconds is only allowed when EnableManagedSpotTraining is true")
        job = {key: value for key, value in given.items() if key != "Tags"}
        now = {"CreationTime": time.time(), "TrainingJobStatus": "InProgress", "SecondaryStatusTransitions": []}
        output = f"{given['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{TrainingJobName}/output/model.tar.gz"
        job |= {"TrainingJobName": TrainingJobName, "TrainingJobArn": f"{ARN}/{TrainingJobName}", **now}
        job["ModelArtifacts"] = {"S3ModelArtifacts": output}
        self.jobs[TrainingJobName] = job
        self._now(job, "Starting", "Launching requested ML instances")
        thread = threading.Thread(target=self._run, args=(job,), daemon=True)
        self.threads.append(thread)
        thread.start()
        return {"TrainingJobArn": job["TrainingJobArn"]}

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        if TrainingJobName not in self.jobs:
            raise ValueError("Requested resource not found.")  # as AWS says it, with ValidationException
        return dict(self.jobs[TrainingJobName])

    def stop_training_job(self, TrainingJobName: str) -> None:
        job = self.jobs[TrainingJobName]
        if job["TrainingJobStatus"] in TERMINAL:
            status = job["TrainingJobStatus"]
            raise ValueError(f"The request was rejected because the training job is in status {status}.")
        job["TrainingJobStatus"] = "Stopping"
        self._now(job, "Stopping", "Stopping the training job")
        if TrainingJobName in self.running:
            self.running[TrainingJobName].terminate()

    def interrupt(self, name: str) -> None:
        """EC2 reclaims the spot instance."""
        self.interrupted.add(name)
        self.running[name].terminate()

    def root(self, name: str) -> Path:
        return self.scratch / name / "ml"

    def _now(self, job: dict[str, Any], status: str, message: str) -> None:
        job["SecondaryStatus"], job["LastModifiedTime"] = status, time.time()
        entry = {"Status": status, "StartTime": time.time(), "StatusMessage": message}
        job["SecondaryStatusTransitions"] = [*job["SecondaryStatusTransitions"], entry]

    def _run(self, job: dict[str, Any]) -> None:
        name = job["TrainingJobName"]
        try:
            self._attempts(job, name)
        except Exception as error:  # an error of the stand-in, or an object missing in S3
            job |= {"FailureReason": f"ClientError: {type(error).__name__}: {error}", "TrainingJobStatus": "Failed"}
            self._now(job, "Failed", job["FailureReason"])

    def _attempts(self, job: dict[str, Any], name: str) -> None:
        spot = job.get("EnableManagedSpotTraining", False)
        workplace = image(self.scratch / name / "image", self.code)
        for attempt in range(10):
            root = tree(self.scratch / name / "ml", job.get("HyperParameters", {}))
            if attempt:  # another machine: only synchronised files remain
                for path in sorted((root / "checkpoints").rglob("*"), reverse=True):
                    path.unlink() if path.is_file() else path.rmdir()
            self._now(job, "Downloading", "Downloading input data")
            self._bring(job, root)
            self._now(job, "Training", "Training image download completed. Training in progress.")
            job.setdefault("TrainingStartTime", time.time())
            code = self._train(job, name, root, workplace)
            self._keep(job, root)
            if job["TrainingJobStatus"] == "Stopping":
                self._end(job, "Stopped", "Training job stopped")
                return
            if spot and name in self.interrupted:
                self.interrupted.discard(name)
                self._now(job, "Interrupted", "Spot capacity is no longer available")
                self._now(job, "Starting", "Waiting for spot capacity")
                continue
            if code == 0:
                self._now(job, "Uploading", "Uploading generated training model")
                self._upload(job, root)
                self._end(job, "Completed", "Training job completed")
            else:
                failure = root / "output/failure"
                reason = failure.read_text()[:1024] if failure.exists() else ""
                job["FailureReason"] = f"AlgorithmError: {reason}, exit code: {code}"
                self._end(job, "Failed", "Training job failed")
            return

    def _end(self, job: dict[str, Any], status: str, message: str) -> None:
        job["TrainingEndTime"] = time.time()
        job["TrainingTimeInSeconds"] = int(job["TrainingEndTime"] - job["TrainingStartTime"])
        self._now(job, status, message)
        job["TrainingJobStatus"] = status

    def _train(self, job: dict[str, Any], name: str, root: Path, workplace: Path) -> int:
        variables = environment(root, name, **job.get("Environment", {}))
        limit = job.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86400)
        command = [sys.executable, "-m", "pipelines.sagemaker", "train"]
        process = subprocess.Popen(
            command, cwd=workplace, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.running[name] = process
        if job["TrainingJobStatus"] == "Stopping":
            process.terminate()
        logs, stream = self.client("logs"), f"{name}/algo-1-{int(time.time() * 1000)}"
        for make, words in ((logs.create_log_group, {}), (logs.create_log_stream, {"logStreamName": stream})):
            try:
                make(logGroupName=GROUP, **words)
            except logs.exceptions.ResourceAlreadyExistsException:
                continue
        assert process.stdout is not None
        for line in process.stdout:
            event = {"timestamp": int(time.time() * 1000), "message": line.rstrip() or " "}
            logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=[event])
        code = process.wait(min(120, limit))
        del self.running[name]
        return code

    # ------------------------------------------------------------ S3

    def _bring(self, job: dict[str, Any], root: Path) -> None:
        variables = {}
        for channel in job.get("InputDataConfig", []):
            name = channel["ChannelName"]
            variables[name] = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"}
            if not self._fetch(channel["DataSource"]["S3DataSource"]["S3Uri"], root / "input/data" / name):
                raise ValueError(f"No S3 objects found under the prefix of channel {name}")
        (root / "input/config/inputdataconfig.json").write_text(json.dumps(variables))
        if "CheckpointConfig" in job:
            self._fetch(job["CheckpointConfig"]["S3Uri"], root / "checkpoints")

    def _fetch(self, uri: str, folder: Path) -> int:
        bucket, prefix = split(uri)
        found = self.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        for one in found:
            path = folder / one["Key"].removeprefix(prefix).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            self.client("s3").download_file(bucket, one["Key"], str(path))
        return len(found)

    def _keep(self, job: dict[str, Any], root: Path) -> None:
        if "CheckpointConfig" in job:
            bucket, prefix = split(job["CheckpointConfig"]["S3Uri"])
            for path in (root / "checkpoints").rglob("*"):
                if path.is_file():
                    key = f"{prefix.rstrip('/')}/{path.relative_to(root / 'checkpoints').as_posix()}"
                    self.client("s3").upload_file(str(path), bucket, key)

    def _upload(self, job: dict[str, Any], root: Path) -> None:
        archive = root.parent / "model.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            for path in sorted((root / "model").iterdir()):
                packed.add(path, path.name)
        self.client("s3").upload_file(str(archive), *split(job["ModelArtifacts"]["S3ModelArtifacts"]))

    def close(self) -> None:
        for process in list(self.running.values()):
            process.send_signal(signal.SIGKILL)
        for thread in self.threads:
            thread.join(30)


def split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
