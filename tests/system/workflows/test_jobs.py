"""The run steps of the workflows, executed in order in a clean clone, in the environment of GitHub's runner.

ci's tests and types are restricted to a few, because they run already. The images are stand-ins here and have
their own tests; so is the deploy command in tests of the workflow's decisions, but not where a champion is deployed to
Lambda over AWS's protocols.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standins.github_server import GitHub
from tests.support.checkouts import BIN, ROOT, checkout, environment
from tests.support.infra import workflow_runner
from tests.support.infra.deployments import champions, cloud
from tests.support.infra.workflow_runner import Runner, Step

WORKFLOWS = {path.stem: workflow_runner.load(path) for path in (ROOT / ".github" / "workflows").glob("*.yaml")}
IMAGES = """
import pathlib, sys
print("images", *sys.argv[1:])
if sys.argv[1] == "sbom":
    pathlib.Path("sbom").mkdir(parents=True, exist_ok=True)
    pathlib.Path("sbom/serving.json").write_text("{}")
"""
DEPLOY = """
import os, pathlib, sys
with pathlib.Path("deployed").open("a") as file:
    print(*sys.argv[1:], os.environ["MLFLOW_TRACKING_URI"], file=file)
sys.exit(2 if "project=broken" in sys.argv else 0)
"""


SMALL = """
import pytest


def test_quick():
    pass


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_slow(number):
    pass
"""


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A clean clone of a bare repository, with this interpreter's environment."""
    folder = checkout(tmp_path / "clone")
    own = folder / ".venv"
    own.mkdir()
    for path in BIN.parent.iterdir():
        if path.name != "ready":
            (own / path.name).symlink_to(path)
    (folder / ".venv-airflow").mkdir()
    for ready in (own / "ready", folder / ".venv-airflow" / "ready"):
        ready.touch()
    git(folder, "init", "-q", "--bare", "-b", "main", str(tmp_path / "origin"))
    git(folder, "remote", "add", "origin", str(tmp_path / "origin"))
    git(folder, "push", "-q", "origin", "main")
    git(folder, "fetch", "-q")
    kept = {key: value for key, value in environment().items() if not key.startswith(("PYTEST_", "GITHUB_", "TEST_"))}
    return Runner(folder, tmp_path / "runner", kept, without=("make packages",))


@pytest.fixture
def hub() -> Iterator[GitHub]:
    with GitHub() as started:
        yield started


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def stand_in(folder: Path, module: str, text: str) -> None:
    """Replaces the package or module of that name."""
    path = folder / "infra" / module
    if path.is_dir():
        path.rename(folder / "infra" / f"{module}_not_here")
    path.with_suffix(".py").write_text(text)


def states(steps: list[Step]) -> dict[str, str]:
    for step in steps:
        assert step.state != "failed", f"{step.name}: {step.output[-3000:]}"
    return {step.name: step.state for step in steps}


def test_ci(runner: Runner) -> None:
    settings = runner.folder / "pyproject.toml"
    narrowed, found = re.subn(r"(?m)^packages = .*$", 'packages = ["roadmap.io"]', settings.read_text())
    assert found == 1
    settings.write_text(narrowed)  # for mypy, which takes minutes for all of them
    assert states(runner.job(WORKFLOWS["ci"], "lint"))["make lint"] == "ran"
    small = runner.folder / "tests" / "small"
    small.mkdir()
    for number in range(8):
        (small / f"test_{number}.py").write_text(SMALL)
    runner.env["PYTEST_ARGS"] = "-n0 -q tests/small"
    assert passed(runner, "1/1") == {"make test": 8, "make test-all": 16}
    first, second = passed(runner, "1/2"), passed(runner, "2/2")
    for target, count in {"make test": 8, "make test-all": 16}.items():
        assert first[target] + second[target] == count, "the shards make up the whole suite"
    stand_in(runner.folder, "images", IMAGES)
    steps = runner.job(WORKFLOWS["ci"], "images")
    assert states(steps)["make images"] == "ran"
    message = next(step.output for step in steps if step.name == "make images").splitlines()
    assert [line for line in message if line.startswith("images")] == [
        f"images {verb}" for verb in ("build", "sizes", "base", "sbom", "audit")
    ]


