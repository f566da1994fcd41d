"""The Airflow image: both environments work for a non-root user, on a mounted checkout."""

from tests.support.checkouts import ROOT
from tests.support.infra import engine

pytestmark = [engine.trains]

DAGS = "from airflow.dag_processing.dagbag import DagBag; bag = DagBag('/checkout/dags/roadmap.py'); "


def test_it_reads_the_dags_and_runs_a_stage() -> None:
    image = engine.built("airflow")
    env = ("-e", "AIRFLOW_HOME=/tmp/airflow", "-e", "PYTHONPATH=/checkout/dags")  # Airflow itself adds its DAGs folder
    options = ("run", "--rm", "--network", "none", "-v", f"{ROOT}:/checkout:ro", *env)
    assert engine.docker(*options, image, "id", "-u").stdout.strip() == "10001"
    code = DAGS + "print(sorted(bag.dags), bag.import_errors)"
    message = engine.docker(*options, image, "/opt/roadmap/.venv-airflow/bin/python", "-c", code).stdout
    assert "'titanic'" in message and "'monitor_titanic'" in message and message.strip().endswith("{}")
    check = ("/opt/roadmap/.venv/bin/python", "-m", "pipelines.check", "project=titanic")
    engine.docker(*options, image, *check)  # fails on a non-zero exit code
    assert engine.docker(*options, image, "/opt/roadmap/.venv/bin/dvc", "--version").stdout.strip()
