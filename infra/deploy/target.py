"""What every place that a champion is deployed to provides.

A target is a module of this package with `open(options) -> Target`: server, aws_lambda, ecs, ...
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from roadmap.bundle import Bundle
from roadmap.io.errors import UsageError

Say = Callable[[str], None]  # a line of progress; it is written into the record too


class DeployError(UsageError):
    """What went wrong and what to do, in one line, and the exit code."""


@dataclass(frozen=True)
class Options:
    """What the command line said."""

    project: str
    stage: str
    endpoint: str | None = None  # of a protocol server that stands in for AWS
    image: str | None = None  # the serving image, where the target takes one
    steps: tuple[float, ...] = (0.1, 0.5)  # shares of the traffic that the new version gets before it gets all
    bake: float = 60.0  # seconds that each step is watched
    parameters: dict[str, str] = field(default_factory=dict)  # of the stack


@dataclass(frozen=True)
class Plan:
    changes: list[str]
    costs: dict[str, float]  # what is paid for -> US dollars a month
    left_out: str = ""  # what the estimate does not know


class DeployTarget(Protocol):
    def serving(self) -> str | None:
        """The version of the bundle that answers all requests now; None where nothing does."""

    def plan(self, bundle: Bundle) -> Plan:
        """What `roll_out` would do. Changes nothing."""

    def roll_out(self, bundle: Bundle, say: Say) -> None:
        """Brings the bundle there and gives it all requests, step by step.

        Can be repeated after an interruption at any point. Whatever it raises, KeyboardInterrupt included, the version
        from before has all requests again.

        Raises:
            DeployError
        """

    def roll_back(self, version: str, say: Say) -> None:
        """Gives all requests back to a version that was deployed before, at once.

        Raises:
            DeployError: it is not there any more.
        """

    def destroy(self, say: Say) -> None:
        """Takes away what serves the project. What can't be made again stays, and is named."""


def checked(answer: Any, bundle: Bundle) -> None:
    """An answer to the bundle's own example.

    Raises:
        DeployError: it is no answer, or another version's.
    """
    version = bundle.manifest.version
    try:
        found, count = answer["model"]["version"], len(answer["outputs"])
    except (KeyError, TypeError):
        raise DeployError(f"smoke test: version {version} answered its example with {str(answer)[:300]}") from None
    if found != version or count != len(bundle.example):
        raise DeployError(f"smoke test: version {version} was asked, and version {found} gave {count} answers")
