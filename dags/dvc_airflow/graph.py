"""Parses dvc.yaml and params.yaml: the stages and their dependencies.

Importing DVC takes half a second, too long for a scheduler that parses DAGs all the time. This module supports DVC's
documented syntax: `foreach` over a list or a mapping, `matrix`, `${...}` from `vars` and params.yaml, `wdir`.
"""

import graphlib
import itertools
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dvc_airflow.yaml12 import Yaml12Loader, YamlObject

REFERENCE = re.compile(r"(?<!\\)\$\{\s*([^}]+?)\s*\}")
OUTS = ("outs", "metrics", "plots")


class GraphError(Exception):
    """dvc.yaml or params.yaml is invalid; the message names file and stage."""


@dataclass(frozen=True)
class Stage:
    """One stage: DVC's address `train@mnist` has the name `train` and the key `mnist`."""

    name: str
    key: str | None
    desc: str
    cmd: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    metrics: tuple[str, ...]
    cached: bool  # DVC caches its outputs, so that a remote can transfer them
    always: bool  # runs even if nothing changed
    adds: bool  # appends to its previous outputs: `persist`

    @property
    def address(self) -> str:
        return self.name if self.key is None else f"{self.name}@{self.key}"


@dataclass(frozen=True)
class StageGraph:
    """The stages in the order of dvc.yaml, and the upstream stages of each address."""

    stages: dict[str, Stage]
    upstream: dict[str, tuple[str, ...]]

    def keys(self) -> list[str]:
        """The keys of the stages, in the order of params.yaml: the projects."""
        return list(dict.fromkeys(stage.key for stage in self.stages.values() if stage.key is not None))

    def stages_of(self, key: str) -> list[Stage]:
        """The stages of one key, and the shared stages that they need."""
        own = [stage for stage in self.stages.values() if stage.key == key]
        needed = {address for stage in own for address in self.ancestors(stage.address)}
        return [stage for stage in self.stages.values() if stage in own or stage.address in needed]

    def ancestors(self, address: str) -> set[str]:
        found: set[str] = set()
        left = [address]
        while left:
            for above in self.upstream[left.pop()]:
                if above not in found:
                    found.add(above)
                    left.append(above)
        return found


def read(root: Path) -> StageGraph:
    """The graph of the repository at `root`.

    Raises:
        GraphError: a file is missing or not YAML, a `${...}` is unresolved, two stages write the same path, or
            there is a cycle.
    """
    pipeline = load(root / "dvc.yaml")
    values = load(root / "params.yaml") if (root / "params.yaml").exists() else {}
    values = extended(values, pipeline.get("vars"), root)
    stages: dict[str, Stage] = {}
    for name, body in (pipeline.get("stages") or {}).items():
        if not isinstance(body, dict):
            raise GraphError(f"dvc.yaml: stages.{name}: expected a mapping")
        for key, scope in instances(name, body, values):
            stage = make(name, key, body.get("do", body), {**values, **scope}, root)
            stages[stage.address] = stage
    return StageGraph(stages, edges(stages))


