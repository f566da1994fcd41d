"""Airflow as `make airflow` starts it, in a reproduced checkout: its API, its UI, and a kill."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from dvc.utils.serialize import modify_yaml
from dvc_airflow import graph
from playwright.sync_api import expect, sync_playwright

from infra.airflow.trigger import TriggerError
from tests.support import airflow_runs
from tests.support.airflow_runs import Airflow, Listener, listening, moved
from tests.support.browser import ARGUMENTS, CHROMIUM
from tests.support.checkouts import ROOT, Checkout
from tests.support.pipelines.holding import Hold
from tests.support.servers import free_port
from tests.support.waiting import until

pytestmark = [airflow_runs.needed]
PROJECTS = ["house_prices", "titanic", "stocks"]  # one project stands for all
STAGES = {name: stage for name, stage in graph.read(ROOT).stages.items() if stage.key in (*PROJECTS, None)}
PAST = "2021-06-01"
LEAP_DAYS = "0 0 29 2 *"
LIGHT = {
    "overrides": [
        "projects.stocks.train.epochs=1", "projects.stocks.data.symbols=3", "projects.stocks.variants={}",
    ]
}  # fmt: skip
WRONG = {
    "wrong value": ["train.epochs=-1"],
    "wrong key": ["train.epoch=3"],
    "failing": ["data.path=nowhere", "data.target=price"],
}
Runs = dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def webhook() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


@pytest.fixture(scope="module")
def airflow(reproduced: Checkout, webhook: Listener, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    base = tmp_path_factory.mktemp("airflow")
    folder = base / "checkout"
    shutil.copytree(reproduced.folder, folder, symlinks=True)
    moved(reproduced.folder, folder)
    params = folder / "params.yaml"
    changed = yaml.safe_load(params.read_text())
    changed["projects"] = {name: changed["projects"][name] for name in PROJECTS}
    changed["projects"]["stocks"]["schedule"] = LEAP_DAYS  # a backfill takes its days from it
    params.write_text(yaml.safe_dump(changed, sort_keys=False))
    with modify_yaml(str(folder / "dvc.lock")) as lock:  # byte for byte as DVC writes it
        for name in set(lock["stages"]) - set(STAGES):
            del lock["stages"][name]
    Checkout(folder).run("dvc", "repro", "-q", "--single-item", "store")  # fewer projects
    found = Airflow(folder, base / "home", ALERT_WEBHOOK=webhook.url, SERVING_URL=f"http://127.0.0.1:{free_port()}")
    try:
        found.connect()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def before(airflow: Airflow) -> dict[str, bytes]:
    """The state that runs with overrides must not change."""
    return workspace(airflow)


def workspace(airflow: Airflow) -> dict[str, bytes]:
    files = ("params.yaml", "dvc.lock", "artifacts/titanic/decision.json", "artifacts/titanic/bundle/bundle.json")
    state = {name: (airflow.folder / name).read_bytes() for name in files}
    return {**state, "git": airflow.run("git", "status", "--porcelain").encode()}


@pytest.fixture(scope="module")
def runs(airflow: Airflow, before: dict[str, bytes]) -> Runs:
    """Runs of several kinds, started together; each test waits for its own."""
    trigger = airflow.client.trigger
    return {
        "past": ("stocks", trigger("stocks", LIGHT, f"{PAST}T00:00:00Z")),
        "again": ("titanic", trigger("titanic")),
        "epochs": ("titanic", trigger("titanic", {"overrides": ["projects.titanic.train.epochs=3"]})),
        **{
            name: (
                "house_prices",
                trigger("house_prices", {"overrides": [f"projects.house_prices.{one}" for one in overrides]}),
            )
            for name, overrides in WRONG.items()
        },
    }


def test_it_knows_every_project_and_has_its_pools(airflow: Airflow) -> None:
    found = {dag["dag_id"]: dag for dag in airflow.client.ask("/api/v2/dags?limit=100")["dags"]}
    assert set(found) == {*PROJECTS, *map("monitor_{}".format, PROJECTS), "roadmap", "deploy"}
    assert not any(dag["is_paused"] or dag["has_import_errors"] for dag in found.values())
    assert airflow.client.ask("/api/v2/importErrors")["total_entries"] == 0
    pools = {pool["name"]: pool["slots"] for pool in airflow.client.ask("/api/v2/pools")["pools"]}
    assert pools["train"] == 1 and pools["gpu"] == 1


def test_unchanged_stages_end_as_cached(airflow: Airflow, runs: Runs) -> None:
    results = airflow.succeeds(*runs["again"])
    stages = {result["stage"]: result for result in results.values() if result and "stage" in result}
    assert set(stages) == {address for address, stage in STAGES.items() if stage.key in ("titanic", None)}
    for address, result in stages.items():
        assert result["state"] == ("ran" if STAGES[address].always else "cached"), address
        assert result["lock"] == airflow.lock(address), f"{address}: not the hash of its entry in dvc.lock"
    assert results["summary"]["cached"] == len(stages) - 1
    assert "artifacts/titanic/metrics.json" in results["summary"]["metrics"]


def test_an_invalid_value_fails_before_any_stage(airflow: Airflow, runs: Runs) -> None:
    fails_at(airflow, *runs["wrong value"], task="check", output="projects.house_prices.train.epochs")


def test_an_unknown_key_fails_before_any_stage(airflow: Airflow, runs: Runs) -> None:
    output = "projects.house_prices.train has no 'epoch'; allowed: epochs"
    fails_at(airflow, *runs["wrong key"], task="check", output=output)


def test_a_finally_failed_stage_alerts_the_webhook(airflow: Airflow, runs: Runs, webhook: Listener) -> None:
    fails_at(airflow, *runs["failing"], task="prepare", output="nowhere")
    received = [json.loads(body) for kind, body in webhook.received]
    by_run = {one["run"]: one for one in received}
    message = by_run[runs["failing"][1]]
    assert (message["dag"], message["task"], message["try"]) == ("house_prices", "prepare", 1)
    assert "nowhere" in message["text"]
    assert {by_run[runs[name][1]]["task"] for name in ("wrong value", "wrong key")} == {"check"}


def fails_at(airflow: Airflow, dag: str, run: str, task: str, output: str) -> None:
    assert airflow.wait(dag, run) == "failed"
    tasks = {one["task_id"]: one for one in airflow.client.tasks(dag, run)}
    assert tasks[task]["state"] == "failed" and tasks[task]["try_number"] == 1, "usage errors are not retried"
    ran = {name for name, one in tasks.items() if one["state"] not in ("upstream_failed", "failed")}
    assert ran <= ({"check", "store", "collect"} if task != "check" else set()), f"{ran} ran anyway"
    assert any(output in line for line in airflow.client.log(dag, run, task))


def test_a_run_with_overrides_is_an_experiment_with_a_run_in_mlflow(
    airflow: Airflow, runs: Runs, before: dict[str, bytes]
) -> None:
    dag, run = runs["epochs"]
    results = airflow.succeeds(dag, run)
    assert {task: results[task]["state"] for task in ("collect", "prepare", "train", "register")} == {
        "collect": "cached", "prepare": "cached", "train": "ran", "register": "ran",
    }  # fmt: skip
    experiment = airflow.experiments()[results["summary"]["experiment"]]
    assert experiment["params"]["params.yaml"]["data"]["projects"]["titanic"]["train"]["epochs"] == 3
    path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/register/links"
    link = airflow.client.ask(path)["extra_links"]["MLflow run"]
    assert "/runs/" in link
    assert mlflow_params(airflow, link.rpartition("/")[2])["train.epochs"] == "3"
    assert json.loads(before["artifacts/titanic/decision.json"])["mlflow"]["run"] not in link
    assert workspace(airflow) == before
    assert not list((airflow.folder / ".dvc" / "tmp" / "exps").glob("airflow-titanic-*"))


def mlflow_params(airflow: Airflow, run: str) -> dict[str, str]:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{airflow.folder}/mlflow.db")
    return dict(client.get_run(run).data.params)


def test_a_run_for_a_past_day_sees_no_later_data(airflow: Airflow, runs: Runs) -> None:
    results = airflow.succeeds(*runs["past"])
    assert f"projects.stocks.data.until={PAST}" in results["check"]["overrides"]
    card = airflow.card(results["summary"]["experiment"], "stocks")
    assert card["periods"]["test"][1] in (PAST, "2021-05-31")
    today = json.loads((airflow.folder / "data" / "stocks" / "card.json").read_text())
    assert today["periods"]["test"][1] > "2024", "the checkout's own data reach the present"


def test_setting_a_schedule_causes_no_catchup(airflow: Airflow) -> None:
    assert airflow.client.ask("/api/v2/dags/stocks")["next_dagrun_run_after"] > datetime.now(UTC).isoformat()
    found = airflow.client.ask("/api/v2/dags/stocks/dagRuns?limit=100")["dag_runs"]
    assert "scheduled" not in {run["run_type"] for run in found}


def test_a_backfill_runs_each_day_with_the_data_known_then(airflow: Airflow) -> None:
    span = {"from_date": "2020-01-01T00:00:00Z", "to_date": "2024-03-01T00:00:00Z"}
    requested = {"dag_id": "stocks", **span, "dag_run_conf": LIGHT, "max_active_runs": 1}

    def accepted() -> bool:
        try:
            airflow.client.ask("/api/v2/backfills", requested)
        except TriggerError as error:  # SQLite has one writer at a time, and Airflow does not wait for it here
            assert "locked" in str(error)
            return False
        return True

    until(accepted)
    for run, month in zip(sorted(airflow.runs("stocks", "backfill")), ("2020-02", "2024-02"), strict=True):
        results = airflow.succeeds("stocks", run)
        assert f"projects.stocks.data.until={month}-29" in results["check"]["overrides"]
        last = airflow.card(results["summary"]["experiment"], "stocks")["periods"]["test"][1]
        assert f"{month}-25" < last <= f"{month}-29"


def test_an_external_drift_event_retrains_the_project(airflow: Airflow) -> None:
    airflow.event("drift/house_prices", feature="area_m2", psi=0.4)
    (run,) = airflow.runs("house_prices", "asset_triggered")
    results = airflow.succeeds("house_prices", run)
    states = {result["stage"]: result["state"] for result in results.values() if result and "stage" in result}
    assert set(states.values()) == {"ran"}, "an earlier result does not count"


def test_the_ui_shows_a_projects_stages_and_readme(airflow: Airflow, tmp_path: Path) -> None:
    password = json.loads((airflow.home / "passwords.json").read_text())["admin"]
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser,
    ):
        page = browser.new_page(viewport={"width": 1500, "height": 900}, locale="en-US")
        page.set_default_timeout(60_000)
        page.goto(airflow.client.url)
        page.locator("input[name=username]").fill("admin")
        page.locator("input[name=password]").fill(password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="Dags", exact=True)).to_be_visible(timeout=60_000)
        page.goto(f"{airflow.client.url}/dags/titanic")
        page.get_by_test_id("markdown-button").click()
        title = (ROOT / "pipelines" / "titanic" / "README.md").read_text().splitlines()[0].lstrip("# ")
        expect(page.get_by_role("dialog")).to_contain_text(title, timeout=60_000)
        page.keyboard.press("Escape")
        page.get_by_label("Show Graph").click()
        page.get_by_label("Collapse Details Panel").click()
        page.get_by_label("Fit View").click()  # rows outside the viewport are not rendered
        nodes = page.locator(".react-flow__node")
        for name in {"check", "summary", *(stage.name for stage in STAGES.values())}:
            expect(nodes.filter(has=page.get_by_text(name, exact=True))).to_be_visible(timeout=60_000)
        page.screenshot(path=tmp_path / "graph.png")
    assert (tmp_path / "graph.png").stat().st_size > 20_000


def test_concurrent_runs_leave_one_valid_lock(airflow: Airflow) -> None:
    started = {dag: airflow.client.trigger(dag) for dag in ("roadmap", "titanic")}
    for dag, run in started.items():
        results = airflow.succeeds(dag, run)
        ran = {result["stage"] for result in results.values() if result and result.get("state") == "ran"}
        assert ran <= {address for address, stage in STAGES.items() if stage.always or stage.name == "register"}
    assert set(yaml.safe_load((airflow.folder / "dvc.lock").read_text())["stages"]) == set(STAGES)
    status = json.loads(airflow.run("dvc", "status", "--json"))
    assert set(status) <= {address for address, stage in STAGES.items() if stage.always}


def test_a_new_champion_is_deployed_to_its_target(airflow: Airflow) -> None:
    params = airflow.folder / "params.yaml"
    changed = yaml.safe_load(params.read_text())
    changed["projects"]["titanic"]["model"] |= {"hidden": [], "dropout": 0.0, "lr": 0.05}
    changed["projects"]["titanic"]["gate"]["minimum_improvement"] = -0.1  # an equal model is good enough
    params.write_text(yaml.safe_dump(changed, sort_keys=False))
    with airflow_runs.serving(airflow) as server:
        results = airflow.succeeds("titanic", airflow.client.trigger("titanic", {"deploy": "server"}))
        assert (results["prepare"]["state"], results["train"]["state"]) == ("cached", "ran")
        decision = json.loads((airflow.folder / "artifacts" / "titanic" / "decision.json").read_text())
        assert decision["promoted"], decision["summary"]
        expected = {"project": "titanic", "target": "server", "bundle": decision["bundle"]}
        run = airflow.deployment(expected)
        assert airflow.wait("deploy", run) == "success"
        path = f"/api/v2/dags/deploy/dagRuns/{run}/taskInstances/deploy/logs/1?map_index=0&full_content=true"
        log = json.dumps(airflow.client.ask(path)["content"])
        assert f"titanic: version {decision['bundle']} answers" in log
        models = {model["name"]: model for model in json.loads(server.get("/models"))["models"]}
        assert models["titanic"]["version"] == decision["bundle"]


@pytest.mark.parametrize("everything", [False, True], ids=["the scheduler alone", "the scheduler and all it started"])
def test_a_killed_scheduler_restarts_and_the_run_continues(airflow: Airflow, tmp_path: Path, everything: bool) -> None:
    hold = Hold(airflow.folder, "titanic.Classifier", tmp_path / "hold")
    overrides = ["projects.titanic.train.epochs=6", f"seed={int(everything)}"]
    run = airflow.client.trigger("titanic", {"overrides": overrides})
    hold.reached(lambda: airflow.client.state("titanic", run) in ("queued", "running"))
    restart = airflow.kill_scheduler(everything)
    restart()
    hold.open()
    results = airflow.succeeds("titanic", run)
    assert results["train"]["state"] in ("ran", "cached")
    log = [line for number in tries(airflow, run) for line in airflow.client.log("titanic", run, "train", number)]
    assert not everything or any("resuming run" in line for line in log), log[-40:]


def tries(airflow: Airflow, run: str) -> range:
    (number,) = [one["try_number"] for one in airflow.client.tasks("titanic", run) if one["task_id"] == "train"]
    return range(1, number + 1)
