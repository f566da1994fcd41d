"""Whoever asks, as routes and logs need to know it. How they prove who they are: keys, oidc."""

from typing import NamedTuple

from starlette.types import Scope

from serving.errors import Refusal, cut


class KeysError(Exception):
    """A file of keys that can't be used; the message names it."""


class Caller(NamedTuple):
    """Who asks, and for what they may ask."""

    name: str
    projects: frozenset[str]
    metrics: bool = False

    def may(self, project: str) -> bool:
        """Whether this project is one of the caller's; "*" stands for all."""
        return "*" in self.projects or project in self.projects

    def forbidden(self, project: str) -> str:
        """The detail of the 403."""
        return f"{self.name} may not use {project}; allowed: {', '.join(sorted(self.projects)) or 'none'}"


def caller(scope: Scope) -> Caller | None:
    """None where neither keys nor tokens are asked for."""
    found: Caller | None = scope.get("state", {}).get("caller")
    return found


def require(scope: Scope, project: str) -> None:
    """For routes that learn the project from the body or from the settings.

    Raises:
        Refusal: 403, the caller may not use this project.
    """
    found = caller(scope)
    if found is not None and not found.may(project):
        raise Refusal(403, found.forbidden(cut(project)))
