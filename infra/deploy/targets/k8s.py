"""target=k8s: infra/k8s, rolled out by a canary Deployment and the weights of an HTTPRoute.

The bundle is uploaded to S3 under its version, below BUNDLES of the stage's overlay, and pods download the version in
their manifest. A canary with the new version gets a growing share; then the stable Deployment is updated while the
canary carries all traffic, and the canary is removed. KUBECONFIG selects the cluster, Context=<name> the context.
"""

import copy
import functools
import json
import math
from typing import NamedTuple

from infra.deploy import aws
from infra.deploy.rollout import shift_traffic
from infra.deploy.target import DeployError, Options, Plan, Say, checked
from infra.deploy.targets.kubectl import Kubectl, NotFound
from infra.deploy.targets.pods import config_of, failing, wait
from infra.manifests import Manifest, ManifestError, name_prefix, serving
from roadmap.bundle import MANIFEST, Bundle

READY = 300.0  # seconds for pods to become ready


class Revision(NamedTuple):
    version: str
    image: str


NONE = Revision("0" * 12, "none")  # for manifests of which only the names matter


class K8s:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.stable = f"{name_prefix(options.project)}serving"
        self.canary = f"{self.stable}-canary"
        context = options.parameters.get("Context")
        self.cluster = Kubectl(f"roadmap-{options.stage}", [f"--context={context}"] if context else [])
        self.bucket, self.prefix = store(options)
        self.s3 = aws.client("s3", options.endpoint)

    # ------------------------------------------------------------ state

    def serving(self) -> str | None:
        now = self.deployed()
        return now.version if now else None

    def deployed(self) -> Revision | None:
        try:
            spec = self.cluster.get("apis/apps/v1", "deployments", self.stable)["spec"]["template"]["spec"]
            data = self.cluster.get("api/v1", "configmaps", config_of(spec))["data"]
        except NotFound:
            return None
        return Revision(data["VERSION"], spec["containers"][0]["image"])

    def wanted(self, version: str, now: Revision | None) -> Revision:
        """This version in the image of the options, or else in the present one.

        Raises:
            DeployError: there is neither.
        """
        image = self.options.image or (now.image if now else None)
        if not image:
            raise DeployError("image: missing, and nothing serves yet; give image=<repository>:<tag>")
        return Revision(version, image)

    def plan(self, bundle: Bundle) -> Plan:
        now = self.deployed()
        new = self.wanted(bundle.manifest.version, now)
        if now == new:
            return Plan(["nothing: this version answers already"], {})
        changes = [f"s3://{self.bucket}/{self.key(new.version)}, uploaded once"]
        if now is None:
            changes += [f"{one['kind']} {one['metadata']['name']}: created" for one in self.manifests(new)]
        else:
            steps = ", ".join(f"{share:.0%}" for share in (*self.options.steps, 1.0))
            changes += [f"{self.canary}: {new.version} in {new.image}, steps of {steps}, {self.options.bake:g} s each"]
            changes += [f"{self.stable}: {now.version} in {now.image} -> {new.version} in {new.image}"]
        return Plan(changes, {})

    # ------------------------------------------------------------ roll-out and rollback

    def roll_out(self, bundle: Bundle, say: Say) -> None:
        now = self.deployed()
        new = self.wanted(bundle.manifest.version, now)
        self.publish(bundle, say)
        if now is None:
            self.cluster.apply(self.manifests(new))
            wait(self.cluster, self.stable, READY, say)
        elif now != new:
            try:
                self.start(new, say)
                self.smoke(bundle, self.canary)
                say(f"{self.canary} passed its smoke test; it has no traffic yet")
                shift_traffic(
                    self.options.steps,
                    self.options.bake,
                    to=lambda share: self.give(new, share, say),
                    smoke=lambda: self.smoke(bundle, self.canary),
                    alarms=lambda: failing(self.cluster, self.canary),
                    say=say,
                )
                self.promote(new, say)
            except BaseException:
                self.back(now, say)
                raise
        self.tidy(new, say)
        self.smoke(bundle, self.stable)
        say(f"{self.stable} answers its example")

    def start(self, new: Revision, say: Say) -> None:
        """Applies one canary pod and the shared objects. The route has the shares; the namespace is created once."""
        others = ("Namespace", "HTTPRoute", "Deployment")
        self.cluster.apply([one for one in self.manifests(new) if track(one) != "stable" and one["kind"] not in others])
        self.scale(new, 1, say)

    def give(self, new: Revision, share: float, say: Say) -> None:
        """Scales the canary for the share, then sets the share."""
        if share:
            pods = self.cluster.get("apis/apps/v1", "deployments", self.stable)["spec"].get("replicas", 1)
            self.scale(new, math.ceil(pods * share), say)
        self.route(round(100 * share))

    def promote(self, revision: Revision, say: Say) -> None:
        """Updates the stable Deployment pod by pod; old ones serve until new ones are ready."""
        self.cluster.apply([one for one in self.manifests(revision) if track(one) == "stable"])
        wait(self.cluster, self.stable, READY, say)

    def back(self, revision: Revision, say: Say) -> None:
        """Routes all requests to the stable Deployment, at once if it still has this revision."""
        if self.deployed() == revision:
            self.route(0)
        self.promote(revision, say)
        self.tidy(revision, say)
        say(f"{revision.version} has all requests")

    def roll_back(self, version: str, say: Say) -> None:
        now = self.deployed()
        if now is None:
            raise DeployError(f"{self.options.project}: nothing serves in {self.cluster.namespace}")
        if not self.is_published(version):
            raise DeployError(f"s3://{self.bucket}/{self.key(version)}: not found; deploy that version again")
        self.back(self.wanted(version, now), say)

    def tidy(self, revision: Revision, say: Say) -> None:
        """Routes all requests to the stable one; removes canary pods and unused ConfigMaps."""
        self.route(0)
        manifests = self.manifests(revision)
        configs = [one for one in manifests if one["kind"] == "ConfigMap"]
        self.cluster.apply([one for one in configs if track(one) == "canary"])
        self.scale(revision, 0, say)
        kept = {one["metadata"]["name"] for one in configs}
        self.cluster.delete("configmap", [name for name in self.configs() if name not in kept])

    def destroy(self, say: Say) -> None:
        for one in reversed(self.manifests(NONE)):
            if one["kind"] not in ("Namespace", "ConfigMap"):
                self.cluster.delete(one["kind"].lower(), [one["metadata"]["name"]])
        self.cluster.delete("configmap", self.configs())
        say(f"kept: namespace {self.cluster.namespace}, s3://{self.bucket}/{self.prefix}/{self.options.project}")

    # ------------------------------------------------------------ parts

    def smoke(self, bundle: Bundle, service: str) -> None:
        path = f"/models/{self.options.project}/predict"
        checked(json.loads(self.cluster.ask(f"services/{service}:http", path, {"inputs": bundle.example})), bundle)

    def manifests(self, revision: Revision) -> list[Manifest]:
        return rendered(self.options, revision)

    def scale(self, revision: Revision, pods: int, say: Say) -> None:
        (deployment,) = (one for one in self.manifests(revision) if one["metadata"]["name"] == self.canary
                         and one["kind"] == "Deployment")  # fmt: skip
        deployment["spec"]["replicas"] = pods
        self.cluster.apply([deployment])
        wait(self.cluster, self.canary, READY, say)

    def route(self, percent: int) -> None:
        """The canary's share of the requests."""
        (route,) = (one for one in self.manifests(NONE) if one["kind"] == "HTTPRoute")
        for backend, weight in zip(route["spec"]["rules"][0]["backendRefs"], (100 - percent, percent), strict=True):
            backend["weight"] = weight
        self.cluster.apply([route])

    def configs(self) -> list[str]:
        labels = {"app.kubernetes.io/name": "serving", "app.kubernetes.io/instance": self.options.project}
        return [one["metadata"]["name"] for one in self.cluster.get("api/v1", "configmaps", labels=labels)["items"]]

    def key(self, version: str) -> str:
        return f"{self.prefix}/{self.options.project}/{version}"

    def is_published(self, version: str) -> bool:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"{self.key(version)}/{MANIFEST}")
        return bool(found.get("KeyCount"))

    def publish(self, bundle: Bundle, say: Say) -> None:
        """Uploads the files, the manifest last: a version with a manifest is complete."""
        root = self.key(bundle.manifest.version)
        if not self.is_published(bundle.manifest.version):
            for name in [*bundle.manifest.files, MANIFEST]:
                self.s3.upload_file(str(bundle.folder / name), self.bucket, f"{root}/{name}")
            say(f"s3://{self.bucket}/{root}: {len(bundle.manifest.files)} files")


def rendered(options: Options, revision: Revision) -> list[Manifest]:
    """The manifests of the project at this revision, a copy to change.

    Raises:
        DeployError: an invalid option, or no kubectl.
    """
    try:
        return copy.deepcopy(once(options.project, options.stage, revision.image, revision.version))
    except ManifestError as error:
        raise DeployError(str(error)) from None


once = functools.cache(serving)  # kustomize takes 0.2 s


def store(options: Options) -> tuple[str, str]:
    """Bucket and prefix in the stage's overlay."""
    where: str = next(one["data"]["BUNDLES"] for one in rendered(options, NONE) if one["kind"] == "ConfigMap")
    bucket, _, prefix = where.removeprefix("s3://").partition("/")
    return bucket, prefix


def track(manifest: Manifest) -> str | None:
    """stable or canary; None for objects that both share."""
    return manifest["metadata"]["labels"].get("track")


def open(options: Options) -> K8s:
    return K8s(options)
