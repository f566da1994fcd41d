"""The code that can change what a stage writes. A test compares dvc.yaml with it, and a training resumes only if it
is unchanged.

It is the import closure of the stage's module and of what the stage loads by name: the project's members, the network
in params.yaml, the sections of a report. Plumbing is left out: it passes values on and changes none.
"""

from collections.abc import Iterator
from pathlib import Path

from roadmap.bundle.code import ROOT, closure, sha256_of

MEMBERS = {  # project members that each stage loads
    "prepare": ("settings", "data"),
    "report": ("report",),
    "baselines": ("evaluate",),
    "train": ("settings", "data", "monitoring", "predict"),
    "evaluate": ("data", "evaluate", "behaviour", "predict"),
    "register": ("data", "evaluate", "predict"),
}
OPTIONAL = ("report", "behaviour")

PLUMBING = {  # files, or whole folders
    "roadmap/config/schema.py": "passes the blocks on; defaults of data and models are in settings.py",
    "roadmap/config/stage.py": "Hydra entry point; DVC tracks the keys of params.yaml that it composes",
    "roadmap/dependencies.py": "decides whether a training resumes; a resumed one ends with the same result",
    "roadmap/io": "errors, atomic writes, HTTP: the same bytes or none",
    "roadmap/project.py": "loads members; defaults are empty",
    "roadmap/tracking": "copies to MLflow what is written anyway",
}


def files(stage: str, project: str, network: str, root: Path = ROOT) -> list[str]:
    """Paths from `root`, sorted.

    network: file or folder from params.yaml; only for training

    Raises:
        ModuleNotFoundError: a member or the network is missing.
    """
    return closure(*roots(stage, project, network, root), root=root, beyond=frozenset(plumbing(root)))


def code_sha256(stage: str, project: str, network: str) -> str:
    """One hash over the names and contents of `files`."""
    return sha256_of(files(stage, project, network))


def roots(stage: str, project: str, network: str, root: Path = ROOT) -> Iterator[str]:
    """The stage's module, and every module that it loads by name."""
    yield f"pipelines.{stage}"
    for member in MEMBERS[stage]:
        if member not in OPTIONAL or list((root / "pipelines" / project).glob(f"{member}*")):
            yield f"pipelines.{project}.{member}"
    if stage == "train":
        yield from _modules(network, root)
    if stage == "report":
        yield from _modules("roadmap/reporting/tasks", root)


def plumbing(root: Path = ROOT) -> list[str]:
    return [path for entry in PLUMBING for path in _sources(entry, root)]


def _modules(place: str, root: Path) -> list[str]:
    return [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in _sources(place, root)]


def _sources(place: str, root: Path) -> list[str]:
    """The file itself, or the sources in the folder."""
    found = (root / place).rglob("*.py") if (root / place).is_dir() else [root / place]
    return sorted(path.relative_to(root).as_posix() for path in found)
