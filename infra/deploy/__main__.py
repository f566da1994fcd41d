"""Deploys a champion: python -m infra.deploy [verb] target=<target> project=<name> [stage=staging] [...]

    (none)      deploys the registry's champion: upload, smoke test, then a growing share of traffic under watch
    plan        what a deployment would change, and its monthly cost
    status      the served version, and past deployments
    rollback    routes all requests back to the previous version at once, and moves the alias champion back
    destroy     removes the project's serving resources

    server      the server at SERVING_URL, which polls the registry
    compose     the containers of `make up`
    lambda      a function behind an HTTP API
    ecs         one of the projects on Fargate behind a load balancer, with ECS's own canary
    sagemaker   an endpoint with SageMaker's own canary
    k8s         Deployments behind a Gateway; infra/k8s

An interrupted command can be repeated and resumes. Exit code 2: usage error; 75: transient failure; 1: the new version
failed and the old one serves.
"""

import contextlib
import importlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from infra.deploy import lock, record
from infra.deploy.registry import rollback
from infra.deploy.registry.champion import champion
from infra.deploy.target import DeployError, DeployTarget, Options
from infra.deploy.targets.following import ServerTarget
from infra.templates import STAGES, StackError
from roadmap.io import command_line
from roadmap.io.aws import aws_errors
from roadmap.io.errors import CommandError, nearest
from roadmap.io.json import JsonObject

VERBS = ("deploy", "plan", "status", "rollback", "destroy")
TARGETS = {
    "server": "server",
    "compose": "compose",
    "k8s": "k8s",
    "lambda": "aws_lambda",
    "ecs": "ecs",
    "sagemaker": "sagemaker",
}
LOCAL = ("server", "compose")  # local targets, with local records and lock
SHARED = ("ecs",)  # shared by several projects, and so is the lock


class DeployOptions(command_line.OpenOptions):
    """Options of the command line. Capitalised ones are parameters of the stack, such as MemoryMb=3008."""

    target: str = Field(description=" | ".join(TARGETS))
    project: str = Field(description="whose champion")
    stage: str = Field("staging", description=" | ".join(STAGES))
    bundle: str | None = Field(None, description="the expected version; any other champion is an error")
    image: str | None = Field(None, description="tag of the serving image")
    steps: str = Field("0.1,0.5", description="traffic shares of the new version, step by step")
    bake: float = Field(
        default_factory=lambda: float(os.environ.get("DEPLOY_BAKE") or 60),
        ge=0,
        description="seconds of observation per step (60, or DEPLOY_BAKE)",
    )
    endpoint: str | None = Field(None, description="an AWS-compatible endpoint instead of AWS")


def checked(given: DeployOptions) -> Options:
    """
    Raises:
        DeployError: an option is invalid.
    """
    for key, found, allowed in (("target", given.target, TARGETS), ("stage", given.stage, STAGES)):
        if found not in allowed:
            raise DeployError(f"{key}: found {found!r}; {nearest(found, allowed)}")
    parameters = {key: str(value) for key, value in (given.model_extra or {}).items()}
    if unknown := sorted(key for key in parameters if not key[:1].isupper()):
        known = nearest(unknown[0], DeployOptions.model_fields)
        raise DeployError(f"{unknown[0]}: unknown option; {known}, and a stack's parameters")
    try:
        steps = tuple(float(share) for share in given.steps.split(",") if share)
        if not all(0 < share < 1 for share in steps) or list(steps) != sorted(steps):
            raise ValueError
    except ValueError:
        raise DeployError(f"steps: found {given.steps!r}; expected rising shares between 0 and 1: 0.1,0.5") from None
    return Options(given.project, given.stage, given.endpoint, given.image, steps, given.bake, parameters)


@contextlib.contextmanager
def places(
    target: str, options: Options
) -> Iterator[tuple[record.DeploymentLog, contextlib.AbstractContextManager[None]]]:
    """The records of this target, and its lock."""
    place = f"{options.project} on {target} ({options.stage})"
    home = Path("artifacts") / options.project
    if target in LOCAL:
        yield record.FileDeploymentLog(home / "deployments.jsonl"), lock.local(home / ".deploying", place)
        return
    from infra.deploy import aws
    from infra.deploy.targets import k8s

    if target == "k8s":
        bucket, _ = k8s.store(options)
    else:
        bucket = aws.outputs(aws.stacks(options.endpoint), f"roadmap-{options.stage}-storage")["ModelsBucket"]
    s3, prefix = aws.client("s3", options.endpoint), f"deployments/{target}/{options.project}"
    key = f"deployments/{target}/lock" if target in SHARED else f"{prefix}/lock"
    yield record.S3DeploymentLog(s3, bucket, f"{prefix}/records"), lock.bucket(s3, bucket, key, place)


