"""Models, endpoint configurations and endpoints, for tests/standins/aws/sagemaker/server.py.

A blue/green update: the new fleet starts and must pass its health check; the canary gets its share of the traffic and
bakes while the alarms are watched; then the rest follows and bakes again. An alarm, or a container that does not start,
restores the old configuration with a FailureReason.
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green-canary.html
"""

import json
import os
import random
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from tests.standins.protocol_server import Reply, Request

ROOT = Path(__file__).parents[4]
ARN = "arn:aws:sagemaker:us-east-1:123456789012"
Answer = Callable[[bytes], bytes]


class Endpoints:
    def __init__(self, scratch: Path, moto: str, scale: float, lock: Any) -> None:
        self.scratch, self.moto, self.scale, self.lock = scratch, moto, scale, lock
        self.models: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.fleets: dict[str, list[tuple[str, float]]] = {}  # endpoint -> configurations and their shares now
        self.routed: list[tuple[str, list[tuple[str, float]]]] = []  # the history of the traffic weights
        self.containers: dict[str, Answer] = {}  # ModelDataUrl -> the container's function
        self.broken_updates = 0  # how many of the next updates fail halfway
        self.processes: list[subprocess.Popen[bytes]] = []

    # ------------------------------------------------------------ models and configurations

    def create_model(self, ModelName: str, **given: Any) -> dict[str, Any]:
        return self._made(self.models, "model", "Model", ModelName, given)

    def create_endpoint_config(self, EndpointConfigName: str, **given: Any) -> dict[str, Any]:
        for variant in given["ProductionVariants"]:
            if "ModelName" in variant:
                _known(self.models, "model", variant["ModelName"])
        return self._made(self.configs, "endpoint-config", "EndpointConfig", EndpointConfigName, given)

    def _made(self, there: dict[str, Any], kind: str, word: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
        arn = f"{ARN}:{kind}/{name}"
        if name in there:
            raise FileExistsError(f'Cannot create already existing {kind} "{arn}".')
        given = {key: value for key, value in given.items() if key != "Tags"}
        there[name] = {f"{word}Name": name, f"{word}Arn": arn, "CreationTime": time.time(), **given}
        return {f"{word}Arn": arn}

    def describe_model(self, ModelName: str) -> Any:
        return _known(self.models, "model", ModelName)

    def describe_endpoint_config(self, EndpointConfigName: str) -> Any:
        return _known(self.configs, "endpoint-config", EndpointConfigName)

    def delete_model(self, ModelName: str) -> None:
        _known(self.models, "model", ModelName)
        del self.models[ModelName]

    def delete_endpoint_config(self, EndpointConfigName: str) -> None:
        _known(self.configs, "endpoint-config", EndpointConfigName)
        del self.configs[EndpointConfigName]

    # ------------------------------------------------------------ endpoints

    def create_endpoint(self, EndpointName: str, EndpointConfigName: str, **given: Any) -> dict[str, Any]:
        _known(self.configs, "endpoint-config", EndpointConfigName)
        now = {"LastModifiedTime": time.time(), "EndpointStatus": "Creating", "EndpointConfigName": EndpointConfigName}
        made = self._made(self.endpoints, "endpoint", "Endpoint", EndpointName, now)
        self._in_background(self._create, EndpointName, EndpointConfigName)
        return made

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        return dict(_known(self.endpoints, "endpoint", EndpointName))

    def list_endpoints(self, NameContains: str = "", **_: Any) -> dict[str, Any]:
        keys = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        found = [one for name, one in self.endpoints.items() if NameContains in name]
        return {"Endpoints": [{key: one[key] for key in keys} for one in found]}

    def delete_endpoint(self, EndpointName: str) -> None:
        _known(self.endpoints, "endpoint", EndpointName)
        del self.endpoints[EndpointName]
        self.fleets.pop(EndpointName, None)

    def update_endpoint(
        self, EndpointName: str, EndpointConfigName: str, DeploymentConfig: dict[str, Any] | None = None, **_: Any
    ) -> dict[str, Any]:
        endpoint = _known(self.endpoints, "endpoint", EndpointName)
        _known(self.configs, "endpoint-config", EndpointConfigName)
        if endpoint["EndpointStatus"] != "InService":
            raise ValueError(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')
        if EndpointConfigName == endpoint["EndpointConfigName"]:
            raise ValueError(f'endpoint configuration "{EndpointConfigName}" is in use by this endpoint already.')
        endpoint.pop("FailureReason", None)
        endpoint["EndpointStatus"] = "Updating"
        self._in_background(self._update, EndpointName, EndpointConfigName, DeploymentConfig or {})
        return {"EndpointArn": endpoint["EndpointArn"]}

    def _in_background(self, act: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=act, args=arguments, daemon=True).start()

    def _create(self, name: str, config: str) -> None:
        try:
            self._start(config)
        except RuntimeError as error:
            self.endpoints[name] |= {"EndpointStatus": "Failed", "FailureReason": str(error)}
            return
        self._shift(name, (config, 1.0))
        self.endpoints[name] |= {"EndpointStatus": "InService", "ProductionVariants": self._variants(config)}

    def _update(self, name: str, config: str, deployment: dict[str, Any]) -> None:
        endpoint = self.endpoints[name]
        before = endpoint["EndpointConfigName"]
        policy = deployment.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
        alarms = [one["AlarmName"] for one in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
        bake = policy.get("WaitIntervalInSeconds", 0) * self.scale
        canary = policy.get("CanarySize", {}).get("Value", 100) / 100
        broken, self.broken_updates = self.broken_updates > 0, max(0, self.broken_updates - 1)
        try:
            self._pending(endpoint, config, "Creating")
            self._start(config)
            for share in sorted({canary, 1.0}):
                self._pending(endpoint, config, "ActivatingTraffic")
                self._shift(name, (before, 1 - share), (config, share))
                self._pending(endpoint, config, "Baking")
                self._watch(alarms, bake)
                if broken:
                    raise RuntimeError("Request to service failed. Not enough capacity for the fleet.")
            endpoint |= {"EndpointStatus": "InService", "EndpointConfigName": config}
            endpoint |= {"ProductionVariants": self._variants(config), "LastDeploymentConfig": deployment}
        except RuntimeError as error:
            endpoint["EndpointStatus"] = "RollingBack"
            self._shift(name, (before, 1.0))
            time.sleep(self.scale)
            endpoint |= {"EndpointStatus": "InService", "FailureReason": str(error)}
        endpoint.pop("PendingDeploymentSummary", None)
        endpoint["LastModifiedTime"] = time.time()

    def _pending(self, endpoint: dict[str, Any], config: str, status: str) -> None:
        variants = [{"VariantName": one["VariantName"], "VariantStatus": [{"Status": status}]} for one in
                    self.configs[config]["ProductionVariants"]]  # fmt: skip
        endpoint["PendingDeploymentSummary"] = {"EndpointConfigName": config, "ProductionVariants": variants}

    def _watch(self, names: list[str], seconds: float) -> None:
        cloudwatch = boto3.client("cloudwatch", endpoint_url=self.moto, region_name="us-east-1")
        until = time.monotonic() + seconds
        while True:
            if names:
                found = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
                if gone_off := [one["AlarmName"] for one in found if one["StateValue"] == "ALARM"]:
                    raise RuntimeError(f"One or more configured alarm(s) are in alarm state: {', '.join(gone_off)}")
            if time.monotonic() >= until:
                return
            time.sleep(min(0.05, max(0.0, until - time.monotonic())))

    def _shift(self, name: str, *shares: tuple[str, float]) -> None:
        self.fleets[name] = [(config, share) for config, share in shares if share > 0]
        self.routed.append((name, self.fleets[name]))

    def _variants(self, config: str) -> list[dict[str, Any]]:
        variants = self.configs[config]["ProductionVariants"]
        weight = "CurrentWeight"
        return [{"VariantName": one["VariantName"], weight: one.get("InitialVariantWeight", 1.0)} for one in variants]

    # ------------------------------------------------------------ containers

    def invoke(self, request: Request, name: str) -> Reply:
        if name not in self.fleets:
            message = f"Endpoint {name} of account 123456789012 not found."
            return Reply(400, {"message": message}, x_amzn_ErrorType="ValidationError")
        fleet = self.fleets[name]
        config = random.choices([one for one, _ in fleet], [share for _, share in fleet])[0]
        variants = self.configs[config]["ProductionVariants"]
        variant = random.choices(variants, [one.get("InitialVariantWeight", 1.0) for one in variants])[0]
        container = self._container(variant)
        try:
            said = self.containers[container["ModelDataUrl"]](request.body)
        except Exception as error:
            message = f'Received server error (500) from primary with message "{error}"'
            content = {"Message": message, "OriginalStatusCode": 500, "OriginalMessage": str(error)}
            return Reply(424, content, x_amzn_ErrorType="ModelError")
        return Reply(200, said, x_Amzn_Invoked_Production_Variant=variant["VariantName"])

    def _container(self, variant: dict[str, Any]) -> dict[str, Any]:
        model = _known(self.models, "model", variant["ModelName"])
        container: dict[str, Any] = model.get("PrimaryContainer") or model["Containers"][0]
        return container

    def _start(self, config: str) -> None:
        """Raises RuntimeError if a container fails its health check."""
        for variant in self.configs[config]["ProductionVariants"]:
            container = self._container(variant)
            if (url := container["ModelDataUrl"]) not in self.containers:
                self.containers[url] = self._serve(url, container.get("Environment", {}), variant["VariantName"])

    def _serve(self, url: str, environment: dict[str, str], variant: str) -> Answer:
        folder = self.scratch / "models" / str(len(self.processes))
        folder.mkdir(parents=True)
        bucket, _, key = url.removeprefix("s3://").partition("/")
        archive = folder.with_suffix(".tar.gz")
        try:
            boto3.client("s3", endpoint_url=self.moto, region_name="us-east-1").download_file(bucket, key, str(archive))
        except Exception as error:
            raise RuntimeError(f"Could not find model data at {url}. ({error})") from None
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        for _ in range(2):  # another process may have taken the port
            if answer := self._process(folder, environment):
                return answer
        health = f"The primary container for production variant {variant} did not pass the ping health check."
        raise RuntimeError(f"{health} Please check CloudWatch logs for this endpoint.")

    def _process(self, folder: Path, environment: dict[str, str]) -> Answer | None:
        """The server on a model's folder; None where it does not become healthy."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        variables = {"SM_MODEL_DIR": str(folder), "SAGEMAKER_BIND_TO_PORT": port, **environment}
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.entrypoints.sagemaker", "serve"], cwd=ROOT, env={**os.environ, **variables},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.processes.append(process)
        address = f"http://127.0.0.1:{port}"

        def ask(path: str, body: bytes | None = None) -> bytes:
            request = urllib.request.Request(address + path, body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                raise RuntimeError(json.loads(error.read() or b"{}").get("detail", str(error))) from None

        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            try:
                ask("/ping")
                return lambda body: ask("/invocations", body)
            except (OSError, RuntimeError):
                time.sleep(0.05)
        return None

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)


def _known(there: dict[str, dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    if name not in there:
        raise KeyError(f'{kind} "{ARN}:{kind}/{name}".')
    return there[name]
