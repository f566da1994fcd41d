"""An image registry for tests: the part of the HTTP API for pushing and pulling, with immutable tags."""

import hashlib
import json
import uuid
from typing import Any

from tests.standins.protocol_server import Reply, Request, Route

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Registry:
    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}  # by repository and digest
        self.tags: dict[tuple[str, str], bytes] = {}  # by repository and tag: the manifest
        self.sent = 0  # bytes of uploaded blobs
        self.breaks: list[str] = []  # "blob" or "manifest": rejected next
        self.routes: list[Route] = [
            ("GET", r"/v2/(.+)/manifests/(.+)", self.pull),
            ("PUT", r"/v2/(.+)/manifests/(.+)", self.tag),
            ("HEAD", r"/v2/(.+)/blobs/(sha256:.+)", self.blob),
            ("GET", r"/v2/(.+)/blobs/(sha256:.+)", self.blob),
            ("POST", r"/v2/(.+)/blobs/uploads/", self.begin),
            ("PUT", r"/v2/(.+)/blobs/uploads/(.+)", self.end),
        ]

    def pull(self, request: Request, name: str, tag: str) -> Reply:
        found = self.tags.get((name, tag))
        return (
            Reply(200, found, Content_Type=DOCKER) if found else Reply(404, {"errors": [{"code": "MANIFEST_UNKNOWN"}]})
        )

    def tag(self, request: Request, name: str, tag: str) -> Reply:
        if "manifest" in self.breaks:
            self.breaks.remove("manifest")
            return Reply(503, {"errors": [{"code": "UNAVAILABLE"}]})
        content = json.loads(request.body)
        for one in (content["config"], *content["layers"]):
            if (name, one["digest"]) not in self.blobs:
                return Reply(400, {"errors": [{"code": "BLOB_UNKNOWN", "detail": one["digest"]}]})
        if (name, tag) in self.tags:
            return Reply(400, {"errors": [{"code": "TAG_INVALID", "message": "immutable"}]})
        self.tags[name, tag] = request.body
        return Reply(201, b"", Docker_Content_Digest=digest(request.body))

    def blob(self, request: Request, name: str, wanted: str) -> Reply:
        found = self.blobs.get((name, wanted))
        return Reply(404, {"errors": [{"code": "BLOB_UNKNOWN"}]}) if found is None else Reply(200, found)

    def begin(self, request: Request, name: str) -> Reply:
        mount, source = request.query.get("mount"), request.query.get("from")
        if mount and (str(source), mount) in self.blobs:
            self.blobs[name, mount] = self.blobs[str(source), mount]
            return Reply(201)
        return Reply(202, b"", Location=f"/v2/{name}/blobs/uploads/{uuid.uuid4()}")

    def end(self, request: Request, name: str, upload: str) -> Reply:
        if "blob" in self.breaks:
            self.breaks.remove("blob")
            return Reply(503, {"errors": [{"code": "UNAVAILABLE"}]})
        if digest(request.body) != request.query["digest"]:
            return Reply(400, {"errors": [{"code": "DIGEST_INVALID"}]})
        self.blobs[name, request.query["digest"]] = request.body
        self.sent += len(request.body)
        return Reply(201)

    def put(self, name: str, tag: str, layers: list[bytes]) -> None:
        """Adds an image. `layers`: gzipped archives."""
        config = json.dumps(
            {"config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:0"] * len(layers)}}
        ).encode()
        for content in (config, *layers):
            self.blobs[name, digest(content)] = content
        about: dict[str, Any] = {"schemaVersion": 2, "mediaType": DOCKER}
        about["config"] = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config)}
        about["config"]["digest"] = digest(config)
        kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        about["layers"] = [{"mediaType": kind, "size": len(one), "digest": digest(one)} for one in layers]
        self.tags[name, tag] = json.dumps(about).encode()
