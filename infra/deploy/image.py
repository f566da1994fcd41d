"""Adds a layer to an image in a registry over its HTTP API, without a Docker engine.

https://distribution.github.io/distribution/spec/api/ ; manifests of Docker (v2, schema 2) and OCI.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from infra.deploy.target import DeployError
from roadmap.io.errors import TEMPORARY, USAGE
from roadmap.io.http import HttpError, ask, basic
from roadmap.io.json import JsonObject

DOCKER, OCI = "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"
LAYERS = {
    DOCKER: "application/vnd.docker.image.rootfs.diff.tar.gzip",
    OCI: "application/vnd.oci.image.layer.v1.tar+gzip",
}
SECONDS = 60.0


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class ImageRepository:
    """`address`: https://<registry>/<name>; `user`: name:password for basic authentication, as from ECR."""

    address: str
    user: str | None = None

    @property
    def api(self) -> str:
        parts = urlsplit(self.address)
        return f"{parts.scheme}://{parts.netloc}/v2{parts.path}"

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, absent: bool = False, **headers: str
    ) -> tuple[Mapping[str, str], bytes] | None:
        """Headers and content of the response; None for a 404 if `absent` allows it.

        Raises:
            DeployError: the registry is unreachable or refuses; TEMPORARY if a retry may succeed.
        """
        url = path if "://" in path else f"{self.api}/{path}"
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        if (
            self.user and urlsplit(url).netloc == urlsplit(self.api).netloc
        ):  # no credentials for storage on another host
            sent |= basic(*self.user.split(":", 1))
        try:
            answer = ask(url, body, method=method, headers=sent, seconds=SECONDS)
        except HttpError as error:
            if error.status == 404 and absent:
                return None
            if error.status is None:
                raise DeployError(f"{error}; run the same command to resume", TEMPORARY) from None
            raise DeployError(str(error), TEMPORARY if error.passing else USAGE) from None
        return answer.headers, answer.content

    def manifest(self, tag: str) -> tuple[JsonObject, str] | None:
        """The image's manifest and its media type; None if there is no such tag.

        Raises:
            DeployError: as `ask`, or it is a list of manifests, one for each platform.
        """
        found = self.ask("GET", f"manifests/{tag}", absent=True, Accept=f"{OCI}, {DOCKER}")
        if found is None:
            return None
        content = json.loads(found[1])
        kind = content.get("mediaType") or found[0].get("Content-Type", "").partition(";")[0].strip()
        if kind not in LAYERS:
            raise DeployError(f"{self.address}:{tag}: found a {kind}; expected a single-platform image")
        return content, kind

    def blob(self, name: str) -> bytes:
        """The content of a blob, by its digest.

        Raises:
            DeployError: as `ask`, or the content has another digest.
        """
        found = self.ask("GET", f"blobs/{name}")
        assert found is not None
        if digest(found[1]) != name:
            raise DeployError(f"{self.address}: blob {name}: damaged in transfer; retry", TEMPORARY)
        return found[1]

    def push(self, content: bytes) -> str:
        """Uploads a blob unless it exists."""
        name = digest(content)
        if self.ask("HEAD", f"blobs/{name}", absent=True) is None:
            started = self.ask("POST", "blobs/uploads/", b"")
            assert started is not None
            place = urljoin(f"{self.api}/", started[0]["Location"])
            place += f"{'&' if '?' in place else '?'}digest={name}"
            self.ask("PUT", place, content, Content_Type="application/octet-stream")
        return name

    def mount(self, name: str, source: "ImageRepository") -> None:
        """Mounts a blob of another repository of the registry, or copies it."""
        if self.ask("HEAD", f"blobs/{name}", absent=True) is not None:
            return
        other = urlsplit(source.address).path.lstrip("/")
        answer = self.ask("POST", f"blobs/uploads/?mount={name}&from={other}", b"")
        if answer is not None and self.ask("HEAD", f"blobs/{name}", absent=True) is None:
            self.push(source.blob(name))


def layered(base: ImageRepository, tag: str, to: ImageRepository, name: str, layer: bytes, command: list[str]) -> str:
    """Pushes `base:tag` plus a layer as `to:name`; returns the digest. `layer` is an uncompressed archive.

    The tag is written last, so an interrupted push leaves none and can be repeated.

    Raises:
        DeployError: there is no image `base:tag`, or the registry is unreachable or refuses.
    """
    from infra.deploy.package import packed

    found = base.manifest(tag)
    if found is None:
        raise DeployError(f"{base.address}: found no image {tag!r}; push the serving image first")
    manifest, kind = found
    config = json.loads(base.blob(manifest["config"]["digest"]))
    small = packed(layer)
    config["rootfs"]["diff_ids"] = [*config["rootfs"]["diff_ids"], digest(layer)]
    config["history"] = [*config.get("history", ()), {"created_by": "infra.deploy: a bundle"}]
    config["config"]["Cmd"] = command
    content = json.dumps(config, sort_keys=True).encode()
    for one in manifest["layers"]:
        to.mount(one["digest"], base)
    added = {"mediaType": LAYERS[kind], "size": len(small), "digest": to.push(small)}
    about = {**manifest["config"], "size": len(content), "digest": to.push(content)}
    image = json.dumps({**manifest, "config": about, "layers": [*manifest["layers"], added]}, sort_keys=True).encode()
    if to.manifest(name) is None:  # tags never move
        to.ask("PUT", f"manifests/{name}", image, Content_Type=kind)
    return digest(image)
