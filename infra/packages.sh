#!/usr/bin/env bash
# What the tests use of the system and Debian or Ubuntu may lack: a browser, Redis, PostgreSQL, Prometheus and a registry of images. Without it they skip.
set -euo pipefail
packages=()
command -v chromium google-chrome >/dev/null || packages+=(chromium)  # the pages are tested in it
command -v redis-server >/dev/null || packages+=(redis-server)  # Airflow on more than one machine
command -v docker-registry >/dev/null || packages+=(docker-registry)  # where a deployment pushes an image
command -v promtool >/dev/null || packages+=(prometheus)  # the dashboards' queries are put to it
command -v prometheus-pushgateway >/dev/null || packages+=(prometheus-pushgateway)
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || packages+=(postgresql)
[ ${#packages[@]} -gt 0 ] || exit 0
as_root=$([ "$(id -u)" = 0 ] || echo sudo)
$as_root apt-get -qq update && $as_root apt-get -qq install -y --no-install-recommends "${packages[@]}"
