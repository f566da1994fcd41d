"""Runs a training as a DVC experiment, as the workflow `train` does.

    python -m pipelines.experiment run project=mnist [name=wider] [profile=full] [runner=...] [overrides="key=value"]
    python -m pipelines.experiment push name=wider [git=origin]

`run` trains, evaluates and runs the gate, reusing DVC's cache. Without MLFLOW_TRACKING_URI the gate compares the new
model with the previous bundle, in a store of this checkout. `push` uploads the outputs to DVC's remote, if one is set,
and the experiment to Git's; `dvc exp pull origin <name>` downloads it. Git authenticates with GITHUB_TOKEN if set.
"""

import base64
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import Field

from roadmap.config.params import known_project
from roadmap.io import command_line
from roadmap.io.errors import UsageError


def run(project: str, name: str = "", profile: str = "", runner: str = "", overrides: str = "") -> None:
    """Empty values default to params.yaml.

    Raises:
        UsageError: unknown project, or an override that is not key=value.
    """
    known_project(project)
    settings = [f"profile={profile}"] if profile else []
    settings += [f"projects.{project}.runner={runner}"] if runner else []
    settings += shlex.split(overrides)
    for one in settings:
        if not one.partition("=")[2] or one.startswith("-"):
            raise UsageError(f"overrides: found {one!r}; expected key=value, such as projects.mnist.model.lr=0.01")
    keep_as_champion(project)
    command = ["dvc", "exp", "run", *(["--name", name] if name else [])]
    call([*command, *(part for one in settings for part in ("--set-param", one)), f"register@{project}"])


def keep_as_champion(project: str) -> None:
    """Makes the existing bundle the champion to compare with, if no registry has one."""
    bundle, champion = (Path("artifacts", project, name) for name in ("bundle", "champion"))
    if bundle.is_dir() and not champion.exists() and not os.environ.get("MLFLOW_TRACKING_URI"):
        shutil.copytree(bundle, champion)


def push(name: str, git: str = "origin") -> None:
    """
    Raises:
        UsageError: no experiment has this name.
    """
    listed = ["git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}"]
    refs = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    if not refs:
        raise UsageError(f"name: found {name!r}; `dvc exp list` lists the experiments")
    if subprocess.run(["dvc", "config", "core.remote"], capture_output=True, text=True).stdout.strip():
        call(["dvc", "push", "--run-cache"])
    else:
        print("dvc: no default remote is set; outputs are not uploaded", file=sys.stderr)
    call(["git", "push", git, *refs], **login())


def login() -> dict[str, str]:
    """Git settings for this process alone: DVC's own Git ignores such headers, and a file would outlive the job."""
    token = os.environ.get("GITHUB_TOKEN")
    if not token:
        return {}
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    setting = {"KEY": f"http.{server}/.extraheader", "VALUE": f"AUTHORIZATION: basic {basic}"}
    return {"GIT_CONFIG_COUNT": "1", **{f"GIT_CONFIG_{key}_0": value for key, value in setting.items()}}


def call(command: list[str], **env: str) -> None:
    print(f"$ {shlex.join(command)}", flush=True)
    done = subprocess.run(command, env={**os.environ, **env})
    if done.returncode:
        sys.exit(done.returncode)


class Run(command_line.Options):
    project: str = Field(description="the project; its outdated stages run")
    name: str = Field("", description="of the experiment; by default DVC chooses one")
    profile: str = Field("", description="sample or full; by default that of params.yaml")
    runner: str = Field("", description="where training runs; by default that of params.yaml")
    overrides: str = Field("", description="key=value of params.yaml, separated by spaces")


class Push(command_line.Options):
    name: str = Field(description="of the experiment")
    git: str = Field("origin", description="the Git remote")


COMMANDS: dict[str, Any] = {
    "run": (Run, lambda options: run(**options.model_dump())),
    "push": (Push, lambda options: push(**options.model_dump())),
}


if __name__ == "__main__":
    sys.exit(command_line.run(COMMANDS, __doc__, sys.argv[1:]))
