#!/bin/sh
# What the train image runs: SageMaker's `train`, or a command of the project's environment. The SDK's ModelTrainer says no
# word when it runs a job on this machine.
case "${1:-}" in
  train) exec python -m pipelines.sagemaker ;;
  "")
    [ -e /opt/ml/input/config/hyperparameters.json ] && exec python -m pipelines.sagemaker
    echo "this image runs 'train', or a command such as: python -m pipelines.train project=mnist" >&2; exit 2 ;;
  *) exec "$@" ;;
esac
