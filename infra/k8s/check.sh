#!/usr/bin/env bash
# checkov's policies over rendered manifests: infra/k8s/check.sh <folder>. It has an environment of its own, since its pins and
# the project's don't go together. 75 where that can't be had.
set -euo pipefail
checkov() { uv tool run --quiet --python 3.11 --from checkov==3.3.30 checkov "$@"; }
checkov --version >/dev/null || { echo "checkov can not be installed here" >&2; exit 75; }
checkov -d "$1" --framework kubernetes --quiet --compact --skip-download
