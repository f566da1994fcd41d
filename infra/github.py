"""GitHub's REST API for the workflows: `python -m infra.github <command> [key=value ...]`.

    comment    file=<Markdown> topic=mnist [pr=7] [link=<url>]   writes the pull request's one comment on `topic`
    dispatch   event=drift [project=mnist ...]                   starts the workflows that wait for `event`
    release    tag=v0.1.0 [file=<path> ...]                      creates the tag's release, from CHANGELOG.md

GITHUB_TOKEN, GITHUB_REPOSITORY (owner/name) and GITHUB_API_URL are set by GitHub in workflows. Without pr= it is the
pull request of the event, or the open one of the branch GITHUB_REF_NAME. All commands are idempotent. Exit code 75:
GitHub is unreachable.
"""

import json
import os
import re
import sys
import tomllib
import urllib.parse
from pathlib import Path
from typing import Any

from pydantic import Field

from roadmap.io import command_line, http
from roadmap.io.errors import TEMPORARY, UsageError
from roadmap.io.json import JsonObject

PAUSES = (2.0, 10.0)  # seconds before each retry
LIMIT = 65_536  # GitHub's limit of a comment, in characters


class GitHubError(UsageError):
    """GitHub's error, or a usage error, in one line."""


class Unanswered(GitHubError):
    """A transient failure."""

    code = TEMPORARY


class GitHubRepository:
    """A repository, accessed with the token's permissions."""

    def __init__(self, name: str, token: str, api: str = "https://api.github.com") -> None:
        self.name, self.token, self.api = name, token, api.rstrip("/")

    @classmethod
    def here(cls) -> "GitHubRepository":
        """The repository of the environment's variables.

        Raises:
            GitHubError: one is not set.
        """
        for variable in ("GITHUB_REPOSITORY", "GITHUB_TOKEN"):
            if not os.environ.get(variable):
                raise GitHubError(f"{variable}: not set; GitHub sets it in workflows; set it yourself elsewhere")
        api = os.environ.get("GITHUB_API_URL", "https://api.github.com")
        return cls(os.environ["GITHUB_REPOSITORY"], os.environ["GITHUB_TOKEN"], api)

    def ask(self, path: str, body: object = None, method: str | None = None) -> JsonObject:
        """The response to `path`, relative to the repository or a full address; empty if it has no content.

        Bytes are uploaded as a file.

        Raises:
            Unanswered: GitHub is unreachable or busy.
            GitHubError: GitHub rejects the request.
        """
        return self._ask(path, body, method) or {}

    def items(self, path: str) -> list[JsonObject]:
        """A page of a list.

        Raises: as `ask`.
        """
        return self._ask(path)

    def pages(self, path: str) -> list[JsonObject]:
        """All items of a paginated list.

        Raises: as `ask`.
        """
        found: list[JsonObject] = []
        separator = "&" if "?" in path else "?"
        for page in range(1, 100):
            some = self.items(f"{path}{separator}per_page=100&page={page}")
            found += some
            if len(some) < 100:
                break
        return found

    def _ask(self, path: str, body: object = None, method: str | None = None) -> Any:
        url = path if "://" in path else f"{self.api}/repos/{self.name}{path}"
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        try:
            return http.ask(url, body, method=method, headers=headers, seconds=60, pauses=PAUSES).json()
        except http.HttpError as error:
            raise (Unanswered if error.passing else GitHubError)(str(error)) from None


# ---------------------------------------------------------------- commands


def comment(repository: GitHubRepository, file: str, topic: str, pr: str | None = None, link: str | None = None) -> str:
    """Creates or updates the one comment of a topic, marked by an invisible line.

    Raises:
        GitHubError: the file is too long, or as `pull_request` and `GitHubRepository.ask`.
    """
    number = int(pr) if pr else pull_request(repository)
    if number is None:
        return "no open pull request: nothing to comment on"
    marker = f"<!-- roadmap: {topic} -->"
    plots = [f"[Plots of both side by side]({link})"] if link else []
    body = "\n\n".join([f"{marker}\n{Path(file).read_text().rstrip()}", *plots, f"<sub>{origin()}</sub>"])
    if len(body) > LIMIT:
        raise GitHubError(f"{file}: {len(body)} characters; expected at most {LIMIT}, GitHub's limit")
    comments = repository.pages(f"/issues/{number}/comments")
    ours = next((one for one in comments if (one["body"] or "").startswith(marker)), None)
    if ours:
        made = repository.ask(f"/issues/comments/{ours['id']}", {"body": body}, "PATCH")
    else:
        made = repository.ask(f"/issues/{number}/comments", {"body": body})
    return f"{'updated' if ours else 'created'}: {made['html_url']}"


