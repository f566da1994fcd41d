"""The stacks' lifecycle: created, changed and deleted over HTTP on moto's server by infra.stacks.

What moto can't do is listed in tests/standins/aws/cloudformation.py.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator
from moto.cloudformation.models import cloudformation_backends
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT

from infra.stacks import Stacks
from infra.templates import StackTemplate, templates
from tests.standins.aws import cloudformation
from tests.standins.aws.cloudformation import NEEDED, of, project
from tests.support.checkouts import ROOT

TEMPLATES = templates()
REGION = "us-east-1"
OPTIONS = {
    "CanaryVersion": "2",
    "CanaryWeight": "0.1",
    "HostName": "mlflow.example.org",
    "JwtAudience": "roadmap",
    "JwtIssuer": "https://issuer.example.org",
    "NatGateway": "true",
    "ProviderArn": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com",
    "StableVersion": "1",
    "Variant": "serverless",
}
CHANGES = {
    "BackupDays": "14",
    "CanaryWeight": "0.1",  # unchanged: moto converts a kept number to an integer
    "FlowLogDays": "90",
    "LogDays": "180",
    "MaxSeconds": "7200",
    "MaxTasks": "9",
    "Memory": "4096",
    "MemoryMb": "3008",
    "MonthlyBudget": "80",
    "Repository": "owner/other",
    "SlowMilliseconds": "700",
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    with cloudformation.completed():
        server = ThreadedMotoServer("127.0.0.1", port=0)
        server.start()
        yield cloudformation.emptied("http://{}:{}".format(*server.get_host_and_port()))
        server.stop()


def client(service: str, address: str) -> Any:
    keys = {"aws_access_key_id": "dummy", "aws_secret_access_key": "dummy", "region_name": REGION}
    return boto3.client(service, endpoint_url=address, **keys)


@pytest.fixture(scope="module", params=["staging", "production"])
def stage(request: pytest.FixtureRequest, address: str) -> Iterator[tuple[str, Stacks]]:
    """All stacks of a stage in one account; production with all options."""
    stacks = Stacks(client("cloudformation", address), poll=0.01, patience=20)
    certificate = client("acm", address).request_certificate(DomainName="mlflow.example.org")["CertificateArn"]
    options = {**OPTIONS, "CertificateArn": certificate} if request.param == "production" else {}
    for template in TEMPLATES.values():
        stacks.up(template, request.param, project(template), **of(template, {**NEEDED, **options}))
    yield request.param, stacks
    for template in reversed(TEMPLATES.values()):
        stacks.down(template, request.param, project(template))


def made(stage: str, template: StackTemplate) -> dict[str, Any]:
    """A stack's resources in moto; skipped ones with resolved properties."""
    backend = cloudformation_backends[ACCOUNT][REGION]
    found = backend.get_stack(template.stack(stage, project(template))).resource_map
    return {name: found[name] for name in template.body["Resources"] if found[name] is not None}


def test_resources_that_moto_skips_are_listed() -> None:
    from moto.cloudformation.parsing import get_model_map

    assert cloudformation.used() - set(get_model_map()) == cloudformation.SKIPPED


def test_every_stack_is_created_with_resolved_imports(stage: tuple[str, Stacks]) -> None:
    name, stacks = stage
    exports = {one["Name"]: one["Value"] for one in stacks.client.list_exports()["Exports"]}
    for template in TEMPLATES.values():
        found = stacks.describe(template.stack(name, project(template)))
        assert found is not None and found["StackStatus"] == "CREATE_COMPLETE", template.name
        assert set(stacks.outputs(found["StackName"])) == set(template.body["Outputs"])
        assert {export.replace("${Stage}", name) for export in template.exports} <= set(exports)
        for resource, one in made(name, template).items():
            message = str(getattr(one, "properties", ""))
            assert "${" not in message.replace("$${", "") or "DashboardBody" in message, f"{resource}: {message}"
            assert "Fn::" not in message, f"{resource}: {message}"


