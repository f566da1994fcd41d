"""Prints the manifests for a cluster: `python -m infra.manifests serving|training project=mnist stage=staging`

serving     image=<image> version=<bundle> [canary=<bundle>]: the Deployments, the route and the policies of one project
training    image=<image> [gpu=true]: the Job that trains it

Renders infra/k8s with `kubectl kustomize`, with project, versions and image on top of the stage's
overlay. image= may have a tag or a digest.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from roadmap.io import command_line
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

FOLDER = Path(__file__).parent / "k8s"
STAGES = ("staging", "production")
IMAGE = re.compile(
    r"(?P<newName>[\w./-]+(?::\d+/[\w./-]+)?)(?::(?P<newTag>[\w.-]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)

Manifest = JsonObject


class ManifestError(UsageError):
    """An invalid option; the message is one line."""


def serving(project: str, stage: str, image: str, version: str, canary: str | None = None) -> list[Manifest]:
    """The serving objects of a project. `canary` is the version of the canary Deployment, which has no replicas.

    Raises:
        ManifestError: an unknown stage, an invalid image or version, or no kubectl.
    """
    prefix = name_prefix(project)
    route = [{"op": "replace", "path": f"/spec/rules/0/matches/{i}/path/value", "value": f"{root}/{project}"}
             for i, root in enumerate(("/models", "/v2/models"))]  # fmt: skip
    route += [{"op": "replace", "path": f"/spec/rules/0/backendRefs/{i}/name", "value": prefix + name}
              for i, name in enumerate(("serving", "serving-canary"))]  # fmt: skip
    patches = [patch({"kind": "HTTPRoute"}, route)]
    for track, bundle in (("stable", version), ("canary", canary or version)):
        if not re.fullmatch(r"[0-9a-f]{12}", bundle):
            raise ManifestError(f"version: found {bundle!r}; expected the twelve hex digits of a bundle")
        values = [{"op": "replace", "path": f"/data/{key}", "value": value}
                  for key, value in (("PROJECT", project), ("VERSION", bundle))]  # fmt: skip
        patches.append(patch({"kind": "ConfigMap", "labelSelector": f"track={track}"}, values))
    return render(project, stage, "roadmap/serving", image, resources=[stage], patches=patches)


def training(project: str, stage: str, image: str, gpu: bool = False) -> list[Manifest]:
    """The training Job of a project, and its objects.

    Raises:
        ManifestError: as for `serving`.
    """
    value = [{"op": "replace", "path": "/data/PROJECT", "value": project}]
    return render(
        project, stage, "roadmap/train", image,
        resources=["training"], components=["gpu"] if gpu else [], namespace=f"roadmap-{stage}",
        patches=[patch({"kind": "ConfigMap"}, value)],
    )  # fmt: skip


def name_prefix(project: str) -> str:
    """The name prefix of a project's objects."""
    return project.replace("_", "-") + "-"


def patch(target: Mapping[str, str], operations: Sequence[Mapping[str, str]]) -> JsonObject:
    """A patch of kustomize: operations of JSON Patch on the objects that match the target."""
    return {"target": target, "patch": json.dumps(operations)}


def render(
    project: str,
    stage: str,
    name: str,
    image: str,
    *,
    resources: Sequence[str],
    patches: Sequence[JsonObject],
    components: Sequence[str] = (),
    namespace: str | None = None,
) -> list[Manifest]:
    """
    Args:
        name: of the image in infra/k8s, which `image` replaces.
        resources: folders of infra/k8s.
        components: also folders of infra/k8s.
        namespace: other than that of the resources.

    Raises:
        ManifestError: as for `serving`.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", project):
        raise ManifestError(f"project: found {project!r}; expected the name of a project, such as mnist")
    if stage not in STAGES:
        raise ManifestError(f"stage: found {stage!r}; allowed: {', '.join(STAGES)}")
    found = IMAGE.fullmatch(image)
    if not found:
        raise ManifestError(f"image: found {image!r}; expected <repository>:<tag> or <repository>@sha256:<digest>")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        laid = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namePrefix": name_prefix(project),
            "labels": [
                {"pairs": {"app.kubernetes.io/instance": project}, "includeSelectors": True, "includeTemplates": True}
            ],
            "images": [{"name": name, **{key: value for key, value in found.groupdict().items() if value}}],
            "resources": [os.path.relpath(FOLDER / one, home) for one in resources],  # not absolute
            "components": [os.path.relpath(FOLDER / one, home) for one in components],
            "patches": list(patches),
            **({"namespace": namespace} if namespace else {}),
        }
        (home / "kustomization.yaml").write_text(yaml.safe_dump(laid))
        try:
            done = subprocess.run(["kubectl", "kustomize", str(home)], capture_output=True, text=True)
        except FileNotFoundError:
            raise ManifestError("found no kubectl, which renders infra/k8s; install 1.27 or newer") from None
    if done.returncode:
        raise ManifestError(f"{FOLDER}: {done.stderr.strip()}")
    manifests: list[Manifest] = list(yaml.safe_load_all(done.stdout))
    for one in manifests:
        if one["kind"] == "Namespace":  # shared by projects
            del one["metadata"]["labels"]["app.kubernetes.io/instance"]
    return manifests


class Workload(command_line.Options):
    project: str = Field(description="whose model")
    stage: str = Field(description=" | ".join(STAGES))
    image: str = Field(description="name, with a tag or a digest")


class ServingWorkload(Workload):
    version: str = Field(description="of the bundle")
    canary: str | None = Field(None, description="bundle version of the canary")


class TrainingWorkload(Workload):
    gpu: bool = Field(False, description="true: on a node with a GPU")


def main(argv: list[str]) -> int:
    def shown(render: Callable[..., list[Manifest]]) -> Callable[[Workload], None]:
        return lambda options: print(yaml.safe_dump_all(render(**options.model_dump()), sort_keys=False), end="")

    commands: dict[str, Any] = {
        "serving": (ServingWorkload, shown(serving)),
        "training": (TrainingWorkload, shown(training)),
    }
    return command_line.run(commands, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
