"""The operators: check a run's settings, run a DVC stage, summarise the results."""

import random
import re
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias, BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from dvc_airflow import workspace
from dvc_airflow.checkout import Checkout
from dvc_airflow.graph import Stage
from dvc_airflow.process import Blocked, Command, Failed
from dvc_airflow.results import CheckResult, StageResult, Summary, digest, place, read_json

if TYPE_CHECKING:
    from airflow.sdk import Context

CACHED = re.compile(r"didn't change, skipping|is cached - skipping run|^Pulling data for ")
RUNNING = re.compile(r"^Running stage '")

# the folder, the key and the run's params -> the extra of an asset's update; None for no update
Extra = Callable[[Path, str, Mapping[str, object]], dict[str, object] | None]


@dataclass(frozen=True)
class Settings:
    """The settings of a run: its trigger form, and defaults by the type of the run."""

    overrides: list[str]
    trainer: str | None
    force: bool

    @classmethod
    def from_context(cls, context: "Context", dated: tuple[str, ...]) -> "Settings":
        """A backfill sees no later data: the keys in `dated` are set to its day."""
        params, run = context["params"], context["dag_run"]
        overrides = [f"profile={params['profile']}"] if params.get("profile") else []
        overrides += params.get("overrides") or []
        day = run.logical_date
        if day is not None and run.run_after is not None and day.date() < datetime.now(UTC).date():
            overrides += [f"{key}={day.date().isoformat()}" for key in dated]
        woken = run.run_type == "asset_triggered"  # an asset update invalidates the previous result
        return cls(overrides, params.get("trainer"), woken or bool(params.get("force")))


class RunLink(BaseOperatorLink):
    """A link of the task to the tracking server."""

    name = "MLflow run"

    def get_link(self, operator: "DvcOperator", *, ti_key: object) -> str:
        return operator.link


class MetricsLink(BaseOperatorLink):
    """A link of the task to its tracked run."""

    name = "Metrics"

    def get_link(self, operator: "DvcOperator", *, ti_key: object) -> str:
        return operator.link and f"{operator.link}/model-metrics"


