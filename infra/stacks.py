"""CloudFormation stacks: `python -m infra.stacks up stack=network stage=staging [project=mnist] [Key=Value ...]`.

    order    the templates of infra/cloudformation, each after those whose exports it imports
    plan     what `up` would change, resource by resource
    up       creates or updates the stack and waits; parameters that are not given keep their values
    down     deletes it and says what was kept
    status   the stack's state and outputs

An interrupted run can be repeated: it waits for a running change, and removes a failed first creation. With
`role=<arn>` CloudFormation uses that role.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import Field

from infra.templates import StackError, StackTemplate, templates
from roadmap.io import command_line
from roadmap.io.aws import aws_errors
from roadmap.io.errors import nearest
from roadmap.io.json import JsonObject

POLL = 3.0  # seconds between polls of a running change
PATIENCE = 2 * 3600.0  # timeout in seconds: a blue/green update bakes for up to an hour, twice
NOTHING = ("didn't contain changes", "No updates are to be performed")


@dataclass
class Stacks:
    """Creates, changes and deletes through `client`, a boto3 client of CloudFormation."""

    client: Any
    role: str | None = None
    poll: float = field(default_factory=lambda: POLL)
    patience: float = PATIENCE
    on_poll: Callable[[], None] = lambda: None  # called at every poll of a change

    def describe(self, name: str) -> JsonObject | None:
        """CloudFormation's description of a stack; None if it does not exist."""
        from botocore.exceptions import ClientError

        try:
            found: JsonObject = self.client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else found

    def outputs(self, name: str) -> dict[str, str]:
        found = self.describe(name) or {}
        return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}

    def plan(self, template: StackTemplate, stage: str, project: str | None = None, **parameters: str) -> list[str]:
        name = template.stack(stage, project)
        present, change = self._change_set(template, name, stage, project, parameters)
        if change is None:
            return []
        self.client.delete_change_set(ChangeSetName=change["ChangeSetId"])
        if not present:  # the change set created an empty stack
            self.client.delete_stack(StackName=name)
        return changes(change)

    def up(self, template: StackTemplate, stage: str, project: str | None = None, **parameters: str) -> list[str]:
        """Applies the changes and returns them; empty if there are none.

        An interrupted update is cancelled and rolled back by CloudFormation. A first creation continues.
        """
        name = template.stack(stage, project)
        present, change = self._change_set(template, name, stage, project, parameters)
        if change is None:
            return []
        seen = self._seen(change["StackId"])
        self.client.execute_change_set(ChangeSetName=change["ChangeSetId"])
        try:
            self._follow(change["StackId"], seen, "UPDATE_COMPLETE" if present else "CREATE_COMPLETE")
        except StackError:
            raise
        except BaseException:  # a signal, or what `on_poll` raises
            if present:
                self._cancel(name)
            raise
        return changes(change)

    def _cancel(self, name: str) -> None:
        from botocore.exceptions import ClientError

        try:
            self.client.cancel_update_stack(StackName=name)
        except ClientError as error:  # it has just ended, or is rolling back
            say(f"{name}: {error.response['Error'].get('Message')}")

    def down(self, template: StackTemplate, stage: str, project: str | None = None) -> list[str]:
        """Deletes the stack; returns the retained resources."""
        name = template.stack(stage, project)
        present = self.describe(name)
        if present is None:
            return []
        if present["StackStatus"].endswith("_IN_PROGRESS"):
            self._follow(present["StackId"], self._seen(present["StackId"]))
        seen = self._seen(present["StackId"])
        self.client.delete_stack(StackName=name, **({"RoleARN": self.role} if self.role else {}))
        self._follow(present["StackId"], seen, "DELETE_COMPLETE")
        return [name for name, one in template.body["Resources"].items() if one.get("DeletionPolicy") == "Retain"]

    def _change_set(
        self, template: StackTemplate, name: str, stage: str, project: str | None, parameters: dict[str, str]
    ) -> tuple[bool, dict[str, Any] | None]:
        """Whether the stack exists, and its change set; None without changes."""
        present = self.settled(name)
        slots = template.body["Parameters"]
        given = {"Stage": stage, **({"Project": project} if project else {}), **parameters}
        if unknown := sorted(set(given) - set(slots)):
            raise StackError(f"{template.name}: found no parameter {', '.join(unknown)}; it has {', '.join(slots)}")
        known = {one["ParameterKey"] for one in present.get("Parameters", [])} if present else set()
        if missing := [slot for slot in slots if "Default" not in slots[slot] and slot not in known | set(given)]:
            raise StackError(f"{template.name}: missing: {', '.join(missing)}; give a value for each")
        values: list[dict[str, Any]] = [{"ParameterKey": key, "ParameterValue": one} for key, one in given.items()]
        values += [{"ParameterKey": key, "UsePreviousValue": True} for key in slots if key in known - set(given)]
        made = self._created(
            StackName=name,
            ChangeSetName=f"{'update' if present else 'create'}-{time.time_ns()}",
            ChangeSetType="UPDATE" if present else "CREATE",
            TemplateBody=template.path.read_text(),
            Parameters=values,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Tags=[{"Key": "project", "Value": "roadmap"}, {"Key": "stage", "Value": stage}],
            **({"RoleARN": self.role} if self.role else {}),
        )
        while made is not None:
            change: dict[str, Any] = self.client.describe_change_set(ChangeSetName=made["Id"])
            if change["Status"] == "CREATE_COMPLETE":
                return bool(present), change
            if change["Status"] == "FAILED":
                self.client.delete_change_set(ChangeSetName=made["Id"])
                reason = change.get("StatusReason", "no reason given")
                if any(phrase in reason for phrase in NOTHING):
                    return bool(present), None
                raise StackError(f"{name}: {reason}")
            time.sleep(self.poll)
        return bool(present), None

    def _created(self, **about: Any) -> dict[str, Any] | None:
        """A change set; None if its creation fails at once because nothing changes."""
        from botocore.exceptions import ClientError

        try:
            made: dict[str, Any] = self.client.create_change_set(**about)
        except ClientError as error:
            if any(phrase in str(error) for phrase in NOTHING):
                return None
            raise
        return made

    def settled(self, name: str) -> JsonObject | None:
        """The stack once no change is running; None if it does not exist.

        Raises:
            StackError: the change runs for longer than `patience`.
        """
        present = self.describe(name)
        if present and present["StackStatus"] == "REVIEW_IN_PROGRESS":  # of an interrupted plan
            self.client.delete_stack(StackName=name)
            return None
        if present and present["StackStatus"].endswith("_IN_PROGRESS"):
            self._follow(present["StackId"], self._seen(present["StackId"]))
            present = self.describe(name)
        if present and present["StackStatus"] in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED"):
            say(f"{name}: its first creation failed; deleting the remains")
            seen = self._seen(present["StackId"])
            self.client.delete_stack(StackName=name)
            self._follow(present["StackId"], seen, "DELETE_COMPLETE")
            return None
        if present and present["StackStatus"].endswith("_FAILED"):
            raise StackError(f"{name}: found state {present['StackStatus']}, which needs manual repair")
        return present

    def _events(self, stack: str) -> list[dict[str, Any]]:
        """The latest events, newest first."""
        events: list[dict[str, Any]] = self.client.describe_stack_events(StackName=stack)["StackEvents"]
        return events

    def _seen(self, stack: str) -> set[str]:
        return {one["EventId"] for one in self._events(stack)}

    def _follow(self, stack: str, seen: set[str], wanted: str | None = None) -> None:
        """Prints events until the change has ended.

        Raises:
            StackError: it ended in another state than `wanted`; the message has the first reason.
        """
        reasons: list[str] = []
        name = stack.rpartition("stack/")[2].partition("/")[0]
        deadline = time.monotonic() + self.patience
        while True:
            status = self.client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
            for event in reversed(self._events(stack)):
                if event["EventId"] not in seen:
                    seen.add(event["EventId"])
                    line = f"{event['LogicalResourceId']} {event['ResourceStatus']}"
                    say(f"  {line}")
                    if event["ResourceStatus"].endswith("_FAILED"):
                        reasons.append(f"{line}: {event.get('ResourceStatusReason', 'no reason was given')}")
            if not status.endswith("_IN_PROGRESS"):
                break
            if time.monotonic() > deadline:
                raise StackError(f"{name}: still {status}; run the same command to continue waiting")
            self.on_poll()
            time.sleep(self.poll)
        if wanted and status != wanted:
            raise StackError(f"{name}: {'; '.join([status, *reasons[:1]])}")


