"""The stand-in for SageMaker behaves like SageMaker, as far as our code depends on it."""

import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from roadmap.bundle import Bundle
from tests.standins.aws.sagemaker.jobs import image, prepared
from tests.standins.aws.sagemaker.server import SageMaker, sagemaker
from tests.support import bundles
from tests.support.pipelines.holding import Hold
from tests.support.waiting import until

ROLE = "arn:aws:iam::123456789012:role/serve"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/roadmap-staging/serving:1"
FAST = Config(retries={"max_attempts": 1})
CANARY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
            "WaitIntervalInSeconds": 60,
        }
    },
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
}


@pytest.fixture
def aws(tmp_path: Path, s3: None, s3_server: str) -> Iterator[SageMaker]:
    with sagemaker(tmp_path, s3_server) as server:
        server.endpoints.containers |= {f"s3://models/{name}": answering(name) for name in ("one", "two")}
        yield server


@pytest.fixture
def api(aws: SageMaker) -> Any:
    return boto3.client("sagemaker", endpoint_url=aws.address, config=FAST)


def answering(name: str) -> Callable[[bytes], bytes]:
    return lambda body: name.encode() + b" " + body


def configure(api: Any, name: str, data: str | None = None) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": data or f"s3://models/{name}"}
    api.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "live", "ModelName": name, "InstanceType": "ml.c7i.large", "InitialInstanceCount": 1}
    api.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])


def at_rest(api: Any) -> dict[str, Any]:
    def found() -> Any:
        described = api.describe_endpoint(EndpointName="house")
        return described if described["EndpointStatus"] in ("InService", "Failed") else None

    return dict(until(found))


@pytest.fixture
def updated(aws: SageMaker, api: Any) -> Callable[[], dict[str, Any]]:
    """An endpoint with model `one` in service; then its update to `two`."""
    configure(api, "one")
    configure(api, "two")
    api.create_endpoint(EndpointName="house", EndpointConfigName="one")
    api.get_waiter("endpoint_in_service").wait(EndpointName="house", WaiterConfig={"Delay": 1})

    def update() -> dict[str, Any]:
        api.update_endpoint(EndpointName="house", EndpointConfigName="two", DeploymentConfig=CANARY)
        return at_rest(api)

    return update


def ask(aws: SageMaker, content: str = "x") -> str:
    runtime = boto3.client("sagemaker-runtime", endpoint_url=aws.address, config=FAST)
    answer = runtime.invoke_endpoint(EndpointName="house", ContentType="application/json", Body=content)
    return str(answer["Body"].read().decode())


def alarm(state: str) -> None:
    about = {"MetricName": "Errors", "Namespace": "AWS/SageMaker", "Statistic": "Sum", "Period": 60}
    about |= {"EvaluationPeriods": 1, "Threshold": 0.0, "ComparisonOperator": "GreaterThanThreshold"}
    cloudwatch = boto3.client("cloudwatch")
    cloudwatch.put_metric_alarm(AlarmName="errors", **about)
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue=state, StateReason="the test says so")


def test_an_update_shifts_a_canary_first(aws: SageMaker, updated: Callable[[], dict[str, Any]]) -> None:
    alarm("OK")
    assert ask(aws) == "one x"
    found = updated()
    assert found["EndpointConfigName"] == "two" and "FailureReason" not in found
    shares = [shares for _, shares in aws.endpoints.routed]
    assert shares == [[("one", 1.0)], [("one", 0.9), ("two", 0.1)], [("two", 1.0)]]
    assert ask(aws) == "two x"


@pytest.mark.parametrize("reason", ["alarm", "capacity", "health"])
def test_a_failed_update_keeps_the_old_model_and_reports_why(
    aws: SageMaker, api: Any, updated: Callable[[], dict[str, Any]], reason: str
) -> None:
    alarm("ALARM" if reason == "alarm" else "OK")
    if reason == "capacity":
        aws.endpoints.broken_updates = 1
    if reason == "health":
        del aws.endpoints.containers["s3://models/two"]  # nor is it in S3
    found = updated()
    wanted = {"alarm": "alarm(s) are in alarm state: errors", "capacity": "capacity", "health": "s3://models/two"}
    assert found["EndpointConfigName"] == "one" and wanted[reason] in found["FailureReason"]
    assert {ask(aws) for _ in range(20)} == {"one x"}
    alarm("OK")
    aws.endpoints.containers["s3://models/two"] = answering("two")
    assert updated()["EndpointConfigName"] == "two", "it can be retried"


def test_invalid_calls_are_rejected_like_aws(aws: SageMaker, api: Any) -> None:
    with pytest.raises(ClientError, match="Could not find endpoint"):
        api.describe_endpoint(EndpointName="house")
    with pytest.raises(ClientError, match="pattern"):
        api.create_model(ModelName="mini_gpt", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE})
    with pytest.raises(ClientError, match="Could not find model"):
        api.create_endpoint_config(
            EndpointConfigName="c", ProductionVariants=[{"VariantName": "live", "ModelName": "gone"}]
        )
    aws.fail("DescribeEndpoint", "ExpiredTokenException")
    with pytest.raises(ClientError, match="ExpiredTokenException"):
        api.describe_endpoint(EndpointName="house")


