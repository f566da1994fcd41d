"""The code that can change what a stage writes. dvc.yaml is held against it, and a training resumes only where it is
the same.

It is the import closure of the stage's module and of what the stage loads by name: the project's members, the network
that params.yaml names, the sections of a report. Plumbing is left out: it carries values and changes none.
"""

from collections.abc import Iterator
from pathlib import Path

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
    "roadmap/config/schema.py": "carries the blocks; defaults that make data or models are in settings.py",
    "roadmap/config/stage.py": "Hydra's entry: what it composes comes from params.yaml, whose keys DVC tracks",
    "roadmap/dependencies.py": "tells whether a training may be resumed, which then ends as if it had never stopped",
    "roadmap/io": "errors, atomic writes, HTTP: the same bytes, or none",
    "roadmap/project.py": "loads members; what a project does not say is empty",
    "roadmap/tracking": "tells MLflow what is written anyway",
}


def files(stage: str, project: str, network: str, root: Path = ROOT) -> list[str]:
    """Paths from `root`, sorted.

    network: as params.yaml has it, a file or a folder; only training needs it

    Raises:
        ModuleNotFoundError: a member or the network is not there.
    """
    return closure(*roots(stage, project, network, root), root=root, beyond=frozenset(plumbing(root)))


def code_sha256(stage: str, project: str, network: str) -> str:
    """One hash of the names and contents of `files`."""
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
    """A file itself, or the sources in a folder."""
    found = (root / place).rglob("*.py") if (root / place).is_dir() else [root / place]
    return sorted(path.relative_to(root).as_posix() for path in found)
