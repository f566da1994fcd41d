"""A hub that takes uploads: the part of Hugging Face's HTTP API that creates repositories, commits and serves them."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.standins.protocol_server import Reply, Request, Route, running

TOKEN = "hf_stand_in"
LARGE = (".onnx", ".safetensors")  # stored as large files


class WritableHub:
    """Repositories by name: their commits, the newest last, each the files of the whole repository."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.private: set[str] = set()
        self.large: dict[str, bytes] = {}  # by sha256
        self.faults: list[Reply] = []
        self.base = ""
        model = r"/api/models/([^/]+/[^/]+)"
        self.routes: list[Route] = [
            ("POST", r"/api/repos/create", self.create),
            ("POST", r"/api/validate-yaml", self.validate),
            ("GET", model + r"/tree/([^/]+)", self.tree),
            ("GET", model + r"/revision/(.+)", self.info),
            ("POST", model + r"/preupload/([^/]+)", self.preupload),
            ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self.batch),
            ("PUT", r"/large/(\w+)", self.put),
            ("POST", model + r"/commit/([^/]+)", self.commit),
            ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.content),
        ]

    @contextmanager
    def running(self) -> Iterator[str]:
        with running(self.routes, self.faults) as self.base:
            yield self.base

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        commits = self.repositories.get(name)
        if commits is None:
            raise Reply(401, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        return commits[self.sha(name, revision)]

    def sha(self, name: str, revision: str) -> str:
        commits = self.repositories[name]
        found = list(commits)[-1] if revision == "main" else revision
        if found not in commits:
            raise Reply(404, {"error": "Revision not found"}, X_Error_Code="RevisionNotFound")
        return found

    def create(self, request: Request) -> Reply:
        self.authorised(request)
        asked = request.json()
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repositories:
            raise Reply(409, {"error": "You already created this model repo", "url": f"{self.base}/{name}"})
        self.repositories[name] = {"0" * 40: {".gitattributes": b"*.onnx filter=lfs\n"}}
        if asked.get("private") or asked.get("visibility") == "private":
            self.private.add(name)
        return Reply(200, {"url": f"{self.base}/{name}", "name": name})

    def validate(self, request: Request) -> Reply:
        assert request.json()["content"].startswith("---\n"), "a model card has a header"
        return Reply(200, {"errors": [], "warnings": []})

    def tree(self, request: Request, name: str, revision: str) -> Reply:
        return Reply(200, [self.entry(path, content) for path, content in self.files(name, revision).items()])

    def entry(self, path: str, content: bytes) -> dict[str, object]:
        large = {"lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}}
        return {
            "type": "file",
            "path": path,
            "oid": "0" * 40,
            "size": len(content),
            **(large if path.endswith(LARGE) else {}),
        }

    def info(self, request: Request, name: str, revision: str) -> Reply:
        if name in self.private:
            self.authorised(request)
        self.files(name)
        return Reply(200, {"id": name, "sha": self.sha(name, revision)})

    def preupload(self, request: Request, name: str, revision: str) -> Reply:
        files = request.json()["files"]
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in files
        ]
        return Reply(200, {"files": modes})

    def batch(self, request: Request, name: str) -> Reply:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.base}/large/{each['oid']}"}}}
            for each in request.json()["objects"]
        ]
        return Reply(200, {"transfer": "basic", "objects": objects})

    def put(self, request: Request, oid: str) -> Reply:
        assert hashlib.sha256(request.body).hexdigest() == oid
        self.large[oid] = request.body
        return Reply(200)

    def commit(self, request: Request, name: str, revision: str) -> Reply:
        self.authorised(request)
        files = dict(self.files(name))
        for line in map(json.loads, request.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = hashlib.sha1(request.body).hexdigest()
        self.repositories[name][sha] = files
        return Reply(200, {"success": True, "commitUrl": f"{self.base}/{name}/commit/{sha}", "commitOid": sha})

    def content(self, request: Request, name: str, revision: str, path: str) -> Reply:
        if name in self.private:
            self.authorised(request)
        files = self.files(name, revision)
        if path not in files:
            raise Reply(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
        return Reply(200, files[path])

    def authorised(self, request: Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Reply(401, {"error": "Invalid credentials"})
