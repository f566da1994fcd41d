"""The contract of a project: missing members are one line, and a wrong signature is rejected by mypy."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pipelines
from roadmap.io.errors import UsageError
from roadmap.project import load_project
from tests.support.checkouts import ROOT, environment

DATA = """
from roadmap import project


class Data(project.Data):
    def prepare(self, data, profile, seed): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pipelines/shop, a new project."""
    monkeypatch.setattr(pipelines, "__path__", [*pipelines.__path__, str(tmp_path)])
    for name in [name for name in sys.modules if name.startswith("pipelines.shop")]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    return tmp_path / "shop"


@pytest.mark.parametrize(
    ("member", "file", "text", "message"),
    [
        ("settings", "README.md", "", "params.yaml: projects.shop: needs pipelines/shop/settings.py"),
        ("data", "README.md", "", "pipelines/shop/data: not there; it must have a class Data, see roadmap/project.py"),
        (
            "data",
            "data.py",
            DATA,
            "pipelines/shop/data: Data has no test_rows(...), training(...); see ",
        ),
        ("data", "data.py", "def prepare(): ...", "pipelines/shop/data: has no class Data that derives from"),
        ("evaluation", "evaluate.py", "class Evaluation: ...", "pipelines/shop/evaluate: has no class Evaluation that"),
        (
            "predictor",
            "predict.py",
            "Predictor = 3",
            "pipelines/shop/predict: has no class Predictor that derives",
        ),
    ],
)
def test_a_missing_project_member_is_one_line(folder: Path, member: str, file: str, text: str, message: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(UsageError) as refused:
        getattr(load_project("shop"), member)
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_optional_members_have_defaults(folder: Path) -> None:
    project = load_project("shop")
    nobody: Any = None
    assert list(project.behaviour.expectations(nobody, [])) == []
    assert project.report.sections(folder, {}) is None


def test_a_projects_own_report_takes_precedence(folder: Path) -> None:
    own = (
        "from roadmap import project\nclass Report(project.Report):\n    def sections(self, folder, card): return []\n"
    )
    (folder / "report.py").write_text(own)
    assert load_project("shop").report.sections(folder, {}) == []


def test_an_error_inside_a_member_is_not_taken_as_missing(folder: Path) -> None:
    (folder / "behaviour.py").write_text("import no_such_library")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        _ = load_project("shop").behaviour


def test_a_stage_loads_only_the_members_it_needs() -> None:
    code = "import sys; from roadmap.project import load_project; load_project('mnist').data; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)
    loaded = {name for name in done.stdout.split() if name.startswith("pipelines.mnist.")}
    assert loaded == {"pipelines.mnist.data", "pipelines.mnist.settings"}, done.stderr


SIGNATURES = """
import numpy as np
from roadmap import project
from roadmap.evaluation.scores import Score


class Right(project.Evaluation[float]):
    def score(self, targets: np.ndarray, outputs: project.Sequence[float]) -> Score: ...


class OtherArguments(project.Evaluation[float]):
    def score(self, targets: np.ndarray) -> Score: ...


class OtherAnswers(project.Evaluation[float]):
    def score(self, targets: np.ndarray, outputs: project.Sequence[str]) -> Score: ...


class OtherReturn(project.Evaluation[float]):
    def score(self, targets: np.ndarray, outputs: project.Sequence[float]) -> float: ...


Right()
project.Evaluation()
"""


def test_mypy_rejects_a_project_with_another_signature(tmp_path: Path) -> None:
    file = tmp_path / "evaluate.py"
    file.write_text(SIGNATURES)
    # Imports of the contract's files are skipped: reading the types of NumPy and PyTorch takes a minute.
    options = ["--follow-imports=skip", "--disable-error-code=empty-body", f"--cache-dir={tmp_path}"]
    checked = ["roadmap/project.py", "roadmap/evaluation/scores.py", str(file)]
    done = subprocess.run([sys.executable, "-m", "mypy", *options, *checked], cwd=ROOT, capture_output=True, text=True)
    lines = SIGNATURES.splitlines()
    found = {lines[int(line.split(":")[1]) - 1].strip() for line in done.stdout.splitlines() if str(file) in line}
    classes = ("OtherArguments", "OtherAnswers", "OtherReturn")
    wrong = {lines[lines.index(f"class {name}(project.Evaluation[float]):") + 1].strip() for name in classes}
    assert found == wrong | {"project.Evaluation()"}, done.stdout
