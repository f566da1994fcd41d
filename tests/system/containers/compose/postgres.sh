#!/bin/bash
# What the official image's entry point does on an empty volume: a cluster, a password, the scripts; then the server.
set -euo pipefail
data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
  initdb -D $data -U postgres -E UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 --pwfile=<(echo "$POSTGRES_PASSWORD") --no-sync >/dev/null
  echo "host all all all scram-sha-256" >>$data/pg_hba.conf
  pg_ctl -D $data -w -o "-c listen_addresses= -k /var/run/postgresql" start >/dev/null
  for script in /docker-entrypoint-initdb.d/*.sh; do PGHOST=/var/run/postgresql bash "$script"; done
  pg_ctl -D $data -w stop >/dev/null
fi
exec postgres -D $data -c listen_addresses='*' -k /var/run/postgresql
