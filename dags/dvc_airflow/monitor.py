"""The monitoring task and its DAG. Drift updates an asset, which triggers retraining."""

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, AssetAlias
from airflow.sdk.exceptions import AirflowSkipException

from dvc_airflow import alerts
from dvc_airflow.checkout import Checkout
from dvc_airflow.operators import DvcOperator
from dvc_airflow.render import clock

if TYPE_CHECKING:
    from airflow.sdk import Context

DOC = """Compares the champion's requests and predictions with its test set, by `python -m pipelines.monitor`.

Drift updates the asset `drift/{0}`, unless the cooldown or the budget forbids a retraining; the DAG `{0}` then collects
the labelled rows, trains, and runs the gate. `projects.{0}.monitor` in params.yaml has the thresholds, and
`enabled: false` there disables it."""


class MonitorOperator(DvcOperator):
    """One monitoring run. Its result is the verdict, without the columns."""

    def __init__(self, *, project: str, asset: Asset, **kwargs: Any) -> None:
        self.alias = AssetAlias(f"{asset.name} by monitor")
        super().__init__(**kwargs, outlets=[self.alias])
        self.project, self.asset = project, asset

    def execute(self, context: "Context") -> dict[str, object]:
        """
        Raises:
            AirflowSkipException: SERVING_PREDICTIONS is not set.
        """
        if not os.environ.get("SERVING_PREDICTIONS"):
            raise AirflowSkipException("SERVING_PREDICTIONS: not set; set it to the server's prediction log")
        root = self.checkout.root
        self.run_command(root, [self.checkout.program("python"), "-m", "pipelines.monitor", f"project={self.project}"])
        path = root / "artifacts" / self.project / "monitoring" / "verdict.json"
        verdict: dict[str, Any] = json.loads(path.read_bytes())
        extra = {name: value for name, value in verdict.items() if name not in ("findings", "live")}
        if verdict["verdict"] == "drift":
            action = "Retraining" if verdict["retrain"] else "No retraining"
            alerts.tell(f"{verdict['summary']} {action}: {verdict['why']}.", project=self.project, at=verdict["at"])
        if verdict["retrain"]:
            context["outlet_events"][self.alias].add(self.asset, extra=extra)
        return extra


def monitor_dag(
    project: str, cron: str | None, asset: Asset, checkout: Checkout, defaults: Mapping[str, object]
) -> DAG:
    """The DAG that monitors one project, by `cron` or when triggered.

    Raises:
        ValueError: `cron` is invalid.
    """
    with DAG(
        f"monitor_{project}",
        schedule=clock(f"{project}: monitor", cron) if cron else None,
        catchup=False,
        max_active_runs=1,
        default_args={**defaults, "retries": 2, "retry_delay": timedelta(seconds=30)},
        tags=["monitor", project],
        doc_md=DOC.format(project),
    ) as dag:
        MonitorOperator(
            task_id="look",
            project=project,
            asset=asset,
            checkout=checkout,
            execution_timeout=timedelta(minutes=30),
            doc="The prediction log against the champion's reference.",
        )
    return dag
