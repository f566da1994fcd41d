#!/bin/sh
# A database and an owner for each that keeps something in PostgreSQL; the image runs this once, on an empty volume.
set -eu
for name in airflow mlflow; do
  case $name in airflow) password=$AIRFLOW_DB_PASSWORD;; mlflow) password=$MLFLOW_DB_PASSWORD;; esac
  psql -v ON_ERROR_STOP=1 -U postgres -v name="$name" -v password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
