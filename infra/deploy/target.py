"""The interface of deployment targets.

A target is a module of this package with `open(options) -> Target`: server, aws_lambda, ecs, ...
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from roadmap.bundle import Bundle
from roadmap.io.errors import UsageError

Say = Callable[[str], None]  # prints a line of progress and records it


class DeployError(UsageError):
    """The deployment failed: a one-line message with the remedy, and an exit code."""


@dataclass(frozen=True)
class Options:
    """The parsed options of the command line."""

    project: str
    stage: str
    endpoint: str | None = None  # of an AWS-compatible server instead of AWS
    image: str | None = None  # the serving image, for targets that take one
    steps: tuple[float, ...] = (0.1, 0.5)  # traffic shares of the new version before 1
    bake: float = 60.0  # seconds of observation per step
    parameters: dict[str, str] = field(default_factory=dict)  # of the stack


@dataclass(frozen=True)
class Plan:
    changes: list[str]
    costs: dict[str, float]  # item -> US dollars per month
    left_out: str = ""  # not part of the estimate


class DeployTarget(Protocol):
    def serving(self) -> str | None:
        """The bundle version that serves all requests now; None if nothing serves."""

    def plan(self, bundle: Bundle) -> Plan:
        """The changes that `roll_out` would make, without making them."""

    def roll_out(self, bundle: Bundle, say: Say) -> None:
        """Uploads the bundle and moves all requests to it, step by step.

        Can be repeated after an interruption. After any exception, KeyboardInterrupt included, the previous version has
        all requests again.

        Raises:
            DeployError
        """

    def roll_back(self, version: str, say: Say) -> None:
        """Routes all requests back to an earlier version, at once.

        Raises:
            DeployError: the version no longer exists.
        """

    def destroy(self, say: Say) -> None:
        """Removes the project's resources. What can't be recreated is kept and listed."""


def checked(answer: object, bundle: Bundle) -> None:
    """Checks a response to the bundle's own example.

    Raises:
        DeployError: the response is invalid, or of another version.
    """
    version = bundle.manifest.version
    content: Any = answer  # whatever a server sent
    try:
        found, count = content["model"]["version"], len(content["outputs"])
    except (KeyError, TypeError):
        raise DeployError(
            f"smoke test: version {version}: found {str(answer)[:300]} as response to its example"
        ) from None
    if found != version or count != len(bundle.example):
        raise DeployError(
            f"smoke test: found {count} outputs of version {found}; expected {len(bundle.example)} of version {version}"
        )