def test_resources_exist_with_their_properties(stage: tuple[str, Stacks], address: str) -> None:
    name, stacks = stage
    network = made(name, TEMPLATES["network"])
    assert ("Nat" in network) == (name == "production")
    data = stacks.outputs(f"roadmap-{name}-storage")["DataBucket"]
    s3 = client("s3", address)
    [rule] = s3.get_bucket_encryption(Bucket=data)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    board = client("cloudwatch", address).get_dashboard(DashboardName=f"roadmap-{name}")["DashboardBody"]
    assert all(f"roadmap {name} " in str(one) for one in json.loads(board)["widgets"])
    listeners = [one.port for key, one in made(name, TEMPLATES["serving-ecs"]).items() if key in ("Listener", "ToTls")]
    assert [int(port) for port in listeners] == ([443, 80] if name == "production" else [80])


def test_the_alias_splits_traffic_only_during_a_canary(stage: tuple[str, Stacks]) -> None:
    name, _ = stage
    alias = made(name, TEMPLATES["serving-lambda"])["Alias"].properties
    assert str(alias["FunctionVersion"]) == "1"
    if name == "production":
        [canary] = alias["RoutingConfig"]["AdditionalVersionWeights"]
        assert (str(canary["FunctionVersion"]), float(canary["FunctionWeight"])) == ("2", 0.1)
    else:
        assert "RoutingConfig" not in alias


def test_the_pipeline_sends_valid_sagemaker_requests(stage: tuple[str, Stacks], address: str) -> None:
    name, _ = stage
    pipeline = made(name, TEMPLATES["training"])["Pipeline"].properties
    definition = json.loads(pipeline["PipelineDefinition"]["PipelineDefinitionBody"])
    train, register = definition["Steps"]

    def filled(value: Any) -> Any:
        """With the values of a run in place of {"Get": ...}."""
        if isinstance(value, dict):
            return "value" if set(value) == {"Get"} else {key: filled(one) for key, one in value.items()}
        return [filled(one) for one in value] if isinstance(value, list) else value

    shapes = client("sagemaker", address).meta.service_model
    for step, operation, more in (
        (train, "CreateTrainingJob", {"TrainingJobName": "job"}),
        (register, "CreateModelPackage", {}),
    ):
        report = ParamValidator().validate(
            {**filled(step["Arguments"]), **more}, shapes.operation_model(operation).input_shape
        )
        assert not report.has_errors(), report.generate_report()


def test_changing_one_parameter_keeps_the_others(stage: tuple[str, Stacks]) -> None:
    name, stacks = stage
    for template in TEMPLATES.values():
        stack = template.stack(name, project(template))
        before = {one["ParameterKey"]: one["ParameterValue"] for one in (stacks.describe(stack) or {})["Parameters"]}
        wanted = of(template, CHANGES)
        assert wanted, f"{template.name}: CHANGES has none of its parameters"
        stacks.up(template, name, project(template), **wanted)
        after = stacks.describe(stack)
        assert after is not None and after["StackStatus"] == "UPDATE_COMPLETE", template.name
        assert {one["ParameterKey"]: one["ParameterValue"] for one in after["Parameters"]} == before | wanted
    assert made(name, TEMPLATES["serving-lambda"])["Function"].memory_size == 3008


def test_stacks_are_deleted_and_stateful_resources_kept(stage: tuple[str, Stacks], address: str) -> None:
    name, stacks = stage
    data = stacks.outputs(f"roadmap-{name}-storage")["DataBucket"]
    for template in reversed(TEMPLATES.values()):
        kept = stacks.down(template, name, project(template))
        assert stacks.describe(template.stack(name, project(template))) is None, template.name
        assert stacks.down(template, name, project(template)) == [], "a second deletion does nothing"
        if template.name == "storage":
            assert "DataBucket" in kept
    assert client("s3", address).head_bucket(Bucket=data)["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"AWS_DEFAULT_REGION": REGION}, "error: AWS credentials: found none (Unable to locate credentials)"),
        (
            {"AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "dummy"},
            "error: AWS region: found none; set AWS_REGION",
        ),
    ],
    ids=["credentials", "region"],
)
def test_missing_environment_settings_are_one_line(settings: dict[str, str], words: str) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none"}
    done = subprocess.run(
        [sys.executable, "-m", "infra.stacks", "status", "stack=network", "stage=staging"],
        cwd=ROOT,
        env={**clean, **nowhere, **settings},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.startswith(words) and done.stderr.count("\n") == 1