def passed(runner: Runner, shard: str) -> dict[str, int]:
    """How many tests of a shard pass, by target."""
    steps = runner.job(WORKFLOWS["ci"], "test", matrix={"python": "3.11", "shard": shard})
    ran = {name for name, state in states(steps).items() if state == "ran"}
    return {
        step.name: int(step.output.split(" passed")[0].split()[-1])
        for step in steps
        if step.name in ran and " passed" in step.output
    }


def deployed(runner: Runner, vars: dict[str, str], **inputs: str) -> tuple[list[Step], list[str]]:
    stand_in(runner.folder, "deploy", DEPLOY)
    (runner.folder / "deployed").unlink(missing_ok=True)
    steps = runner.job(WORKFLOWS["deploy"], "deploy", inputs=inputs, vars=vars)
    return steps, (runner.folder / "deployed").read_text().splitlines()


def test_deploy_plans_and_deploys_with_the_stages_role(runner: Runner) -> None:
    there = {"AWS_ROLE": "arn:aws:iam::1:role/roadmap-staging-github", "AWS_REGION": "eu-west-1",
             "MLFLOW_TRACKING_URI": "http://mlflow.internal"}  # fmt: skip
    steps, calls = deployed(runner, there, project="mnist", stage="staging")
    assert calls == [
        "plan target=lambda project=mnist stage=staging http://mlflow.internal",
        "target=lambda project=mnist stage=staging http://mlflow.internal",
    ]
    role = next(step for step in steps if step.name.startswith("aws-actions"))
    assert role.given == {"role-to-assume": there["AWS_ROLE"], "aws-region": "eu-west-1"}
    steps, calls = deployed(runner, {"DEPLOY_TARGET": "ecs"}, project="mnist", stage="production", verb="rollback")
    assert calls[1].startswith("rollback target=ecs project=mnist stage=production")
    assert states(steps)["aws-actions/configure-aws-credentials"] == "skipped"
    _, calls = deployed(runner, {}, project="mnist", stage="staging", verb="plan", target="k8s")
    assert len(calls) == 1 and calls[0].startswith("plan target=k8s")


def test_a_failed_plan_stops_the_deployment(runner: Runner) -> None:
    steps, calls = deployed(runner, {}, project="broken", stage="staging")
    assert [step.state for step in steps if step.name == "make deploy"] == ["failed", "skipped"]
    assert len(calls) == 1


