"""Moves the alias `champion` after a rollback, or the next deployment would deploy the rolled-back version again.

The register stage moves it, in a separate process, and writes the promotion log, because infra imports no MLflow.
"""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

from infra.deploy.record import now
from infra.deploy.registry.champion import ALIAS
from infra.deploy.target import DeployError, Say
from roadmap.io.actor import who
from roadmap.io.errors import TEMPORARY, USAGE
from serving.sources import SourceError
from serving.sources.mlflow import Unreachable
from serving.sources.registry import Registry

CHECKOUT = Path()  # working directory of the stage: the root of the repository


def champion(project: str) -> str | None:
    """The champion's bundle version, or None."""
    return _bundle(project, ALIAS, "")


def previous_version(project: str) -> str:
    """The bundle version of the previous champion.

    Raises:
        DeployError: there is none.
    """
    mlflow = Registry([], CHECKOUT).mlflow
    try:
        number = mlflow.tags(mlflow.version(project, ALIAS, "")).get("replaced")
    except Unreachable as error:
        raise DeployError(str(error), TEMPORARY) from None
    except SourceError as error:
        raise DeployError(f"{project}: found no champion to roll back ({error})") from None
    if found := _bundle(project, "", number) if number else None:
        return found
    raise DeployError(f"{project}: the champion is the first: there is no earlier version")


def restore_champion(project: str, rolled_back: str | None, version: str, say: Say) -> None:
    """If the rolled-back version is champion, makes the serving version champion."""
    found = champion(project)
    if found == rolled_back != version:
        move_alias(project, version, say)
    elif found != version:
        say(f"champion stays version {found}, which was not the one rolled back")


def move_alias(project: str, version: str, say: Say) -> None:
    """
    Raises:
        DeployError: the registry has no such version, or is unreachable.
    """
    arguments = ["-m", "pipelines.register", f"project={project}", f"rollback='{version}'"]
    env = {**os.environ, "DEPLOYED_BY": f"{who()}, by a deployment's rollback"}
    done = subprocess.run([sys.executable, *arguments], cwd=CHECKOUT, env=env, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no word"])[-1].removeprefix("error: ")
        again = f"`python -m pipelines.register project={project} rollback=\"'{version}'\"`"
        code = TEMPORARY if done.returncode == TEMPORARY else USAGE
        raise DeployError(f"alias {ALIAS}: cannot move to {version}: {reason}; later run {again}", code)
    say(done.stdout.strip().splitlines()[-1])


def move_tag(alias: str, number: str | None, replaced: str | None) -> dict[str, str]:
    """The move of an alias as a tag of the model, in the format of roadmap/promotion/log.py."""
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