def changes(change_set: JsonObject) -> list[str]:
    """One line per resource, such as `Modify Service (AWS::ECS::Service), replaced`."""
    lines = []
    for one in (change["ResourceChange"] for change in change_set.get("Changes", [])):
        replaced = {"True": ", replaced", "Conditional": ", perhaps replaced"}.get(one.get("Replacement", ""), "")
        lines.append(f"{one['Action']} {one['LogicalResourceId']} ({one['ResourceType']}){replaced}")
    return lines


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# ---------------------------------------------------------------- the command


class Change(command_line.OpenOptions):
    stack: str = Field(description="a template of infra/cloudformation")
    stage: str = Field(description="staging | production")
    project: str | None = Field(None, description="for a project's stack")
    role: str | None = Field(None, description="ARN of the role for CloudFormation")


def order(_: command_line.Options) -> None:
    print("\n".join(templates()))


def run(verb: str, options: Change) -> None:
    with aws_errors(StackError, StackError):
        print("\n".join(change(verb, options)))


def change(verb: str, options: Change) -> list[str]:
    """Runs a verb on a stack; returns the lines to print.

    Raises:
        StackError: an unknown stack or stage, or the change failed.
    """
    import boto3
    from botocore.config import Config

    there = templates()
    if options.stack not in there:
        raise StackError(f"stack: found {options.stack!r}; {nearest(options.stack, there)}")
    template, about = there[options.stack], (options.stage, options.project)
    patient = Config(retries={"mode": "adaptive", "max_attempts": 10})  # throttling is transient
    stacks = Stacks(boto3.client("cloudformation", config=patient), options.role)
    if verb == "status":
        stack = template.stack(*about)
        found = stacks.describe(stack)
        state = found["StackStatus"] if found else "is not there"
        return [f"{stack} {state}", *(f"{key}={value}" for key, value in stacks.outputs(stack).items())]
    if verb == "down":
        return [f"kept {one}" for one in stacks.down(template, *about)]
    act = stacks.plan if verb == "plan" else stacks.up
    return act(template, *about, **(options.model_extra or {})) or ["nothing to change"]


def main(argv: list[str]) -> int:
    changes = {verb: (Change, partial(run, verb)) for verb in ("plan", "up", "down", "status")}
    commands: dict[str, Any] = {"order": (command_line.Options, order), **changes}
    return command_line.run(commands, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
