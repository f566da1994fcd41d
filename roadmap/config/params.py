"""params.yaml as plain data, for commands other than stages."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from roadmap.io.errors import UsageError, nearest
from roadmap.io.json import JsonObject

PARAMS = Path("params.yaml")


def params(folder: Path = Path()) -> JsonObject:
    """The blocks of the file by key, choices by profile still in them.

    Raises:
        UsageError: the file is missing or is not YAML.
    """
    path = folder / PARAMS
    try:
        return dict(yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        raise UsageError(f"{path}: not in {folder.resolve()}; run this at the root of the repository") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from None


def flat(values: JsonObject, prefix: str = "") -> JsonObject:
    """Nested keys as dotted keys: {"a": {"b": 1}} -> {"a.b": 1}"""
    found: JsonObject = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        found.update(flat(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return found


def projects() -> list[str]:
    """Project names, in the order of params.yaml."""
    return names_of(params()["projects"])


def names_of(projects: Iterable[object]) -> list[str]:
    """
    Raises:
        UsageError: a name that YAML takes for something else, such as `no`, which DVC takes for a name.
    """
    names: list[str] = []
    for name in projects:
        if not isinstance(name, str):
            raise UsageError(
                f"params.yaml: projects: found the name {str(name).lower()}, which is no text: YAML takes no, on, y, "
                "null and numbers for something else; put the name in quotes"
            )
        names.append(name)
    return names


def known_project(name: str) -> str:
    """
    Raises:
        UsageError: params.yaml has no such project.
    """
    names = projects()
    if name not in names:
        raise UsageError(f"project: found {name!r}; {nearest(name, names)}")
    return name
