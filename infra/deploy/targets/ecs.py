"""target=ecs: one of the projects served by infra/cloudformation/serving-ecs.yaml.

The bundle's files get a content-addressed key, which the stack's `Bundles` lists with those of the other projects.
CloudFormation then starts ECS's own canary deployment: new tasks start and get some of the requests, the stack's alarms
watch, and ECS rolls back if one fires or no task becomes healthy. This module follows the deployment, runs the smoke
test on the new tasks as soon as the load balancer's rehearsal rule reaches them, and rolls back if it fails.
"""

import re
from collections.abc import Callable
from typing import Any

from infra.deploy import aws, costs
from infra.deploy.target import DeployError, Options, Plan, Say, checked
from infra.deploy.targets.following import ask
from infra.templates import StackError, templates
from roadmap.bundle import MANIFEST, Bundle
from roadmap.io.json import JsonObject

TEMPLATE = "serving-ecs"
SERVICE = "serving"
PLACE = re.compile(r"s3://[^/]+/bundles/([a-z0-9_]+)/(\w+)")
REHEARSAL = {"X-Roadmap-Rehearsal": "true"}  # matches the template's rule
REACHED = ("POST_TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME")
NOBODY = "allow this machine in network's AllowedCidr, and with a HostName make it a CNAME of the load balancer"


class Ecs:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.stacks = aws.stacks(options.endpoint)
        self.s3, self.api = (aws.client(service, options.endpoint) for service in ("s3", "ecs"))
        self.template = templates()[TEMPLATE]
        self.stack = self.template.stack(options.stage, None)

    # ------------------------------------------------------------ state

    def versions(self) -> dict[str, str]:
        """Project -> version of its bundle."""
        return dict(PLACE.findall(aws.parameters(self.stacks, self.stack).get("Bundles", "")))

    def serving(self) -> str | None:
        return self.versions().get(self.options.project)

    def storage(self) -> dict[str, str]:
        return aws.outputs(self.stacks, f"roadmap-{self.options.stage}-storage")

    def given(self, versions: dict[str, str]) -> dict[str, str]:
        """The stack's parameters; unset ones keep their values."""
        storage, known = self.storage(), aws.parameters(self.stacks, self.stack)
        places = (f"s3://{storage['ModelsBucket']}/{key(*one)}" for one in sorted(versions.items()))
        given = {"Bundles": ",".join(places), **self.options.parameters}
        if self.options.image or "Image" not in {**known, **given}:
            given["Image"] = f"{storage['ServingRepository']}:{self.options.image or 'latest'}"
        return given

    def plan(self, bundle: Bundle) -> Plan:
        version, now = bundle.manifest.version, self.serving()
        given = self.given({**self.versions(), self.options.project: version})
        changes = self.stacks.plan(self.template, self.options.stage, None, **given)
        model = [] if now == version else [f"{self.options.project}: {now or 'none'} -> {version}"]
        known = {**aws.parameters(self.stacks, self.stack), **given}
        return Plan([*model, *changes] or ["nothing to change"], costs.tasks(known), costs.ECS_LEFT_OUT)

    # ------------------------------------------------------------ roll-out

    def roll_out(self, bundle: Bundle, say: Say) -> None:
        self.upload(bundle, say)
        self.stacks.settled(self.stack)  # waits for an interrupted deployment
        before = self.versions()
        after = {**before, self.options.project: bundle.manifest.version}
        self.update(before, after, say, lambda: self.smoke(bundle, **REHEARSAL))
        try:
            self.smoke(bundle)
        except DeployError:
            if before and before != after:
                say(f"going back to {before.get(self.options.project, 'the other projects alone')}")
                self.update(after, before, say)
            raise
        say("the load balancer's address answers the example")

    def upload(self, bundle: Bundle, say: Say) -> None:
        """Uploads file by file, the manifest last, which marks a complete bundle."""
        place = {"Bucket": self.storage()["ModelsBucket"]}
        prefix = key(bundle.manifest.project, bundle.manifest.version)
        if self.there(prefix):
            return
        for name in [*sorted(bundle.manifest.files), MANIFEST]:
            self.s3.put_object(**place, Key=f"{prefix}/{name}", Body=(bundle.folder / name).read_bytes())
        say(f"s3://{place['Bucket']}/{prefix}: {len(bundle.manifest.files) + 1} files")

    def there(self, prefix: str) -> bool:
        found = self.s3.list_objects_v2(Bucket=self.storage()["ModelsBucket"], Prefix=f"{prefix}/{MANIFEST}")
        return bool(found.get("KeyCount"))

    def update(
        self, before: dict[str, str], after: dict[str, str], say: Say, smoke: Callable[[], None] | None = None
    ) -> None:
        """Updates the stack to these versions; prints ECS's progress.

        Args:
            smoke: tests the new tasks, as soon as they are reachable.

        Raises:
            DeployError: ECS rolled back; the message has the reason.
        """
        follower = DeploymentFollower(self.api, f"roadmap-{self.options.stage}-serving", say, smoke if before else None)
        self.stacks.on_poll = follower.poll
        try:
            self.stacks.up(self.template, self.options.stage, None, **self.given(after))
        except StackError as error:
            why = follower.smoke_error or f"{error}{follower.reason()}"
            raise DeployError(f"{why}; {'what was there before answers' if before else 'nothing answers'}", 1) from None
        except BaseException:  # a signal: the stack's update is cancelled, so ECS rolls back at once
            follower.stop_deployment()
            raise
        finally:
            self.stacks.on_poll = lambda: None

    def smoke(self, bundle: Bundle, **headers: str) -> None:
        url = aws.outputs(self.stacks, self.stack)["ServingUrl"]
        body = {"inputs": bundle.example}
        checked(ask(f"{url}/models/{bundle.manifest.project}/predict", body, NOBODY, **headers), bundle)

    # ------------------------------------------------------------ rollback

    def roll_back(self, version: str, say: Say) -> None:
        prefix = key(self.options.project, version)
        if not self.there(prefix):
            raise DeployError(f"s3://{self.storage()['ModelsBucket']}/{prefix}: not found; deploy that version again")
        before = self.versions()
        self.update(before, {**before, self.options.project: version}, say)

    def destroy(self, say: Say) -> None:
        """Keeps the other projects; deletes the stack with the last one."""
        before = self.versions()
        if others := {project: one for project, one in before.items() if project != self.options.project}:
            self.update(before, others, say)
            say(f"{', '.join(others)}: still served")
            return
        for kept in self.stacks.down(self.template, self.options.stage):
            say(f"kept: {kept}")


