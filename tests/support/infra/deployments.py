"""Shared by the tests of infra.deploy: a registry of champions, stand-ins for AWS, and the command."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.deploy import package
from infra.stacks import Stacks
from infra.templates import templates
from roadmap.bundle import Bundle
from tests.standins.aws import cloudformation, providers
from tests.standins.aws.aws_lambda.server import Lambda
from tests.standins.aws.ecs.server import Ecs, ecs
from tests.standins.aws.sagemaker.server import SageMaker, sagemaker
from tests.standins.protocol_server import Reply, running
from tests.standins.registry_server import Registry
from tests.support import bundles
from tests.support.checkouts import ROOT

REGION = "us-east-1"
FOUNDATION = {"observability": {"Email": "someone@example.org", "MonthlyBudget": "50"}, "storage": {}}


@dataclass
class Champions:
    """MLflow's registry in a SQLite file, with two promoted versions of titanic."""

    uri: str
    client: Any
    versions: dict[str, str]  # of the bundle -> number in the registry

    @property
    def first(self) -> str:
        return next(iter(self.versions))

    @property
    def second(self) -> str:
        return list(self.versions)[1]

    def champion(self) -> str:
        found = self.client.get_model_version_by_alias("titanic", "champion").version
        return next(version for version, number in self.versions.items() if number == found)

    def promote(self, version: str) -> None:
        self.client.set_registered_model_alias("titanic", "champion", self.versions[version])


def champions(folder: Path) -> Champions:
    import mlflow

    from roadmap.promotion import registry

    uri, before = f"sqlite:///{folder}/mlflow.db", mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)  # the logged model includes the code
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient()
        experiment = client.create_experiment("titanic", artifact_location=f"file://{folder}/files")
        bundle = folder / "bundle"
        bundles.titanic(bundle)
        found = {}
        for note in ("first", "second"):
            version = bundles.another(bundle, note).version
            run = client.create_run(experiment).info.run_id
            registered = registry.log_version(client, run, Bundle(bundle))
            registry.promote(client, "titanic", registered)
            found[version] = registered.version
        mlflow.set_tracking_uri(before)
    return Champions(uri, client, found)


@dataclass
class Cloud:
    """AWS: moto for most services, stand-ins for Lambda, ECS, SageMaker and ECR, and an image registry."""

    address: str
    registry: Registry
    functions: Lambda
    containers: Ecs
    endpoints: SageMaker
    faults: list[Reply] = field(default_factory=list)  # that Lambda and ECR answer first

    def client(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=self.address)

    def stacks(self) -> Stacks:
        return Stacks(self.client("cloudformation"), poll=0.01, patience=20)

    def stack(self, name: str) -> dict[str, str]:
        """Its parameters, and its state as `status`."""
        found = self.stacks().describe(name) or {"StackStatus": "is not there", "Parameters": []}
        parameters = {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]}
        return {**parameters, "status": found["StackStatus"]}

    def records(self) -> list[dict[str, Any]]:
        """The records of all deployments, oldest first for each project and target."""
        s3 = self.client("s3")
        found = s3.list_objects_v2(Bucket=self.bucket, Prefix="deployments/").get("Contents", [])
        keys = sorted(one["Key"] for one in found if "/records/" in one["Key"])
        return [json.loads(s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys]

    @property
    def bucket(self) -> str:
        outputs = Stacks(self.client("cloudformation")).outputs("roadmap-staging-storage")
        return outputs["ModelsBucket"]

    def alarm(self, name: str, state: str) -> None:
        about = {"MetricName": "Errors", "Namespace": "AWS/Lambda", "Statistic": "Sum", "Period": 60}
        about |= {"EvaluationPeriods": 1, "Threshold": 0.0, "ComparisonOperator": "GreaterThanThreshold"}
        cloudwatch = self.client("cloudwatch")
        cloudwatch.put_metric_alarm(AlarmName=name, **about)
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="the test says so")

    def weights(self, name: str = "roadmap-staging-titanic") -> tuple[str, dict[str, float]]:
        alias = self.functions.aliases[name]
        return alias["FunctionVersion"], alias["RoutingConfig"]["AdditionalVersionWeights"]


@contextmanager
def cloud(scratch: Path, scale: float = 0.001) -> Iterator[Cloud]:
    """With the stacks that a deployment needs, in both stages, and a serving image.

    Args:
        scale: how long a second of ECS's and SageMaker's takes here.
    """
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # moto's log would bury a test's output
    scratch.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
        stack.callback(server.stop)
        address = cloudformation.emptied("http://{}:{}".format(*server.get_host_and_port()))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        keys = {"AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "dummy", "AWS_REGION": REGION}
        for name, value in {**keys, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)

        def adopt(name: str) -> str | None:
            api = boto3.client("lambda", endpoint_url=address)
            try:
                return str(api.get_function(FunctionName=name)["Code"]["ImageUri"])
            except api.exceptions.ResourceNotFoundException:
                return None

        containers = stack.enter_context(ecs(scratch, address, scale))
        endpoints = stack.enter_context(sagemaker(scratch, address, scale))
        for service, place in (
            ("ECS", containers.address),
            ("SAGEMAKER", endpoints.address),
            ("SAGEMAKER_RUNTIME", endpoints.address),
        ):
            patch.setenv(f"AWS_ENDPOINT_URL_{service}", place)
        provided = {**providers.ecs(containers.address), **providers.sagemaker(endpoints.address)}
        balancer = containers.balancer.removeprefix("http://")
        stack.enter_context(cloudformation.completed(provided, balancer))

        registry = Registry()
        functions = Lambda(registry, scratch, adopt)
        found = Cloud(address, registry, functions, containers, endpoints)
        functions.registry_address = stack.enter_context(running(registry.routes, []))
        ours = stack.enter_context(running(functions.routes, found.faults))
        patch.setenv("AWS_ENDPOINT_URL_LAMBDA", ours)
        patch.setenv("AWS_ENDPOINT_URL_ECR", ours)
        stacks = found.stacks()
        for stage in ("staging", "production"):
            for name, parameters in FOUNDATION.items():
                stacks.up(templates()[name], stage, **parameters)
            registry.put(
                f"roadmap-{stage}/serving", "latest", [package.packed(b"the base"), package.packed(b"the server")]
            )
        yield found


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `python -m infra.deploy`, quick."""
    from infra.deploy.__main__ import main

    quick = [] if words[0] in ("plan", "status", "rollback", "destroy") else ["bake=0"]
    code = main([*words, *quick])
    message = capsys.readouterr()
    return code, message.out, message.err


def deploy_first(aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], where: Sequence[str]) -> Cloud:
    """Deploys the first version; the second is champion."""
    store.promote(store.first)
    code, out, err = command(capsys, *where)
    assert code == 0, out + err
    store.promote(store.second)
    return aws


def recovers(
    answers: Callable[[], set[str]], store: Champions, capsys: pytest.CaptureFixture[str], where: Sequence[str]
) -> None:
    """The old version has all traffic, and repeating the command succeeds.

    answers: the bundles that requests meet
    """
    assert answers() == {store.first}
    code, out, err = command(capsys, *where)
    assert code == 0, out + err
    assert answers() == {store.second}


def stages(folder: Path) -> Path:
    """A directory to run stages in that shares this code but has its own artifacts."""
    folder.mkdir()
    for name in ("params.yaml", "roadmap", "pipelines", "models", "serving"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
