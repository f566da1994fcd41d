#!/usr/bin/env bash
# setup.sh VENV LOCK: creates VENV from LOCK with $PYTHON. Safe to repeat; an interrupted run is taken up again.
set -euo pipefail
venv=$1 lock=$2 python=${PYTHON:-python3}
die() { echo "setup: $*" >&2; exit 1; }

command -v "$python" >/dev/null || die "$python is not installed; install Python 3.11 or set PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' ||
  die "$("$python" -V) is not supported; install Python 3.11 or 3.12 and run make PYTHON=python3.11 ..."
"$python" -c 'import venv, ensurepip' 2>/dev/null || die "$python lacks the venv module; on Debian: apt-get install python3-venv"
free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1024)}')
[ -e "$venv/bin/python" ] || [ "$free" -ge 4000 ] || die "$free MB are free here, 4000 MB are needed"

echo "setup: $venv from $lock (about 2 minutes the first time)"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
install() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" 2>>"$venv/pip.log"; }
: >"$venv/pip.log"
wanted=$lock
# Where the index gives a CPU build of torch, the CUDA libraries that the lock names are 2.7 GB for nothing.
if torch=$(grep '^torch==' "$lock") && install --no-deps "$torch" &&
  grep -q '^cuda.*= None' "$venv"/lib/python*/site-packages/torch/version.py; then
  wanted=$venv/requirements.txt
  grep -vE '^(cuda|nvidia|triton)[-=]' "$lock" >"$wanted"
fi
if ! install -r "$wanted"; then
  grep -v '^WARNING' "$venv/pip.log" | tail -n 5 >&2
  if grep -qiE 'connection|resolution|timed out|unreachable|proxy' "$venv/pip.log"; then
    die "the package index cannot be reached; check the network or PIP_INDEX_URL, then run make again"
  fi
  grep -qi 'no space left' "$venv/pip.log" && die "the disk is full; free some space, then run make again"
  die "pip could not install $lock; the whole log is in $venv/pip.log"
fi
touch "$venv/ready"
