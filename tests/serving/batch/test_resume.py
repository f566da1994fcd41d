"""Batch scoring: a killed job resumes, unless its input, model or output has changed."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roadmap.bundle import write_manifest
from tests.support import bundles
from tests.support.checkouts import ROOT, environment
from tests.support.scoring import PEOPLE, many, read, write


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "serving.batch", *arguments]
    env = environment(PYTHONPATH=str(ROOT))
    return subprocess.Popen(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_killed_job_resumes_and_ends_with_the_same_file(
    run: Callable[..., int], artifacts: Path, tmp_path: Path, kind: str, capsys: Any
) -> None:
    many(tmp_path / "people.csv", 6_000)
    arguments = (f"bundles={artifacts}", "project=titanic", "input=people.csv", "rows=256", "threads=1")
    assert run(*arguments, f"output=whole.{kind}") == 0
    output, state = tmp_path / f"out.{kind}", tmp_path / f"out.{kind}.partial" / "state.json"
    kills = 0
    while not output.exists():
        process = start(tmp_path, *arguments, f"output=out.{kind}")
        done = json.loads(state.read_text())["parts"] if state.exists() else 0
        while process.poll() is None and kills < 3:
            if state.exists() and json.loads(state.read_text())["parts"] >= done + 4:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        process.communicate()
    assert kills, "it was not killed"
    assert output.read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()
    errors = [tmp_path / f"{name}.{kind}.errors.jsonl" for name in ("whole", "out")]
    assert errors[0].read_bytes() == errors[1].read_bytes()
    assert not state.parent.exists()


def test_a_changed_input_is_not_resumed(
    run: Callable[..., int], tmp_path: Path, half: tuple[str, ...], capsys: Any
) -> None:
    with (tmp_path / "people.csv").open("a") as file:
        file.write("1st,male,adult,\n")
    assert run(*half) == 2
    message = capsys.readouterr().err
    assert "another input" in message and "restart=true" in message
    assert run(*half, "restart=true") == 0
    assert len(read(tmp_path / "out.csv")) == 2996


def test_another_model_version_is_not_resumed(
    run: Callable[..., int], tmp_path: Path, half: tuple[str, ...], capsys: Any
) -> None:
    bundles.house_prices(tmp_path / "new" / "house_prices" / "bundle")
    bundles.titanic(tmp_path / "new" / "titanic" / "bundle")
    schema = json.loads((tmp_path / "new/titanic/bundle/schema.json").read_text())
    schema["classes"] = ["no", "yes"]
    (tmp_path / "new/titanic/bundle/schema.json").write_text(json.dumps(schema))
    manifest = json.loads((tmp_path / "new/titanic/bundle/bundle.json").read_text())
    (tmp_path / "new/titanic/bundle/bundle.json").unlink()
    write_manifest(tmp_path / "new/titanic/bundle", **{k: v for k, v in manifest.items() if k != "files"})
    assert run(*half, "bundles=new") == 2
    assert "another model version" in capsys.readouterr().err


def test_two_jobs_cannot_write_the_same_output(
    run: Callable[..., int], tmp_path: Path, half: tuple[str, ...], capsys: Any
) -> None:
    import fcntl

    with (tmp_path / "out.csv.partial" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run(*half) == 2
    assert "another process" in capsys.readouterr().err


def test_a_complete_output_is_kept(run: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    write(tmp_path / "people.csv", PEOPLE)
    arguments = ("project=titanic", "input=people.csv", "output=out.csv")
    assert run(*arguments) == 0
    before = (tmp_path / "out.csv").read_bytes()
    write(tmp_path / "people.csv", PEOPLE[:1])
    assert run(*arguments) == 2
    assert "overwrite=true" in capsys.readouterr().err and (tmp_path / "out.csv").read_bytes() == before
    assert run(*arguments, "input=out.csv", "overwrite=true") == 2 and "is the input" in capsys.readouterr().err
    assert run(*arguments, "overwrite=true") == 0
    assert len(read(tmp_path / "out.csv")) == 1
