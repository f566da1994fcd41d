#!/bin/bash
# moto's S3 with the bucket that SeaweedFS makes from S3_BUCKET. It keeps all in memory and checks no key.
set -euo pipefail
python -m moto.server -H 0.0.0.0 -p 8333 &
until wget -q -O /dev/null --method=PUT "http://127.0.0.1:8333/$S3_BUCKET"; do sleep 0.3; done
wait
