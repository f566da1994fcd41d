"""The authenticated caller of a request, for routes and logs. keys.py and oidc.py do the authentication."""

from typing import NamedTuple

from starlette.types import Scope

from serving.errors import Refusal, cut


class KeysError(Exception):
    """The key file is unusable; the message names it."""


class Caller(NamedTuple):
    """A caller and its permissions."""

    name: str
    projects: frozenset[str]
    metrics: bool = False

    def may(self, project: str) -> bool:
        """Whether the caller may use this project; "*" allows all."""
        return "*" in self.projects or project in self.projects

    def forbidden(self, project: str) -> str:
        """The detail of the 403."""
        return f"{self.name} may not use {project}; allowed: {', '.join(sorted(self.projects)) or 'none'}"


def caller(scope: Scope) -> Caller | None:
    """None if the server requires neither keys nor tokens."""
    found: Caller | None = scope.get("state", {}).get("caller")
    return found


def require(scope: Scope, project: str) -> None:
    """Authorises a project that the path does not name, but the body or the settings.

    Raises:
        Refusal: 403, the caller may not use this project.
    """
    found = caller(scope)
    if found is not None and not found.may(project):
        raise Refusal(403, found.forbidden(cut(project)))
