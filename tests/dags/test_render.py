"""The DAGs in Airflow: its own DagBag parses them in its own environment."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc_airflow import graph

from tests.support import airflow_runs
from tests.support.checkouts import ROOT

pytestmark = [pytest.mark.slow, airflow_runs.needed]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
PROJECTS = list(PARAMS["projects"])
GRAPH = graph.read(ROOT)

DESCRIBE = """
import json, logging, os, sys, time
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
logging.disable()

def seconds(value):
    return value and value.total_seconds()

def task(one):
    kind = type(one).__name__
    options = one.partial_kwargs if kind == "MappedOperator" else vars(one)
    return {
        "type": options.get("task_type", kind), "needs": sorted(one.upstream_task_ids), "owner": one.owner,
        "retries": one.retries, "backoff": float(one.retry_exponential_backoff), "delay": seconds(one.retry_delay),
        "longest": seconds(one.max_retry_delay), "timeout": seconds(one.execution_timeout), "pool": one.pool,
        "slots": one.pool_slots, "doc": one.doc, "alerts": [f.__name__ for f in one.on_failure_callback],
        "stage": getattr(getattr(one, "stage", None), "address", None),
        "outlets": [outlet.name for outlet in one.outlets],
    }

def first(one):
    "When the scheduler, which knows a DAG as it is stored, would run it first."
    found = DagSerialization.from_dict(DagSerialization.to_dict(one)).next_dagrun_info(
        last_automated_run_info=None
    )
    return found and found.run_after.timestamp() - time.time()

def dag(one):
    one.check_cycle()
    when = one.timetable
    params = [(name, one.params.get_param(name)) for name in one.params]
    return {
        "tasks": {task_id: task(found) for task_id, found in one.task_dict.items()},
        "groups": sorted(filter(None, one.task_group_dict)), "tags": sorted(one.tags), "doc": one.doc_md,
        "params": {name: {**param.schema, "description": param.description} for name, param in params},
        "catchup": one.catchup, "when": type(when).__name__,
        "cron": getattr(getattr(when, "timetable", when), "expression", None), "first": first(one),
        "assets": sorted(asset.name for asset in getattr(getattr(when, "asset_condition", None), "objects", ())),
        "dated": sorted({key for found in one.tasks for key in getattr(found, "dated", ())}),
    }

found = {}
for name, (folder, env) in json.loads(sys.argv[1]).items():
    os.environ.update(env)
    bag = DagBag(str(Path(folder) / "dags" / "roadmap.py"), known_pools={"default_pool", "train", "gpu"})
    for key in env:
        del os.environ[key]
    found[name] = {
        "dags": {dag_id: dag(one) for dag_id, one in bag.dags.items()},
        "errors": list(bag.import_errors.values()),
        "warnings": [str(warning) for warning in bag.dag_warnings],
    }
