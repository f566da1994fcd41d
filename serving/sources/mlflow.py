"""Reads MLflow's registry, from a server (REST API 2.0) or from the SQLite file of a local store."""

import base64
import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlencode, urlsplit

from roadmap.io.http import HttpError, opened
from serving.sources.base import SourceError

if TYPE_CHECKING:
    from requests import Response

SECONDS = 5.0  # timeout of a response and of each chunk of a file


class Unreachable(SourceError):
    """The store is unreachable; further queries would fail too."""


class Version(NamedTuple):
    name: str
    number: str
    created: int  # distinguishes versions with the same number after the model was deleted and registered again

    def __str__(self) -> str:
        return f"models:/{self.name}/{self.number}"


class MlflowDatabase:
    """MLflow's tables, read only. They are internal to MLflow, but these columns are the core of its registry."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def version(self, name: str, alias: str, number: str) -> Version:
        """Raises: SourceError: there is none."""
        if not alias:
            chosen, what = (
                self._rows(
                    "WHERE v.name = ? AND v.version = ? AND v.current_stage != 'Deleted_Internal'", name, int(number)
                ),
                f"version {number}",
            )
        else:
            chosen, what = self._aliased("WHERE v.name = ? AND a.alias = ?", name, alias), f"alias {alias!r}"
        if not chosen:
            raise SourceError(f"{self.file}: no model {name!r} with {what}")
        return chosen[0]

    def having(self, alias: str) -> list[Version]:
        """The version with this alias of every model."""
        return self._aliased("WHERE a.alias = ?", alias)

    def location(self, version: Version) -> str:
        """The location of its artifacts, a URI or a path. Raises: SourceError."""
        where = "SELECT COALESCE(storage_location, source) FROM model_versions WHERE name = ? AND version = ?"
        found = self._query(where, version.name, int(version.number))
        if not found:
            raise SourceError(f"{self.file}: {version} has been deleted")
        return str(found[0][0])

    def tags(self, version: Version) -> dict[str, str]:
        """The tags of a version. Raises: SourceError."""
        where = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"
        return dict(self._query(where, version.name, int(version.number)))

    def _aliased(self, where: str, *values: Any) -> list[Version]:
        return self._rows(
            f"JOIN registered_model_aliases a ON a.name = v.name AND a.version = v.version {where}", *values
        )

    def _rows(self, where: str, *values: Any) -> list[Version]:
        select = f"SELECT v.name, v.version, v.creation_time FROM model_versions v {where}"
        return [Version(name, str(number), created) for name, number, created in self._query(select, *values)]

    def _query(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        if not self.file.is_file():
            hint = "create it with `make run`, or set MLFLOW_TRACKING_URI to another store"
            raise Unreachable(f"{self.file.absolute()}: no such MLflow store; {hint}")
        address = f"file:{quote(str(self.file.absolute()))}?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(address, uri=True, timeout=SECONDS)) as database:
                return database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise Unreachable(f"{self.file.absolute()}: not an MLflow store ({error})") from None


class MlflowServer:
    """An MLflow server. MLFLOW_TRACKING_TOKEN, or _USERNAME and _PASSWORD, or its address have the credentials."""

    def __init__(self, uri: str) -> None:
        address = urlsplit(uri)
        self.uri = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl().rstrip("/")
        user = os.environ.get("MLFLOW_TRACKING_USERNAME") or unquote(address.username or "")
        password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or unquote(address.password or "")
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        self.authorization = f"Bearer {token}" if token else None
        if user:
            self.authorization = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    def version(self, name: str, alias: str, number: str) -> Version:
        """Raises: SourceError: there is none; Unreachable."""
        if alias:
            found = self._api("registered-models/alias", name=name, alias=alias)
        else:
            found = self._api("model-versions/get", name=name, version=number)
        one = found["model_version"]
        return Version(one["name"], str(one["version"]), int(one["creation_timestamp"]))

    def having(self, alias: str) -> list[Version]:
        """The version with this alias of every model. Raises: SourceError."""
        versions, token = [], None
        while token != "":
            page = self._api("registered-models/search", max_results="1000", **({"page_token": token} if token else {}))
            for model in page.get("registered_models", ()):
                versions += [
                    Version(model["name"], str(one["version"]), int(model["creation_timestamp"]))
                    for one in model.get("aliases", ())
                    if one["alias"] == alias
                ]
            token = page.get("next_page_token", "")
        return versions

    def location(self, version: Version) -> str:
        """The location of its artifacts, a URI. Raises: SourceError."""
        answer = self._api("model-versions/get-download-uri", name=version.name, version=version.number)
        return str(answer["artifact_uri"])

    def tags(self, version: Version) -> dict[str, str]:
        """The tags of a version. Raises: SourceError."""
        found = self._api("model-versions/get", name=version.name, version=version.number)["model_version"]
        return {one["key"]: one["value"] for one in found.get("tags", ())}

    def files(self, path: str) -> list[str]:
        """The names in a folder of the artifacts that the server serves."""
        with self._open(f"/api/2.0/mlflow-artifacts/artifacts?{urlencode({'path': path})}", path) as answer:
            return [file["path"] for file in answer.json().get("files", ())]

    def read(self, path: str) -> bytes:
        """A file of the artifacts. Raises: SourceError."""
        with self._open(f"/api/2.0/mlflow-artifacts/artifacts/{quote(path)}", path) as answer:
            return bytes(answer.content)

    def save(self, path: str, to: Path) -> None:
        """A file of the artifacts, to a path. Raises: SourceError."""
        with self._open(f"/api/2.0/mlflow-artifacts/artifacts/{quote(path)}", path) as answer, to.open("wb") as file:
            for piece in answer.iter_content(1 << 20):
                file.write(piece)

    def _api(self, what: str, **question: str) -> dict[str, Any]:
        about = " ".join(f"{key} {value!r}" for key, value in question.items())
        with self._open(f"/api/2.0/mlflow/{what}?{urlencode(question)}", about) as answer:
            return dict(answer.json())

    @contextlib.contextmanager
    def _open(self, path: str, about: str) -> Iterator["Response"]:
        """The response to a GET; errors become SourceErrors."""
        headers = {"Authorization": self.authorization} if self.authorization else {}
        try:
            with opened(self.uri + path, headers=headers, seconds=SECONDS) as answer:
                yield answer
        except HttpError as error:
            if error.status is None:
                raise Unreachable(f"MLflow at {self.uri}: no response ({error.detail})") from None
            if error.status in (401, 403):
                who = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
                raise SourceError(f"MLflow at {self.uri}: {about}: not permitted ({error.status}); set {who}") from None
            raise SourceError(f"MLflow at {self.uri}: {about}: {error_message(error)}") from None
        except ValueError:
            raise SourceError(
                f"MLflow at {self.uri}: {about}: the response is not JSON; expected an MLflow server"
            ) from None


def error_message(error: HttpError) -> str:
    """MLflow's own message, if any."""
    try:
        return str(json.loads(error.detail)["message"]).splitlines()[0][:300]
    except (ValueError, KeyError, TypeError, IndexError):
        return f"{error.status} {error.detail}".strip()
