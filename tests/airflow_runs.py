"""What the tests of dags/ share: Airflow's own environment, which is not the one that the tests run in."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

VENV = ROOT / ".venv-airflow"
needed = pytest.mark.skipif(
    not (VENV / "ready").exists(), reason="needs .venv-airflow: run `make test`, which makes it"
)


def environment(home: Path, **changes: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW") and key != "PYTHONPATH"}
    return {**kept, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", **changes}


def python(code: str, folder: Path, home: Path, *arguments: str, **env: str) -> str:
    """What `code` prints, last line, when Airflow's Python runs it in `folder`."""
    done = subprocess.run(
        [str(VENV / "bin" / "python"), "-c", code, *arguments],
        cwd=folder, env=environment(home, **env), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]
