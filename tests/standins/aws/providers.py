"""CloudFormation's handlers of ECS and SageMaker resources, in place of moto's: they call the service's API, wait like
CloudFormation, and fail like it. tests/standins/aws/cloudformation.py puts them into moto.

If the service has already rolled an update back, the handler's rollback does nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3

from tests.support.waiting import until

Properties = dict[str, Any]
Named = tuple[str, dict[str, str]]  # what Ref gives, and the attributes


@dataclass
class Made:
    """A resource in moto's form."""

    provider: "Provider"
    properties: Properties
    physical_resource_id: str
    attributes: dict[str, str] = field(default_factory=dict)
    logical_resource_id: str = ""
    cf_resource_type: str = ""

    def get_cfn_attribute(self, name: str) -> str:
        return self.attributes[name]

    def is_created(self) -> bool:
        return True

    def delete(self, *_: str) -> None:
        self.provider.delete(self)


@dataclass
class Provider:
    """Handles one resource type; moto treats it as a class. Without `change`, a resource is replaced."""

    create: Callable[[Properties], Named]
    delete: Callable[[Made], None]
    change: Callable[[Made, Properties], None] | None = None

    def create_from_cloudformation_json(self, _: str, resource: dict[str, Any], *__: str, **___: str) -> Made:
        return Made(self, resource["Properties"], *self.create(resource["Properties"]))

    def has_cfn_attr(self, _: str) -> bool:
        return True


def request(shape: Any, value: Any) -> Any:
    """Properties as arguments of the API's operation: the names differ only in case, and numbers are converted.

    Raises:
        KeyError: the operation has no such member.
    """
    if shape.type_name == "structure":
        names = {name.lower(): name for name in shape.members}
        given = {names[name.lower()]: one for name, one in value.items() if one is not None}
        return {name: request(shape.members[name], one) for name, one in given.items()}
    if shape.type_name == "list":
        return [request(shape.member, one) for one in value if one is not None]
    if shape.type_name == "map":
        return {key: request(shape.value, one) for key, one in value.items()}
    kinds: dict[str, Callable[[Any], Any]] = {"boolean": lambda one: str(one).lower() == "true"}
    kinds |= dict.fromkeys(("integer", "long"), int) | dict.fromkeys(("float", "double"), float)
    return kinds.get(shape.type_name, str)(value)


class Api:
    def __init__(self, service: str, address: str) -> None:
        self.client = boto3.client(service, endpoint_url=address, region_name="us-east-1")

    def __call__(self, operation: str, properties: Properties, **more: Any) -> Any:
        model = self.client.meta.service_model.operation_model(operation)
        method = next(name for name, one in self.client.meta.method_to_api_mapping.items() if one == operation)
        return getattr(self.client, method)(**request(model.input_shape, properties), **more)


def ecs(address: str) -> dict[str, Provider]:
    api = Api("ecs", address)

    def define(given: Properties) -> Named:
        arn = api("RegisterTaskDefinition", given)["taskDefinition"]["taskDefinitionArn"]
        return arn, {}

    def forget(made: Made) -> None:
        api("DeregisterTaskDefinition", {"taskDefinition": made.physical_resource_id})

    def settled(arn: str, cluster: str) -> dict[str, Any]:
        """The service's latest deployment, once it has ended."""
        where = {"service": arn, "cluster": cluster}

        def ended() -> dict[str, Any] | None:
            [now] = api("ListServiceDeployments", where)["serviceDeployments"][:1]
            return dict(now) if now["status"] in ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL") else None

        return dict(until(ended))

    def start(given: Properties) -> Named:
        made = api("CreateService", given, desiredCount=1)["service"]
        if (ended := settled(made["serviceName"], given["Cluster"]))["status"] != "SUCCESSFUL":
            api("DeleteService", {"Service": made["serviceName"], "Cluster": given["Cluster"]}, force=True)
            raise RuntimeError(f"Resource handler returned message: {ended['statusReason']}")
        return made["serviceArn"], {"Name": made["serviceName"]}

    def change(made: Made, given: Properties) -> None:
        name, cluster = made.attributes["Name"], given["Cluster"]
        now = api("DescribeServices", {"Services": [name], "Cluster": cluster})["services"][0]
        fixed = ("ServiceName", "Cluster", "LaunchType")  # UpdateService has other names for these, or lacks them
        api(
            "UpdateService",
            {key: one for key, one in given.items() if key not in fixed} | {"Service": name, "Cluster": cluster},
        )
        if now["taskDefinition"] == given["TaskDefinition"]:
            return
        if (ended := settled(name, cluster))["status"] != "SUCCESSFUL":
            raise RuntimeError(f"Resource handler returned message: {ended['statusReason']}")

    def stop(made: Made) -> None:
        api("DeleteService", {"Service": made.attributes["Name"], "Cluster": made.properties["Cluster"]}, force=True)

    return {"AWS::ECS::TaskDefinition": Provider(define, forget), "AWS::ECS::Service": Provider(start, stop, change)}


def sagemaker(address: str) -> dict[str, Provider]:
    api = Api("sagemaker", address)
    numbers = iter(range(1, 1_000_000))

    def named(kind: str) -> Provider:
        """A resource without a name in the template: CloudFormation generates one, and a change replaces the
        resource."""

        def create(given: Properties) -> Named:
            name = f"{kind}-{next(numbers)}"
            api(f"Create{kind}", {**given, f"{kind}Name": name})
            return name, {f"{kind}Name": name}

        def delete(made: Made) -> None:
            api(f"Delete{kind}", {f"{kind}Name": made.physical_resource_id})

        return Provider(create, delete)

    def at_rest(name: str, wanted: str) -> None:
        def ended() -> Any:
            found = api("DescribeEndpoint", {"EndpointName": name})
            return found if found["EndpointStatus"] in ("InService", "Failed") else None

        found = until(ended)
        if found["EndpointStatus"] == "Failed" or found["EndpointConfigName"] != wanted:
            raise RuntimeError(f"Resource handler returned message: {found['FailureReason']}")

    def start(given: Properties) -> Named:
        name = given["EndpointName"]
        both = {key: given[key] for key in ("EndpointName", "EndpointConfigName")}  # the rest is for updates
        api("CreateEndpoint", both)
        try:
            at_rest(name, given["EndpointConfigName"])
        except RuntimeError:
            api("DeleteEndpoint", {"EndpointName": name})
            raise
        return name, {"EndpointName": name}

    def change(made: Made, given: Properties) -> None:
        now = api("DescribeEndpoint", {"EndpointName": made.physical_resource_id})
        if now["EndpointConfigName"] != given["EndpointConfigName"]:
            update = {key: one for key, one in given.items() if key != "RetainDeploymentConfig"}
            api("UpdateEndpoint", update)
            at_rest(made.physical_resource_id, given["EndpointConfigName"])

    def stop(made: Made) -> None:
        api("DeleteEndpoint", {"EndpointName": made.physical_resource_id})

    return {
        "AWS::SageMaker::Model": named("Model"),
        "AWS::SageMaker::EndpointConfig": named("EndpointConfig"),
        "AWS::SageMaker::Endpoint": Provider(start, stop, change),
    }
