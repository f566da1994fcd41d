"""The part of GitHub's REST API that infra.github uses, with state: pull requests, comments, releases, dispatches.

Shapes and status codes are those of GitHub's own description of the API (version 2022-11-28).
"""

import itertools
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token"
NAME = "octo/roadmap"


class GitHub:
    """Start with `with GitHub() as github`; the first `fail` requests get 502."""

    def __init__(self) -> None:
        self.pulls: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.releases: list[dict[str, Any]] = []
        self.dispatched: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.fail = 0
        self.ids = itertools.count(1)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "GitHub":
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def env(self, **more: str) -> dict[str, str]:
        return {"GITHUB_API_URL": self.url, "GITHUB_REPOSITORY": NAME, "GITHUB_TOKEN": TOKEN, **more}

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        sent = json.loads(body) if body and "name" not in query else {}
        found = re.fullmatch(rf"/repos/{NAME}(/.*)", path)
        rest = found[1] if found else ""
        page, size = int(query.get("page", 1)), int(query.get("per_page", 30))
        window = slice((page - 1) * size, page * size)
        if (method, rest) == ("GET", "/pulls"):
            return 200, [one for one in self.pulls if one["head"] == query["head"]]
        if (method, rest) == ("POST", "/dispatches"):
            self.dispatched.append(sent)
            return 204, None
        if number := re.fullmatch(r"/issues/(\d+)/comments", rest):
            if method == "GET":
                return 200, [one for one in self.comments if one["issue"] == int(number[1])][window]
            made = {"id": next(self.ids), "issue": int(number[1]), **sent}
            made["html_url"] = f"https://github.example/{NAME}/pull/{number[1]}#issuecomment-{made['id']}"
            self.comments.append(made)
            return 201, made
        if number := re.fullmatch(r"/issues/comments/(\d+)", rest):
            comment = next(one for one in self.comments if one["id"] == int(number[1]))
            comment.update(sent)
            return 200, comment
        return self.release(method, rest, query, sent, body, window)

    def release(
        self, method: str, rest: str, query: dict[str, str], sent: Any, body: bytes, window: slice
    ) -> tuple[int, Any]:
        if rest == "/releases" and method == "GET":
            return 200, self.releases[window]
        if rest == "/releases":
            if any(one["tag_name"] == sent["tag_name"] for one in self.releases):
                return 422, {"message": "Validation Failed", "errors": [{"code": "already_exists"}]}
            made = {"id": next(self.ids), "assets": [], **sent}
            made["upload_url"] = f"{self.url}/repos/{NAME}/releases/{made['id']}/assets{{?name,label}}"
            made["html_url"] = f"https://github.example/{NAME}/releases/tag/{sent['tag_name']}"
            self.releases.append(made)
            return 201, made
        if number := re.fullmatch(r"/releases/(\d+)(/assets)?", rest):
            one = next(one for one in self.releases if one["id"] == int(number[1]))
            if not number[2]:
                one.update(sent)
                return 200, one
            if any(asset["name"] == query["name"] for asset in one["assets"]):
                return 422, {"message": "Validation Failed", "errors": [{"code": "already_exists"}]}
            one["assets"].append({"id": next(self.ids), "name": query["name"], "content": body.decode()})
            return 201, one["assets"][-1]
        if number := re.fullmatch(r"/releases/assets/(\d+)", rest):
            for one in self.releases:
                one["assets"] = [asset for asset in one["assets"] if asset["id"] != int(number[1])]
            return 204, None
        return 404, {"message": "Not Found"}

    def handler(github: Any) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def reply(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                github.requests.append(f"{self.command} {parts.path}")
                if github.fail:
                    github.fail -= 1
                    status, content = 502, {"message": "Server Error"}
                elif self.headers["Authorization"] != f"Bearer {TOKEN}":
                    status, content = 401, {"message": "Bad credentials"}
                else:
                    status, content = github.answer(self.command, parts.path, query, body)
                data = b"" if content is None else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = reply

            def log_message(self, *_: object) -> None:
                pass

        return Handler
