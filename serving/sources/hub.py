"""A bundle on Hugging Face, or a hub of its protocol (HF_ENDPOINT): hub://owner/name, @revision if not the newest.

`python -m pipelines.publish` puts it there, into bundle/. HF_TOKEN opens private repositories.
"""

import os
from pathlib import Path
from urllib.parse import quote

from roadmap.bundle import MANIFEST
from roadmap.io.http import HttpError, ask, opened
from serving.sources.base import DiscoveredBundle, SourceError, project
from serving.sources.cache import keep

ENDPOINT, NEWEST = "https://huggingface.co", "main"
SECONDS = 15.0
MOST = 4 * 2**20  # bytes of the manifest, and of what the hub says of a repository


class HubRepository:
    """One repository, in the commit that its revision has at present."""

    def __init__(self, name: str, revision: str, cache: Path) -> None:
        self.name, self.revision, self.cache = name, revision or NEWEST, cache
        self.base = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        self.projects: dict[str, str] = {}  # by commit

    def find(self) -> dict[str, DiscoveredBundle | SourceError]:
        """The bundle by project. Raises: SourceError: no such repository or revision, or no answer."""
        path = f"/api/models/{self.name}/revision/{quote(self.revision, safe='')}"
        try:
            commit = str(ask(self.base + path, headers=self._headers(), seconds=SECONDS, limit=MOST).json()["sha"])
        except HttpError as error:
            raise self._failed(error) from None
        except (ValueError, KeyError, TypeError):
            raise SourceError(
                f"{self._address()}: found no commit in the answer of {self.base}; is it a hub?"
            ) from None
        if commit not in self.projects:
            self.projects = {commit: project(self._read(commit, MANIFEST), self.name.rpartition("/")[2])}
        return {self.projects[commit]: DiscoveredBundle(commit, lambda: self._fetch(commit))}

    def _fetch(self, commit: str) -> Path:
        return keep(
            self.cache,
            f"{self._address()} ({commit[:12]})",
            lambda name: self._read(commit, name),
            lambda name, path: self._save(commit, name, path),
        )

    def _read(self, commit: str, name: str) -> bytes:
        try:
            return ask(self._url(commit, name), headers=self._headers(), seconds=SECONDS, limit=MOST).content
        except HttpError as error:
            raise self._failed(error) from None

    def _save(self, commit: str, name: str, path: Path) -> None:
        try:
            url, headers = self._url(commit, name), self._headers()
            with opened(url, headers=headers, seconds=SECONDS) as got, path.open("wb") as file:
                for chunk in got.iter_content(2**20):
                    file.write(chunk)
        except HttpError as error:
            raise self._failed(error) from None

    def _url(self, commit: str, name: str) -> str:
        return f"{self.base}/{self.name}/resolve/{commit}/{quote(f'bundle/{name}')}"

    def _address(self) -> str:
        return f"hub://{self.name}" + ("" if self.revision == NEWEST else f"@{self.revision}")

    def _headers(self) -> dict[str, str]:
        token = os.environ.get("HF_TOKEN")
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _failed(self, error: HttpError) -> SourceError:
        if error.status in (401, 403):
            return SourceError(f"{self._address()}: {error.status}: no such repository, or a private one; set HF_TOKEN")
        if error.status == 404:
            return SourceError(
                f"{self._address()}: 404: no such repository or revision, or it has no bundle/{MANIFEST}"
            )
        return SourceError(f"{self._address()}: {error}; set HF_ENDPOINT where the hub can't be reached")
