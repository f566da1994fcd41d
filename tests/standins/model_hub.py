"""A hub of models for tests: the part of Hugging Face's and ModelScope's HTTP APIs that lists and serves files."""

import hashlib

from tests.standins.protocol_server import Reply, Request, Route


class Hub:
    """
    Args:
        files: of the one model, by name; the weights are stored as large files, with a checksum.
    """

    NAME = "someone/tiny-bert"

    def __init__(self, files: dict[str, bytes], revision: str) -> None:
        self.files, self.revision = files, revision
        self.asked: list[str] = []
        self.stated: dict[str, str] = {}  # other checksums than the right ones
        self.routes: list[Route] = [
            ("GET", r"/api/models/(.+)/tree/(.+)", self.tree),
            ("GET", r"/api/v1/models/(.+)/repo/files", self.listing),
            *((method, r"/(?:models/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.content) for method in ("GET", "HEAD")),
        ]

    def sha256(self, name: str) -> str:
        return self.stated.get(name) or hashlib.sha256(self.files[name]).hexdigest()

    def tree(self, request: Request, name: str, revision: str) -> Reply:
        self.check(name, revision)
        return Reply(
            200,
            [
                {"type": "file", "path": path, "oid": "0" * 40}
                | ({"lfs": {"oid": self.sha256(path)}} if path.endswith("safetensors") else {})
                for path in self.files
            ],
        )

    def listing(self, request: Request, name: str) -> Reply:
        self.check(name, request.query["Revision"])
        files = [{"Path": path, "Sha256": self.sha256(path), "Type": "blob"} for path in self.files]
        return Reply(200, {"Code": 200, "Data": {"Files": files}})

    def content(self, request: Request, name: str, revision: str, path: str) -> Reply:
        self.check(name, revision)
        if path not in self.files:
            raise Reply(404, {"error": "Entry not found"})
        if request.method == "GET":
            self.asked.append(path)
        return Reply(200, self.files[path])

    def check(self, name: str, revision: str) -> None:
        if name != self.NAME:
            raise Reply(401, {"error": "Repository not found"})
        if revision != self.revision:
            raise Reply(404, {"error": "Revision not found"})
