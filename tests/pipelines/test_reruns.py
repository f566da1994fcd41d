"""What DVC reruns after an edit, in a checkout with dummy outputs: nothing is trained."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.checkouts import ROOT, checkout
from tests.support.pipelines.dummies import write_dummies

PROJECTS = ("titanic", "mnist", "mini_gpt")  # a table, images, text
STAGES = ("prepare", "report", "baselines", "train", "evaluate", "register")
MODEL = ("prepare", "baselines", "train", "evaluate", "register")  # all but the report


def of(*stages: str, projects: tuple[str, ...] = PROJECTS) -> set[str]:
    return {f"{stage}@{project}" for stage in stages for project in projects}


TITANIC, MNIST, MINI_GPT = (("titanic",), ("mnist",), ("mini_gpt",))
# A dry run names the stages whose own inputs changed; dependent stages follow if the outputs change.
EDITS: dict[str, set[str]] = {
    "roadmap/bundle/bundle.py": of(*MODEL),
    "roadmap/config/schema.py": set(),
    "roadmap/config/settings.py": of(*STAGES),
    "roadmap/config/limits.py": of("register"),
    "roadmap/data/splits.py": of(*STAGES),
    "roadmap/evaluation/plots/style.py": of("baselines", "evaluate", "register"),
    "roadmap/experiments/arms.py": set(),
    "roadmap/exporting/gguf.py": set(),
    "roadmap/feedback/recent.py": of("prepare"),
    "roadmap/inference/images/__init__.py": of(*STAGES, projects=MNIST),
    "roadmap/inference/language/sampling.py": of(*STAGES, projects=MINI_GPT),
    "roadmap/inference/tabular/features.py": of(*STAGES, projects=TITANIC),
    "roadmap/io/atomic.py": set(),
    "roadmap/monitoring/page.py": set(),
    "roadmap/monitoring/reference/columns.py": of("train"),
    "roadmap/monitoring/README.md": set(),
    "roadmap/prediction_log/labels.py": set(),
    "roadmap/promotion/gate.py": of("register"),
    "roadmap/quantisation/graphs.py": of("train"),
    "roadmap/quantisation/page.py": set(),
    "roadmap/publishing/card.py": set(),
    "roadmap/reporting/page.css": of("report"),
    "roadmap/reporting/tasks/images.py": of("report"),
    "roadmap/runners/sagemaker.py": set(),
    "roadmap/sizing/page.py": set(),
    "roadmap/tokenizing/bpe.py": set(),
    "roadmap/tracking/mlflow.py": set(),
    "roadmap/training/fitting.py": of("train"),
    "roadmap/training/history.py": of("baselines", "train", "evaluate", "register"),
    "roadmap/project.py": set(),
    "roadmap/dependencies.py": set(),
    "models/graph.py": of("train"),
    "models/mnist.py": of("train", projects=MNIST),
    "models/decoders/gpt.py": of("train", projects=MINI_GPT),
    "pipelines/train.py": of("train"),
    "pipelines/monitor.py": set(),
    "pipelines/titanic/data/__init__.py": of(*STAGES, projects=TITANIC),
    "pipelines/titanic/predict/__init__.py": of(*STAGES, projects=TITANIC),
    "pipelines/titanic/predict/features.py": of(*STAGES, projects=TITANIC),
    "pipelines/titanic/settings.py": of(*STAGES, projects=TITANIC),
    "pipelines/titanic/evaluate/__init__.py": of("report", "baselines", "evaluate", "register", projects=TITANIC),
    "pipelines/titanic/behaviour.py": of("report", "evaluate", projects=TITANIC),
    "pipelines/titanic/monitoring.py": of("report", "train", "evaluate", projects=TITANIC),
    "pipelines/titanic/README.md": set(),
    "serving/settings.py": set(),
}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Three projects, reproduced as far as DVC knows."""
    from dvc.repo import Repo

    folder = checkout(tmp_path_factory.mktemp("reruns") / "clone")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["projects"] = {name: params["projects"][name] for name in PROJECTS}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    write_dummies(folder)
    before = Path.cwd()
    os.chdir(folder)
    with Repo(str(folder)) as found:
        found.commit(force=True)
        yield found
    os.chdir(before)


@pytest.mark.parametrize("path", EDITS)
def test_an_edit_reruns_exactly_what_depends_on_it(repo: Any, path: str) -> None:
    with edited(repo, path), repo.lock:
        assert {stage.addressing for stage in repo.index.stages if stage.changed_deps()} == {"store"} | EDITS[path]


def test_dvc_repro_runs_what_changed(repo: Any) -> None:
    """The same from `dvc repro --dry`, which also includes the stage `store`."""
    assert {stage.addressing for stage in repo.reproduce(dry=True)} == {"store"}
    for path in ("pipelines/titanic/predict/features.py", "pipelines/titanic/README.md"):
        with edited(repo, path):
            assert {stage.addressing for stage in repo.reproduce(dry=True)} == {"store"} | EDITS[path]


def test_documentation_is_ignored_and_outputs_are_not(repo: Any) -> None:
    ignored = {path: repo.dvcignore.is_ignored_file(str(Path(repo.root_dir, path))) for path in (
        "pipelines/titanic/README.md", "pipelines/stocks/figure.png", "roadmap/monitoring/power.svg",
        "artifacts/titanic/plots/calibration.png", "artifacts/titanic/bundle/notes.md", "data/mnist/digits.svg",
    )}  # fmt: skip
    assert list(ignored.values()) == [True] * 3 + [False] * 3, ignored


def test_every_package_and_kind_of_project_file_is_covered() -> None:
    rooms = {path.parent.name for path in (ROOT / "roadmap").glob("*/__init__.py")}
    assert rooms == {path.split("/")[1] for path in EDITS if path.startswith("roadmap/") and path.count("/") > 1}
    own = {path.name for path in (ROOT / "pipelines/titanic").iterdir() if not path.name.startswith("__")}
    assert own == {path.split("/")[2] for path in EDITS if path.startswith("pipelines/titanic/")}


@contextmanager
def edited(repo: Any, path: str) -> Iterator[None]:
    file = Path(repo.root_dir, path)
    before = file.read_bytes()
    file.write_bytes(before + {".py": b"\n# edited\n", ".css": b"\n/* edited */\n"}.get(file.suffix, b"\nEdited.\n"))
    try:
        yield
    finally:
        file.write_bytes(before)
