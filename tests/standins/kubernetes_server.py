"""A cluster for tests: the part of the Kubernetes API that kubectl and infra.deploy use, with state, and pods that
serve.

A pod does what the kubelet would: it runs the init container's fetch, then a process of `python -m serving` (one for
all pods of a version). Server-side apply replaces the given fields and keeps a Deployment's replicas if they are
omitted. There is no scheduler, admission or router: weights are stored, but not applied.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import yaml

from infra.deploy.targets.pods import config_of
from roadmap.bundle import BundleError
from serving.entrypoints.fetch import fetch
from serving.sources import SourceError
from tests.standins.protocol_server import Reply, Request, Route
from tests.support.checkouts import ROOT, environment

KINDS = {
    "v1": {"Namespace": "namespaces", "ConfigMap": "configmaps", "Service": "services",
           "ServiceAccount": "serviceaccounts", "Pod": "pods"},
    "apps/v1": {"Deployment": "deployments"},
    "autoscaling/v2": {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "gateway.networking.k8s.io/v1": {"HTTPRoute": "httproutes"},
}  # fmt: skip
OBJECT = r"/(?:api|apis/[\w.]+)/v\d(?:/namespaces/([\w-]+))?/([a-z]+)/([\w.-]+)"
LIST = r"/(?:api|apis/[\w.]+)/v\d/namespaces/([\w-]+)/([a-z]+)"


class Cluster:
    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}  # namespace, plural, name
        self.servers: dict[str, tuple[subprocess.Popen[str], str]] = {}  # version -> process, address
        self.logs: dict[str, str] = {}
        self.weights: list[list[int]] = []  # the history of a route's weights
        self.lock = threading.RLock()
        self.stopped = False

    @property
    def routes(self) -> list[Route]:
        proxied = r"/api/v1/namespaces/([\w-]+)/(pods|services)/([\w-]+):(?:http|8000)/proxy(/.*)"
        return [
            ("GET", r"/api", lambda r: Reply(200, {"kind": "APIVersions", "versions": ["v1"]})),
            ("GET", r"/apis", lambda r: Reply(200, groups())),
            ("GET", r"/(?:api|apis)/((?:[\w.]+/)?v\d)", lambda r, version: Reply(200, resources(version))),
            ("GET", proxied, self.proxy),
            ("POST", proxied, self.proxy),
            ("GET", r"/api/v1/namespaces/([\w-]+)/pods/([\w-]+)/log", self.log),
            ("PATCH", OBJECT, self.apply),
            ("GET", LIST, self.listed),
            ("GET", OBJECT, self.get),
            ("DELETE", OBJECT, self.delete),
        ]

    # ------------------------------------------------------------ the API

    def apply(self, request: Request, namespace: str | None, plural: str, name: str) -> Reply:
        assert request.headers["Content-Type"] == "application/apply-patch+yaml"
        body = yaml.safe_load(request.body)
        with self.lock:
            before = self.objects.get((namespace or "", plural, name))
            if plural != "namespaces" and ("", "namespaces", namespace) not in self.objects:
                raise missing("namespaces", str(namespace))
            if plural == "deployments":
                replicas = before["spec"]["replicas"] if before else 1
                body["spec"] = {"replicas": replicas, **body["spec"]}
            changed = before is None or before.get("spec") != body.get("spec")
            generation = (before["metadata"]["generation"] if before else 0) + changed
            body["metadata"] |= {"generation": generation, "uid": name, "managedFields": []}
            self.objects[namespace or "", plural, name] = body
            if plural == "httproutes":
                self.weights.append([one["weight"] for one in body["spec"]["rules"][0]["backendRefs"]])
        if plural == "deployments":
            threading.Thread(target=self.reconcile, args=(namespace, name), daemon=True).start()
        return Reply(200 if before else 201, body)

    def get(self, request: Request, namespace: str | None, plural: str, name: str) -> Reply:
        with self.lock:
            found = self.objects.get((namespace or "", plural, name))
            if found is None:
                raise missing(plural, name)
            return Reply(200, self.with_status(namespace, found) if plural == "deployments" else found)

    def listed(self, request: Request, namespace: str, plural: str) -> Reply:
        wanted = dict(one.split("=") for one in request.query.get("labelSelector", "").split(",") if one)
        with self.lock:
            items = [one for (space, kind, _), one in self.objects.items() if (space, kind) == (namespace, plural)
                     and wanted.items() <= one["metadata"].get("labels", {}).items()]  # fmt: skip
            return Reply(200, {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})

    def delete(self, request: Request, namespace: str | None, plural: str, name: str) -> Reply:
        with self.lock:
            if self.objects.pop((namespace or "", plural, name), None) is None:
                raise missing(plural, name)
            if plural == "deployments":
                for pod in self.pods(str(namespace), name):
                    del self.objects[str(namespace), "pods", pod["metadata"]["name"]]
        return Reply(200, {"kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {}})

    def log(self, request: Request, namespace: str, name: str) -> Reply:
        return Reply(200, self.logs.get(name, "").encode(), Content_Type="text/plain")

    def proxy(self, request: Request, namespace: str, kind: str, name: str, path: str) -> Reply:
        with self.lock:
            pods = self.behind(namespace, name) if kind == "services" else [self.objects[namespace, "pods", name]]
            ready = [one for one in pods if one["ready"]]
        if not ready:
            return status(503, "ServiceUnavailable", f'no endpoints available for service "{name}"')
        data = request.body if request.method == "POST" else None
        query = urllib.request.Request(ready[0]["address"] + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(query, timeout=20) as answer:
                more = ready[0].get("counted", "") if path == "/metrics" else ""  # by a test
                return Reply(answer.status, answer.read() + more.encode())
        except urllib.error.HTTPError as error:
            return Reply(error.code, error.read())

    # ------------------------------------------------------------ what happens behind it

    def behind(self, namespace: str, service: str) -> list[dict[str, Any]]:
        found = self.objects.get((namespace, "services", service))
        if found is None:
            raise missing("services", service)
        selector = found["spec"]["selector"].items()
        return [one for (space, kind, _), one in self.objects.items()
                if (space, kind) == (namespace, "pods") and selector <= one["metadata"]["labels"].items()]  # fmt: skip

    def pods(self, namespace: str, deployment: str) -> list[dict[str, Any]]:
        return [one for (space, kind, _), one in self.objects.items()
                if (space, kind) == (namespace, "pods") and one["owner"] == deployment]  # fmt: skip

    def with_status(self, namespace: str | None, deployment: dict[str, Any]) -> dict[str, Any]:
        pods = self.pods(str(namespace), deployment["metadata"]["name"])
        new = [one for one in pods if one["spec"] == deployment["spec"]["template"]["spec"]]
        available = sum(one["ready"] for one in pods)
        return deployment | {"status": {
            "observedGeneration": deployment["metadata"]["generation"], "replicas": len(pods),
            "updatedReplicas": len(new), "availableReplicas": available,
        }}  # fmt: skip

    def reconcile(self, namespace: str, name: str) -> None:
        """A rollout with maxSurge 1 and maxUnavailable 0: an old pod is removed when a new one is ready."""
        while not self.stopped:
            with self.lock:
                deployment = self.objects.get((namespace, "deployments", name))
                if deployment is None:
                    return
                spec, pods = deployment["spec"]["template"]["spec"], self.pods(namespace, name)
                new = [one for one in pods if one["spec"] == spec]
                old = [one for one in pods if one["spec"] != spec]
                wanted = deployment["spec"]["replicas"]
                ready = sum(one["ready"] for one in new)
                leaving = old[: max(0, len(old) + ready - wanted)] + new[wanted:]
                for one in leaving:
                    del self.objects[namespace, "pods", one["metadata"]["name"]]
                if len(new) >= wanted and not old:
                    return
                if any("terminated" in str(one["status"]) for one in new):
                    return  # crash loop
                added = self.pod(namespace, name, deployment) if len(new) < wanted else None
            if added:
                self.run(namespace, added)
            time.sleep(0.02)

    def pod(self, namespace: str, owner: str, deployment: dict[str, Any]) -> dict[str, Any]:
        name = f"{owner}-{uuid.uuid4().hex[:5]}"
        template = deployment["spec"]["template"]
        made = {"kind": "Pod", "metadata": {"name": name, "labels": template["metadata"]["labels"]}, "owner": owner,
                "spec": template["spec"], "status": {}, "ready": False, "address": ""}  # fmt: skip
        self.objects[namespace, "pods", name] = made
        return made

    def run(self, namespace: str, pod: dict[str, Any]) -> None:
        data = self.objects[namespace, "configmaps", config_of(pod["spec"])]["data"]
        try:
            address = self.server(data)
        except (BundleError, SourceError) as error:
            self.logs[pod["metadata"]["name"]] = f"error: {error}\n"
            ended = {"exitCode": 2 if isinstance(error, BundleError) else 75}
            pod["status"] = {"initContainerStatuses": [{"name": "bundle", "state": {"terminated": ended}}]}
            return
        with self.lock:
            pod["address"], pod["ready"] = address, True
            pod["status"] = {"containerStatuses": [
                {"name": "serving", "ready": True, "restartCount": 0, "state": {"running": {}}}
            ]}  # fmt: skip

    def server(self, data: dict[str, str]) -> str:
        version = data["VERSION"]
        with self.lock:
            if version not in self.servers:
                folder = Path(tempfile.mkdtemp(dir=self.scratch))
                fetch(f"{data['BUNDLES']}/{data['PROJECT']}/{version}", folder, {data["PROJECT"]: version})
                command = [sys.executable, "-m", "serving", "--port", "0", "--bundles", str(folder)]
                process = subprocess.Popen(
                    command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
                assert process.stdout
                address = next(line.split()[1].rstrip("/") for line in process.stdout if line.startswith("page "))
                self.servers[version] = process, address
            return self.servers[version][1]

    def stop(self) -> None:
        self.stopped = True
        for process, _ in self.servers.values():
            process.kill()
            process.wait()


def groups() -> dict[str, Any]:
    found = []
    for version in [one for one in KINDS if "/" in one]:
        known = {"groupVersion": version, "version": version.partition("/")[2]}
        found.append({"name": version.partition("/")[0], "versions": [known], "preferredVersion": known})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def resources(version: str) -> dict[str, Any]:
    verbs = ["get", "list", "patch", "create", "delete"]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [
        {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": kind != "Namespace", "verbs": verbs}
        for kind, plural in KINDS[version].items()
    ]}  # fmt: skip


def status(code: int, reason: str, message: str) -> Reply:
    return Reply(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
                        "message": message, "metadata": {}})  # fmt: skip


def missing(plural: str, name: str) -> Reply:
    return status(404, "NotFound", f'{plural} "{name}" not found')


def kubeconfig(address: str) -> str:
    return json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": address}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {}}],
    })  # fmt: skip
