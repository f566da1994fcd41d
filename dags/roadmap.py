"""The roadmap's DAGs: per project of params.yaml one that runs its stages and one that monitors it, `roadmap` for all
projects, and `deploy` for champions."""

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, AssetAny, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from dvc_airflow import alerts, graph
from dvc_airflow.checkout import Checkout
from dvc_airflow.monitor import monitor_dag
from dvc_airflow.operators import DvcOperator
from dvc_airflow.render import Event, House

if TYPE_CHECKING:
    from airflow.sdk import Context

ROOT = Path(__file__).resolve().parents[1]
VENV = Path(os.environ.get("ROADMAP_VENV") or ROOT / ".venv")
VARIABLES = (
    *("DATA_MIRROR", "DATA_CACHE", "TRAINER", "TRACKING", "MLFLOW_UI"),
    *("SERVING_URL", "SERVING_KEY", "SERVING_ALIAS", "SERVING_PREDICTIONS", "PROMETHEUS_PUSHGATEWAY", "DEPLOY_BAKE"),
)
TRAINERS = sorted(path.stem for path in (ROOT / "roadmap" / "config" / "conf" / "trainer").glob("*.yaml"))
TARGETS = ["none", "server", "lambda", "ecs", "sagemaker"]

PARAMS = {
    "profile": Param(
        None, type=["null", "string"], enum=[None, "sample", "full"], title="Profile",
        description="sample: embedded data, minutes. full: the official dataset. Empty: the value in params.yaml.",
    ),
    "trainer": Param(
        None, type=["null", "string"], enum=[None, *TRAINERS], title="Trainer",
        description="Hardware of the training. Empty: the worker's TRAINER, or one process on the CPU.",
    ),
    "overrides": Param(
        [], type="array", items={"type": "string", "minLength": 3}, title="Overrides",
        description="key=value for keys of params.yaml, one per line, such as projects.mnist.model.lr=0.01. "
        "A run with overrides or a profile is a DVC experiment: it runs in a clone and leaves the checkout unchanged.",
    ),
    "force": Param(False, type="boolean", title="Force", description="Run every stage, changed or not."),
    "deploy": Param(
        os.environ.get("DEPLOY_TARGET", "none"), type="string", enum=TARGETS, title="Deploy target",
        description="Where a new champion goes. server: the one at SERVING_URL must serve it. lambda, ecs, "
        "sagemaker: by `python -m infra.deploy`; see its --help.",
    ),
}  # fmt: skip


def champion(project: str) -> Asset:
    """Updated when `champion` moves to another version."""
    return Asset(name=f"champion/{project}", uri=f"roadmap://champion/{project}")


def data(project: str) -> Asset:
    """Updated when `prepare` has written data."""
    return Asset(name=f"data/{project}", uri=f"roadmap://data/{project}")


def drift(project: str) -> Asset:
    """Updated by `monitor_<project>`, or by any other detector of drift; each update triggers retraining."""
    return Asset(name=f"drift/{project}", uri=f"roadmap://drift/{project}")


def new_data(folder: Path, project: str, params: Mapping[str, object]) -> dict[str, object] | None:
    """The extra of an update of `data`: the checksum, source and profile of the data's card."""
    card = json.loads((folder / "data" / project / "card.json").read_bytes())
    return {"sha256": card["sha256"], "source": card["source"], "profile": card["profile"]}


def new_champion(folder: Path, project: str, params: Mapping[str, object]) -> dict[str, object] | None:
    """The extra of an update of `champion`: version, bundle and target; None if the gate rejected the candidate."""
    decision = json.loads((folder / "artifacts" / project / "decision.json").read_bytes())
    alerts.tell(decision["summary"], project=project)
    if not decision["promoted"] or "version" not in decision:
        return None
    return {"version": decision["version"], "bundle": decision["bundle"], "target": params["deploy"]}


