"""The templates of infra/cloudformation: their dependencies, and the names of their stacks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

FOLDER = Path(__file__).parent / "cloudformation"
STAGES = ("staging", "production")


class StackError(UsageError):
    """The change of a stack failed; the message is one line."""


class _Loader(yaml.CSafeLoader):  # ten times faster: all templates are read at every start
    """YAML with CloudFormation's short forms."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


def parse(text: str) -> JsonObject:
    """A template, its short forms such as `!Ref` written out."""
    content: JsonObject = yaml.load(text, _Loader)
    return content


@dataclass(frozen=True)
class StackTemplate:
    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def body(self) -> JsonObject:
        return parse(self.path.read_text())

    @cached_property
    def exports(self) -> set[str]:
        return {one["Export"]["Name"]["Fn::Sub"] for one in self.body.get("Outputs", {}).values() if "Export" in one}

    @cached_property
    def imports(self) -> set[str]:
        return {one["Fn::Sub"] for key, one in pairs(self.body) if key == "Fn::ImportValue"}

    def stack(self, stage: str, project: str | None) -> str:
        """The stack's name; the OIDC role's permissions match names of this form.

        Raises:
            StackError: an unknown stage, or a project where the template has none, or the reverse.
        """
        if stage not in STAGES:
            raise StackError(f"stage: found {stage!r}; allowed: {', '.join(STAGES)}")
        wanted = "Project" in self.body["Parameters"]
        if wanted != bool(project):
            kind = "each project; give project=<name>" if wanted else "all projects; omit project="
            raise StackError(f"{self.name}: there is one stack for {kind}")
        return "-".join(["roadmap", stage, self.name, *([project.replace("_", "-")] if project else [])])


def pairs(tree: JsonObject | Sequence[object]) -> Iterator[tuple[str, Any]]:
    """Every key and its value, at any depth."""
    for key, value in tree.items() if isinstance(tree, dict) else [("", one) for one in tree]:
        if key:
            yield key, value
        if isinstance(value, dict | list):
            yield from pairs(value)


def templates() -> dict[str, StackTemplate]:
    """By name, each after those whose exports it imports.

    Raises:
        graphlib.CycleError
    """
    found = {path.stem: StackTemplate(path) for path in sorted(FOLDER.glob("*.yaml"))}
    maker = {export: one.name for one in found.values() for export in one.exports}
    graph = {one.name: {maker[name] for name in sorted(one.imports)} for one in found.values()}
    return {name: found[name] for name in TopologicalSorter(graph).static_order()}
