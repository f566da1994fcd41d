"""Imports, beyond the contracts of pyproject.toml that `lint-imports` checks: no cycles, and what DAGs may load.

Imports inside functions count like any other; those for type checkers alone don't: they never run.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

PACKAGES = ("roadmap", "pipelines", "models", "serving", "infra", "dvc_airflow", "benchmarks", "tests")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        *PACKAGES, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


@pytest.fixture(scope="module")
def imports(graph: grimp.ImportGraph) -> list[tuple[str, str]]:
    """(importer, imported) of all modules of ours."""
    return [(one, other) for one in graph.modules for other in graph.find_modules_directly_imported_by(one)]


def circle(edges: Iterable[tuple[str, str]]) -> list[str]:
    """A cycle, if there is one."""
    above: defaultdict[str, set[str]] = defaultdict(set)
    for one, other in edges:
        above[one].add(other)
    try:
        TopologicalSorter(above).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_module_has_an_import_cycle(imports: list[tuple[str, str]]) -> None:
    assert circle(imports) == []


@pytest.mark.parametrize("package", ["roadmap", "serving", "infra"])
def test_no_package_has_an_import_cycle(imports: list[tuple[str, str]], package: str) -> None:
    def room(module: str) -> str:
        return ".".join(module.split(".")[:2])

    own = [(room(one), room(other)) for one, other in imports if one.startswith(f"{package}.")]
    assert circle((one, other) for one, other in own if one != other and other.startswith(f"{package}.")) == []


def test_dags_import_only_the_standard_library_yaml_and_airflow(imports: list[tuple[str, str]]) -> None:
    """Airflow parses them repeatedly, in an environment without our packages."""
    allowed = {"dvc_airflow", "yaml", "airflow", *sys.stdlib_module_names}
    loaded = {(one, other) for one, other in imports if one.partition(".")[0] == "dvc_airflow"}
    assert loaded and [pair for pair in sorted(loaded) if pair[1].partition(".")[0] not in allowed] == []


def test_a_cycle_is_reported() -> None:
    assert circle([("a", "b"), ("b", "c"), ("c", "a"), ("a", "d")]) in (
        ["a", "b", "c", "a"], ["b", "c", "a", "b"], ["c", "a", "b", "c"],
        ["a", "c", "b", "a"], ["b", "a", "c", "b"], ["c", "b", "a", "c"],
    )  # fmt: skip
