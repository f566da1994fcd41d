"""SageMaker's Python SDK in local mode: how it runs the images' `train` and `serve`, by Compose on this engine."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from roadmap.bundle import Bundle
from tests.standins.aws.sagemaker import jobs
from tests.support.infra import engine


def composes() -> bool:
    new = shutil.which("docker") and not engine.docker("compose", "version", check=False).returncode
    return bool(new or shutil.which("docker-compose"))


pytestmark = [
    engine.trains,
    pytest.mark.skipif(not composes(), reason="the SDK wants `docker compose` or docker-compose"),
]

NETWORK = "sagemaker-local"  # of the SDK
SILENT = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
HYPERPARAMETERS = {"project": "titanic", "profile": "sample", "projects.titanic.train.epochs": 3}


@pytest.fixture(scope="module")
def images() -> Iterator[dict[str, str]]:
    """Both images; their containers and the SDK's network are removed at the end."""
    built = {name: engine.built(name) for name in ("train", "serving")}
    yield built
    left = engine.docker("ps", "-aq", "--filter", f"network={NETWORK}").stdout.split()
    engine.docker("rm", "-f", *left, check=False)
    engine.docker("network", "rm", NETWORK, check=False)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The channel `data`: what `prepare` makes."""
    return jobs.prepared(tmp_path_factory.mktemp("prepared") / "image")


@pytest.fixture
def folder(tmp_path: Path, images: dict[str, str]) -> Iterator[Path]:
    yield tmp_path
    engine.give_back(tmp_path, images["serving"])


def account() -> boto3.Session:
    """A dummy account: local mode signs nothing."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")


def session(folder: Path) -> Any:
    from sagemaker.core.local import LocalSession

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = LocalSession(account(), sagemaker_config=SILENT, default_bucket="unused")
    (folder / "root").mkdir()
    found.config = {"local": {"container_root": str(folder / "root"), "local_code": True, "serving_port": port}}
    return found


def test_a_local_endpoint_serves_a_local_jobs_model(images: dict[str, str], prepared: Path, folder: Path) -> None:
    local = session(folder)
    api = local.sagemaker_client
    source = {"FileDataSource": {"FileUri": f"file://{prepared}", "FileDataDistributionType": "FullyReplicated"}}
    api.create_training_job(
        TrainingJobName="job",
        AlgorithmSpecification={"TrainingImage": images["train"], "TrainingInputMode": "File"},
        InputDataConfig=[{"ChannelName": "data", "DataSource": source}],
        OutputDataConfig={"S3OutputPath": f"file://{folder}/output"},
        ResourceConfig={"InstanceType": "local", "InstanceCount": 1, "VolumeSizeInGB": 1},
        HyperParameters={key: json.dumps(value) for key, value in HYPERPARAMETERS.items()},
    )
    job = api.describe_training_job("job")
    assert job["TrainingJobStatus"] == "Completed"
    (folder / "model").mkdir()
    shutil.unpack_archive(folder / "output" / "model.tar.gz", folder / "model", filter="data")
    bundle = Bundle(folder / "model" / "bundle")

    container = {
        "Image": images["serving"],
        "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
        "Environment": {"MODEL_PROJECT": "titanic"},
    }
    api.create_model("model", container)
    variant = {"VariantName": "all", "ModelName": "model", "InitialInstanceCount": 1, "InstanceType": "local"}
    api.create_endpoint_config("config", [variant])
    engine.readable(folder)
    try:
        api.create_endpoint("endpoint", "config")
        assert api.describe_endpoint("endpoint")["EndpointStatus"] == "InService"
        body, kind = json.dumps({"inputs": bundle.example}), "application/json"
        answer = local.sagemaker_runtime_client.invoke_endpoint(body, "endpoint", ContentType=kind, Accept=kind)
        answered = json.loads(answer["Body"].read())
        assert answered["model"]["version"] == bundle.manifest.version
        assert len(answered["outputs"]) == len(bundle.example)
    finally:
        api.delete_endpoint("endpoint")


def trainer(images: dict[str, str], folder: Path, **changes: Any) -> Any:
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.training.configs import Compute
    from sagemaker.train.model_trainer import Mode, ModelTrainer

    return ModelTrainer(
        training_mode=Mode.LOCAL_CONTAINER,
        sagemaker_session=Session(account(), sagemaker_config=SILENT, default_bucket="unused"),
        role="arn:aws:iam::123456789012:role/unused",
        training_image=images["train"],
        compute=Compute(instance_type="local_cpu", instance_count=1),
        hyperparameters={**HYPERPARAMETERS, **changes},
        local_container_root=str(folder),
    )


def test_the_model_trainer_runs_jobs_and_reports_failures(
    images: dict[str, str], prepared: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from sagemaker.core.training.configs import InputData

    channel = [InputData(channel_name="data", data_source=str(prepared))]
    trainer(images, folder).train(input_data_config=channel)
    assert Bundle(folder / "artifacts" / "model" / "bundle").manifest.profile == "sample"
    with pytest.raises(RuntimeError, match="exited with code: 1"):
        trainer(images, folder, **{"projects.titanic.model.lrr": 1}).train(input_data_config=channel)
    assert "projects.titanic.model.lrr: unknown key" in capfd.readouterr().out
