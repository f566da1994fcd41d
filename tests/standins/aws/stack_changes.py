"""How moto's stacks change in our tests: in the background, with visible progress, and with rollback on failure.

    stack_changes.broken["AWS::ECS::Service"] = "why"      # the next creation of one fails

moto changes a stack within the call and leaves failures half done. cloudformation.py replaces that by this.
"""

import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from moto.cloudformation import models, parsing, responses
from moto.cloudformation.exceptions import ValidationError
from moto.core.responses import EmptyResult

from tests.standins.aws.providers import Made


class Failure(Exception):
    """A resource that could not be created or changed."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


broken: dict[str, str] = {}  # type of a resource -> why its next creation fails
cancelled: set[str] = set()  # stacks whose update is to be rolled back
changing: list[threading.Thread] = []


def execute(backend: models.CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
    """In the background, like AWS, and with rollback on failure, which moto lacks."""
    change = backend.describe_change_set(change_set_name)
    assert change is not None
    stack, creates = change.stack, change.change_set_type == "CREATE"
    stack.status = f"{change.change_set_type}_IN_PROGRESS"
    if creates:
        stack.template, stack.cross_stack_resources = change.template, backend.exports  # moto's change sets find none
        stack._parse_template()
        stack.resource_map = stack._create_resource_map()
        stack.output_map = parsing.OutputMap(stack.resource_map, {}, stack.stack_id)  # its own would create resources
    worker = threading.Thread(
        target=attempt, args=(created if creates else updated, backend, stack, change), daemon=True
    )
    changing.append(worker)
    worker.start()


def attempt(act: Callable[..., None], backend: Any, stack: models.Stack, change: models.ChangeSet) -> None:
    try:
        act(backend, stack, change)
    except Exception as error:  # an error of moto's or ours: reported to whoever waits
        stack._add_stack_event(f"{change.change_set_type}_FAILED", f"{type(error).__name__}: {error}")
        stack.status = f"{change.change_set_type}_FAILED"


def created(backend: models.CloudFormationBackend, stack: models.Stack, _: models.ChangeSet) -> None:
    try:
        stack.resource_map.create(stack.template_dict)
    except Failure as failure:
        say(stack, failure.name, "CREATE_FAILED", str(failure))
        stack.status = "ROLLBACK_IN_PROGRESS"
        stack.resource_map.delete()
        stack.status = "ROLLBACK_COMPLETE"
        return
    ended(backend, stack, "CREATE_COMPLETE")


def updated(backend: models.CloudFormationBackend, stack: models.Stack, change: models.ChangeSet) -> None:
    before, replaced = (stack.template, dict(stack.parameters)), dict[str, Made]()
    try:
        move(stack, change.template, change.parameters, replaced)
    except Failure as failure:
        say(stack, failure.name, "UPDATE_FAILED", str(failure))
        stack.status = "UPDATE_ROLLBACK_IN_PROGRESS"
        resources = stack.resource_map._parsed_resources
        news = {name: resources[name] for name in replaced}
        resources.update(replaced)
        cancelled.discard(stack.name)
        move(stack, *before, {})
        for made in news.values():
            made.delete()
        ended(backend, stack, "UPDATE_ROLLBACK_COMPLETE")
        return
    for made in replaced.values():
        made.delete()
    ended(backend, stack, "UPDATE_COMPLETE")


def move(stack: models.Stack, template: Any, parameters: dict[str, Any], replaced: dict[str, Made]) -> None:
    """Applies these properties. moto detects changed parameters only in Refs; providers' resources are checked again,
    in the template's order. `replaced` gets the resources that were replaced."""
    stack.template = template
    stack._parse_template()
    stack.resource_map.update(stack.template_dict, parameters)
    stack.parameters = parameters
    for name, definition in stack.template_dict["Resources"].items():
        resource = stack.resource_map._parsed_resources.get(name)
        if not isinstance(resource, Made):
            continue
        wanted = parsing.clean_json(definition["Properties"], stack.resource_map)
        if wanted != resource.properties:
            say(stack, name, "UPDATE_IN_PROGRESS")
            try:
                if resource.provider.change:
                    resource.provider.change(resource, wanted)
                    resource.properties = wanted
                else:
                    new = resource.provider.create_from_cloudformation_json(name, {"Properties": wanted})
                    new.logical_resource_id, new.cf_resource_type = name, definition["Type"]
                    replaced[name], stack.resource_map._parsed_resources[name] = resource, new
            except (RuntimeError, ClientError) as error:
                raise Failure(name, str(error)) from None
            if stack.name in cancelled:
                raise Failure(name, "Resource update cancelled")


def say(stack: models.Stack, name: str, status: str, reason: str | None = None) -> None:
    kind = stack.template_dict["Resources"][name]["Type"]
    stack.events.append(models.Event(stack.stack_id, stack.name, name, name, kind, status, reason, None))


def ended(backend: models.CloudFormationBackend, stack: models.Stack, status: str) -> None:
    """moto's own update forgets outputs, and its change sets make no exports."""
    stack.output_map = stack._create_output_map()
    backend.exports.update({one.name: one for one in stack.exports})
    stack.description = stack.template_dict.get("Description")
    stack._add_stack_event(status)
    stack.status = status


def over() -> None:
    """Resets the state for the next test."""
    for worker in changing:
        worker.join(60)
    for left in (changing, broken, cancelled):
        left.clear()


def cancel(self: responses.CloudFormationResponse) -> EmptyResult:
    """moto has no CancelUpdateStack."""
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    if stack.status != "UPDATE_IN_PROGRESS":
        raise ValidationError(message=f"CancelUpdateStack cannot be called from current stack status {stack.status}")
    cancelled.add(stack.name)
    return EmptyResult()
