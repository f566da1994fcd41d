"""Which slow packages each stage may import: a stage is a process, and imports dominate its time."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from roadmap.config.params import params
from roadmap.dependencies import MEMBERS
from tests.support.checkouts import ROOT, Checkout

MLFLOW = {"mlflow", "sqlalchemy", "fastapi", "boto3", "pandas", "scipy"}  # imported by `import mlflow`
MAY = {
    "collect": set(),
    "prepare": {"pandas", "pandera", "sklearn", "scipy"},
    "report": {"pandas", "matplotlib", "seaborn", "statsmodels", "scipy"},
    "baselines": {"pandas", "sklearn", "scipy", "xgboost", "statsmodels"},
    "train": {
        *("torch", "pytorch_lightning", "torchmetrics", "onnx", "onnxscript", "onnxruntime", "pandas", "matplotlib"),
        *("sklearn", "scipy"),
    },
    "evaluate": {"pandas", "matplotlib", "onnxruntime", "scipy"},
    "sources": set(),
    "store": MLFLOW,
    "register": {*MLFLOW, "onnxruntime"},
    "mlflow_process": MLFLOW,  # of roadmap/tracking, beside train and evaluate
}
SLOW = frozenset[str]().union(*MAY.values()) | {"transformers", "dvc", "ray", "sagemaker", "s3fs"}
AT_ONCE = {"pandas"}  # what a module may import at module level


def test_stages_and_projects_import_nothing_slow() -> None:
    modules = [f"pipelines.{stage}" for stage in MEMBERS]
    for project in params(ROOT)["projects"]:
        members = {member for loaded in MEMBERS.values() for member in loaded}
        present = sorted(member for member in members if list((ROOT / "pipelines" / project).glob(f"{member}*")))
        modules += [f"pipelines.{project}.{member}" for member in present]
    code = f"import json, sys, {', '.join(modules)}; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in json.loads(done.stdout)} & (SLOW - AT_ONCE) == set()


@pytest.mark.slow
def test_a_stage_imports_no_more_than_it_needs(reproduced: Checkout) -> None:
    """As recorded in the processes of `dvc repro`, including imports in functions."""
    too_many = defaultdict(set)
    seen = set()
    for line in map(json.loads, Path(f"{reproduced.folder}.jsonl").read_text().splitlines()):
        stage, *words = line["command"]
        if stage in MAY:
            seen.add(stage)
            too_many[f"{stage} {' '.join(words)}"] = set(line["packages"]) & (SLOW - MAY[stage])
    assert seen == set(MAY)
    assert {process: packages for process, packages in too_many.items() if packages} == {}


@pytest.mark.slow
def test_lightning_imports_torchmetrics_lazily() -> None:
    code = """
import sys
from roadmap.training.lightning import pl
heavy = {"scipy", "transformers", "torchmetrics.classification", "torchmetrics.functional"} & set(sys.modules)
assert not heavy, heavy
import torchmetrics
from pytorch_lightning.core.module import Metric
assert Metric is torchmetrics.Metric and issubclass(torchmetrics.Accuracy, object)
from torchmetrics.classification import MulticlassAccuracy
assert issubclass(MulticlassAccuracy, Metric)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
