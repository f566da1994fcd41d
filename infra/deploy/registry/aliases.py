"""A project's aliases in MLflow's registry, over its REST API. Servers follow `staging`, `production` and `canary`."""

from collections.abc import Callable
from urllib.parse import quote

from infra.deploy.registry.rollback import move_tag
from infra.deploy.target import DeployError
from roadmap.io.errors import TEMPORARY, USAGE
from roadmap.io.http import HttpError, ask
from roadmap.io.json import JsonObject
from serving.sources.mlflow import MlflowServer
from serving.sources.registry import SHARE

CANARY = "canary"  # alias of the version that is being rolled out

Api = Callable[[str, object, str | None], JsonObject]  # path, body, method -> the response


class AliasNotFound(DeployError):
    """No such model or alias in MLflow."""


class Aliases:
    def __init__(self, api: Api, project: str) -> None:
        self.api, self.project = api, project

    def at(self, alias: str) -> str | None:
        """The registered version with the alias."""
        try:
            found = self.api(f"registered-models/alias?name={quote(self.project)}&alias={alias}", None, None)
        except AliasNotFound:
            return None
        return str(found["model_version"]["version"])

    def number(self, version: str) -> str:
        """The newest registered version with this bundle.

        Raises:
            DeployError: there is none.
        """
        where = quote(f"name='{self.project}' and tags.bundle='{version}'")
        found = self.api(f"model-versions/search?filter={where}", None, None).get("model_versions", [])
        if not found:
            raise DeployError(f"{self.project}: found no bundle {version} in this platform's registry")
        return str(max(int(one["version"]) for one in found))

    def point(self, alias: str, number: str | None) -> None:
        """Moves the alias to a version, or removes it, with an entry in the promotion log."""
        if number == (before := self.at(alias)):
            return
        body = {"name": self.project, "alias": alias}
        if number is None:
            self.api("registered-models/alias", body, "DELETE")
        else:
            self.api("registered-models/alias", {**body, "version": number}, None)
        self.api("registered-models/set-tag", {"name": self.project, **move_tag(alias, number, before)}, None)

    def share(self, number: str, share: float) -> None:
        """Sets the fraction of callers routed to this version as canary."""
        body = {"name": self.project, "version": number, "key": SHARE, "value": repr(share)}
        self.api("model-versions/set-tag", body, None)


def over_http(uri: str) -> Api:
    """The MLflow server at `uri`. Its calls raise AliasNotFound for an unknown model or alias, else DeployError."""
    server = MlflowServer(uri)

    def api(what: str, body: object, method: str | None) -> JsonObject:
        headers = {"Authorization": server.authorization} if server.authorization else {}
        try:
            return dict(ask(f"{server.uri}/api/2.0/mlflow/{what}", body, method=method, headers=headers).json())
        except HttpError as error:
            raise alias_error(f"MLflow at {server.uri}", error) from None

    return api


def alias_error(where: str, error: HttpError) -> DeployError:
    if "RESOURCE_DOES_NOT_EXIST" in error.detail or "Registered model alias" in error.detail:
        return AliasNotFound(f"{where}: {error.detail}")
    return DeployError(f"{where}: {error}", TEMPORARY if error.passing else USAGE)
