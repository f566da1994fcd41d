"""dvc.yaml is complete: what a stage imports for a project is among its dependencies."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc_airflow import graph

from roadmap import dependencies
from roadmap.dependencies import MEMBERS, PLUMBING, files
from tests.support.checkouts import ROOT

PROJECTS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]
STAGES = graph.read(ROOT).stages
WITHOUT = {  # stages that depend on no file of the repository
    "collect": "adds what production has labelled meanwhile: it runs when it is told to",
    "store": "runs always",
}
LOADERS = {  # files that import by a computed name -> how dependencies.py knows the module
    "pipelines/control/data/environments/adapter.py": "the user's own environment, which prepare has tried",
    "pipelines/report.py": "all of roadmap/reporting/tasks",
    "pipelines/train.py": "roadmap/runners, which carry data there and the outputs of the same stage back",
    "roadmap/bundle/predictor.py": "the member `predict`, which is all that a manifest may name",
    "roadmap/data/weights/packages.py": "other people's packages, which are searched for files and never imported",
    "roadmap/fork_server.py": "other people's modules, and the stage whose process it stands in for",
    "roadmap/project.py": "the members of a project",
    "roadmap/tracking/tracker.py": "other people's modules, which are searched for and never imported",
    "roadmap/training/fitting.py": "the network, in which check.py wants every `_target_` to be",
    "roadmap/training/lightning.py": "other people's modules",
}


def covered(file: str, deps: tuple[str, ...]) -> bool:
    return any(file == dep or file.startswith(f"{dep}/") for dep in deps)


@cache
def needed(stage: str, project: str) -> list[str]:
    return files(stage, project, PROJECTS[project]["network"])


@pytest.mark.parametrize("address", STAGES)
def test_imports_of_a_stage_are_among_its_dependencies(address: str) -> None:
    stage = STAGES[address]
    if stage.name in WITHOUT:
        assert not stage.deps
        return
    assert stage.key is not None
    missing = [file for file in needed(stage.name, stage.key) if not covered(file, stage.deps)]
    assert not missing, f"dvc.yaml: {address}: does not depend on {', '.join(missing)}; name it or its folder in deps"


@pytest.mark.parametrize("name", MEMBERS)
def test_every_dependency_is_imported(name: str) -> None:
    """Each code entry of `deps:` is imported by the stage for some project."""
    served: dict[str, bool] = {"pipelines/${key}": True}  # of optional members, which no project need have
    for stage in STAGES.values():
        if stage.name == name and stage.key is not None:
            slots = {PROJECTS[stage.key]["inference"], PROJECTS[stage.key]["network"]}  # wider than need be, for some
            for dep in set(stage.deps) - slots:
                if dep.startswith(("pipelines/", "models/", "roadmap/")):
                    line = dep.replace(f"pipelines/{stage.key}", "pipelines/${key}")
                    used = any(covered(file, (dep,)) for file in needed(name, stage.key))
                    served[line] = served.get(line, False) or used
    assert not [line for line, used in served.items() if not used], f"dvc.yaml: {name}: deps that no project needs"


@pytest.mark.parametrize("entry", PLUMBING)
def test_excluded_plumbing_exists_and_is_imported(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (ROOT / entry).exists() and PLUMBING[entry]
    monkeypatch.setattr(dependencies, "PLUMBING", {path: why for path, why in PLUMBING.items() if path != entry})
    project = next(iter(PROJECTS))
    found = {file for stage in MEMBERS for file in files(stage, project, PROJECTS[project]["network"])}
    assert any(covered(file, (entry,)) for file in found), f"{entry}: no stage imports it; take it off the list"


def test_omitted_project_keys_are_empty() -> None:
    """The defaults of roadmap/project.py change no output; otherwise it would not be plumbing."""
    tree = ast.parse((ROOT / "roadmap/project.py").read_text())
    members = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name not in ("Project", "Settings")
    ]
    methods = [node for member in members for node in member.body if isinstance(node, ast.FunctionDef)]
    assert len(methods) > 8
    for method in methods:
        for statement in method.body[1:]:  # the first is the docstring
            assert ast.unparse(statement) in ("return {}", "return []", "return None", "yield from ()"), method.name


def sources(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        yield from (ROOT / room).rglob("*.py")


def test_modules_loaded_by_name_are_included() -> None:
    names = {"import_module", "find_spec", "__import__", "run_module", "exec_module"}
    found = set()
    for path in sources("roadmap", "pipelines", "models"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, "attr", None) or getattr(node, "id", None)
            if name in names:
                found.add(path.relative_to(ROOT).as_posix())
    message = "load modules by a computed name: tell roadmap/dependencies.py how to find them, then LOADERS why it can"
    assert found == set(LOADERS), f"{sorted(found ^ set(LOADERS))} {message}"


def test_a_folder_of_networks_is_included_completely(tmp_path: Path) -> None:
    for path in sources("roadmap", "pipelines", "models"):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (tmp_path / "models/pair").mkdir()
    (tmp_path / "models/pair/first.py").write_text("from models.imdb import LSTM\n")
    (tmp_path / "models/pair/second.py").write_text("from models.pair.first import LSTM\n")
    found = set(files("train", "titanic", "models/pair", tmp_path)) - set(needed("train", "titanic"))
    assert found == {"models/pair/first.py", "models/pair/second.py", "models/imdb.py", "models/graph.py"}
    with pytest.raises(ModuleNotFoundError, match="gone"):
        files("train", "titanic", "models/gone.py")
