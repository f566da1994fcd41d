"""The code that can change what a stage writes. dvc.yaml is held against it, and a training resumes only where it is
the same.

It is the import closure of the stage's module and of what the stage loads by name: the project's members, the networks
that params.yaml names, the sections of a report. Plumbing is left out: it carries values and changes none.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roadmap.bundle.code import ROOT, closure, sha256_of

MEMBERS = {  # what a stage loads of a project, by module
    "prepare": ("settings", "data"),
    "report": ("report",),
    "baselines": ("evaluate",),
    "train": ("settings", "data", "monitoring", "predict"),
    "evaluate": ("data", "evaluate", "behaviour", "predict"),
    "register": ("data", "evaluate", "predict"),
}
OPTIONAL = ("report", "behaviour")

PLUMBING = {  # a file, or a folder with all that is in it
    "roadmap/config/stage.py": "Hydra's entry: what it composes comes from params.yaml, whose keys DVC tracks",
    "roadmap/config/errors.py": "the words of a refusal, after which nothing is written",
    "roadmap/dependencies.py": "says whether a training may be resumed, which ends as if it had not been interrupted",
    "roadmap/runners": "where training runs: data go there, and the outputs of the same stage come back",
    "roadmap/tracking": "tells MLflow what is written anyway",
}


def files(stage: str, project: str, block: Mapping[str, Any], root: Path = ROOT) -> list[str]:
    """Paths from `root`, sorted.

    block: the project's block in params.yaml, for either profile or for both

    Raises:
        ModuleNotFoundError: a member or a network that is not there.
    """
    return closure(*roots(stage, project, block, root), root=root, beyond=frozenset(plumbing(root)))


def code_sha256(stage: str, project: str, block: Mapping[str, Any]) -> str:
    """One hash of the names and contents of `files`."""
    return sha256_of(files(stage, project, block))


def roots(stage: str, project: str, block: Mapping[str, Any], root: Path = ROOT) -> Iterator[str]:
    """The stage's module, and every module that it loads by name."""
    yield f"pipelines.{stage}"
    for member in MEMBERS[stage]:
        if member not in OPTIONAL or list((root / "pipelines" / project).glob(f"{member}*")):
            yield f"pipelines.{project}.{member}"
    if stage == "train":
        yield from networks(block)
    if stage == "report":
        yield from (f"roadmap.reporting.tasks.{path.stem}" for path in (root / "roadmap/reporting/tasks").glob("*.py"))


def networks(node: Any) -> Iterator[str]:
    """The modules of all `_target_`s in a block, the variants' and those of one profile included."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            for target in (value.values() if isinstance(value, Mapping) else [value]) if key == "_target_" else []:
                yield str(target).rpartition(".")[0]
            yield from networks(value)


def plumbing(root: Path = ROOT) -> Iterator[str]:
    for entry in PLUMBING:
        path = root / entry
        found = path.rglob("*.py") if path.is_dir() else [path]
        yield from (file.relative_to(root).as_posix() for file in found)