def run(verb: str, given: DeployOptions) -> None:
    options = checked(given)
    target: DeployTarget = importlib.import_module(f"infra.deploy.targets.{TARGETS[given.target]}").open(options)
    with places(given.target, options) as (records, locked), tempfile.TemporaryDirectory() as cache:
        if verb == "status":
            print("\n".join(status(target.serving(), records.all())))
        elif verb == "plan":
            found = target.plan(champion(options.project, Path(cache), given.bundle))
            print("\n".join(found.changes))
            for what, dollars in found.costs.items():
                print(f"{dollars:10.2f} USD a month  {what}")
            if found.costs:
                print(f"{sum(found.costs.values()):10.2f} USD a month, without {found.left_out}")
        elif verb == "destroy":
            with locked:
                target.destroy(print)
        else:
            with locked:
                change(verb, given, target, records, Path(cache))


def change(verb: str, given: DeployOptions, target: DeployTarget, records: record.DeploymentLog, cache: Path) -> None:
    """A deployment or a rollback, recorded whatever its result."""
    now = target.serving()
    bundle = None
    if verb == "rollback":
        # Targets that follow the champion read the previous version from the registry, others from the records.
        earlier = target.before() if isinstance(target, ServerTarget) else None
        to = given.bundle or earlier or record.before(records.all(), now)
    else:
        bundle = champion(given.project, cache, given.bundle)
        to = bundle.manifest.version
    about = {"verb": verb, "target": given.target, "project": given.project, "stage": given.stage}
    recording = record.Deployment(**about, **{"from": now, "to": to}, files=bundle.manifest.files if bundle else None)
    result, reason = "failed", None
    try:
        if bundle:
            target.roll_out(bundle, recording.say)
        else:
            target.roll_back(to, recording.say)
        result = "deployed"
        if not bundle:
            rollback.restore_champion(given.project, now, to, recording.say)
        recording.say(f"{given.project}: version {to} answers")
    except KeyboardInterrupt:
        result, reason = "interrupted", "stopped by a signal"
        raise
    except Exception as error:  # AWS errors become one line above
        reason = str(error)
        raise
    finally:
        records.add(recording.ended(result, reason))


def status(serving: str | None, records: list[JsonObject]) -> list[str]:
    lines = [f"answers: {serving or 'nothing'}"]
    for one in reversed(records[-10:]):
        line = f"{one['began'][:19]}Z  {one['verb']:<8} {one['result']:<11} {one['from'] or '-'} -> {one['to']}"
        lines.append(f"{line}  {one['seconds']:g} s, {one['by']}{': ' + one['reason'] if one['reason'] else ''}")
    return lines


def interrupt(*_: object) -> None:
    """
    Raises:
        KeyboardInterrupt: always.
    """
    raise KeyboardInterrupt


def command(verb: str, given: DeployOptions) -> None:
    """Runs a verb; SIGTERM interrupts it like Ctrl-C.

    Raises:
        DeployError: it failed, for AWS's or CloudFormation's reasons too.
        CommandError: it was interrupted.
    """
    signal.signal(signal.SIGTERM, interrupt)
    with contextlib.nullcontext() if given.target in LOCAL else aws_errors(DeployError, DeployError):
        try:
            run(verb, given)
        except KeyboardInterrupt:
            message = "interrupted; the previous version has all requests; run the same command to resume"
            raise CommandError(message, command_line.INTERRUPTED) from None
        except StackError as error:
            raise DeployError(str(error)) from None


def main(argv: list[str]) -> int:
    commands: dict[str, Any] = {verb: (DeployOptions, partial(command, verb)) for verb in VERBS}
    if argv and argv[0] not in commands and "=" in argv[0]:
        argv = ["deploy", *argv]
    return command_line.run(commands, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
