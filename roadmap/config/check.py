"""Validates the configuration that Hydra composed from params.yaml and the command line into a `Run`."""

import re
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from roadmap.config.params import names_of
from roadmap.config.schema import SHIPPED, ProjectSettings, Run
from roadmap.config.settings import ModelSettings
from roadmap.io.errors import UsageError, nearest
from roadmap.io.json import JsonObject
from roadmap.project import load_project

PROFILES = ("sample", "full")
OTHER = "other"  # in a choice by a value: of the values that it does not name
TOP = ("profile", "seed", "projects", "project", "trainer", "tracking", "candidate", "precision", "rollback")


def for_profile(block: JsonObject, profile: str, where: str = "") -> JsonObject:
    """Replaces every `{sample: a, full: b}` in a block of params.yaml by the value for `profile`.

    where: dotted key of the block, for messages

    Raises:
        UsageError: a choice has no value for `profile`.
    """
    found: JsonObject = _chosen(block, profile, where)
    return found


def _chosen(node: Any, profile: str, where: str) -> Any:
    if isinstance(node, dict):
        if node and set(node) <= set(PROFILES):
            if profile not in node:
                raise UsageError(f"params.yaml: {where}: found {node}; expected a value for '{profile}'; add it")
            return _chosen(node[profile], profile, where)
        return {key: _chosen(value, profile, f"{where}.{key}" if where else str(key)) for key, value in node.items()}
    if isinstance(node, list):
        return [_chosen(value, profile, where) for value in node]
    return node


def for_choice(block: JsonObject, choice: str, where: str = "") -> JsonObject:
    """Replaces every `{<value>: a, <value>: b, other: c}` in a block of params.yaml by what it has for `choice`.

    where: dotted key of the block, for messages

    Raises:
        UsageError: a single setting stands among blocks of settings.
    """
    found: JsonObject = _picked(block, choice, where)
    return found


def _picked(node: Any, choice: str, where: str) -> Any:
    if not isinstance(node, dict):
        return node
    if OTHER not in node:
        return {key: _picked(value, choice, f"{where}.{key}" if where else str(key)) for key, value in node.items()}
    if isinstance(node[OTHER], dict):
        for key, value in node.items():
            if not isinstance(value, dict):
                at = f"found {value!r} among the settings of {', '.join(map(str, node))}"
                raise UsageError(f"params.yaml: {where}.{key}: {at}; set {where}.{choice}.{key}")
    return node.get(choice, node[OTHER])


def block_of(name: str, block: JsonObject, profile: str) -> JsonObject:
    """A project's block of params.yaml, its choices made: by profile, and by the value of `data:` that it names."""
    where, choice = f"projects.{name}", load_project(name).settings.data.choice
    block = for_profile(block, profile, where)
    data = (block or {}).get("data")
    return for_choice(block, str(data[choice]), where) if isinstance(data, dict) and choice in data else block


def check(raw: JsonObject) -> Run:
    """The composed configuration as a `Run`. The blocks of all projects are checked, not only the selected one.

    Raises:
        UsageError: with file, key, the value found and what is allowed.
    """
    profile, names = raw.get("profile"), names_of(raw.get("projects") or {})
    if profile not in PROFILES:
        raise UsageError(f"params.yaml: profile: found {profile!r}; {nearest(str(profile), list(PROFILES))}")
    if raw.get("project") not in names:
        raise UsageError(
            f"command line: project: found {raw.get('project')!r}; {nearest(str(raw.get('project')), names)}"
        )
    projects = {name: _check_project(name, block_of(name, raw["projects"][name], profile)) for name in names}
    top = {key: value for key, value in raw.items() if key not in ("projects", "project")}
    for key in top:
        if key not in TOP:
            raise UsageError(f"params.yaml: {key}: unknown key; {nearest(str(key), list(TOP))}")
    settings, models = projects[raw["project"]]
    return _validated(Run, {**top, "name": raw["project"], "settings": settings, "models": models}, "")


def _check_project(name: str, block: JsonObject) -> tuple[ProjectSettings[Any, Any], dict[str, ModelSettings]]:
    where = f"projects.{name}"
    settings, generic = load_project(name).settings, cast(Any, ProjectSettings)
    model = _model_settings(settings.model, (block or {}).get("model"))
    project = _validated(generic[settings.data, model], block, where)
    if SHIPPED in project.variants:
        raise UsageError(
            f"params.yaml: {where}.variants.{SHIPPED}: the name is reserved for the model itself; choose another"
        )
    runners = ["local", *sorted(path.stem for path in Path("roadmap/runners").glob("[a-z]*.py"))]
    if project.runner not in runners:
        found = f"found {project.runner!r}; {nearest(project.runner, runners)}"
        raise UsageError(f"params.yaml: {where}.runner: {found}")
    models = {SHIPPED: project.model}
    for variant, changes in project.variants.items():
        schema = _model_settings(settings.model, {**block["model"], **changes})
        # A variant may be another class, with other settings: it has those of the model that both have.
        shared = {key: value for key, value in block["model"].items() if schema is model or key in _keys(schema)}
        models[variant] = _validated(schema, {**shared, **changes}, f"{where}.variants.{variant}")
    for variant, model in models.items():
        at = f"{where}.model" if variant == SHIPPED else f"{where}.variants.{variant}"
        for key, network in (("", model), *((f".{name}", one) for name, one in model.earlier().items())):
            _check_class(f"params.yaml: {at}{key}._target_", network.target_, project.network)
    return project, models


def _model_settings(default: type[ModelSettings], block: Any) -> type[ModelSettings]:
    target = block.get("_target_") if isinstance(block, dict) else None
    return default.of(target) if isinstance(target, str) else default


def _keys(schema: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in schema.model_fields.items()]


def _check_class(where: str, target: str, network: str) -> None:
    """The class must be defined in `network`. The source is searched as text: an import would load PyTorch."""
    module, _, cls = target.rpartition(".")
    path = Path(module.replace(".", "/") + ".py")
    if not path.is_relative_to(network):
        raise UsageError(f"{where}: found {target!r}; expected a class of {network}, the project's `network`")
    if not path.exists():
        raise UsageError(f"{where}: found {target!r}; expected a class in an existing file; {path} does not exist")
    classes = re.findall(r"^class (\w+)", path.read_text(), re.MULTILINE)
    if cls not in classes:
        raise UsageError(f"{where}: found {target!r}; {nearest(cls, classes)}")


def _validated(schema: type[BaseModel], block: Any, where: str) -> Any:
    try:
        return schema.model_validate(block)
    except ValidationError as error:
        raise UsageError(_one_line(schema, error, where)) from None


def _one_line(schema: type[BaseModel], error: ValidationError, where: str) -> str:
    """The first error as one line: file, key, found, allowed."""
    # A misspelt key is both unknown and missing; the unknown one makes the better message.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    key = ".".join([where] * bool(where) + [str(part) for part in first["loc"]])
    if first["type"] == "extra_forbidden":
        owner = schema
        for part in first["loc"][:-1]:
            owner = _field_type(owner, str(part)) or owner
        return f"params.yaml: {key}: unknown key; {nearest(str(first['loc'][-1]), _keys(owner))}"
    if first["type"] == "missing":
        return f"params.yaml: {key}: missing"
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    found = "" if first["type"] == "value_error" else f"found {first['input']!r}; "
    return f"params.yaml: {key}: {found}{message}"


def _field_type(owner: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = owner.model_fields.get(name)
    candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
