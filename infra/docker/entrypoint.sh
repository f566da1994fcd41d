#!/bin/sh
# What the serving image runs, by its first argument; without one, or with options, the server.
case "${1:-}" in
  serve) exec python -m serving.entrypoints.sagemaker serve ;;
  lambda) exec python -m awslambdaric serving.entrypoints.aws_lambda.handler ;;
  fetch) shift; exec python -m serving.entrypoints.fetch "$@" ;;
  health) exec python -c "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=2)" ;;
  "" | -*) exec python -m serving "$@" ;;
  *) echo "this image runs 'serve', 'lambda', 'fetch', or the server with its options; not '$1'" >&2; exit 2 ;;
esac