class DeploymentFollower:
    """Follows the service's next deployment: prints its stages, and rolls back if `smoke` fails."""

    def __init__(self, api: Any, cluster: str, say: Say, smoke: Callable[[], None] | None) -> None:
        self.api, self.cluster, self.say, self.smoke = api, cluster, say, smoke
        self.before, self.last_line = self.latest(), ""
        self.smoke_error: DeployError | None = None

    def latest(self) -> str | None:
        """The ARN of the service's latest deployment."""
        missing = self.api.exceptions.ClusterNotFoundException, self.api.exceptions.ServiceNotFoundException
        try:
            found = self.api.list_service_deployments(cluster=self.cluster, service=SERVICE)["serviceDeployments"]
        except missing:
            return None
        return str(max(found, key=lambda one: one["createdAt"])["serviceDeploymentArn"]) if found else None

    def now(self) -> JsonObject | None:
        """The service's deployment; None before it has begun."""
        if (arn := self.latest()) is None or arn == self.before:
            return None
        found: JsonObject = self.api.describe_service_deployments(serviceDeploymentArns=[arn])
        return dict(found["serviceDeployments"][0])

    def poll(self) -> None:
        if (now := self.now()) is None:
            return
        if (line := f"ECS: {now['status']} {now.get('lifecycleStage', '')}".rstrip()) != self.last_line:
            self.say(line)
            self.last_line = line
        if self.smoke and now["status"] == "IN_PROGRESS" and now.get("lifecycleStage") in REACHED:
            smoke, self.smoke = self.smoke, None
            try:
                smoke()
                self.say("the new tasks answer the example")
            except DeployError as error:
                if self.stop_deployment():  # else it ended by itself, which may be why the smoke test failed
                    self.smoke_error = error
                    self.say("the new tasks fail the example: ECS takes them back")

    def stop_deployment(self) -> bool:
        """Rolls back; returns whether the deployment was still running."""
        if not (now := self.now()) or now["status"] not in ("PENDING", "IN_PROGRESS"):
            return False
        try:
            self.api.stop_service_deployment(serviceDeploymentArn=now["serviceDeploymentArn"], stopType="ROLLBACK")
        except self.api.exceptions.ClientError as error:  # it has just ended
            self.say(str(error))
            return False
        return True

    def reason(self) -> str:
        now = self.now() or {}
        return f" ({now['statusReason']})" if now.get("statusReason") else ""


def key(project: str, version: str) -> str:
    return f"bundles/{project}/{version}"


def open(options: Options) -> Ecs:
    return Ecs(options)
