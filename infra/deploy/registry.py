"""The registry's alias after a rollback: `champion` names what answers, or the next deployment would bring back what
was taken away.

The register stage moves it, in a process of its own, and keeps the promotion log: infra imports no MLflow.
"""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

from infra.deploy.champion import ALIAS
from infra.deploy.record import now, who
from infra.deploy.target import DeployError, Say
from roadmap.io.errors import TEMPORARY, USAGE
from serving.sources import SourceError
from serving.sources.mlflow import Unreachable
from serving.sources.registry import Registry

CHECKOUT = Path()  # where the stage runs: the root of the repository


def champion(project: str) -> str | None:
    """The version of the bundle that is champion; None where there is none."""
    return _bundle(project, ALIAS, "")


def before(project: str) -> str:
    """The bundle that was champion before the present one.

    Raises:
        DeployError: there is none.
    """
    mlflow = Registry([], CHECKOUT).mlflow
    try:
        number = mlflow.tags(mlflow.version(project, ALIAS, "")).get("replaced")
    except Unreachable as error:
        raise DeployError(str(error), TEMPORARY) from None
    except SourceError as error:
        raise DeployError(f"{project}: no champion to roll back ({error})") from None
    if found := _bundle(project, "", number) if number else None:
        return found
    raise DeployError(f"{project}: its champion is the first one: there is nothing to go back to")


def give_back(project: str, rolled_back: str | None, version: str, say: Say) -> None:
    """Where the version that was rolled back is champion, the one that answers now becomes it."""
    found = champion(project)
    if found == rolled_back != version:
        move(project, version, say)
    elif found != version:
        say(f"champion stays version {found}, which is not the one that was rolled back")


def move(project: str, version: str, say: Say) -> None:
    """
    Raises:
        DeployError: the registry does not have that version, or does not answer.
    """
    words = ["-m", "pipelines.register", f"project={project}", f"rollback='{version}'"]
    env = {**os.environ, "DEPLOYED_BY": f"{who()}, by a deployment's rollback"}
    done = subprocess.run([sys.executable, *words], cwd=CHECKOUT, env=env, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no word"])[-1].removeprefix("error: ")
        again = f"`python -m pipelines.register project={project} rollback=\"'{version}'\"`"
        code = TEMPORARY if done.returncode == TEMPORARY else USAGE
        raise DeployError(f"the alias {ALIAS} has not moved to {version}: {said}; later: {again}", code)
    say(done.stdout.strip().splitlines()[-1])


def moved(alias: str, number: str | None, replaced: str | None) -> dict[str, str]:
    """A move of an alias as the promotion log (roadmap/promotion/log.py) has it: a tag of the model."""
    at, key = now(), uuid.uuid4().hex[:8]
    entry = {"at": at, "id": key, "by": who(), "event": "deployed" if number else "removed", "alias": alias}
    return {"key": f"move/{at[:23]}-{key}", "value": json.dumps({**entry, "version": number, "replaced": replaced})}


def _bundle(project: str, alias: str, number: str) -> str | None:
    mlflow = Registry([], CHECKOUT).mlflow
    try:
        return mlflow.tags(mlflow.version(project, alias, number)).get("bundle")
    except Unreachable as error:
        raise DeployError(str(error), TEMPORARY) from None
    except SourceError:
        return None