def load(path: Path) -> YamlObject:
    """A file's mapping.

    Raises:
        GraphError: it is missing, not YAML, or no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Yaml12Loader)
    except OSError as error:
        raise GraphError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise GraphError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise GraphError(f"{path}: expected a mapping")
    return content


def extended(values: YamlObject, entries: Sequence[object] | None, folder: Path) -> YamlObject:
    """`values` plus the entries of a list `vars:`: mappings, files, or `file:key,key` for some keys of a file.

    Raises:
        GraphError: as `load`, or the file lacks a key.
    """
    for entry in entries or []:
        if isinstance(entry, dict):
            more = entry
        else:
            name, _, keys = str(entry).partition(":")
            more = load(folder / name)
            if keys:
                more = {key: look_up(key, more, f"{folder / name}", name) for key in keys.split(",")}
        values = merged(values, more)
    return values


def merged(one: YamlObject, other: YamlObject) -> YamlObject:
    """`one` overridden by `other`, mapping by mapping."""
    both = {key: merged(one[key], value) for key, value in other.items()
            if isinstance(value, dict) and isinstance(one.get(key), dict)}  # fmt: skip
    return {**one, **other, **both}


def instances(name: str, body: YamlObject, values: YamlObject) -> Iterator[tuple[str | None, YamlObject]]:
    """Each key of a stage, with the values of `${item}` and `${key}`.

    Raises:
        GraphError: `foreach` is no list or mapping, or `matrix` no mapping of lists.
    """
    if "foreach" in body:
        items = resolve(body["foreach"], values, f"dvc.yaml: stages.{name}.foreach")
        if isinstance(items, dict):
            yield from ((text(key), {"key": text(key), "item": item}) for key, item in items.items())
        elif isinstance(items, list):
            simple = not any(isinstance(item, dict | list) for item in items)
            yield from ((text(item if simple else number), {"item": item}) for number, item in enumerate(items))
        else:
            raise GraphError(f"dvc.yaml: stages.{name}.foreach: found {items!r}; expected a list or a mapping")
    elif "matrix" in body:
        axes = resolve(body["matrix"], values, f"dvc.yaml: stages.{name}.matrix")
        if not (isinstance(axes, dict) and all(isinstance(axis, list) for axis in axes.values())):
            raise GraphError(f"dvc.yaml: stages.{name}.matrix: expected a mapping of lists")
        for chosen in itertools.product(*axes.values()):
            item = dict(zip(axes, chosen, strict=True))
            key = "-".join(
                f"{axis}{axes[axis].index(value)}" if isinstance(value, dict | list) else text(value)
                for axis, value in item.items()
            )
            yield key, {"item": item, "key": key}
    else:
        yield None, {}


def make(name: str, key: str | None, body: YamlObject, values: YamlObject, root: Path) -> Stage:
    """The stage of one key.

    Raises:
        GraphError: see `resolve`.
    """
    where = f"dvc.yaml: stages.{name}" if key is None else f"dvc.yaml: stages.{name}@{key}"
    folder = str(resolve(body.get("wdir", "."), values, f"{where}.wdir"))
    values = extended(values, body.get("vars"), root / folder)
    read = body.keys() - {"params", "vars", "matrix"}
    body = {field: resolve(value, values, f"{where}.{field}") for field, value in body.items() if field in read}
    outs = [entry for field in OUTS for entry in body.get(field) or []]
    options = [next(iter(entry.values())) or {} for entry in outs if isinstance(entry, dict)]
    cmd = body.get("cmd", "")
    return Stage(
        name=name,
        key=key,
        desc=str(body.get("desc", "")).strip(),
        cmd=" && ".join(cmd) if isinstance(cmd, list) else str(cmd),
        deps=tuple(path(folder, dep) for dep in body.get("deps") or []),
        outs=tuple(path(folder, out) for out in outs),
        metrics=tuple(path(folder, entry) for entry in body.get("metrics") or []),
        cached=not outs or len(options) < len(outs) or any(option.get("cache", True) for option in options),
        always=bool(body.get("always_changed", False)),
        adds=any(option.get("persist", False) for option in options),
    )


def path(folder: str, entry: object) -> str:
    """An entry of `deps` or `outs`, a path or a mapping of it to options, relative to the repository."""
    name = next(iter(entry)) if isinstance(entry, dict) else entry
    return posixpath.normpath(posixpath.join(folder, str(name)))


def resolve(node: object, values: YamlObject, where: str) -> object:
    """`node` with every `${a.b[0]}` replaced; a string that is a single reference takes the value's type.

    Raises:
        GraphError: see `look_up`.
    """
    if isinstance(node, dict):
        return {resolve(key, values, where): resolve(value, values, where) for key, value in node.items()}
    if isinstance(node, list):
        return [resolve(value, values, where) for value in node]
    if not isinstance(node, str):
        return node
    if whole := REFERENCE.fullmatch(node):
        return look_up(whole[1], values, where)
    return REFERENCE.sub(lambda match: text(look_up(match[1], values, where)), node).replace(r"\${", "${")


def text(value: object) -> str:
    """A value as DVC formats it in a command or a name."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def look_up(reference: str, values: object, where: str, file: str = "params.yaml") -> object:
    """The value at `a.b[0]`.

    Raises:
        GraphError: there is none.
    """
    found: Any = values
    for part in re.findall(r"[^.\[\]]+", reference):
        try:
            found = found[int(part) if isinstance(found, list) else part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise GraphError(f"{where}: ${{{reference}}} is not in {file}") from None
    return found


def edges(stages: dict[str, Stage]) -> dict[str, tuple[str, ...]]:
    """The upstream stages: their output equals, contains or is inside a dependency.

    Raises:
        GraphError: two stages write the same path, or there is a cycle.
    """
    makers: dict[str, str] = {}
    for stage in stages.values():
        for out in stage.outs:
            if out in makers:
                raise GraphError(f"dvc.yaml: {out} is written by {makers[out]} and by {stage.address}")
            makers[out] = stage.address
    found = {}
    for stage in stages.values():
        needed = {
            maker
            for dep in stage.deps
            for out, maker in makers.items()
            if dep == out or dep.startswith(f"{out}/") or out.startswith(f"{dep}/")
        }
        found[stage.address] = tuple(address for address in stages if address in needed)
    try:
        graphlib.TopologicalSorter(found).prepare()
    except graphlib.CycleError as error:
        raise GraphError(f"dvc.yaml: cycle of stages: {' -> '.join(error.args[1])}") from None
    return found