def test_deploy_to_lambda_and_roll_back(runner: Runner, tmp_path: Path) -> None:
    """The whole job against servers that implement AWS's protocols."""
    (tmp_path / "store").mkdir()
    store = champions(tmp_path / "store")
    with cloud(tmp_path / "functions") as aws:
        runner.env = {key: value for key, value in runner.env.items() if not key.startswith("AWS_")}
        runner.env |= {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
        runner.env["OPTIONS"] = "bake=0"

        def job(verb: str = "") -> str:
            inputs = {"project": "titanic", "stage": "staging", "verb": verb}
            steps = runner.job(WORKFLOWS["deploy"], "deploy", inputs=inputs, vars={"MLFLOW_TRACKING_URI": store.uri})
            states(steps)
            return "".join(step.output for step in steps)

        store.promote(store.first)
        assert f"version {store.first} answers" in job()
        store.promote(store.second)
        assert f"{store.first} -> {store.second}" in job()
        assert aws.weights() == ("2", {})
        assert "this version answers already" in job(), "a repeated job changes nothing"
        assert f"version {store.first} answers" in job("rollback")
        assert aws.weights() == ("1", {})


def test_train_pushes_an_experiment_and_comments(runner: Runner, hub: GitHub, tmp_path: Path) -> None:
    """Twice on a branch: first main has no metrics, then it has; the pull request keeps one comment."""
    hub.pulls = [{"number": 12, "head": "octo:wider"}]
    runner.env |= hub.env(GITHUB_REF_NAME="wider", GITHUB_RUN_ID="55", GITHUB_SHA="0" * 40)
    runner.actions = {"actions/upload-artifact": {"artifact-url": "https://github.example/page"}}
    git(runner.folder, "checkout", "-q", "-b", "wider")
    token = hub.env()["GITHUB_TOKEN"]
    del runner.env["GITHUB_TOKEN"]
    for run, (settings, words) in enumerate({"epochs=3": "### titanic: accuracy", "epochs=1": "worse by"}.items()):
        steps = runner.job(
            WORKFLOWS["train"],
            "train",
            inputs={"project": "titanic", "overrides": f"projects.titanic.train.{settings}"},
            vars={"DVC_REMOTE": str(tmp_path / "dvc")},
            matrix={"project": "titanic"},
            github={
                "run_id": 55,
                "run_attempt": run + 1,
                "token": token,
                "event": {"repository": {"default_branch": "main"}},
            },
        )
        assert states(steps)["make comment"] == "ran"
        (comment,) = hub.comments
        assert words in comment["body"] and "(https://github.example/page)" in comment["body"]
        name = f"titanic-55-{run + 1}"
        assert name in git(runner.folder, "ls-remote", "origin", "refs/exps/*")
        if not run:
            assert "has no results of titanic" in comment["body"]
            git(runner.folder, "add", "dvc.lock", "params.yaml")
            git(runner.folder, "commit", "-q", "-m", "figures")
            git(runner.folder, "push", "-q", "origin", "wider:main")
            subprocess.run(["rm", "-rf", ".dvc/cache", "artifacts", "data", "mlflow.db"], cwd=runner.folder, check=True)
    assert "against champion version 1 on the same" in comment["body"], "the gate compares with main's champion"
    assert "grey: `origin/main`" in comment["body"] and runner.summary.count("### titanic") == 2
    assert [step.name for step in steps if step.given.get("GITHUB_TOKEN")] == ["make push", "make comment"]


def test_release(runner: Runner, hub: GitHub) -> None:
    stand_in(runner.folder, "images", IMAGES)
    changelog = runner.folder / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text().replace("## Unreleased", "## Unreleased\n\n## 0.1.0\n\n- first\n\n## 0.0.1")
    )
    runner.env |= hub.env()
    github = {"token": hub.env()["GITHUB_TOKEN"], "ref_name": "v0.1.0"}
    assert states(runner.job(WORKFLOWS["release"], "release", github=github))["make release"] == "ran"
    (release,) = hub.releases
    assert release["tag_name"] == "v0.1.0" and release["body"] == "- first"
    assert [asset["name"] for asset in release["assets"]] == ["serving.json"]
    steps = runner.job(WORKFLOWS["release"], "release", github={**github, "ref_name": "v9.9.9"})
    assert steps[-1].state == "failed" and "expected v0.1.0" in steps[-1].output


def test_drift_dispatches_the_training_workflow(runner: Runner, hub: GitHub) -> None:
    """retrain reads what dispatch sends, and the gate's decision determines whether a deployment follows."""
    subprocess.run(
        [str(BIN / "python"), "-m", "infra.github", "dispatch", "event=drift", "project=mnist"],
        cwd=runner.folder, env={**os.environ, **hub.env()}, check=True,
    )  # fmt: skip
    (sent,) = hub.dispatched
    retrain = WORKFLOWS["retrain"]
    assert sent["event_type"] in retrain["on"]["repository_dispatch"]["types"]
    context = {"github": {"event": sent}, "inputs": {}, "needs": {"train": {"outputs": {"promoted": "true"}}}}
    for job in ("train", "staging"):
        assert workflow_runner.fill(retrain["jobs"][job]["with"]["project"], context) == "mnist"
    assert workflow_runner.fill(retrain["jobs"]["staging"]["if"], context) is True
    context["needs"] = {"train": {"outputs": {"promoted": "false"}}}
    assert workflow_runner.fill(retrain["jobs"]["staging"]["if"], context) is False
