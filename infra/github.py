"""What the workflows ask of GitHub's REST API: `python -m infra.github <command> [key=value ...]`.

    comment    file=<Markdown> topic=mnist [pr=7] [link=<url>]   the pull request's one comment on `topic`
    dispatch   event=drift [project=mnist ...]                   starts the workflows that wait for `event`
    release    tag=v0.1.0 [file=<path> ...]                      a tag's release: its section of CHANGELOG.md, and files

GITHUB_TOKEN, GITHUB_REPOSITORY (owner/name) and GITHUB_API_URL are as GitHub sets them in a workflow. Without pr= it is
the pull request of the event, or the open one of the branch GITHUB_REF_NAME. All are safe to repeat. Exit code 75:
GitHub did not answer.
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

PAUSES = (2.0, 10.0)  # seconds before each further try
LIMIT = 65_536  # characters that GitHub takes in a comment


class GitHubError(UsageError):
    """What GitHub said, or what the caller left out, in one line."""


class Unanswered(GitHubError):
    """It may pass by itself."""

    code = TEMPORARY


class GitHubRepository:
    """One repository, with the token's permissions."""

    def __init__(self, name: str, token: str, api: str = "https://api.github.com") -> None:
        self.name, self.token, self.api = name, token, api.rstrip("/")

    @classmethod
    def here(cls) -> "GitHubRepository":
        for variable in ("GITHUB_REPOSITORY", "GITHUB_TOKEN"):
            if not os.environ.get(variable):
                raise GitHubError(f"{variable}: is not set; in a workflow GitHub has it, elsewhere set it yourself")
        api = os.environ.get("GITHUB_API_URL", "https://api.github.com")
        return cls(os.environ["GITHUB_REPOSITORY"], os.environ["GITHUB_TOKEN"], api)

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """What GitHub answers to `path`, which is below the repository or a whole address. Bytes are sent as a file.

        Raises:
            Unanswered: nobody answers, or GitHub says that it is too busy.
            GitHubError: it refuses, in its own words.
        """
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

    def pages(self, path: str) -> list[Any]:
        """All of a list that comes a hundred at a time."""
        found: list[Any] = []
        separator = "&" if "?" in path else "?"
        for page in range(1, 100):
            some = self.ask(f"{path}{separator}per_page=100&page={page}")
            found += some
            if len(some) < 100:
                break
        return found


# ---------------------------------------------------------------- commands


def comment(repository: GitHubRepository, file: str, topic: str, pr: str | None = None, link: str | None = None) -> str:
    """One comment per topic, recognised by a line that nobody sees; a new one only where there is none."""
    number = int(pr) if pr else pull_request(repository)
    if number is None:
        return "no open pull request: nothing to comment on"
    marker = f"<!-- roadmap: {topic} -->"
    plots = [f"[Plots of both side by side]({link})"] if link else []
    body = "\n\n".join([f"{marker}\n{Path(file).read_text().rstrip()}", *plots, f"<sub>{origin()}</sub>"])
    if len(body) > LIMIT:
        raise GitHubError(f"{file}: {len(body)} characters are more than the {LIMIT} that GitHub takes")
    comments = repository.pages(f"/issues/{number}/comments")
    ours = next((one for one in comments if (one["body"] or "").startswith(marker)), None)
    if ours:
        made = repository.ask(f"/issues/comments/{ours['id']}", {"body": body}, "PATCH")
    else:
        made = repository.ask(f"/issues/{number}/comments", {"body": body})
    return f"{'renewed' if ours else 'written'}: {made['html_url']}"


def pull_request(repository: GitHubRepository) -> int | None:
    """Of the event that started the workflow, or of the branch."""
    event = os.environ.get("GITHUB_EVENT_PATH")
    happened = json.loads(Path(event).read_text()) if event and Path(event).is_file() else {}
    if number := (happened.get("pull_request") or {}).get("number"):
        return int(number)
    if not (branch := os.environ.get("GITHUB_REF_NAME")):
        raise GitHubError("pr: is not given, and neither GITHUB_EVENT_PATH nor GITHUB_REF_NAME says which it is")
    head = urllib.parse.quote(f"{repository.name.partition('/')[0]}:{branch}")
    found = repository.ask(f"/pulls?state=open&head={head}")
    return int(found[0]["number"]) if found else None


def origin() -> str:
    """Which commit and which run."""
    commit, run = os.environ.get("GITHUB_SHA", "")[:7], os.environ.get("GITHUB_RUN_ID")
    if not run:
        return f"by hand{f', at {commit}' if commit else ''}"
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    return f"[run {run}]({server}/{os.environ['GITHUB_REPOSITORY']}/actions/runs/{run}) at {commit}"


def dispatch(repository: GitHubRepository, event: str, **payload: str) -> str:
    repository.ask("/dispatches", {"event_type": event, "client_payload": payload})
    return f"{event}: {repository.name} was told"


def release(repository: GitHubRepository, tag: str, *files: str) -> str:
    """Makes or completes the release; a file of the same name is replaced.

    Raises:
        GitHubError: see `notes`, or a file is missing: then nothing is published.
    """
    body = notes(tag, Path("CHANGELOG.md").read_text(), Path("pyproject.toml").read_text())
    missing = [file for file in files if not Path(file).is_file()]
    if missing:
        raise GitHubError(f"{missing[0]}: is not there; nothing has been published")
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
    """The section of the changelog that is named like the tag.

    Raises:
        GitHubError: there is none, or the tag is not the version in pyproject.toml.
    """
    version = tomllib.loads(project)["project"]["version"]
    if tag != f"v{version}":
        raise GitHubError(f"tag: found {tag!r}; pyproject.toml has version {version}, whose tag is v{version}")
    section = re.search(rf"^## \[?{re.escape(version)}\b[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if section is None:
        raise GitHubError(f"CHANGELOG.md: has no section '## {version}'; rename '## Unreleased' before tagging")
    return section[1].strip()


class Comment(command_line.Options):
    file: str = Field(description="Markdown")
    topic: str = Field(description="one comment each: a project")
    pr: str | None = Field(None, description="number of the pull request")
    link: str | None = Field(None, description="address that the comment ends with")


class Dispatch(command_line.OpenOptions):
    event: str = Field(description="which workflows wait for; other options are its payload")


class Release(command_line.Options):
    tag: str = Field(description="v<version>")
    file: list[str] = Field(default=[], description="a file of the release, may come several times")


COMMANDS: dict[str, Any] = {
    "comment": (Comment, lambda given: print(comment(GitHubRepository.here(), **given.model_dump()))),
    "dispatch": (Dispatch, lambda given: print(dispatch(GitHubRepository.here(), **given.model_dump()))),
    "release": (Release, lambda given: print(release(GitHubRepository.here(), given.tag, *given.file))),
}


def main(argv: list[str]) -> int:
    return command_line.run(COMMANDS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
