"""What the policies in the templates allow, and where they have wildcards."""

import re
from collections.abc import Iterator
from typing import Any

from infra.templates import StackTemplate, pairs


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(template: StackTemplate) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement that allows something, with the resource that its policy is written in."""
    for name, resource in template.body["Resources"].items():
        for found in (value for key, value in pairs(resource) if key == "Statement"):
            yield from ((name, one) for one in found if one["Effect"] == "Allow")


def grants(statement: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every action of a statement, with its resources."""
    for action in listed(statement["Action"]):
        for on in map(text, listed(statement.get("Resource", ""))):
            yield action, on


def text(resource: Any) -> str:
    """The text in the template; references are abbreviated."""
    if isinstance(resource, str):
        return resource
    inside = resource.get("Fn::Sub", "${reference}")
    return str(inside[0] if isinstance(inside, list) else inside)


def is_wide(action: str, on: str) -> bool:
    """A wildcard in the action, or in a resource that names neither the stage nor a resource of the stack."""
    named = re.search(r"\$\{(?!AWS::)", on)
    return "*" in action or ("*" in on and not named)


def wide(template: StackTemplate) -> list[tuple[str, dict[str, Any]]]:
    """The statements with such a wildcard."""
    return [(name, one) for name, one in statements(template) if any(is_wide(*grant) for grant in grants(one))]


def reasons(template: StackTemplate) -> dict[str, str]:
    """By resource: the reason for the wildcards of its policy."""
    found: dict[str, str] = template.body.get("Metadata", {}).get("Wildcards", {})
    return found
