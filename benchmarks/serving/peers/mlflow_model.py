"""Saves a bundle as the MLflow model that `register` logs.

python -m benchmarks.serving.peers.mlflow_model BUNDLE FOLDER
"""

import sys

import mlflow
import pandas as pd

from roadmap.bundle import Bundle

if __name__ == "__main__":
    bundle, folder = sys.argv[1:]
    example = pd.DataFrame(Bundle(bundle).example)
    if "prompt" in example:  # its signature has the request's fields besides the prompt
        example = example[["prompt"]].assign(max_tokens=64, temperature=0.0)
    mlflow.pyfunc.save_model(
        folder,
        python_model="roadmap/promotion/pyfunc.py",
        artifacts={"bundle": bundle},
        code_paths=["pipelines", "serving"],
        input_example=example,
        pip_requirements=[],
    )
