"""The DVC commands: what reruns and what does not, experiments, metrics, plots, remotes."""

import json
import re
from collections.abc import Callable

import boto3
import yaml

from tests.support.checkouts import ROOT, Checkout

PROJECTS = list(yaml.safe_load((ROOT / "params.yaml").read_text())["projects"])


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def test_a_second_repro_runs_only_the_store_stage(
    reproduced: Checkout, copy_of: Callable[[Checkout], Checkout]
) -> None:
    assert stages_run(copy_of(reproduced).run("dvc", "repro").stdout) == ["store"]


def test_a_changed_parameter_reruns_that_project_from_the_right_stage(
    reproduced: Checkout, copy_of: Callable[[Checkout], Checkout]
) -> None:
    """Edits of code: tests/pipelines/test_reruns.py."""
    clone = copy_of(reproduced)

    def would_run(old: str, new: str) -> set[str]:
        file = clone.path("params.yaml")
        before = file.read_text()
        assert old in before
        file.write_text(before.replace(old, new, 1))
        done = clone.run("dvc", "repro", "--dry", "--allow-missing")
        file.write_text(before)
        return set(stages_run(done.stdout)) - {"store"}

    # A dry run names the stages whose own inputs changed; dependent stages follow after these have run.
    assert would_run("dropout: {sample: 0.1", "dropout: {sample: 0.2") == {"train@titanic"}
    gate = would_run("floor: {sample: 0.95, full: 0.99}", "floor: {sample: 0.9, full: 0.99}")
    assert gate == {"register@mnist"}


def test_one_stage_of_one_project(reproduced: Checkout, copy_of: Callable[[Checkout], Checkout]) -> None:
    done = copy_of(reproduced).run("dvc", "repro", "--dry", "--force", "evaluate@mnist")
    ran = stages_run(done.stdout)
    assert ran[-1] == "evaluate@mnist" and {stage.partition("@")[2] for stage in ran if stage != "store"} == {"mnist"}


def test_experiments_metrics_and_plots(reproduced: Checkout, copy_of: Callable[[Checkout], Checkout]) -> None:
    clone = copy_of(reproduced)
    clone.run("git", "add", "dvc.lock")
    clone.run("git", "commit", "-q", "-m", "as reproduced")
    done = clone.run("dvc", "exp", "run", "-S", "projects.titanic.model.lr=0.003", "train@titanic", "evaluate@titanic")
    assert "train@titanic" in stages_run(done.stdout) and "train@mnist" not in done.stdout
    text = clone.path("params.yaml").read_text()
    assert yaml.safe_load(text)["projects"]["titanic"]["model"]["lr"] == 0.003
    assert "# The control panel" in text  # comments survive an experiment
    diff = json.loads(clone.run("dvc", "metrics", "diff", "--json").stdout)
    changed = next(values for path, values in diff.items() if path.endswith("titanic/metrics.json"))
    assert "metrics.log_loss" in changed
    assert not any(path.endswith("mnist/metrics.json") for path in diff)
    shown = clone.run("dvc", "plots", "show", "-o", "page").stdout
    page = clone.path("page", "index.html").read_text()
    assert "index.html" in shown and "calibration.png" in page and "titanic, validation loss" in page

    grid = ["dvc", "exp", "run", "--queue", "-S", "projects.titanic.model.lr=0.002,0.004", "train@titanic"]
    clone.run(*grid)
    clone.run("dvc", "exp", "run", "--run-all")
    table = json.loads(clone.run("dvc", "exp", "show", "--json").stdout)
    rates = set()
    for baseline in table:
        for experiment in baseline.get("experiments") or []:
            for rev in experiment["revs"]:
                rates.add(rev["data"]["params"]["params.yaml"]["data"]["projects"]["titanic"]["model"]["lr"])
    assert {0.002, 0.004} <= rates


def test_push_and_pull_with_a_local_remote(reproduced: Checkout, copy_of: Callable[[Checkout], Checkout]) -> None:
    clone = copy_of(reproduced)
    clone.run("dvc", "remote", "add", "--default", "store", str(clone.folder.parent / "remote"))
    round_trip(clone)


def test_push_and_pull_with_an_s3_remote(
    reproduced: Checkout, copy_of: Callable[[Checkout], Checkout], s3: None, s3_server: str
) -> None:
    boto3.client("s3").create_bucket(Bucket="dvc")
    clone = copy_of(reproduced)
    clone.run("dvc", "remote", "add", "--default", "store", "s3://dvc/cache")
    clone.run("dvc", "remote", "modify", "store", "endpointurl", s3_server)
    round_trip(clone)


def round_trip(clone: Checkout) -> None:
    """Push, delete cache and outputs, pull: everything is restored and nothing reruns."""
    metrics = clone.path("artifacts", PROJECTS[0], "metrics.json").read_bytes()
    clone.run("dvc", "push", "-q")
    clone.run("rm", "-rf", ".dvc/cache", "data", "feedback", *(f"artifacts/{project}" for project in PROJECTS))
    clone.run("dvc", "pull", "-q")
    assert clone.path("artifacts", PROJECTS[0], "metrics.json").read_bytes() == metrics
    assert stages_run(clone.run("dvc", "repro").stdout) == ["store"]
