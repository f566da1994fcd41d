#!/usr/bin/env bash
# Airflow on this machine: database, pools, user, then scheduler, API server, DAG processor and triggerer until Ctrl-C.
# With AIRFLOW__CORE__EXECUTOR=CeleryExecutor or KubernetesExecutor the tasks run on other machines: see dags/README.md.
# Safe to repeat. AIRFLOW_PORT and AIRFLOW_HOME choose another place; `up.sh prepare` stops before it starts anything.
set -euo pipefail
. "$(dirname "$0")/env.sh"
mkdir -p "$AIRFLOW_HOME"
(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && { echo "airflow: port $port is taken; choose another with AIRFLOW_PORT=8081" >&2; exit 1; }
[ -x "$root/.venv/bin/dvc" ] || { echo "airflow: the project's environment is missing; run make setup" >&2; exit 1; }
[ -e "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE" ] ||
  (umask 077 && printf '{"admin": "%s"}\n' "$(head -c 12 /dev/urandom | base64 | tr -d '+/=')" >"$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE")
[ -e "$AIRFLOW_HOME/jwt_secret" ] || (umask 077 && head -c 32 /dev/urandom | base64 >"$AIRFLOW_HOME/jwt_secret")
AIRFLOW__API_AUTH__JWT_SECRET=${AIRFLOW__API_AUTH__JWT_SECRET:-$(cat "$AIRFLOW_HOME/jwt_secret")}
export AIRFLOW__API_AUTH__JWT_SECRET
airflow db migrate >"$AIRFLOW_HOME/migrate.log" 2>&1 || { tail -n 5 "$AIRFLOW_HOME/migrate.log" >&2; exit 1; }
[ -e "$AIRFLOW_HOME/pools" ] ||  # once: who has changed them since meant it
  { airflow pools import "$root/infra/airflow/pools.json" >/dev/null 2>&1 && touch "$AIRFLOW_HOME/pools"; }
[ "${1:-}" = prepare ] && exit
password=$(sed -E 's/.*: *"(.*)".*/\1/' "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE")
cat <<END
airflow: http://localhost:$port  user admin, password $password
  one project     .venv/bin/python -m infra.airflow.trigger mnist        or the button "Trigger" on its page
  all of them     .venv/bin/python -m infra.airflow.trigger roadmap
  other settings  .venv/bin/python -m infra.airflow.trigger mnist profile=full overrides=projects.mnist.model.lr=0.02
END
if [ "${AIRFLOW__CORE__EXECUTOR:-LocalExecutor}" = LocalExecutor ]; then
  trap 'trap - INT TERM; kill 0' INT TERM  # told to end by itself, standalone would leave its parts behind
  airflow standalone &
  wait $!
  exit
fi
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
trap exit INT TERM
for part in scheduler api-server dag-processor triggerer; do airflow "$part" & done
wait -n  # `airflow standalone` knows only its own workers; here one part that ends ends all, with its exit code
