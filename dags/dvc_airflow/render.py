"""Renders a DVC graph as Airflow DAGs: one per key, and one for all with a task group per key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, Param, TaskGroup

from dvc_airflow.checkout import Checkout
from dvc_airflow.graph import Stage, StageGraph
from dvc_airflow.operators import CheckOperator, Extra, StageOperator, SummaryOperator

RETRIES = {"retries": 3, "retry_delay": timedelta(seconds=30), "retry_exponential_backoff": 2.0}
RETRIES |= {"max_retry_delay": timedelta(minutes=10)}


def clock(key: str, cron: str) -> CronTriggerTimetable:
    """Validates here, because the SDK accepts any text and the scheduler would fail later.

    A new schedule waits for its next time. The minute allows for a late scheduler.

    Raises:
        ValueError: `cron` is invalid.
    """
    from airflow.exceptions import AirflowTimetableInvalid
    from airflow.timetables.trigger import CronTriggerTimetable as Checked

    try:
        Checked(cron, timezone="UTC").validate()
    except AirflowTimetableInvalid as error:
        raise ValueError(f"{key}: schedule: found {cron!r}: {error}") from None
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(minutes=1))


@dataclass(frozen=True)
class Event:
    """An asset that a stage updates after it ran.

    `extra` gets the folder, the key and the run's params, reads the outputs, and returns the update's extra; None for
    no update.
    """

    asset: Callable[[str], Asset]
    extra: Extra


@dataclass(frozen=True)
class House:
    """The shared settings of a repository's DAGs."""

    graph: StageGraph
    checkout: Checkout
    check: list[str]  # validates params.yaml of its working directory; a program of the environment
    params: Mapping[str, Param]
    pools: Mapping[str, str] = field(default_factory=dict)  # stage name -> pool
    timeouts: Mapping[str, timedelta] = field(default_factory=dict)  # stage name -> timeout; default 1 hour
    events: Mapping[str, Event] = field(default_factory=dict)  # stage name -> the asset that it updates
    links: Mapping[str, Callable[[Path, str], str]] = field(default_factory=dict)  # stage name -> the run's address
    defaults: Mapping[str, object] = field(default_factory=dict)  # for every task: owner, callbacks

    def dag(self, dag_id: str, **options: object) -> DAG:
        """A DAG with these settings; options of Airflow's DAG."""
        return DAG(
            dag_id,
            catchup=False,  # and no start date: the latest run before a schedule was set would count as missed
            max_active_runs=options.pop("max_active_runs", 4),
            params=dict(self.params),
            default_args={**RETRIES, "execution_timeout": timedelta(hours=1), **self.defaults},
            render_template_as_native_obj=False,
            **options,
        )

    def of_key(
        self,
        key: str,
        *,
        cron: str | None = None,
        assets: list[Asset] | None = None,
        dated: tuple[str, ...] = (),
        **options: object,
    ) -> DAG:
        """The DAG of one key: runs when triggered, when one of `assets` is updated, and by `cron`.

        Raises:
            ValueError: `cron` is invalid.
        """
        schedule: Any = list(assets or []) or None
        if cron:
            timetable = clock(key, cron)
            schedule = AssetOrTimeSchedule(timetable=timetable, assets=schedule) if schedule else timetable
        with self.dag(key, schedule=schedule, **options) as dag:
            self.tasks(self.graph.stages_of(key), {}, dated)
        return dag

    def of_all(self, dag_id: str, **options: object) -> DAG:
        """The DAG of the whole graph."""
        with self.dag(dag_id, schedule=None, **options) as dag:
            groups = {key: TaskGroup(key, tooltip=f"all stages of {key}") for key in self.graph.keys()}  # noqa: SIM118
            self.tasks(list(self.graph.stages.values()), groups, ())
        return dag

    def tasks(self, stages: list[Stage], groups: dict[str, TaskGroup], dated: tuple[str, ...]) -> None:
        common: dict[str, Any] = {"checkout": self.checkout, "dated": dated}
        check = CheckOperator(
            task_id="check",
            command=self.check,
            doc="The run's settings against the schema of params.yaml, before anything runs.",
            **common,
        )
        ids = {stage.address: self.task_id(stage, groups) for stage in stages}
        homemade = [stage.address for stage in stages if not stage.cached]
        tasks = {}
        for stage in stages:
            needs = self.graph.ancestors(stage.address)
            event = self.events.get(stage.name) if stage.key is not None else None
            tasks[stage.address] = StageOperator(
                task_id=stage.name,
                task_group=groups.get(stage.key or ""),
                stage=stage,
                upstream={address: ids[address] for address in ids if address in needs},
                inputs=self.graph.upstream[stage.address],
                homemade=[address for address in homemade if address in needs],
                check="check",
                asset=event.asset(str(stage.key)) if event else None,
                event=event.extra if event else None,
                link=self.links.get(stage.name),
                pool=self.pools.get(stage.name, "default_pool"),
                doc=stage.desc,
                **({"execution_timeout": self.timeouts[stage.name]} if stage.name in self.timeouts else {}),
                **common,
            )
        summary = SummaryOperator(
            task_id="summary",
            upstream=list(ids.values()),
            homemade=homemade,
            check="check",
            doc="What ran, what was cached, and the metrics; saves the experiment of a run with overrides.",
            **common,
        )
        for address, task in tasks.items():
            task.set_upstream([tasks[above] for above in self.graph.upstream[address]] or [check])
        summary.set_upstream([task for task in tasks.values() if not task.downstream_task_ids])

    @staticmethod
    def task_id(stage: Stage, groups: dict[str, TaskGroup]) -> str:
        return f"{stage.key}.{stage.name}" if stage.key in groups else stage.name