def pull_request(repository: GitHubRepository) -> int | None:
    """The pull request of the workflow's event, or of the branch.

    Raises:
        GitHubError: neither is known.
    """
    event = os.environ.get("GITHUB_EVENT_PATH")
    happened = json.loads(Path(event).read_text()) if event and Path(event).is_file() else {}
    if number := (happened.get("pull_request") or {}).get("number"):
        return int(number)
    if not (branch := os.environ.get("GITHUB_REF_NAME")):
        raise GitHubError("pr: missing; found none by GITHUB_EVENT_PATH or GITHUB_REF_NAME; give pr=<number>")
    head = urllib.parse.quote(f"{repository.name.partition('/')[0]}:{branch}")
    found = repository.items(f"/pulls?state=open&head={head}")
    return int(found[0]["number"]) if found else None


def origin() -> str:
    """The commit and the run, as Markdown."""
    commit, run = os.environ.get("GITHUB_SHA", "")[:7], os.environ.get("GITHUB_RUN_ID")
    if not run:
        return f"by hand{f', at {commit}' if commit else ''}"
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    return f"[run {run}]({server}/{os.environ['GITHUB_REPOSITORY']}/actions/runs/{run}) at {commit}"


def dispatch(repository: GitHubRepository, event: str, **payload: str) -> str:
    repository.ask("/dispatches", {"event_type": event, "client_payload": payload})
    return f"{event}: dispatched to {repository.name}"


def release(repository: GitHubRepository, tag: str, *files: str) -> str:
    """Creates or completes the release; files of the same name are replaced.

    Raises:
        GitHubError: see `notes`, or a file is missing: then nothing is published.
    """
    body = notes(tag, Path("CHANGELOG.md").read_text(), Path("pyproject.toml").read_text())
    missing = [file for file in files if not Path(file).is_file()]
    if missing:
        raise GitHubError(f"{missing[0]}: missing; nothing was published")
    wanted = {"tag_name": tag, "name": tag, "body": body, "draft": False, "prerelease": "-" in tag}
    present = next((one for one in repository.pages("/releases") if one["tag_name"] == tag), None)
    path, method = (f"/releases/{present['id']}", "PATCH") if present else ("/releases", "POST")
    made = repository.ask(path, wanted, method)
    assets = {one["name"]: one["id"] for one in made.get("assets", [])}
    for file in map(Path, files):
        if file.name in assets:
            repository.ask(f"/releases/assets/{assets[file.name]}", method="DELETE")
        address = made["upload_url"].partition("{")[0]
        repository.ask(f"{address}?name={urllib.parse.quote(file.name)}", file.read_bytes())
    return f"{tag}: {made['html_url']}"


def notes(tag: str, changelog: str, project: str) -> str:
    """The section of the changelog for the tag.

    Raises:
        GitHubError: there is none, or the tag is not the version in pyproject.toml.
    """
    version = tomllib.loads(project)["project"]["version"]
    if tag != f"v{version}":
        raise GitHubError(f"tag: found {tag!r}; expected v{version}, the version in pyproject.toml")
    section = re.search(rf"^## \[?{re.escape(version)}\b[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if section is None:
        raise GitHubError(f"CHANGELOG.md: found no section '## {version}'; rename '## Unreleased' before tagging")
    return section[1].strip()


class Comment(command_line.Options):
    file: str = Field(description="Markdown")
    topic: str = Field(description="one comment each: a project")
    pr: str | None = Field(None, description="number of the pull request")
    link: str | None = Field(None, description="address of the plots, at the end of the comment")


class Dispatch(command_line.OpenOptions):
    event: str = Field(description="event type; other options are its payload")


class Release(command_line.Options):
    tag: str = Field(description="v<version>")
    file: list[str] = Field(default=[], description="a file of the release; may be repeated")


COMMANDS: dict[str, Any] = {
    "comment": (Comment, lambda given: print(comment(GitHubRepository.here(), **given.model_dump()))),
    "dispatch": (Dispatch, lambda given: print(dispatch(GitHubRepository.here(), **given.model_dump()))),
    "release": (Release, lambda given: print(release(GitHubRepository.here(), given.tag, *given.file))),
}


def main(argv: list[str]) -> int:
    return command_line.run(COMMANDS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
