"""Every stage and command with a file that it reads broken: exit code 2, and one line that names the file.

In this process, on a titanic of 150 rows. Broken raw data are in tests/roadmap/data and with the projects.
"""

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from roadmap.bundle import read_manifest
from roadmap.prediction_log import labels
from roadmap.prediction_log import log as recording
from roadmap.prediction_log.labels import Label
from roadmap.prediction_log.row import PredictionRecord
from tests.support.checkouts import ROOT

QUICK = ("projects.titanic.train.epochs=1", "projects.titanic.variants={}", "tracking=none")
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Ended:
    code: int
    error: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working tree after all stages, with a prediction log and labels."""
    folder = tmp_path_factory.mktemp("finished")
    for name in ("params.yaml", "models", "pipelines", "roadmap"):
        (folder / name).symlink_to(ROOT / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SERVING_PREDICTIONS", "log")
        rows = [
            {"class": ("1st", "2nd", "3rd")[n % 3], "sex": ("male", "female")[n % 2], "survived": (n // 2 + n % 2) % 2}
            for n in range(150)
        ]
        pd.DataFrame(rows).to_csv("people.csv", index=False)
        own = ("projects.titanic.data.path=people.csv", "projects.titanic.data.target=survived")
        assert stage(patch, "prepare", *own).code == 0
        home = Path("artifacts/titanic")
        home.mkdir(parents=True)
        (home / "baselines.json").write_text(json.dumps([{"name": "a rule", "metric": "accuracy", "test": 0.5}]))
        for name in ("train", "evaluate", "register"):
            assert stage(patch, name, *own).code == 0, name
        shutil.copytree(home / "bundle", home / "champion")
        logged(Path("log"))
        assert stage(patch, "collect").code == 0
    yield folder


def logged(log: Path) -> None:
    """Answers of two versions, and a label for each input."""
    version = read_manifest(Path("artifacts/titanic/bundle")).version
    rows = [
        PredictionRecord(
            NOW - timedelta(hours=1, seconds=n), f"r{n}", "titanic", (version, "other")[n % 2], "sample",
            json.dumps({"class": "1st", "sex": "male"}), json.dumps({"label": "0", "probability": 0.2}), 0.001,
        )
        for n in range(300)
    ]  # fmt: skip
    log.mkdir()
    recording.open_store(str(log)).write(rows)
    labels.write(str(log), "titanic", [Label(f"r{n}", 0, str(n % 2), NOW) for n in range(0, 300, 10)])


def stage(patch: pytest.MonkeyPatch, name: str, *options: str) -> Ended:
    """A stage or a command, as from the command line."""
    module = importlib.import_module(f"pipelines.{name}")
    patch.setattr(sys, "argv", [name, "project=titanic", *QUICK, *options])
    try:
        module.main()
    except SystemExit as end:
        return Ended(int(end.code or 0), "")
    return Ended(0, "")


def command(name: str, *options: str) -> Ended:
    return Ended(importlib.import_module(f"pipelines.{name}").main(list(options)), "")


# ---------------------------------------------------------------- what breaks


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def foreign(path: Path) -> None:
    """Whole, and of its kind, but of something else."""
    kinds: dict[str, Callable[[], Any]] = {
        ".json": lambda: path.write_text('{"some": "thing"}'),
        ".jsonl": lambda: path.write_text('{"some": "thing"}\n'),
        ".csv": lambda: path.write_text("some,thing\n1,2\n"),
        ".parquet": lambda: pd.DataFrame({"some": [1.5], "thing": ["x"]}).to_parquet(path),
        ".onnx": lambda: path.write_bytes(b"\x08\x07"),
    }
    kinds[path.suffix]()


def listed(path: Path) -> None:
    path.write_text("[[1]]")


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 4)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


ALL = (missing, empty, truncated, foreign, garbage, a_folder)
DATA = ["data/titanic/card.json", *(f"data/titanic/{name}.parquet" for name in ("train", "val", "test"))]
BUNDLE = [f"artifacts/titanic/bundle/{name}" for name in ("bundle.json", "model.onnx", "schema.json")]
RESULTS = [f"artifacts/titanic/{name}" for name in ("baselines.json", "history.csv", "train.json")]
READ: dict[str, list[str]] = {
    "label": [DATA[0], "labels.csv", "LOG"],
    "baselines": DATA[:3],
    "report": [DATA[0], DATA[3]],
    "train": [DATA[0], DATA[1], DATA[3]],
    "evaluate": [DATA[0], DATA[3], *BUNDLE, *RESULTS],
    "summary": ["artifacts/titanic/metrics.json", "artifacts/titanic/decision.json", BUNDLE[0]],
    "compare": ["artifacts/titanic/metrics.json", "artifacts/titanic/decision.json"],
    "promotions": ["artifacts/titanic/promotions.jsonl"],
    "collect": ["LOG", "LABELS", "feedback/titanic/rows.parquet"],
    "prepare": ["feedback/titanic/rows.parquet"],
    "monitor": [*BUNDLE, "LOG", "LABELS"],
    "ab": ["artifacts/titanic/champion/bundle.json", "LOG", "LABELS"],
}
FINE = {  # a file that need not be there
    missing: ("rows.parquet", "LOG", "LABELS", "promotions.jsonl", "decision.json", "champion/bundle.json"),
    a_folder: ("decision.json", "champion/bundle.json"),
    empty: ("promotions.jsonl",),
}


def cases() -> Iterator[tuple[str, str, Callable[[Path], None]]]:
    """A file in all ways with the first stage that reads it, and in two with the others."""
    seen: set[str] = set()
    for name, files in READ.items():
        for file in files:
            ways = (missing, foreign) if file in seen else (*ALL, *([listed] if file.endswith(".json") else []))
            seen.add(file)
            yield from ((name, file, way) for way in ways if not file.endswith(FINE.get(way, ("\0",))))


CASES = list(cases())


@pytest.fixture
def tree(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tree"
    shutil.copytree(finished, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SERVING_PREDICTIONS", "log")
    return folder


def performed(name: str, patch: pytest.MonkeyPatch) -> Ended:
    own = ("projects.titanic.data.path=people.csv", "projects.titanic.data.target=survived")
    if name == "label":
        return command("label", "project=titanic", "file=labels.csv", "log=log")
    if name == "ab":
        return command("ab", "project=titanic", "log=log", "challenger=other")
    if name == "summary":
        return command("summary")
    if name == "compare":
        from pipelines import compare

        patch.setattr(compare, "revision", lambda name: lambda path: None)
        return command("compare", "project=titanic")
    return stage(patch, name, *own)


@pytest.mark.parametrize(
    ("name", "file", "broken"), CASES, ids=[f"{name}-{file.rpartition('/')[2]}-{b.__name__}" for name, file, b in CASES]
)
def test_a_broken_file_is_one_line(
    name: str,
    file: str,
    broken: Callable[[Path], None],
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tree / "labels.csv").write_text("request_id,label\nr0,1\n")
    if file in ("LOG", "LABELS"):
        folder = tree / "log" / ("_labels/project=titanic" if file == "LABELS" else "project=titanic")
        path = sorted(folder.rglob("part-*.parquet"))[0]
    else:
        path = tree / file
    broken(path)
    capfd.readouterr()
    ended = performed(name, monkeypatch)
    error = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert ended.code == 2, error
    assert len(error) == 1 and error[0].startswith("error: "), error
    assert path.name in error[0] or path.parent.name in error[0], error


@pytest.mark.parametrize("name", ["promotions", "register", "monitor", "store"])
@pytest.mark.parametrize("broken", [garbage, a_folder])
def test_a_store_that_is_none_of_mlflow(
    name: str,
    broken: Callable[[Path], None],
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("TRACKING", raising=False)
    (tree / "mlflow.db").touch()
    broken(tree / "mlflow.db")
    monkeypatch.setattr(sys, "argv", [name, *([] if name == "store" else ["project=titanic"])])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"pipelines.{name}").main()
    error = capfd.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(error) == 1 and "mlflow.db" in error[0], error


def test_artifacts_that_do_not_belong_together(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    card, manifest = tree / "data/titanic/card.json", tree / "artifacts/titanic/bundle/bundle.json"
    for file, field, message in (
        (card, "project", "card.json: found the data of mnist; expected those of titanic"),
        (card, "sha256", "bundle: found a bundle trained on the data"),
        (manifest, "project", "bundle: found a bundle of mnist; expected one of titanic"),
    ):
        before = file.read_text()
        file.write_text(json.dumps(json.loads(before) | {field: "mnist"}))
        capfd.readouterr()
        assert stage(monkeypatch, "evaluate").code == 2
        assert message in capfd.readouterr().err
        file.write_text(before)


def test_unbroken_all_of_them_go_through(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "labels.csv").write_text("request_id,label\nr0,1\n")
    for name in READ:
        assert performed(name, monkeypatch).code == 0, name
