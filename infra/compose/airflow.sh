#!/usr/bin/env bash
# What the Airflow containers of compose.yaml run: airflow.sh init | api-server | scheduler | dag-processor | worker | run <command>.
# Each works in a clone of its own, /checkout, at the commit that /repository is at; start it again to bring it up to date.
set -euo pipefail
environments=${ENVIRONMENTS:-/opt/roadmap}  # where the image has .venv and .venv-airflow
export HOME=/tmp DVC_SITE_CACHE_DIR=/tmp/dvc GIT_CONFIG_GLOBAL=/tmp/gitconfig
[ -n "${DATA_MIRROR:-}" ] || unset DATA_MIRROR  # Compose can not leave a variable away
cd /checkout
if [ "$1" = healthy ]; then  # a worker that answers over Redis; Celery alone, without Airflow, which takes seconds to import
  exec "$environments/.venv-airflow/bin/python" /repository/infra/compose/healthy.py worker
fi
if [ "$1" = run ]; then  # a command in the project's environment, as a task has it
  PATH=/checkout/.venv/bin:$PATH exec "${@:2}"
fi

cat >"$GIT_CONFIG_GLOBAL" <<GIT  # the repository belongs to whoever started the containers; experiments are commits
[safe]
directory = *
[user]
name = roadmap
email = roadmap@localhost
[advice]
detachedHead = false
GIT
commit=$(git -C /repository rev-parse HEAD) ||
  { echo "airflow: /repository is no Git repository of its own; start from a clone, not from a worktree or an archive" >&2; exit 2; }
[ -d .git ] || { git init -q && git remote add origin /repository; }
git fetch -q origin "$commit" && git checkout -q --detach "$commit"
ln -sfn "$environments/.venv" .venv
ln -sfn "$environments/.venv-airflow" .venv-airflow
cat >.dvc/config.local <<DVC
[core]
    remote = shared
['remote "shared"']
    url = s3://roadmap/dvc
    endpointurl = $S3_URL
DVC

. infra/airflow/env.sh
mkdir -p "$AIRFLOW_HOME"
case $1 in
init) exec infra/airflow/up.sh prepare;;
worker) exec infra/airflow/worker.sh;;
api-server) (umask 077 && printf '{"admin": "%s"}\n' "$AIRFLOW_PASSWORD" >"$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE");;
esac
exec airflow "$1"
