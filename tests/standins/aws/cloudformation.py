"""moto's CloudFormation, extended by what our templates need.

When moto learns a type in SKIPPED, a test fails, so that it is removed here; the other gaps are reviewed when moto is
updated.
"""

import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Any
from unittest import mock

from botocore.exceptions import ClientError
from moto.awslambda.models import LambdaVersion
from moto.cloudformation import models, parsing, responses
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.elbv2.models import FakeLoadBalancer, FakeTargetGroup
from moto.rds.models import DBInstance, DBParameterGroup

from infra import templates
from tests.standins.aws import stack_changes
from tests.standins.aws.providers import Made, Provider

# moto skips these silently, and fails on references to them. Here each is a record: its properties are resolved
# (so a name that leads nowhere fails), it has a name and any attribute, and it can be changed and deleted.
SKIPPED = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Authorizer",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::Budgets::Budget",
    "AWS::CloudWatch::Alarm",
    "AWS::IAM::OIDCProvider",
    "AWS::Lambda::Alias",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SageMaker::ModelPackageGroup",
    "AWS::SageMaker::Pipeline",
}

# Attributes that moto's resources do not have.
ATTRIBUTES: dict[type, dict[str, Callable[[Any], str]]] = {
    DBInstance: {"MasterUserSecret.SecretArn": lambda self: self.arn.replace(":rds:", ":secretsmanager:")},
    FakeLoadBalancer: {"LoadBalancerFullName": lambda self: self.arn.partition("loadbalancer/")[2]},
    FakeTargetGroup: {"TargetGroupFullName": lambda self: self.arn.rpartition(":")[2]},
    LambdaVersion: {"Version": lambda self: self.version},
}

# moto leaves a stack's route tables behind, and then refuses to delete the VPC that they are in.
HELD = {"AWS::EC2::VPC"}

# moto has these, but they refer to a type that it lacks: the permission is for an alias.
ORPHANED = {"AWS::Lambda::Permission"}


PROJECT = "house_prices"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/roadmap:1"

# By parameter name, for every template that has it.
NEEDED = {
    "Bundles": "s3://models/bundles/house_prices/0123456789ab",
    "Email": "someone@example.org",
    "Image": IMAGE,
    "ImageUri": IMAGE,
    "ModelKey": "sagemaker/house_prices/model.tar.gz",
    "MonthlyBudget": "50",
    "Repository": "owner/name",
    "ServingImage": IMAGE,
    "TrainImage": IMAGE,
    "InstanceType": "ml.c5.large",  # the newest that moto knows
}


def of(template: templates.StackTemplate, values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name in template.body["Parameters"]}


def project(template: templates.StackTemplate) -> str | None:
    return PROJECT if "Project" in template.body["Parameters"] else None


class Record:
    """A resource of a type that moto skips."""

    def __init__(self, name: str, properties: dict[str, Any]) -> None:
        self.physical_resource_id, self.properties = name, properties

    def get_cfn_attribute(self, name: str) -> str:
        return f"{self.physical_resource_id}.{name}"

    def is_created(self) -> bool:
        return True

    def delete(self, *_: str) -> None: ...

    @staticmethod
    def has_cfn_attr(_: str) -> bool:
        return True

    @classmethod
    def create_from_cloudformation_json(cls, name: str, resource: dict[str, Any], *_: str, **__: str) -> "Record":
        return cls(resource["Properties"].get("AlarmName", name), resource["Properties"])  # what Ref gives

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: "Record", cloudformation_json: dict[str, Any], **_: str
    ) -> "Record":
        return cls(original_resource.physical_resource_id, cloudformation_json["Properties"])


def read(change: models.ChangeSet) -> None:
    change.template_dict = templates.parse(change.template)


def with_attributes(kind: type) -> dict[str, Any]:
    """A patch for a class of moto that adds the ATTRIBUTES."""
    more = ATTRIBUTES[kind]
    get, has = getattr(kind, "get_cfn_attribute", None), kind.has_cfn_attr  # type: ignore[attr-defined]

    def answer(self: Any, name: str) -> Any:
        if name in more:
            return more[name](self)
        if get is None:
            raise NotImplementedError(name)
        return get(self, name)

    return {"get_cfn_attribute": answer, "has_cfn_attr": lambda name: name in more or has(name)}


@contextmanager
def completed(provided: Mapping[str, Provider] = MappingProxyType({}), balancer: str = "") -> Iterator[None]:
    """moto in this process, with these extensions.

    Args:
        provided: type of a resource -> what makes it instead of moto.
        balancer: host and port that load balancers have as their name.
    """
    known, delete = parsing.get_model_map(), parsing.ResourceMap._delete_resource
    create, update = parsing.parse_and_create_resource, parsing.parse_and_update_resource

    def create_or_fail(name: str, definition: Any, resources: Any, account_id: str, region_name: str) -> Any:
        try:
            if why := stack_changes.broken.pop(definition["Type"], None):
                raise RuntimeError(why)
            return create(name, definition, resources, account_id, region_name)
        except (RuntimeError, ClientError) as error:
            raise stack_changes.Failure(name, str(error)) from None

    def update_or_keep(name: str, definition: Any, resources: Any, account_id: str, region_name: str) -> Any:
        there = resources[name]
        if there is None or isinstance(there, Made):  # its condition is false, or a provider handles it later
            return there
        return update(name, definition, resources, account_id, region_name) or there

    def delete_unless_held(self: parsing.ResourceMap, resource: Any, definition: dict[str, Any]) -> None:
        if definition["Type"] not in HELD:
            delete(self, resource, definition)

    with ExitStack() as stack:
        if balancer:
            more = {**ATTRIBUTES[FakeLoadBalancer], "DNSName": lambda _: balancer}
            stack.enter_context(mock.patch.dict(ATTRIBUTES, {FakeLoadBalancer: more}))
        for target, name, value in [
            (parsing, "get_model_map", lambda: {**known, **dict.fromkeys(SKIPPED | ORPHANED, Record), **provided}),
            (parsing, "parse_and_create_resource", create_or_fail),
            (responses.CloudFormationResponse, "cancel_update_stack", stack_changes.cancel),
            # moto forgets a resource that it can't change, such as a database; here it stays as it was. And it
            # changes one whose condition is false
            (parsing, "parse_and_update_resource", update_or_keep),
            (parsing.ResourceMap, "_delete_resource", delete_unless_held),
            (models.CloudFormationBackend, "execute_change_set", stack_changes.execute),
            # moto's reader of YAML can't read a mapping under a short form, nor an attribute with a dot
            (models.Stack, "parse_template", staticmethod(templates.parse)),
            (models.ChangeSet, "_parse_template", read),
            *((kind, name, value) for kind in ATTRIBUTES for name, value in with_attributes(kind).items()),
        ]:
            stack.enter_context(mock.patch.object(target, name, value, create=True))
        # the value of Ref; otherwise moto passes the object itself
        stack.enter_context(
            mock.patch.object(DBParameterGroup, "physical_resource_id", property(lambda self: self.name), create=True)
        )
        try:
            yield
        finally:
            stack_changes.over()


def emptied(address: str) -> str:
    """moto's server, without the state of other tests."""
    urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset", method="POST"), timeout=30).close()
    return address


def used() -> set[str]:
    """The types of resources in our templates."""
    return {one["Type"] for template in templates.templates().values() for one in template.body["Resources"].values()}
