"""The workflows as text: pinned actions, least privilege, and steps that can be run by hand."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.deploy.__main__ import LOCAL
from infra.deploy.__main__ import TARGETS as DEPLOY_TARGETS
from infra.templates import STAGES, templates
from tests.support.checkouts import BIN, ROOT
from tests.support.infra import workflow_runner

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.stem: workflow_runner.load(path) for path in sorted(FOLDER.glob("*.yaml"))}
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))
TRUSTED = {
    "actions/checkout",
    "actions/deploy-pages",
    "actions/setup-python",
    "actions/upload-artifact",
    "actions/upload-pages-artifact",
    "aws-actions/configure-aws-credentials",
}
AWS = "aws-actions/configure-aws-credentials"

every_workflow = pytest.mark.parametrize("name", WORKFLOWS)


def jobs(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from WORKFLOWS[name]["jobs"].items()


def steps(name: str) -> Iterator[dict[str, Any]]:
    for _, job in jobs(name):
        yield from job.get("steps", [])


def strings(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else []:
        yield from strings(value)


def test_all_workflows_exist() -> None:
    assert set(WORKFLOWS) == {"ci", "train", "deploy", "docs", "retrain", "release"}


def test_workflow_linters_pass() -> None:
    for command in (["zizmor", "--offline", "--quiet", "."], ["jactionlint", "--shellcheck="]):
        done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_workflow_linters_find_planted_errors(tmp_path: Path) -> None:
    """A wrong context and a script injection, in a copy of ci."""
    text = (FOLDER / "ci.yaml").read_text()
    broken = text.replace("run: make lint", "run: make ${{ github.event.pull_request.title }} ${{ imputs.x }}")
    (tmp_path / "ci.yaml").write_text(broken)
    for command, word in (
        (["zizmor", "--offline"], "template-injection"),
        (["jactionlint", "--shellcheck="], "imputs"),
    ):
        done = subprocess.run([BIN / command[0], *command[1:], tmp_path / "ci.yaml"], capture_output=True, text=True)
        assert done.returncode != 0 and word in done.stdout + done.stderr


@every_workflow
def test_actions_are_few_and_pinned_by_commit(name: str) -> None:
    for line in (FOLDER / f"{name}.yaml").read_text().splitlines():
        if (found := re.search(r"uses: (\S+)(.*)", line)) and not found[1].startswith("./.github/workflows/"):
            action, _, commit = found[1].partition("@")
            assert action in TRUSTED and re.fullmatch(r"[0-9a-f]{40}", commit), line
            assert re.fullmatch(r"  # v\d+\.\d+\.\d+", found[2]), line


def test_one_action_has_one_pin() -> None:
    pins = {step["uses"] for name in WORKFLOWS for step in steps(name) if "uses" in step}
    assert len(pins) == len({pin.partition("@")[0] for pin in pins})


@every_workflow
def test_the_token_is_read_only_unless_a_job_needs_more(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    for job, what in jobs(name):
        for permission, level in what.get("permissions", {}).items():
            assert (permission, level) in {
                ("contents", "read"), ("contents", "write"), ("pull-requests", "write"),
                ("id-token", "write"), ("pages", "write"),
            }, f"{name}: {job}"  # fmt: skip


@every_workflow
def test_every_job_has_a_timeout_and_a_concurrency_group(name: str) -> None:
    assert WORKFLOWS[name]["concurrency"]["group"].startswith(f"{name}-")
    for job, what in jobs(name):
        assert "uses" in what or 0 < what["timeout-minutes"] <= 350, f"{name}: {job}"


@every_workflow
def test_a_step_is_a_make_target_and_takes_its_values_from_the_environment(name: str) -> None:
    for step in steps(name):
        if "run" in step:
            target = re.fullmatch(r"make ([a-z-]+)", step["run"])
            assert target and target[1] in TARGETS, step["run"]
            assert step.get("shell") is None


@pytest.mark.parametrize(
    ("target", "heard"),
    [
        ("experiment", "-m pipelines.experiment run project=V name=V profile=V runner=V overrides=V"),
        ("compare", "-m pipelines.compare project=V base=V"),
        ("push", "-m pipelines.experiment push name=V"),
        ("comment", "-m infra.github comment topic=V file=artifacts/comparison/V.md link=V"),
        ("deploy", "-m infra.deploy plan target=V project=V stage=V"),
        ("release", "-m infra.github release tag=V"),
    ],
)
def test_environment_values_are_quoted(target: str, heard: str, tmp_path: Path) -> None:
    """A workflow's input is arbitrary text; make and the shell must pass it on unchanged."""
    value = "a b; touch $HOME/x `id` $(id) '\" * | &"
    recorder = tmp_path / ".venv" / "bin" / "python"
    recorder.parent.mkdir(parents=True)
    recorder.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\" >heard\n")
    recorder.chmod(0o755)
    (tmp_path / "Makefile").write_text(MAKEFILE)
    for name in ("requirements.lock", "infra/setup.sh", ".venv/ready"):  # the newest last: nothing is to be set up
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = ("PROJECT", "NAME", "PROFILE", "RUNNER", "OVERRIDES", "TARGET", "STAGE", "TAG", "LINK", "BASE")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "VERB": "plan", **dict.fromkeys(names, value)}
    done = subprocess.run(["make", target], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = (tmp_path / "heard").read_text().split("\0")[:-1]
    assert words == [word.replace("V", value) for word in heard.split()]
    assert not (tmp_path / "x").exists()


@every_workflow
def test_checkouts_persist_no_token(name: str) -> None:
    for step in steps(name):
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False


@every_workflow
def test_there_are_no_long_lived_keys(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    assert "secrets." not in text and "secrets:" not in text and "aws-secret" not in text.lower()


def test_aws_is_accessed_by_the_role_of_a_stages_environment() -> None:
    using = {(name, job) for name in WORKFLOWS for job, what in jobs(name) if AWS in str(what.get("steps"))}
    assert using == {("deploy", "deploy"), ("train", "train")}
    for name, job in using:
        what = WORKFLOWS[name]["jobs"][job]
        assert what["permissions"]["id-token"] == "write"
        assert what["environment"] in ("staging", "${{ inputs.stage }}")
        with_ = next(step["with"] for step in what["steps"] if step.get("uses", "").startswith(AWS))
        assert with_["role-to-assume"] == "${{ vars.AWS_ROLE }}"
    callers = {stage for name in WORKFLOWS for _, what in jobs(name) if (stage := what.get("with", {}).get("stage"))}
    choices = WORKFLOWS["deploy"]["on"]["workflow_dispatch"]["inputs"]["stage"]["options"]
    assert callers == set(choices) == set(STAGES)


def test_only_deploying_and_training_jobs_get_an_oidc_token() -> None:
    asking = {
        (name, job) for name in WORKFLOWS for job, what in jobs(name) if "id-token" in what.get("permissions", {})
    }
    for name, job in asking:
        called = WORKFLOWS[name]["jobs"][job].get("uses", f"./.github/workflows/{name}.yaml")
        assert Path(called).stem in ("deploy", "train") or (name, job) == ("docs", "publish"), f"{name}: {job}"


def test_the_documentation_job_has_no_environment() -> None:
    """Pages uses the `id-token` as proof of origin; AWS's roles trust environments named like a stage."""
    publish = WORKFLOWS["docs"]["jobs"]["publish"]
    assert all("run" not in step for step in publish["steps"]) and "refs/heads/main" in publish["if"]
    assert publish["environment"]["name"] not in STAGES
    assert "pages" not in str(WORKFLOWS["docs"]["jobs"]["build"].get("permissions"))


def test_the_role_trusts_the_environment_of_its_stage() -> None:
    role = templates()["github-oidc"].body["Resources"]["DeployRole"]["Properties"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    conditions = statement["Condition"]["StringEquals"]
    issuer = "token.actions.githubusercontent.com"
    assert conditions[f"{issuer}:sub"] == {"Fn::Sub": "repo:${Repository}:environment:${Stage}"}
    assert conditions[f"{issuer}:aud"] == "sts.amazonaws.com"
    # The session outlives the job, or a deployment would lose its credentials midway.
    assert role["MaxSessionDuration"] >= WORKFLOWS["deploy"]["jobs"]["deploy"]["timeout-minutes"] * 60


def test_deployments_are_not_cancelled_and_production_needs_a_release() -> None:
    assert WORKFLOWS["deploy"]["concurrency"]["cancel-in-progress"] is False
    assert WORKFLOWS["ci"]["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
    where = {
        (name, what["with"]["stage"]) for name in WORKFLOWS for _, what in jobs(name) if "stage" in what.get("with", {})
    }
    assert where == {("ci", "staging"), ("retrain", "staging"), ("release", "production")}
    staging = WORKFLOWS["ci"]["jobs"]["staging"]
    assert set(staging["needs"]) == {"lint", "test", "images"} and "github.event_name == 'push'" in staging["if"]


def test_the_shards_cover_the_whole_suite() -> None:
    matrix = WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["shard"] == [f"{i + 1}/{len(matrix['shard'])}" for i in range(len(matrix["shard"]))]
    assert matrix["python"] == ["3.11"], "the lock must cover it"


@every_workflow
def test_expressions_refer_to_existing_names(name: str) -> None:
    """Declared inputs, existing step ids, needed jobs, keys of the matrix."""
    workflow = WORKFLOWS[name]
    events = [value for value in workflow["on"].values() if isinstance(value, dict)]
    inputs = {key for event in events for key in event.get("inputs", {})}
    for _, job in jobs(name):
        matrix = job.get("strategy", {}).get("matrix", {})
        known = {
            "inputs": inputs,
            "steps": {step["id"] for step in job.get("steps", []) if "id" in step},
            "needs": {job["needs"]} if isinstance(job.get("needs"), str) else set(job.get("needs", [])),
            "matrix": set(matrix) | {key for one in matrix.get("include", []) for key in one},
        }
        for text in strings(job):
            for context, key in re.findall(
                r"\b(inputs|steps|needs|matrix)\.([\w-]+)", " ".join(re.findall(r"\$\{\{(.*?)\}\}", text))
            ):
                assert key in known[context], f"{name}: {context}.{key}"


def test_required_environment_variables_are_documented() -> None:
    used = {
        found for name in WORKFLOWS for text in strings(WORKFLOWS[name]) for found in re.findall(r"vars\.(\w+)", text)
    }
    readme = (ROOT / ".github" / "README.md").read_text()
    assert used <= set(re.findall(r"`([A-Z_]+)`", readme))


def test_jenkins_runs_what_ci_runs() -> None:
    text = (ROOT / "Jenkinsfile").read_text()
    assert text.count("{") == text.count("}")
    commands = re.findall(r"\bsh '([^']+)'", text)
    ci = [step["run"] for step in steps("ci") if "run" in step]
    deploy = [step["run"] for step in steps("deploy") if "run" in step]
    assert set(commands) == {*ci, *deploy}
    assert len(re.findall(r"\bsh\b", text)) == len(commands), "not a single command"


def test_every_list_of_targets_is_complete() -> None:
    remote = [name for name in DEPLOY_TARGETS if name not in LOCAL]
    form = WORKFLOWS["deploy"]["on"]["workflow_dispatch"]["inputs"]["target"]["options"]
    assert sorted(form) == sorted(["", *remote])
    [choices] = re.findall(r"name: 'TARGET', choices: \[(.*)\]", (ROOT / "Jenkinsfile").read_text())
    assert sorted(re.findall(r"'(\w+)'", choices)) == sorted(remote)
    [airflow] = re.findall(r"^TARGETS = \[(.*)\]", (ROOT / "dags" / "roadmap.py").read_text(), re.MULTILINE)
    assert {name for name in remote if name != "k8s"} < set(re.findall(r'"(\w+)"', airflow)) - {"none"}


def test_dependabot_covers_manual_pins() -> None:
    content = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())
    for one in content["updates"]:
        assert one["cooldown"]["default-days"] >= 7, "a compromised release is noticed within days"
    assert {one["package-ecosystem"] for one in content["updates"]} == {"github-actions", "docker"}
