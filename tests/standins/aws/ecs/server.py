"""ECS's API on this machine, for services behind a load balancer: canary deployments, alarms, rollbacks.

    with ecs(tmp_path, moto_address) as aws:                  # S3 and CloudWatch are moto's
        api = boto3.client("ecs", endpoint_url=aws.address)
        aws.balancer                                          # the load balancer's address
        aws.outages = 1                                       # the next request, but for a rehearsal, is answered 503

A task is the real server, `python -m serving`, with the environment of its task definition; there is one per revision,
whatever the desired count. A second of ECS's takes `scale` seconds here. The load balancer's listener rules are
ignored: all requests are weighted, those with `X-Roadmap-Rehearsal` go to the newest revision.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/canary-deployment.html
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.standins.aws.ecs.tasks import Balancer, Deployment
from tests.standins.aws.json_protocol import Service, ServiceError
from tests.standins.protocol_server import running

ARN = "arn:aws:ecs:us-east-1:123456789012"


class Ecs(Service):
    invalid = "InvalidParameterException"

    def __init__(self, scratch: Path, moto: str, scale: float) -> None:
        super().__init__("ecs")
        self.scratch, self.moto, self.scale, self.balancer = scratch, moto, scale, ""
        self.definitions: dict[str, dict[str, Any]] = {}  # by ARN
        self.services: dict[tuple[str, str], dict[str, Any]] = {}  # by cluster and name
        self.deployments: list[Deployment] = []  # oldest first
        self.front = Balancer()

    @property
    def outages(self) -> int:
        return self.front.outages

    @outages.setter
    def outages(self, count: int) -> None:
        self.front.outages = count

    @property
    def routed(self) -> list[dict[str, float]]:
        """The history of the traffic weights: task definition -> its share."""
        return self.front.routed

    # ------------------------------------------------------------ task definitions

    def register_task_definition(self, family: str, **given: Any) -> dict[str, Any]:
        number = sum(one["family"] == family for one in self.definitions.values()) + 1
        arn = f"{ARN}:task-definition/{family}:{number}"
        about = {"taskDefinitionArn": arn, "family": family, "revision": number, "status": "ACTIVE"}
        self.definitions[arn] = {**{key: one for key, one in given.items() if key != "tags"}, **about}
        return {"taskDefinition": self.definitions[arn]}

    def deregister_task_definition(self, taskDefinition: str) -> dict[str, Any]:
        self.definitions[taskDefinition]["status"] = "INACTIVE"
        return {"taskDefinition": self.definitions[taskDefinition]}

    # ------------------------------------------------------------ services

    def create_service(self, serviceName: str, cluster: str, taskDefinition: str, **given: Any) -> dict[str, Any]:
        if (cluster, serviceName) in self.services:
            raise ValueError("Creation of service was not idempotent.")
        arn = f"{ARN}:service/{cluster}/{serviceName}"
        about = {"serviceName": serviceName, "serviceArn": arn, "clusterArn": cluster, "status": "ACTIVE"}
        service = self.services[cluster, serviceName] = {**given, **about, "taskDefinition": taskDefinition}
        self._deploy(service, None, taskDefinition)
        return {"service": service}

    def update_service(self, service: str, cluster: str, **given: Any) -> dict[str, Any]:
        found = self._service(cluster, service)
        before, after = found["taskDefinition"], given.get("taskDefinition", found["taskDefinition"])
        found |= given
        if before != after:
            self._deploy(found, before, after)
        return {"service": found}

    def delete_service(self, service: str, cluster: str, force: bool = False) -> dict[str, Any]:
        found = self._service(cluster, service)
        if not force and found.get("desiredCount"):
            raise ValueError("The service cannot be stopped while it is scaled above 0.")
        del self.services[cluster, service]
        for deployment in self.deployments:
            deployment.close()
        self.front.forget()
        return {"service": {**found, "status": "DRAINING"}}

    def describe_services(self, services: list[str], cluster: str) -> dict[str, Any]:
        found = [self.services[cluster, name] for name in services if (cluster, name) in self.services]
        return {"services": found, "failures": []}

    def _service(self, cluster: str, name: str) -> dict[str, Any]:
        if cluster not in {one for one, _ in self.services}:
            raise ServiceError("ClusterNotFoundException", "Cluster not found.")
        if (cluster, name) not in self.services:
            raise ServiceError("ServiceNotFoundException", "Service not found.")
        return self.services[cluster, name]

    # ------------------------------------------------------------ deployments

    def _deploy(self, service: dict[str, Any], before: str | None, after: str) -> None:
        if self.definitions.get(after, {}).get("status") != "ACTIVE":
            raise ServiceError("ClientException", "TaskDefinition is inactive")
        name = service["serviceArn"].partition("service/")[2]
        about = {
            "serviceDeploymentArn": f"{ARN}:service-deployment/{name}/{len(self.deployments)}",
            "serviceArn": service["serviceArn"],
            "clusterArn": service["clusterArn"],
            "createdAt": time.time(),
            "deploymentConfiguration": service["deploymentConfiguration"],
        }
        deployment = Deployment(about, self, service, before, after)
        self.deployments.append(deployment)
        deployment.start()

    def list_service_deployments(self, service: str, cluster: str, **_: Any) -> dict[str, Any]:
        arn = self._service(cluster, service)["serviceArn"]
        brief = ("serviceDeploymentArn", "serviceArn", "clusterArn", "createdAt", "status", "statusReason")
        found = [one.about for one in reversed(self.deployments) if one.about["serviceArn"] == arn]
        return {"serviceDeployments": [{key: one[key] for key in brief if key in one} for one in found]}

    def describe_service_deployments(self, serviceDeploymentArns: list[str]) -> dict[str, Any]:
        found = [one.about for one in self.deployments if one.about["serviceDeploymentArn"] in serviceDeploymentArns]
        return {"serviceDeployments": [dict(one) for one in found], "failures": []}

    def stop_service_deployment(self, serviceDeploymentArn: str, stopType: str = "ROLLBACK") -> dict[str, Any]:
        for deployment in self.deployments:
            if deployment.about["serviceDeploymentArn"] == serviceDeploymentArn:
                if deployment.about["status"] not in ("PENDING", "IN_PROGRESS"):
                    raise ServiceError("ConflictException", f"The deployment is {deployment.about['status']}.")
                deployment.about["status"] = "ROLLBACK_REQUESTED"
                deployment.stop.set()
                return {"serviceDeploymentArn": serviceDeploymentArn}
        raise ServiceError("ServiceDeploymentNotFoundException", "The service deployment was not found.")


@contextmanager
def ecs(scratch: Path, moto: str, scale: float = 0.001) -> Iterator[Ecs]:
    server = Ecs(scratch, moto, scale)
    with ExitStack() as stack:
        server.address = stack.enter_context(running([("POST", "/", server.call)], []))
        routes = [(method, "(.*)", server.front.pass_on) for method in ("GET", "POST")]
        server.balancer = stack.enter_context(running(routes, []))
        try:
            yield server
        finally:
            for deployment in server.deployments:
                deployment.close()
