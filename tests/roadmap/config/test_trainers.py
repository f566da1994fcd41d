"""`trainer=<word>`: a project either allows it or says in one line why not, before any work."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from pipelines.train import check_strategy
from roadmap.config.check import check
from roadmap.io.errors import UsageError
from tests.support.checkouts import ROOT, environment

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
TRAINERS = {path.stem: path for path in (ROOT / "roadmap/config/conf/trainer").glob("*.yaml")}


def refusal(project: str, word: str, trainer: dict[str, Any] | None = None, **model: Any) -> str | None:
    """What the stage `train` says; None if it trains."""
    given = OmegaConf.create({"trainer": OmegaConf.merge(OmegaConf.load(TRAINERS[word]), trainer or {})})
    composed: Any = OmegaConf.to_container(given, resolve=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["projects"][project]["model"] |= model
    run = check({**params, "project": project, "trainer": composed["trainer"]})
    try:
        check_strategy(run)
    except UsageError as error:
        return str(error)
    return None


@pytest.mark.parametrize("project", PARAMS["projects"])
def test_one_process_trains_every_project(project: str) -> None:
    assert refusal(project, "cpu") is None
    assert refusal(project, "gpu") is None


@pytest.mark.parametrize("word", ["ddp", "fsdp", "tensor", "pipeline", "hybrid"])
def test_a_decoder_is_trained_in_every_way(word: str) -> None:
    assert refusal("mini_gpt", word, muon=None) is None


@pytest.mark.parametrize(
    ("project", "word", "trainer", "model", "reason"),
    [
        ("titanic", "tensor", {}, {}, "found 'tensor' for titanic; models.titanic.Classifier allows ddp"),
        ("word2vec", "ddp", {}, {}, "allows one process only"),
        (
            "control",
            "cpu",
            {"devices": 2},
            {},
            "found 'ddp' for control; models.control.ppo.PPO allows one process only",
        ),
        ("mini_gpt", "fsdp", {}, {}, "Muon needs whole matrices; set model.muon=null"),
        ("mini_gpt", "tensor", {"devices": 3}, {"muon": None}, "heads: 4 can't be divided among 3 processes"),
        ("mini_gpt", "pipeline", {"devices": 3}, {"muon": None}, "layers: 2 are too few for 3 stages"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused_with_the_reason(
    project: str, word: str, trainer: dict[str, Any], model: dict[str, Any], reason: str
) -> None:
    assert reason in (refusal(project, word, trainer, **model) or "")


def test_sizes_that_do_not_make_up_the_processes_are_refused() -> None:
    with pytest.raises(UsageError, match="devices must be a multiple of tensor x pipeline = 2, found 3"):
        refusal("mini_gpt", "hybrid", {"devices": 3})


def test_the_stage_ends_with_one_line_before_any_work(tmp_path: Path) -> None:
    for name in ("roadmap", "pipelines", "models", "params.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "pipelines.train", "project=titanic", "trainer=tensor"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: trainer: found 'tensor' for titanic; models.titanic.Classifier allows ddp\n"
    assert not (tmp_path / "artifacts").exists()