print(json.dumps(found))
"""
CRON = "30 6 * * 1-5"


def copy(folder: Path, **changes: Any) -> Path:
    """A copy of the files that the DAGs read, with other values in the first project's block of params.yaml."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    block = params["projects"][PROJECTS[0]]
    for key, value in changes.items():
        block[key] = value
        if value is None:
            del block[key]
    for name in ("dags", "pipelines"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "dvc.yaml", folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The DAGs that Airflow finds in this repository and in changed copies."""
    base = tmp_path_factory.mktemp("dags")
    changed = copy(base / "changed", schedule=CRON)
    with (changed / "params.yaml").open("a") as file:
        file.write("\n".join(f"  {line}" for line in f"throw_away:\n{as_block(PROJECTS[1])}".splitlines()))
    (changed / "pipelines" / "throw_away").mkdir()
    (changed / "pipelines" / "throw_away" / "README.md").write_text("# A throw-away project\n")
    folders = {
        "here": (ROOT, {}),
        "changed": (changed, {"TRAINER": "gpu"}),
        "broken cron": (copy(base / "cron", schedule="61 * * * *"), {}),
        "unknown key": (copy(base / "key", network=None), {}),
    }
    requested = {name: (str(folder), env) for name, (folder, env) in folders.items()}
    env = {"PYTHONPATH": str(ROOT / "dags"), "TRAINER": ""}
    found = json.loads(airflow_runs.python(DESCRIBE, ROOT, base, json.dumps(requested), **env))
    assert found["here"]["errors"] == [] and found["here"]["warnings"] == []
    return dict(found)


def as_block(project: str) -> str:
    text = yaml.safe_dump(PARAMS["projects"][project], sort_keys=False)
    return "\n".join(f"  {line}" for line in text.splitlines())


@pytest.fixture(scope="module")
def dags(bags: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return dict(bags["here"]["dags"])


def stages(dag: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tasks that run a stage, by its address."""
    return {task["stage"]: {"id": task_id, **task} for task_id, task in dag["tasks"].items() if task["stage"]}


def test_two_dags_per_project_one_for_all_and_one_that_deploys(dags: dict[str, Any]) -> None:
    assert set(dags) == {*PROJECTS, *map("monitor_{}".format, PROJECTS), "roadmap", "deploy"}


@pytest.mark.parametrize("project", PROJECTS)
def test_every_project_is_monitored_on_its_schedule(dags: dict[str, Any], project: str) -> None:
    dag = dags[f"monitor_{project}"]
    assert dag["cron"] == PARAMS["projects"][project]["monitor"]["schedule"] is not None
    assert dag["tasks"]["look"]["outlets"] == [f"drift/{project} by monitor"] and project in dag["tags"]


@pytest.mark.parametrize("name", [*PROJECTS, "roadmap"])
def test_a_dag_has_the_stages_and_dependencies_of_dvc(dags: dict[str, Any], name: str) -> None:
    found = stages(dags[name])
    expected = GRAPH.stages if name == "roadmap" else {stage.address: stage for stage in GRAPH.stages_of(name)}
    assert set(found) == set(expected)
    ids = {task["id"]: address for address, task in found.items()}
    for address, task in found.items():
        needs = {ids[above] for above in task["needs"] if above != "check"}
        assert needs == set(GRAPH.upstream[address]), address
        assert needs or task["needs"] == ["check"], f"{address} starts before the settings are checked"
        assert task["doc"] == expected[address].desc
    ends = set(found) - {above for address in found for above in GRAPH.upstream[address]}
    assert {ids[above] for above in dags[name]["tasks"]["summary"]["needs"]} == ends


def test_the_roadmap_groups_its_tasks_by_project(dags: dict[str, Any]) -> None:
    assert dags["roadmap"]["groups"] == sorted(PROJECTS)
    for address, task in stages(dags["roadmap"]).items():
        stage = GRAPH.stages[address]
        assert task["id"] == (stage.name if stage.key is None else f"{stage.key}.{stage.name}")


def test_every_task_has_an_owner_a_limit_and_an_alert(dags: dict[str, Any]) -> None:
    for name, dag in dags.items():
        assert dag["tags"] and dag["doc"].strip(), name
        assert not dag["catchup"], f"{name} would run for every day since its start"
        for task_id, task in dag["tasks"].items():
            assert task["owner"] == "roadmap", f"{name}.{task_id}"
            assert task["alerts"] == ["failed"], f"{name}.{task_id}"
            assert task["doc"], f"{name}.{task_id} has no description"
            if task["type"] != "_PythonDecoratedOperator":
                assert 0 < task["timeout"] <= 12 * 3600 if task["timeout"] else name == "deploy", f"{name}.{task_id}"


@pytest.mark.parametrize("name", [*PROJECTS, "roadmap"])
def test_retries_back_off_exponentially(dags: dict[str, Any], name: str) -> None:
    for task in dags[name]["tasks"].values():
        assert task["retries"] >= 2 and task["delay"] >= 10
        assert task["backoff"] > 1 and task["longest"] > task["delay"]


@pytest.mark.parametrize("project", PROJECTS)
def test_a_dag_page_shows_the_projects_readme(dags: dict[str, Any], project: str) -> None:
    assert dags[project]["doc"] == (ROOT / "pipelines" / project / "README.md").read_text()
    assert project in dags[project]["tags"]


def test_trainings_share_one_pool_slot(dags: dict[str, Any]) -> None:
    pools = json.loads((ROOT / "infra" / "airflow" / "pools.json").read_text())
    assert pools["train"]["slots"] == 1 and pools["gpu"]["slots"] == 1
    for name in [*PROJECTS, "roadmap"]:
        for address, task in stages(dags[name]).items():
            trains = GRAPH.stages[address].name == "train"
            assert (task["pool"], task["slots"]) == ("train" if trains else "default_pool", 1)


def test_a_worker_with_a_gpu_trains_in_the_pool_gpu(bags: dict[str, dict[str, Any]]) -> None:
    found = stages(bags["changed"]["dags"]["roadmap"]).values()
    assert {task["pool"] for task in found if task["id"].endswith(".train")} == {"gpu"}


@pytest.mark.parametrize("name", [*PROJECTS, "roadmap", "deploy"])
def test_the_trigger_form_describes_each_field(dags: dict[str, Any], name: str) -> None:
    fields = dags[name]["params"]
    assert set(fields) == ({"project", "target"} if name == "deploy" else
                           {"profile", "trainer", "overrides", "force", "deploy"})  # fmt: skip
    for field, schema in fields.items():
        assert schema["type"] and schema["title"], field
        assert schema["description"] or name == "deploy", field
    if name == "deploy":
        assert fields["project"]["enum"] == PROJECTS
    else:
        trainers = {path.stem for path in (ROOT / "roadmap" / "config" / "conf" / "trainer").glob("*.yaml")}
        assert trainers and set(fields["trainer"]["enum"]) == {None, *trainers}


def test_nothing_is_scheduled_unless_configured(dags: dict[str, Any]) -> None:
    for project in PROJECTS:
        assert PARAMS["projects"][project]["schedule"] is None
        assert (dags[project]["cron"], dags[project]["assets"]) == (None, [f"drift/{project}"])
    assert dags["deploy"]["assets"] == sorted(f"champion/{project}" for project in PROJECTS)
    assert dags["roadmap"]["when"] == "NullTimetable"


def test_a_schedule_is_combined_with_the_drift_asset(bags: dict[str, dict[str, Any]]) -> None:
    changed = bags["changed"]["dags"][PROJECTS[0]]
    assert changed["when"] == "AssetOrTimeSchedule"
    assert (changed["cron"], changed["assets"]) == (CRON, [f"drift/{PROJECTS[0]}"])
    assert changed["first"] > -61, "no catch-up for earlier times"


def test_a_project_added_to_params_gets_a_dag(bags: dict[str, dict[str, Any]]) -> None:
    changed = bags["changed"]
    assert changed["errors"] == []
    assert set(changed["dags"]) == {
        name for project in (*PROJECTS, "throw_away") for name in (project, f"monitor_{project}")
    } | {"roadmap", "deploy"}
    assert changed["dags"]["throw_away"]["doc"] == "# A throw-away project\n"
    assert "throw_away.train" in changed["dags"]["roadmap"]["tasks"]
    assert "throw_away" in changed["dags"]["deploy"]["params"]["project"]["enum"]


def test_dated_projects_see_no_later_data(dags: dict[str, Any]) -> None:
    for project in PROJECTS:
        knows = "until" in PARAMS["projects"][project]["data"]
        assert dags[project]["dated"] == ([f"projects.{project}.data.until"] if knows else [])
    assert any(dags[project]["dated"] for project in PROJECTS)


def test_data_and_champions_are_assets(dags: dict[str, Any]) -> None:
    for project in PROJECTS:
        updated = {address.partition("@")[0] for address, task in stages(dags[project]).items() if task["outlets"]}
        assert updated == {"prepare", "register"}


def test_an_invalid_cron_is_named_with_its_project(bags: dict[str, dict[str, Any]]) -> None:
    (error,) = bags["broken cron"]["errors"]
    assert f"{PROJECTS[0]}: schedule: found '61 * * * *'" in error


def test_a_missing_key_is_named_with_its_stage(bags: dict[str, dict[str, Any]]) -> None:
    (error,) = bags["unknown key"]["errors"]
    assert f"stages.train@{PROJECTS[0]}.deps" in error and "item.network" in error
