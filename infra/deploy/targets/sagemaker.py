"""target=sagemaker: the endpoint of infra/cloudformation/serving-sagemaker.yaml.

The bundle is uploaded as model.tar.gz under a content-addressed key, a parameter of the stack. CloudFormation then
starts SageMaker's own blue/green update: a canary takes traffic, the stack's alarms watch, and SageMaker rolls back if
one fires. This module follows the update, runs the smoke test, and undoes the update if it fails.
"""

import json
from typing import Any

from infra.deploy import aws, costs, package
from infra.deploy.target import DeployError, Options, Plan, Say, checked
from infra.templates import StackError, templates
from roadmap.bundle import Bundle

TEMPLATE = "serving-sagemaker"


class SageMaker:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.stacks = aws.stacks(options.endpoint)
        self.s3, self.api, self.runtime = (
            aws.client(service, options.endpoint) for service in ("s3", "sagemaker", "sagemaker-runtime")
        )
        self.template = templates()[TEMPLATE]
        self.stack = self.template.stack(options.stage, options.project)
        self.name = f"roadmap-{options.stage}-{options.project.replace('_', '-')}"

    def parameters(self) -> dict[str, str]:
        return aws.parameters(self.stacks, self.stack)

    def serving(self) -> str | None:
        key = self.parameters().get("ModelKey")
        return key.rpartition("/")[2].partition(".")[0] if key else None

    def storage(self) -> dict[str, str]:
        return aws.outputs(self.stacks, f"roadmap-{self.options.stage}-storage")

    def key(self, version: str) -> str:
        return f"sagemaker/{self.options.project}/{version}.tar.gz"

    def given(self, version: str) -> dict[str, str]:
        """The stack's parameters; unset ones keep their values."""
        given = {"ModelKey": self.key(version), **self.options.parameters}
        if self.options.image or "Image" not in {**self.parameters(), **given}:
            given["Image"] = f"{self.storage()['ServingRepository']}:{self.options.image or 'latest'}"
        return given

    def plan(self, bundle: Bundle) -> Plan:
        given, now = self.given(bundle.manifest.version), self.serving()
        changes = self.stacks.plan(self.template, self.options.stage, self.options.project, **given)
        model = [] if now == bundle.manifest.version else [f"model: {now or 'none'} -> {bundle.manifest.version}"]
        known = {**self.parameters(), **given}
        return Plan([*model, *changes] or ["nothing to change"], costs.endpoint(known), costs.SAGEMAKER_LEFT_OUT)

    def roll_out(self, bundle: Bundle, say: Say) -> None:
        self.upload(bundle, say)
        self.stacks.settled(self.stack)  # waits for an interrupted deployment
        before = self.serving()
        self.update(bundle.manifest.version, say)
        try:
            self.smoke(bundle)
        except DeployError:
            if before and before != bundle.manifest.version:
                say(f"going back to {before}")
                self.update(before, say)
            raise
        say("the endpoint answers its example")

    def upload(self, bundle: Bundle, say: Say) -> None:
        bucket, key = self.storage()["ModelsBucket"], self.key(bundle.manifest.version)
        if self.s3.list_objects_v2(Bucket=bucket, Prefix=key).get("KeyCount"):
            return
        content = package.packed(package.tar(bundle, "bundle/"))
        self.s3.put_object(Bucket=bucket, Key=key, Body=content)
        say(f"s3://{bucket}/{key}: {len(content):,} bytes")

    def update(self, version: str, say: Say) -> None:
        """Updates the stack to this model; prints the endpoint's progress.

        Raises:
            DeployError: SageMaker rolled back; the message has the reason.
        """
        before = self.serving()
        self.stacks.on_poll = EndpointFollower(self.api, self.name, say).poll
        try:
            self.stacks.up(self.template, self.options.stage, self.options.project, **self.given(version))
        except StackError as error:
            now = "the version from before answers" if before else "nothing answers"
            raise DeployError(f"{error}{self.failure()}; {now}", 1) from None
        finally:
            self.stacks.on_poll = lambda: None

    def failure(self) -> str:
        try:
            reason = self.api.describe_endpoint(EndpointName=self.name).get("FailureReason")
        except self.api.exceptions.ClientError:
            return ""
        return f" ({reason})" if reason else ""

    def smoke(self, bundle: Bundle) -> None:
        answer: Any = self.runtime.invoke_endpoint(
            EndpointName=self.name, ContentType="application/json", Body=json.dumps({"inputs": bundle.example})
        )
        content_ = answer["Body"].read()
        try:
            content = json.loads(content_)
        except ValueError:
            content = content_.decode(errors="replace")
        checked(content, bundle)

    def roll_back(self, version: str, say: Say) -> None:
        bucket = self.storage()["ModelsBucket"]
        if not self.s3.list_objects_v2(Bucket=bucket, Prefix=self.key(version)).get("KeyCount"):
            raise DeployError(f"s3://{bucket}/{self.key(version)}: not found; deploy that version again")
        self.update(version, say)

    def destroy(self, say: Say) -> None:
        for kept in self.stacks.down(self.template, self.options.stage, self.options.project):
            say(f"kept: {kept}")


class EndpointFollower:
    def __init__(self, api: Any, name: str, say: Say) -> None:
        self.api, self.name, self.say, self.last_line = api, name, say, ""

    def poll(self) -> None:
        """Prints changes of the endpoint's status."""
        try:
            found = self.api.describe_endpoint(EndpointName=self.name)
        except self.api.exceptions.ClientError:
            return  # not created yet
        variants = found.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
        doing = ", ".join(status["Status"] for one in variants for status in one.get("VariantStatus", []))
        if (line := f"endpoint {found['EndpointStatus']}{': ' + doing if doing else ''}") != self.last_line:
            self.say(line)
            self.last_line = line


def open(options: Options) -> SageMaker:
    return SageMaker(options)
