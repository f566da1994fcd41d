"""target=lambda: the function of infra/cloudformation/serving-lambda.yaml, its alias `live` moved step by step.

The bundle becomes a layer on the serving image, and the image a version of the function. Lambda's API changes the
alias's weights, because a stack update takes a minute; at the end the stack's parameters are updated to match.
"""

import base64
import json
import time

from infra.deploy import aws, costs, image, package
from infra.deploy.rollout import shift_traffic
from infra.deploy.target import DeployError, Options, Plan, Say, checked
from infra.deploy.targets.alias import LIVE, Alias
from infra.templates import templates
from roadmap.bundle import Bundle
from roadmap.io.json import JsonObject

TEMPLATE = "serving-lambda"
HOME = "var/task/artifacts"  # where serving.entrypoints.aws_lambda looks for bundles
PATIENCE = 300.0  # seconds for Lambda to pull an image


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

    # ------------------------------------------------------------ state

    def function(self, qualifier: str) -> JsonObject | None:
        """A version of the function, or that of an alias; None if there is none."""
        try:
            found: JsonObject = self.api.get_function(FunctionName=self.name, Qualifier=qualifier)
        except self.api.exceptions.ResourceNotFoundException:
            return None
        return found

    def serving(self) -> str | None:
        found = self.function(LIVE)
        return bundle_of(found["Code"]["ImageUri"]) if found else None

    def versions(self) -> dict[str, str]:
        """Bundle version -> latest function version with it."""
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

    # ------------------------------------------------------------ roll-out

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
            say(f"version {number} passed its smoke test; it has no traffic yet")
            shift_traffic(
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
        """The number of warm environments: the given one, or that of the stack."""
        parameters = {**aws.parameters(self.stacks, self.stack), **self.options.parameters}
        return int(parameters.get("ProvisionedConcurrency", 0))

    def settle_on(self, number: str, stable: str, say: Say) -> None:
        """Makes the version with all the weight the alias's own."""
        if warm := self.warm():
            say(f"{warm} environments of version {number} are warmed")
        try:
            self.alias.move(number, warm)
        except BaseException:
            if number != stable:
                self.alias.move(stable, warm, at_once=True)
                say("rolled back: the old version has all requests")
            raise

    def push(self, bundle: Bundle, say: Say) -> str:
        """The image with the bundle; its tag has the bundle's version.

        Raises:
            DeployError: there is no serving image with this tag, or the registry refuses.
        """
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
                f"{out['ServingRepository']}: found no image {tag!r}; "
                "run `python -m infra.images push` or give image=<tag>"
            )
        below = image.digest(json.dumps(found[0], sort_keys=True).encode())[7:19]
        name = f"{bundle.manifest.project}-{bundle.manifest.version}-{below}"
        if to.manifest(name) is None:
            layer = package.tar(bundle, f"{HOME}/{bundle.manifest.project}/bundle/")
            image.layered(base, tag, to, name, layer, ["lambda"])
            say(f"image {name} is pushed")
        return f"{out['LambdaRepository']}:{name}"

    def settle(self, say: Say) -> str:
        """The stable version, after removing the canary of an interrupted rollout."""
        version, weights = self.alias.now()
        if weights:
            say("a rollout was interrupted: its version loses its share")
            self.alias.route(version)
        return version

    def publish(self, uri: str, bundle: Bundle, say: Say) -> str:
        """The function version of this image, existing or new."""
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
        """Waits until a version is ready, PATIENCE seconds at most.

        Raises:
            DeployError: it failed, or it takes longer.
        """
        until = time.monotonic() + PATIENCE
        while True:
            found = self.api.get_function_configuration(FunctionName=self.name, Qualifier=qualifier)
            states = {found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")}
            if "Failed" in states:
                why = found.get("LastUpdateStatusReason") or found.get("StateReason") or "no reason given by Lambda"
                raise DeployError(f"{self.name}: {why}")
            if states <= {"Active", "Inactive", "Successful"}:
                return
            if time.monotonic() > until:
                raise DeployError(f"{self.name}: {qualifier} is {', '.join(states)} after {PATIENCE:g} s; retry", 75)
            time.sleep(1)

    def smoke(self, bundle: Bundle, qualifier: str) -> None:
        """Sends the bundle's example as API Gateway would.

        Raises:
            DeployError: the function fails, or the response is invalid or of another version.
        """
        body = json.dumps({"inputs": bundle.example})
        answer = self.api.invoke(
            FunctionName=self.name, Qualifier=qualifier, Payload=json.dumps(event(bundle.manifest.project, body))
        )
        payload = answer["Payload"].read()
        if "FunctionError" in answer:
            raise DeployError(f"smoke test: version {qualifier} of {self.name} failed: {payload.decode()[:300]}")
        content = json.loads(payload)
        checked(json.loads(content["body"]) if content.get("statusCode") == 200 else content, bundle)

    def tell_stack(self, uri: str, number: str, say: Say) -> None:
        """Updates the stack's parameters to the present state."""
        parameters = {"StableVersion": number, "CanaryVersion": "", "CanaryWeight": "0"}
        self.stacks.up(self.template, self.options.stage, self.options.project, **self.given(uri), **parameters)
        say(f"stack {self.stack} says version {number}")

    # ------------------------------------------------------------ rollback

    def roll_back(self, version: str, say: Say) -> None:
        number = self.versions().get(version)
        there = number and self.function(number)
        if not number or not there:
            raise DeployError(f"{self.name}: found no function version with bundle {version}; deploy it again")
        self.alias.move(number, self.warm(), at_once=True)
        say(f"alias {LIVE} points to version {number}, bundle {version}")
        self.tell_stack(there["Code"]["ImageUri"], number, say)

    def destroy(self, say: Say) -> None:
        for kept in self.stacks.down(self.template, self.options.stage, self.options.project):
            say(f"kept: {kept}")


def bundle_of(uri: str) -> str:
    """`...:mnist-0123456789ab-fedcba987654` -> 0123456789ab; other names unchanged."""
    parts = uri.rpartition(":")[2].split("-")
    return parts[-2] if len(parts) >= 3 else uri.rpartition(":")[2]


def event(project: str, body: str) -> JsonObject:
    """A POST as an HTTP API event, payload format 2.0."""
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
