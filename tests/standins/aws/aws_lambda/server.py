"""Lambda and ECR as a deployment sees them: versions, a weighted alias, and functions that actually run.

A function runs serving.entrypoints.aws_lambda in this server's process, on the bundle in the last layer of its image,
so a wrongly assembled image fails. moto cannot invoke images.
https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
"""

import asyncio
import base64
import io
import json
import os
import random
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

from tests.standins.protocol_server import Reply, Request, Route
from tests.standins.registry_server import Registry

API = r"/2015-03-31/functions/([\w-]+)"
WARM = r"/2019-09-30/functions/([\w-]+)/provisioned-concurrency"
WARMING = 0.2  # seconds
Answer = Callable[[Any], dict[str, Any]]


class Context:
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 20_000


def missing(what: str) -> Reply:
    return Reply(404, {"Message": f"not found: {what}"}, x_amzn_ErrorType="ResourceNotFoundException")


class Lambda:
    """`adopt` returns the image of a function that a stack has created meanwhile; its first version has the alias
    `live`."""

    def __init__(self, registry: Registry, scratch: Path, adopt: Callable[[str], str | None]) -> None:
        self.registry, self.scratch, self.adopt = registry, scratch, adopt
        self.code: dict[str, str] = {}  # name -> image of $LATEST
        self.versions: dict[str, list[tuple[str, str]]] = {}  # name -> (image, description) of 1, 2, ...
        self.aliases: dict[str, dict[str, Any]] = {}  # name -> `live`
        self.routed: list[tuple[str, dict[str, float]]] = []  # every position of an alias
        self.broken: set[str] = set()  # bundles whose functions fail
        self.warm: dict[str, dict[str, Any]] = {}  # name -> provisioned concurrency of `live`
        self.cooled = 0  # how often it was removed
        self.answers: dict[str, Answer] = {}  # by image
        self.registry_address = ""
        self.routes: list[Route] = [
            ("POST", "/", self.token),
            ("GET", API, self.get),
            ("GET", f"{API}/configuration", self.configuration),
            ("PUT", f"{API}/code", self.update),
            ("GET", f"{API}/versions", self.list),
            ("POST", f"{API}/versions", self.publish),
            ("GET", rf"{API}/aliases/(\w+)", self.alias),
            ("PUT", rf"{API}/aliases/(\w+)", self.route),
            ("POST", f"{API}/invocations", self.invoke),
            *((method, WARM, self.warmth) for method in ("GET", "PUT", "DELETE")),
        ]

    def token(self, request: Request) -> Reply:
        assert request.headers["X-Amz-Target"].endswith(".GetAuthorizationToken")
        token = base64.b64encode(b"AWS:secret").decode()
        return Reply(
            200, {"authorizationData": [{"authorizationToken": token, "proxyEndpoint": self.registry_address}]}
        )

    def image(self, name: str, qualifier: str) -> str:
        if name not in self.code:
            if (image := self.adopt(name)) is None:
                raise missing(name)
            self.code[name], self.versions[name] = image, [(image, "")]
            self.aliases[name] = {
                "Name": "live",
                "FunctionVersion": "1",
                "RoutingConfig": {"AdditionalVersionWeights": {}},
            }
        if qualifier == "live":
            qualifier = self.aliases[name]["FunctionVersion"]
        if qualifier == "$LATEST":
            return self.code[name]
        if not 0 < int(qualifier) <= len(self.versions[name]):
            raise missing(f"{name}:{qualifier}")
        return self.versions[name][int(qualifier) - 1][0]

    def get(self, request: Request, name: str) -> Reply:
        image = self.image(name, request.query.get("Qualifier", "$LATEST"))
        return Reply(200, {"Configuration": {"FunctionName": name}, "Code": {"ImageUri": image}})

    def configuration(self, request: Request, name: str) -> Reply:
        self.image(name, request.query.get("Qualifier", "$LATEST"))
        return Reply(200, {"FunctionName": name, "State": "Active", "LastUpdateStatus": "Successful"})

    def update(self, request: Request, name: str) -> Reply:
        repository, _, tag = request.json()["ImageUri"].partition("/")[2].partition(":")
        if (repository, tag) not in self.registry.tags:
            return Reply(400, {"Message": "no such image"}, x_amzn_ErrorType="InvalidParameterValueException")
        self.code[name] = request.json()["ImageUri"]
        return Reply(200, {"FunctionName": name})

    def list(self, request: Request, name: str) -> Reply:
        numbers = [str(number) for number in range(1, len(self.versions[name]) + 1)]
        return Reply(200, {"Versions": [{"FunctionName": name, "Version": number} for number in ["$LATEST", *numbers]]})

    def publish(self, request: Request, name: str) -> Reply:
        """No new version without a change, like Lambda."""
        if self.versions[name][-1][0] != self.code[name]:
            self.versions[name].append((self.code[name], request.json().get("Description", "")))
        return Reply(201, {"FunctionName": name, "Version": str(len(self.versions[name]))})

    def alias(self, request: Request, name: str, alias: str) -> Reply:
        self.image(name, "live")
        self.warmed(name)
        return Reply(200, self.aliases[name])

    def route(self, request: Request, name: str, alias: str) -> Reply:
        before = self.aliases[name]["FunctionVersion"]
        self.aliases[name] |= request.json()
        now, weights = self.aliases[name]["FunctionVersion"], self.aliases[name]["RoutingConfig"]
        self.routed.append((now, weights["AdditionalVersionWeights"]))
        if name in self.warm and now != before and not weights["AdditionalVersionWeights"]:
            self.aliases[name]["RoutingConfig"] = {"AdditionalVersionWeights": {before: 1.0}}  # until `now` is warm
            self.warm[name] |= {"Status": "IN_PROGRESS", "since": time.monotonic(), "kept": before}
        return Reply(200, self.aliases[name])

    def warmed(self, name: str) -> None:
        """The current state of an alias with provisioned concurrency."""
        warm = self.warm.get(name, {})
        if warm.get("Status") != "IN_PROGRESS" or time.monotonic() < warm["since"] + WARMING:
            return
        if any(f"-{bundle}-" in self.image(name, "live") for bundle in self.broken):
            warm |= {"Status": "FAILED", "StatusReason": "FUNCTION_ERROR_INIT_FAILURE"}  # the weights stay
            return
        warm["Status"] = "READY"
        if warm.pop("kept", None):
            self.aliases[name]["RoutingConfig"] = {"AdditionalVersionWeights": {}}

    def warmth(self, request: Request, name: str) -> Reply:
        assert request.query["Qualifier"] == "live"
        self.image(name, "live")
        if request.method == "DELETE":
            self.warm.pop(name, None)
            self.cooled += 1
            return Reply(204)
        if request.method == "PUT":
            if self.aliases[name]["RoutingConfig"]["AdditionalVersionWeights"]:
                message = {"Message": "Alias with weights can not be used with Provisioned Concurrency"}
                return Reply(400, message, x_amzn_ErrorType="InvalidParameterValueException")
            wanted = request.json()["ProvisionedConcurrentExecutions"]
            about = {"RequestedProvisionedConcurrentExecutions": wanted, "Status": "IN_PROGRESS"}
            self.warm[name] = {**about, "since": time.monotonic()}
        self.warmed(name)
        if name not in self.warm:
            message = {"Message": "No Provisioned Concurrency Config found for this function"}
            return Reply(404, message, x_amzn_ErrorType="ProvisionedConcurrencyConfigNotFoundException")
        shown = ("RequestedProvisionedConcurrentExecutions", "Status", "StatusReason")
        found = {key: self.warm[name][key] for key in shown if key in self.warm[name]}
        return Reply(202 if request.method == "PUT" else 200, found)

    def invoke(self, request: Request, name: str) -> Reply:
        qualifier = request.query.get("Qualifier", "$LATEST")
        self.image(name, qualifier)
        if qualifier == "live":
            weights = self.aliases[name]["RoutingConfig"]["AdditionalVersionWeights"]
            qualifier = next((v for v, share in weights.items() if random.random() < share), qualifier)
        image = self.image(name, qualifier)
        if any(f"-{bundle}-" in image for bundle in self.broken):
            message = {"errorMessage": "RequestId: 1 Error: Runtime exited with error: signal: killed"}
            return Reply(200, message, X_Amz_Function_Error="Unhandled")
        if image not in self.answers:
            self.answers[image] = self.start(image)
        return Reply(200, self.answers[image](request.json()))

    def start(self, image: str) -> Answer:
        """What Lambda does with an image: unpacks it, sets the environment, loads the handler. One event at a time."""
        repository, _, tag = image.partition("/")[2].partition(":")
        manifest = json.loads(self.registry.tags[repository, tag])
        layer = self.registry.blobs[repository, manifest["layers"][-1]["digest"]]
        root = self.scratch / tag
        with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as archive:
            archive.extractall(root, filter="data")
        environment = ThreadPoolExecutor(1, initializer=lambda: asyncio.set_event_loop(asyncio.new_event_loop()))
        adapter = environment.submit(self.load, str(root / "var" / "task")).result()
        return lambda event: dict(environment.submit(adapter, event, Context()).result())

    @staticmethod
    def load(task: str) -> Any:
        with mock.patch.dict(os.environ, {"LAMBDA_TASK_ROOT": task, "SERVING_BUNDLES": f"{task}/artifacts"}):
            from serving.entrypoints.aws_lambda import build

            return build()