def tracked(folder: Path, project: str) -> str:
    """The address of the MLflow run that `register` evaluated."""
    decision = json.loads((folder / "artifacts" / project / "decision.json").read_bytes())
    if "mlflow" not in decision:  # TRACKING=none
        return ""
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    page = os.environ.get("MLFLOW_UI") or (server if server.startswith("http") else "http://127.0.0.1:5000")
    return "{}/#/experiments/{experiment}/runs/{run}".format(page.rstrip("/"), **decision["mlflow"])


class DeployOperator(DvcOperator):
    """Deploys one champion to one target, by the deploy command."""

    template_fields = ("what",)

    def __init__(self, *, what: dict[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.what = what

    def execute(self, context: "Context") -> dict[str, str]:
        """
        Raises:
            AirflowSkipException: the run has no target.
        """
        if self.what["target"] == "none":
            raise AirflowSkipException(
                f"{self.what['project']}: found no target; trigger with deploy=server or set DEPLOY_TARGET"
            )
        arguments = [f"{key}={value}" for key, value in self.what.items()]
        self.run_command(self.checkout.root, [self.checkout.program("python"), "-m", "infra.deploy", *arguments])
        alerts.tell("{project}: deployed, target {target}".format(**self.what), project=self.what["project"])
        return self.what


def deploy_dag(checkout: Checkout, projects: list[str], defaults: Mapping[str, object]) -> DAG:
    params = {
        "project": Param(projects[0], type="string", enum=projects, title="Project"),
        "target": Param("server", type="string", enum=TARGETS, title="Deploy target"),
    }
    with DAG(
        "deploy",
        schedule=AssetAny(*map(champion, projects)),
        catchup=False,
        params=params,
        default_args={**defaults, "retries": 2, "retry_delay": timedelta(seconds=20)},
        tags=["deploy"],
        doc_md="Deploys each new champion to its run's *deploy target*; by hand, one project to one target.",
    ) as dag:

        @task(doc="The new champions and their targets.")
        def champions() -> list[dict[str, str]]:
            context = get_current_context()
            events = [event for found in context["triggering_asset_events"].values() for event in found]
            if not events:
                return [{"project": context["params"]["project"], "target": context["params"]["target"]}]
            latest = {event.asset.name.partition("/")[2]: event.extra for event in events}
            return [
                {"project": project, "target": extra["target"], "bundle": extra["bundle"]}
                for project, extra in latest.items()
            ]

        DeployOperator.partial(task_id="deploy", checkout=checkout, doc="One champion to its target.").expand(
            what=champions()
        )
    return dag


def dags(root: Path) -> list[DAG]:
    found = graph.read(root)
    blocks = graph.load(root / "params.yaml")["projects"]
    checkout = Checkout(root, VENV, VARIABLES)
    defaults = {"owner": "roadmap", "on_failure_callback": alerts.failed}
    training = "gpu" if os.environ.get("TRAINER") == "gpu" else "train"
    house = House(
        graph=found,
        checkout=checkout,
        check=["python", "-m", "pipelines.check"],
        params=PARAMS,
        pools={"train": training},
        timeouts={"train": timedelta(hours=12), "prepare": timedelta(hours=6)},
        events={"prepare": Event(data, new_data), "register": Event(champion, new_champion)},
        links={"register": tracked},
        defaults=defaults,
    )
    projects = found.keys()
    rendered = [
        house.of_key(
            project,
            cron=blocks[project].get("schedule"),
            assets=[drift(project)],
            dated=(f"projects.{project}.data.until",) if "until" in blocks[project]["data"] else (),
            tags=["project", project],
            doc_md=(root / "pipelines" / project / "README.md").read_text(encoding="utf-8"),
        )
        for project in projects
    ]
    roadmap = house.of_all("roadmap", tags=["roadmap"], doc_md="Every project, from data to champion: `dvc repro`.")
    watching = [
        monitor_dag(project, (blocks[project].get("monitor") or {}).get("schedule"), drift(project), checkout, defaults)
        for project in projects
    ]
    return [*rendered, *watching, roadmap, deploy_dag(checkout, projects, defaults)]


globals().update({dag.dag_id: dag for dag in dags(ROOT)})
