"""target=lambda: the function of infra/cloudformation/serving-lambda.yaml, its alias `live` moved step by step.

The serving image gets the bundle as one more layer, and the function a version of it. The alias's weights are moved by
Lambda's API, since a stack's update takes a minute for each; when all requests are there the stack is told, so that at
rest it says what is.
"""

import base64
import json
import time
from typing import Any

from infra.deploy import aws, costs, image, package
from infra.deploy.rollout import shift
from infra.deploy.target import DeployError, Options, Plan, Say, checked
from infra.deploy.targets.alias import LIVE, Alias
from infra.templates import templates
from roadmap.bundle import Bundle

TEMPLATE = "serving-lambda"
HOME = "var/task/artifacts"  # where serving.entrypoints.aws_lambda looks
PATIENCE = 300.0  # seconds for Lambda to fetch an image


class Lambda:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.stacks = aws.stacks(options.endpoint)
        self.api, self.cloudwatch, self.ecr = (
            aws.client(service, options.endpoint) for service in ("lambda", "cloudwatch", "ecr")
        )
        self.template = templates()[TEMPLATE]
        self.stack = self.template.stack(options.stage, options.project)
        self.name = f"roadmap-{options.stage}-{options.project}"
        self.alias = Alias(self.api, self.name)

    # ------------------------------------------------------------ what is there

    def function(self, qualifier: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.api.get_function(FunctionName=self.name, Qualifier=qualifier)
        except self.api.exceptions.ResourceNotFoundException:
            return None
        return found

    def serving(self) -> str | None:
        found = self.function(LIVE)
        return bundle_of(found["Code"]["ImageUri"]) if found else None

    def versions(self) -> dict[str, str]:
        """Version of the bundle -> the latest number of the function that holds it."""
        pages = self.api.get_paginator("list_versions_by_function").paginate(FunctionName=self.name)
        numbers = [one["Version"] for page in pages for one in page["Versions"] if one["Version"] != "$LATEST"]
        found = {}
        for number in sorted(numbers, key=int):
            if there := self.function(number):
                found[bundle_of(there["Code"]["ImageUri"])] = number
        return found

    def plan(self, bundle: Bundle) -> Plan:
        version, now = bundle.manifest.version, self.serving()
        changes = [f"image {self.options.image or 'latest of the serving repository'} + bundle {version}, pushed once"]
        if now is None:
            created = self.stacks.plan(self.template, self.options.stage, self.options.project, **self.given("<image>"))
            return Plan([*changes, *created], costs.serverless(self.options.parameters), costs.LAMBDA_LEFT_OUT)
        steps = ", ".join(f"{share:.0%}" for share in (*self.options.steps, 1.0))
        changes += [f"alias {LIVE}: {now} -> {version}, in steps of {steps}, {self.options.bake:g} s each"]
        return Plan(
            changes if now != version else ["nothing: this version answers already"],
            costs.serverless(self.options.parameters),
            costs.LAMBDA_LEFT_OUT,
        )

    def given(self, uri: str) -> dict[str, str]:
        return {"ImageUri": uri, **self.options.parameters}

    # ------------------------------------------------------------ the way there

    def roll_out(self, bundle: Bundle, say: Say) -> None:
        uri = self.push(bundle, say)
        if self.function(LIVE) is None:
            say(f"stack {self.stack} is created")
            self.stacks.up(self.template, self.options.stage, self.options.project, **self.given(uri))
            self.smoke(bundle, LIVE)
            say("it answers its example")
            return
        stable = self.settle(say)
        number = self.publish(uri, bundle, say)
        if number != stable:
            self.smoke(bundle, number)
            say(f"version {number} answers its example; nobody else has asked it yet")
            shift(
                self.options.steps,
                self.options.bake,
                to=lambda share: self.alias.route(stable, **({number: share} if share else {})),
                smoke=lambda: self.smoke(bundle, number),
                alarms=lambda: aws.alarms(
                    self.cloudwatch, f"roadmap-{self.options.stage}-lambda-{self.options.project}-"
                ),
                say=say,
            )
        self.settle_on(number, stable, say)
        self.tell_stack(uri, number, say)

    def warm(self) -> int:
        """How many environments are to be kept warm: as was said now or before."""
        told = {**aws.told(self.stacks, self.stack), **self.options.parameters}
        return int(told.get("ProvisionedConcurrency", 0))

    def settle_on(self, number: str, stable: str, say: Say) -> None:
        """The version that has all requests by weight becomes the alias's own."""
        if warm := self.warm():
            say(f"{warm} environments of version {number} are warmed")
        try:
            self.alias.move(number, warm)
        except BaseException:
            if number != stable:
                self.alias.move(stable, warm, at_once=True)
                say("gone back: the old version has all requests")
            raise

    def push(self, bundle: Bundle, say: Say) -> str:
        """The image with the bundle in it; its tag says which, so that what answers can be told."""
        out = aws.outputs(self.stacks, f"roadmap-{self.options.stage}-storage")
        token = self.ecr.get_authorization_token()["authorizationData"][0]
        user = base64.b64decode(token["authorizationToken"]).decode()
        registry = token["proxyEndpoint"].rstrip("/")
        base, to = (
            image.ImageRepository(f"{registry}/{out[key].partition('/')[2]}", user)
            for key in ("ServingRepository", "LambdaRepository")
        )
        tag = self.options.image or "latest"
        found = base.manifest(tag)
        if found is None:
            raise DeployError(
                f"{out['ServingRepository']}: no image {tag!r}; `python -m infra.images push` first, or image=<tag>"
            )
        below = image.digest(json.dumps(found[0], sort_keys=True).encode())[7:19]
        name = f"{bundle.manifest.project}-{bundle.manifest.version}-{below}"
        if to.manifest(name) is None:
            layer = package.tar(bundle, f"{HOME}/{bundle.manifest.project}/bundle/")
            image.layered(base, tag, to, name, layer, ["lambda"])
            say(f"image {name} is pushed")
        return f"{out['LambdaRepository']}:{name}"

    def settle(self, say: Say) -> str:
        """The stable version; an interrupted rollout's canary loses its share."""
        version, weights = self.alias.now()
        if weights:
            say("a rollout was interrupted: its version loses its share")
            self.alias.route(version)
        return version

    def publish(self, uri: str, bundle: Bundle, say: Say) -> str:
        """The function's version of this image: the one that there is, or a new one."""
        now = self.function("$LATEST")
        if now is None or now["Code"]["ImageUri"] != uri:
            self.api.update_function_code(FunctionName=self.name, ImageUri=uri)
        self.wait()
        description = f"{bundle.manifest.project} {bundle.manifest.version}"
        number = str(self.api.publish_version(FunctionName=self.name, Description=description)["Version"])
        self.wait(number)
        say(f"function version {number} is published")
        return number

    def wait(self, qualifier: str = "$LATEST") -> None:
        until = time.monotonic() + PATIENCE
        while True:
            found = self.api.get_function_configuration(FunctionName=self.name, Qualifier=qualifier)
            states = {found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")}
            if "Failed" in states:
                why = found.get("LastUpdateStatusReason") or found.get("StateReason") or "Lambda gives no reason"
                raise DeployError(f"{self.name}: {why}")
            if states <= {"Active", "Inactive", "Successful"}:
                return
            if time.monotonic() > until:
                raise DeployError(f"{self.name}: {qualifier} is {', '.join(states)} after {PATIENCE:g} s; repeat", 75)
            time.sleep(1)

    def smoke(self, bundle: Bundle, qualifier: str) -> None:
        """The bundle's example, as API Gateway would send it."""
        body = json.dumps({"inputs": bundle.example})
        answer = self.api.invoke(
            FunctionName=self.name, Qualifier=qualifier, Payload=json.dumps(event(bundle.manifest.project, body))
        )
        said = answer["Payload"].read()
        if "FunctionError" in answer:
            raise DeployError(f"smoke test: version {qualifier} of {self.name} failed: {said.decode()[:300]}")
        content = json.loads(said)
        checked(json.loads(content["body"]) if content.get("statusCode") == 200 else content, bundle)

    def tell_stack(self, uri: str, number: str, say: Say) -> None:
        """At rest the stack's parameters are what is."""
        parameters = {"StableVersion": number, "CanaryVersion": "", "CanaryWeight": "0"}
        self.stacks.up(self.template, self.options.stage, self.options.project, **self.given(uri), **parameters)
        say(f"stack {self.stack} says version {number}")

    # ------------------------------------------------------------ and back

    def roll_back(self, version: str, say: Say) -> None:
        number = self.versions().get(version)
        there = number and self.function(number)
        if not number or not there:
            raise DeployError(f"{self.name}: no function version holds bundle {version}; deploy it again")
        self.alias.move(number, self.warm(), at_once=True)
        say(f"alias {LIVE} points to version {number}, bundle {version}")
        self.tell_stack(there["Code"]["ImageUri"], number, say)

    def destroy(self, say: Say) -> None:
        for kept in self.stacks.down(self.template, self.options.stage, self.options.project):
            say(f"kept: {kept}")


def bundle_of(uri: str) -> str:
    """`...:mnist-0123456789ab-fedcba987654` -> 0123456789ab; what others have named, as it is."""
    parts = uri.rpartition(":")[2].split("-")
    return parts[-2] if len(parts) >= 3 else uri.rpartition(":")[2]


def event(project: str, body: str) -> dict[str, Any]:
    """A POST as an HTTP API hands it to a function, payload format 2.0."""
    path = f"/models/{project}/predict"
    http = {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "deploy"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {"http": http, "stage": "$default"},
        "body": body,
        "isBase64Encoded": False,
    }


def open(options: Options) -> Lambda:
    return Lambda(options)
