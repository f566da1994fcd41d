"""The DAGs and their reader import little, and start nothing."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import airflow_runs
from tests.support.checkouts import ROOT

DAGS = ROOT / "dags"
FENCE = """
import json, sys
started = []
def heard(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.system"):
        started.append(f"{event} {arguments}")
import airflow.sdk, croniter  # which starts a program to know how wide an integer is
sys.path.insert(0, "dags")
sys.addaudithook(heard)
import roadmap
print(json.dumps({"modules": sorted({name.partition(".")[0] for name in sys.modules}), "started": started}))
"""


@pytest.mark.slow
@airflow_runs.needed
def test_parsing_the_dags_imports_nothing_heavy_and_starts_nothing(tmp_path: Path) -> None:
    expected = json.loads(airflow_runs.python(FENCE, ROOT, tmp_path))
    forbidden = {"dvc", "hydra", "omegaconf", "torch", "pytorch_lightning", "mlflow", "pipelines", "models", "serving"}
    assert not forbidden & set(expected["modules"])
    assert expected["started"] == []
    assert "dvc_airflow" in expected["modules"]


def test_dags_import_nothing_but_the_standard_library_yaml_and_airflow() -> None:
    files = list(DAGS.rglob("*.py"))
    assert len(files) > 5
    allowed = sys.stdlib_module_names | {"yaml", "airflow", "dvc_airflow"}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file.name}: a relative import"
                names = [str(node.module)]
            else:
                continue
            assert {name.partition(".")[0] for name in names} <= allowed, f"{file.name}: line {node.lineno}"


def test_the_graph_can_be_read_without_airflow() -> None:
    """The reader can be used with other schedulers."""
    code = "import sys; from dvc_airflow import graph; graph.read(graph.Path('.')); print('airflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONPATH": str(DAGS)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr
