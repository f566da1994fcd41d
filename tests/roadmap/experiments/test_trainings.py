"""What a training changed: the text of the comment, with both sides read from a real DVC repository."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from roadmap.experiments.trainings import Training, chart, markdown, verdict
from tests.support.checkouts import ROOT, environment

PARAMS = {"model.lr": 0.05, "train.epochs": 25}
DECISION = {
    "promoted": False,
    "checks": {
        "floor": {"passed": True, "reason": "accuracy is 0.9926, required: at least 0.95"},
        "champion": {"passed": False, "reason": "-0.1360 accuracy against champion version 1"},
    },
}


def metrics(value: float, low: float, high: float, higher: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "headline": {
            "name": "accuracy",
            "value": value,
            "ci95_low": low,
            "ci95_high": high,
            "higher_is_better": higher,
        },
        "metrics": {"log_loss": 0.04},
        "baselines": {"tree": {"test": 0.9}, "forest": {"test": 0.97}},
        "latency": {"batch_1": {"p50_ms": 0.04, "p95_ms": 0.05}},
        "size_bytes": 121095,
        "data_sha256": "same",
        **more,
    }


OLD = metrics(0.90, 0.89, 0.91)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (OLD, metrics(0.95, 0.94, 0.96), "accuracy 0.9500, better by 0.0500"),
        (OLD, metrics(0.905, 0.895, 0.915), "accuracy 0.9050, better by 0.0050, within the confidence intervals"),
        (OLD, metrics(0.85, 0.84, 0.86), "accuracy 0.8500, worse by 0.0500"),
        (OLD, OLD, "accuracy 0.9000, same as main"),
        (metrics(2.0, 1.9, 2.1, False), metrics(1.5, 1.4, 1.6, False), "accuracy 1.5000, better by 0.5000"),
        (None, OLD, "accuracy 0.9000"),
    ],
)
def test_the_headline_gives_direction_and_significance(old: Any, new: Any, words: str) -> None:
    assert verdict(old, new, "main") == words


def test_the_comment_has_metrics_intervals_parameters_and_gate_reasons() -> None:
    new = metrics(0.95, 0.94, 0.96, size_bytes=200_000, data_sha256="other")
    text = markdown(
        "mnist", Training("main", PARAMS, OLD, None), Training("now", {"model.lr": 0.1}, new, None, DECISION)
    )
    assert "| 0.9000 (0.8900 to 0.9100) | 0.9500 (0.9400 to 0.9600) | +0.0500, better |" in text
    assert "| bundle | 121,095 bytes | 200,000 bytes | +78,905 bytes, worse |" in text
    assert "| log_loss | 0.0400 | 0.0400 | none |" in text
    assert "best baseline: forest" in text
    assert "| `model.lr` | `0.05` | `0.1` |" in text and "| `train.epochs` | `25` |  |" in text
    assert "**The gate rejects it.**" in text and "❌ champion: -0.1360" in text
    assert "The data differ" in text


def test_missing_previous_metrics_are_reported() -> None:
    text = markdown("mnist", Training("main", PARAMS, None, None), Training("now", PARAMS, OLD, None))
    assert "`main` has no results of mnist" in text and "The gate has not run." in text
    assert "params.yaml" not in text


def test_values_are_escaped_in_the_table() -> None:
    new = Training("now", {"data.path": "a|b`c"}, OLD, None)
    assert '| `data.path` |  | `"a\\|b\'c"` |' in markdown("mnist", Training("main", {}, OLD, None), new)


def test_the_chart_shows_both_shipped_models_downsampled() -> None:
    history = "epoch,val_loss,variant/val_loss\n" + "".join(f"{i},{1 / i},9\n" for i in range(1, 101))
    drawn = chart(Training("main", {}, None, b"epoch,val_loss\n1,0.5\n"), Training("now", {}, OLD, history.encode()))
    lines = [line.split("[")[1].rstrip("]").split(", ") for line in drawn.splitlines() if " line [" in line]
    assert len(lines[0]) == 25 and lines[0][0] == "1" and "9" not in lines[0]
    assert lines[1] == ["0.5"]
    assert chart(Training("main", {}, None, None), Training("now", {}, OLD, None)) == ""


def run(folder: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment(PYTHONPATH=str(ROOT), **env), capture_output=True, text=True
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """main has metrics in DVC's cache; the working tree has better ones."""
    folder = tmp_path / "repository"
    (folder / "source").mkdir(parents=True)
    (folder / "params.yaml").write_text("profile: sample\nprojects: {mnist: {model: {lr: 0.05}}}\n")
    artifacts = "artifacts/mnist"
    stage = {"cmd": f"mkdir -p {artifacts} && cp -r source/. {artifacts}", "deps": ["source"]}
    outs = [f"{artifacts}/metrics.json", f"{artifacts}/plots"]
    (folder / "dvc.yaml").write_text(json.dumps({"stages": {"evaluate": {**stage, "outs": outs}}}))
    (folder / ".gitignore").write_text("artifacts\n")
    (folder / "source" / "plots").mkdir()
    (folder / "source" / "metrics.json").write_text(json.dumps(OLD))
    (folder / "source" / "plots" / "confusion.png").write_bytes(b"old pixels")
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (
        ("git", "init", "-q", "-b", "main"), ("dvc", "init", "-q"), ("dvc", "repro", "-q"),
        ("git", "add", "-A"), (*git, "commit", "-qm", "figures"),
    ):  # fmt: skip
        done = run(folder, *command)
        assert done.returncode == 0, done.stderr
    (folder / "params.yaml").write_text("profile: sample\nprojects: {mnist: {model: {lr: 0.1}}}\n")
    (folder / artifacts / "metrics.json").unlink()
    (folder / artifacts / "metrics.json").write_text(json.dumps(metrics(0.95, 0.94, 0.96)))
    (folder / artifacts / "decision.json").write_text(json.dumps({**DECISION, "promoted": True}))
    return folder


@pytest.mark.slow
def test_both_sides_are_read_from_dvc_and_the_working_tree(repository: Path, tmp_path: Path) -> None:
    summary, output = tmp_path / "summary.md", tmp_path / "output"
    files = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(output)}
    compare = [sys.executable, "-m", "pipelines.compare", "project=mnist", "base=main"]
    done = run(repository, *compare, **files)
    assert done.returncode == 0, done.stderr
    text = (repository / "artifacts" / "comparison" / "mnist.md").read_text()
    assert "accuracy 0.9500, better by 0.0500" in text and "| `model.lr` | `0.05` | `0.1` |" in text
    assert summary.read_text() == text and output.read_text() == "promoted=true\n"
    page = (repository / "artifacts" / "comparison" / "mnist.html").read_text()
    assert page.count("data:image/png;base64,b2xkIHBpeGVscw==") == 2 and "http" not in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["project=mnist", "base=nowhere"], "base: found 'nowhere'"),
        (["project=mnits", "base=main"], "did you mean 'mnist'"),
        (["project=mnist", "bose=main"], "bose: unknown option; did you mean 'base'?"),
    ],
)
def test_an_error_is_named_and_nothing_is_written(repository: Path, arguments: list[str], words: str) -> None:
    done = run(repository, sys.executable, "-m", "pipelines.compare", *arguments)
    assert done.returncode == 2 and words in done.stderr
    assert not (repository / "artifacts" / "comparison").exists()


@pytest.mark.slow
def test_a_project_without_metrics_is_reported(repository: Path) -> None:
    (repository / "artifacts" / "mnist" / "metrics.json").unlink()
    done = run(repository, sys.executable, "-m", "pipelines.compare", "project=mnist", "base=main")
    assert done.returncode == 2 and "dvc repro evaluate@mnist" in done.stderr
