#!/usr/bin/env bash
# A Celery worker that works in this checkout, until Ctrl-C: dags/README.md, "More than one machine". What follows goes to
# `airflow celery worker`, for instance --celery-hostname or --queues.
set -euo pipefail
: "${AIRFLOW__DATABASE__SQL_ALCHEMY_CONN:?where PostgreSQL is, as for up.sh}"
: "${AIRFLOW__CELERY__BROKER_URL:?where Redis is, as for up.sh}"
: "${AIRFLOW__CORE__EXECUTION_API_SERVER_URL:?where up.sh runs, for instance http://airflow.internal:8080/execution/}"
: "${AIRFLOW__API__SECRET_KEY:?the same as for up.sh; without it the page can not show the logs of this machine}"
: "${MLFLOW_TRACKING_URI:?where the MLflow server is, the same for every machine}"
. "$(dirname "$0")/env.sh"
[ -x "$root/.venv/bin/dvc" ] || { echo "worker: the project's environment is missing; run make setup" >&2; exit 1; }
(cd "$root" && "$root/.venv/bin/dvc" config core.remote >/dev/null 2>&1) ||
  { echo "worker: DVC has no default remote here; run dvc remote add --local --default <name> <url>" >&2; exit 1; }
export AIRFLOW__CORE__EXECUTOR=CeleryExecutor
export AIRFLOW__CELERY__WORKER_CONCURRENCY=${AIRFLOW__CELERY__WORKER_CONCURRENCY:-1}  # a stage takes all cores
exec airflow celery worker "$@"