class DvcOperator(BaseOperator):
    """Base of the operators: the checkout, the run's settings, and a command that can be stopped."""

    operator_extra_links = (RunLink(), MetricsLink())
    ui_color = "#e0f2f1"

    def __init__(self, *, checkout: Checkout, dated: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.checkout, self.dated = checkout, tuple(dated)
        self.command: Command | None = None
        self.link = ""

    def on_kill(self) -> None:
        if self.command is not None:
            self.command.stop()

    def workspace(self, context: "Context", settings: Settings, check: str | None = None) -> Path:
        """The run's workspace on this machine, at the commit recorded by the task `check`.

        Raises:
            AirflowFailException: an invalid override.
            OSError: Git failed.
        """
        root = self.checkout.root
        if not settings.overrides:
            return root
        checked = context["ti"].xcom_pull(task_ids=check) if check and self.checkout.remote else None
        commit = checked["commit"] if checked else workspace.head(root)
        try:
            return workspace.clone(root, run_name(context), commit, settings.overrides)
        except workspace.OverrideError as error:
            raise AirflowFailException(str(error)) from None

    def bring(self, folder: Path, results: list[StageResult], wanted: Collection[str], homemade: set[str]) -> None:
        """Imports results of other machines: entries of dvc.lock, and the outputs of `wanted` from DVC's remote.

        Outputs of `homemade` stages are in no remote, so every machine makes its own.
        """
        abroad = {result["stage"]: result["entry"] for result in results if result["where"] != place(folder)}
        workspace.merge(folder, {stage: entry for stage, entry in abroad.items() if entry})
        dvc = self.checkout.program("dvc")
        # `dvc repro --pull` alone would fetch missing outputs but use outdated ones.
        if stages := [stage for stage in abroad if stage in wanted and stage not in homemade]:
            self.run_command(folder, [dvc, "pull", "--force", *stages])
        for stage in abroad:
            if stage in homemade:
                self.run_command(folder, [dvc, "repro", "--single-item", "--pull", stage])

    def run_command(self, folder: Path, arguments: list[str], **env: str) -> list[str]:
        """Runs the command and returns its last lines; waits while another DVC process has the lock.

        Raises:
            AirflowFailException: it failed permanently.
            AirflowException: it failed for a transient reason.
        """
        self.command = Command(folder, self.checkout.env(**env), self.log.info)
        self.log.info("$ %s", " ".join(arguments))
        while True:
            try:
                return self.command.run(arguments)
            except Blocked:
                self.log.info("waiting for another DVC process")
                time.sleep(random.uniform(1, 3))
            except Failed as error:
                raise (AirflowException if error.retry else AirflowFailException)(str(error)) from None


class CheckOperator(DvcOperator):
    """The first task: validates the run's settings with the project's schema."""

    def __init__(self, *, command: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.check = command

    def execute(self, context: "Context") -> CheckResult:
        settings = Settings.from_context(context, self.dated)
        workspace.prune(self.checkout.root)
        commit = workspace.head(self.checkout.root)
        folder = self.workspace(context, settings)
        program, *arguments = self.check
        try:
            self.run_command(folder, [self.checkout.program(program), *arguments])
        except AirflowFailException:
            if folder != self.checkout.root:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return {"commit": commit, "overrides": settings.overrides, "folder": str(folder)}


class StageOperator(DvcOperator):
    """Runs one stage of dvc.yaml by `dvc repro --single-item`: DVC decides whether it must run.

    Its result has `cached` or `ran`, and the hash of the stage's entry in dvc.lock. `upstream` maps the address of each
    direct or indirect upstream stage to its task; `inputs` are the direct ones, `homemade` those whose outputs DVC does
    not cache. `event` and `link`: see `render.House`.
    """

    def __init__(
        self,
        *,
        stage: Stage,
        upstream: dict[str, str],
        inputs: Sequence[str] = (),
        homemade: Sequence[str] = (),
        check: str,
        asset: Asset | None = None,
        event: Extra | None = None,
        link: Callable[[Path, str], str] | None = None,
        **kwargs: Any,
    ) -> None:
        alias = AssetAlias(f"{asset.name} of {kwargs['task_id']}") if asset else None
        super().__init__(**kwargs, outlets=[alias] if alias else [])
        self.stage, self.needs, self.check = stage, upstream, check
        self.inputs, self.homemade = tuple(inputs), set(homemade)
        self.asset, self.alias, self.event, self.link_of = asset, alias, event, link

    def execute(self, context: "Context") -> StageResult:
        settings = Settings.from_context(context, self.dated)
        away = self.checkout.remote is not None  # other machines may have run upstream stages
        folder = self.workspace(context, settings, self.check)
        if away:
            results = context["ti"].xcom_pull(task_ids=list(self.needs.values()))
            self.bring(folder, [result for result in results if result], self.inputs, self.homemade)
        started = time.monotonic()
        self.restore(folder, away)
        tail = self.repro(folder, settings, away)
        cached = any(map(CACHED.search, tail)) and not any(map(RUNNING.search, tail))
        entry = workspace.entry(folder, self.stage.address)
        result: StageResult = {
            "stage": self.stage.address,
            "state": "cached" if cached else "ran",
            "lock": digest(entry),
            "seconds": round(time.monotonic() - started, 1),
            "where": place(folder),
        }
        if away:
            result["entry"] = entry
            self.push(folder, cached, str(result["lock"]))
        if metrics := {path: read_json(folder / path) for path in self.stage.metrics}:
            result["metrics"] = metrics
        self.log.info("%(stage)s %(state)s in %(seconds)s s, dvc.lock entry %(lock)s", result)
        if self.link_of is not None:
            self.link = self.link_of(folder, str(self.stage.key))
        if self.asset and self.event and not cached:
            extra = self.event(folder, str(self.stage.key), dict(context["params"]))
            if extra is not None:
                context["outlet_events"][self.alias].add(self.asset, extra=extra)
        return result

    def restore(self, folder: Path, away: bool) -> None:
        """Fetches the previous outputs of a stage that appends to them, which a fresh clone lacks."""
        there = all((folder / out).exists() for out in self.stage.outs)
        if self.stage.adds and self.stage.cached and not there and workspace.entry(folder, self.stage.address):
            verb = "pull" if away else "checkout"
            self.run_command(folder, [self.checkout.program("dvc"), verb, "--allow-missing", self.stage.address])

    def repro(self, folder: Path, settings: Settings, away: bool) -> list[str]:
        options = ["--single-item", *["--pull"] * away, *["--force"] * settings.force]
        env = {"TRAINER": settings.trainer} if settings.trainer else {}
        return self.run_command(folder, [self.checkout.program("dvc"), "repro", *options, self.stage.address], **env)

    def push(self, folder: Path, cached: bool, lock: str) -> None:
        """Pushes the outputs unless this machine did: they may be cached by an attempt that failed before its push."""
        seal = folder / ".dvc" / "tmp" / "pushed" / f"{self.stage.address} {self.checkout.remote}"
        if not self.stage.cached or (seal.exists() and seal.read_text() == lock):
            return
        dvc = self.checkout.program("dvc")
        self.run_command(folder, [dvc, "push", *["--run-cache"] * (not cached), self.stage.address])
        seal.parent.mkdir(parents=True, exist_ok=True)
        seal.write_text(lock)


class SummaryOperator(DvcOperator):
    """The last task: a summary of the run. A run with overrides becomes a DVC experiment and changes nothing else."""

    def __init__(self, *, upstream: list[str], homemade: Sequence[str] = (), check: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.needs, self.homemade, self.check = upstream, set(homemade), check

    def execute(self, context: "Context") -> Summary:
        settings = Settings.from_context(context, self.dated)
        results = [result for result in context["ti"].xcom_pull(task_ids=self.needs) if result]
        for result in results:
            self.log.info("%(stage)-28s %(state)-7s %(seconds)7.1f s  %(lock)s", result)
        summary: Summary = {
            "cached": sum(result["state"] == "cached" for result in results),
            "ran": sum(result["state"] == "ran" for result in results),
            "metrics": {path: value for result in results for path, value in result.get("metrics", {}).items()},
        }
        if settings.overrides:
            root, dvc = self.checkout.root, self.checkout.program("dvc")
            folder = self.workspace(context, settings, self.check)
            stages = [result["stage"] for result in results]
            if self.checkout.remote:
                self.bring(folder, results, stages, self.homemade)
            summary["experiment"] = workspace.save(root, folder, run_name(context), stages, dvc, self.checkout.env())
            summary["where"] = place(root)
            self.log.info(
                "experiment %(experiment)s in %(where)s: see `dvc exp show`, keep it with `dvc exp apply`", summary
            )
        return summary


def run_name(context: "Context") -> str:
    return f"{context['dag_run'].dag_id} {context['dag_run'].run_id}"