def test_a_model_in_s3_is_served_by_the_real_server(aws: SageMaker, api: Any, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    bundles.titanic(folder)
    with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as packed:
        packed.add(folder, "bundle")
    boto3.client("s3").create_bucket(Bucket="real")
    boto3.client("s3").upload_file(str(tmp_path / "m.tar.gz"), "real", "m.tar.gz")
    configure(api, "real", "s3://real/m.tar.gz")
    api.create_endpoint(EndpointName="house", EndpointConfigName="real")
    assert at_rest(api)["EndpointStatus"] == "InService"
    bundle = Bundle(folder)
    answer = json.loads(ask(aws, json.dumps({"inputs": bundle.example})))
    assert answer["model"]["version"] == bundle.manifest.version
    with pytest.raises(ClientError, match="ModelError"):
        ask(aws, '{"inputs": 3}')


# ---------------------------------------------------------------- training jobs


SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 900},
}


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("prepared") / "image")


@pytest.fixture
def hold(aws: SageMaker, tmp_path: Path) -> Hold:
    aws.jobs.code = image(tmp_path / "code")
    return Hold(aws.jobs.code, "titanic.Classifier", tmp_path / "hold")


@pytest.fixture
def start(api: Any, aws: SageMaker, channel: Path, hold: Hold) -> Callable[..., str]:
    """Starts a job and waits until it is held, with a checkpoint."""

    def begin(name: str, **more: Any) -> str:
        bucket = f"training-{name}"
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=bucket)
        for path in channel.iterdir():
            s3.upload_file(str(path), bucket, f"data/{path.name}")
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/data"}
        given = {"project": '"titanic"', "profile": "sample", "projects.titanic.variants": "{}"}
        api.create_training_job(
            TrainingJobName=name,
            RoleArn=ROLE,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            HyperParameters={**given, "projects.titanic.train.epochs": "6"},
            InputDataConfig=[{"ChannelName": "data", "DataSource": {"S3DataSource": source}}],
            OutputDataConfig={"S3OutputPath": f"s3://{bucket}/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            CheckpointConfig={"S3Uri": f"s3://{bucket}/checkpoints"},
            **{"StoppingCondition": {"MaxRuntimeInSeconds": 600}, **more},
        )
        hold.reached(lambda: api.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress")
        assert (aws.jobs.root(name) / "checkpoints/titanic/shipped/last.ckpt").exists()
        return bucket

    return begin


def states(api: Any, name: str) -> list[str]:
    job = api.describe_training_job(TrainingJobName=name)
    return [one["Status"] for one in job["SecondaryStatusTransitions"]]


def ended(api: Any, name: str) -> dict[str, Any]:
    def found() -> Any:
        job = api.describe_training_job(TrainingJobName=name)
        return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return dict(until(found, 150))


def keys(bucket: str) -> list[str]:
    return [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


def message(name: str) -> str:
    logs = boto3.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    names = [one["logStreamName"] for one in streams]
    events = [logs.get_log_events(logGroupName=group, logStreamName=one)["events"] for one in names]
    return "\n".join(event["message"] for one in events for event in one)


def test_an_interrupted_spot_job_resumes_from_its_checkpoint(
    aws: SageMaker, api: Any, start: Callable[..., str], hold: Hold
) -> None:
    bucket = start("spot", **SPOT)
    aws.jobs.interrupt("spot")
    until(lambda: "Interrupted" in states(api, "spot"))
    hold.open()
    job = ended(api, "spot")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert states(api, "spot") == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Starting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    assert "resuming run" in message("spot")
    assert "out/spot/output/model.tar.gz" in keys(bucket)


def test_a_stopped_job_keeps_its_checkpoints_without_a_model(
    aws: SageMaker, api: Any, start: Callable[..., str]
) -> None:
    bucket = start("stopped")
    api.stop_training_job(TrainingJobName="stopped")
    assert api.describe_training_job(TrainingJobName="stopped")["TrainingJobStatus"] in ("Stopping", "Stopped")
    job = ended(api, "stopped")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "checkpoints/titanic/shipped/last.ckpt" in keys(bucket)
    assert not any(key.startswith("out/") for key in keys(bucket))
    with pytest.raises(ClientError, match="in status Stopped"):
        api.stop_training_job(TrainingJobName="stopped")


def test_tags_are_kept_and_added(api: Any) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": "s3://models/one"}
    stage = [{"Key": "stage", "Value": "staging"}]
    arn = api.create_model(ModelName="one", ExecutionRoleArn=ROLE, PrimaryContainer=container, Tags=stage)["ModelArn"]
    assert api.list_tags(ResourceArn=arn)["Tags"] == stage
    api.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "production"}, {"Key": "project", "Value": "mnist"}])
    tags = {one["Key"]: one["Value"] for one in api.list_tags(ResourceArn=arn)["Tags"]}
    assert tags == {"stage": "production", "project": "mnist"}
    with pytest.raises(ClientError, match="ResourceArn"):
        api.list_tags(ResourceArn="model/one")
