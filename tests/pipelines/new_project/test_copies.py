"""`make project`: the copy is whole, and params.yaml keeps its comments."""

import shutil
from pathlib import Path

import pytest

from pipelines import new_project
from roadmap.config.params import PARAMS, params
from tests.support.checkouts import ROOT


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copyfile(ROOT / PARAMS, tmp_path / PARAMS)
    for name in ("pipelines", "models"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("like", params(ROOT)["projects"])
def test_every_project_can_be_copied(like: str) -> None:
    before = params()["projects"]
    assert new_project.main(["name=churn", f"like={like}"]) == 0
    after = params()["projects"]
    assert list(after) == [each for name in before for each in ([name, "churn"] if name == like else [name])]
    assert {name: block for name, block in after.items() if name != "churn"} == before
    assert Path(after["churn"]["network"]).exists()
    copied = {path.relative_to("pipelines/churn") for path in Path("pipelines/churn").rglob("*.py")}
    assert copied == {path.relative_to(f"pipelines/{like}") for path in Path("pipelines", like).rglob("*.py")}
    for path in Path("pipelines/churn").rglob("*.py"):
        assert f"pipelines.{like}" not in path.read_text(), f"{path} still imports from {like}"


def test_comments_of_the_block_are_copied_and_others_stay() -> None:
    before = PARAMS.read_text()
    new_project.main(["name=prices", "like=house_prices"])
    after = PARAMS.read_text()
    assert after.count("# words for a gap") == before.count("# words for a gap")
    assert after.count("# svd | gd | momentum | adam") == before.count("# svd | gd | momentum | adam") + 1
    assert "train@prices reruns when it changes" in after


def test_a_data_sets_name_stays() -> None:
    new_project.main(["name=churn", "like=titanic"])
    assert 'fetch("titanic"' in Path("pipelines/churn/data/__init__.py").read_text()
    assert Path("pipelines/churn/README.md").read_text().startswith("# churn: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["name=churn", "like=titanc"], "like: found 'titanc'; did you mean 'titanic'"),
        (["name=Churn", "like=titanic"], "name: found 'Churn'; expected a module's name"),
        (["name=class", "like=titanic"], "name: found 'class'"),
        (["name=mnist", "like=titanic"], "name: found pipelines/mnist, models/mnist.py already"),
        (["like=titanic"], "name: missing"),
    ],
)
def test_what_cannot_be_made_is_said_and_nothing_is_written(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = PARAMS.read_text()
    assert new_project.main(arguments) == 2
    assert message in capsys.readouterr().err
    assert PARAMS.read_text() == before and not Path("pipelines/churn").exists()
