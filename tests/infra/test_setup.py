"""`make setup` on a machine that lacks something: one sentence with the remedy."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.checkouts import ROOT


def setup(tmp_path: Path, lock: str = "six==1.17.0\n", **env: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "some.lock").write_text(lock)
    command = [str(ROOT / "infra" / "setup.sh"), str(tmp_path / "venv"), str(tmp_path / "some.lock")]
    return subprocess.run(command, cwd=tmp_path, env={**os.environ, **env}, capture_output=True, text=True)


def command(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_an_unsupported_python_is_named(tmp_path: Path) -> None:
    old = command(tmp_path / "bin", "python3.9", 'case "$1" in -V) echo Python 3.9.2;; *) exit 1;; esac')
    done = setup(tmp_path, PYTHON=str(old))
    assert done.returncode == 1
    assert "Python 3.9.2 is not supported; install Python 3.11 or 3.12" in done.stderr


def test_a_missing_python_is_named(tmp_path: Path) -> None:
    done = setup(tmp_path, PYTHON="python3.99")
    assert done.returncode == 1 and "python3.99 is not installed" in done.stderr


def test_a_full_disk_is_reported_before_any_download(tmp_path: Path) -> None:
    command(tmp_path / "bin", "df", "echo header; echo /dev/x 100000 99000 1000 99% /")
    done = setup(tmp_path, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert done.returncode == 1 and "0 MB are free here" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.slow
def test_a_network_failure_is_reported_and_the_next_run_resumes(tmp_path: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1", "PIP_CONFIG_FILE": os.devnull}
    done = setup(tmp_path, lock="a-package-nobody-has==1.0\n", PIP_FIND_LINKS="", PIP_EXTRA_INDEX_URL="", **nowhere)
    assert done.returncode == 1
    assert "the package index cannot be reached" in done.stderr
    assert not (tmp_path / "venv" / "ready").exists()
    assert setup(tmp_path, lock="").returncode == 0
    assert (tmp_path / "venv" / "ready").exists()
