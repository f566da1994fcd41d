"""Late labels: joined with the prediction log by request id, stored all or none."""

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.dataset
import pytest
import yaml

from pipelines import label as command
from roadmap.data import splits
from roadmap.data.splits import PreparedData
from roadmap.io.errors import Unavailable, UsageError
from roadmap.prediction_log import labels
from roadmap.prediction_log import log as recording
from roadmap.prediction_log.labels import Label
from roadmap.prediction_log.log import PredictionRecord
from roadmap.project import TakesLabels, load_project
from tests.support.checkouts import ROOT

PROJECTS = list(yaml.safe_load((ROOT / "params.yaml").read_text())["projects"])
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
SINCE, UNTIL = NOW - 60 * DAY, NOW
Run = Callable[..., tuple[int, str, str]]
SCHEMAS: dict[str, dict[str, Any]] = {
    "titanic": {"task": "binary", "target": "survived", "classes": ["died", "survived"], "columns": {}},
    "house_prices": {"task": "regression", "target": "price", "columns": {}},
}


@pytest.fixture(params=["folder", "database"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "log") if request.param == "folder" else f"sqlite:///{tmp_path / 'log.db'}"


def answered(
    log: str, request_id: str, *numbers: int, ago: timedelta = DAY, version: str = "v1", project: str = "titanic"
) -> None:
    """Logs a request with these inputs, as the server does."""
    time = NOW - ago
    rows = [
        PredictionRecord(time, request_id, project, version, "sample", json.dumps({"n": n}), json.dumps({"y": n}), 0.01)
        for n in numbers
    ]
    recording.open_store(log).write(rows)


def given(log: str, *found: tuple[str, int, str], project: str = "titanic", time: datetime = NOW) -> None:
    labels.write(log, project, [Label(*one, time) for one in found])


def joined(log: str, since: datetime = SINCE, until: datetime = UNTIL) -> list[tuple[str, int, str, Any, str]]:
    found = labels.labelled(log, "titanic", since, until)
    return [(one.request_id, one.index, one.version, one.input["n"], one.label) for one in found]


def test_a_label_is_joined_by_index_within_the_request(log: str) -> None:
    answered(log, "b", 20)
    answered(log, "a", 10, 11, 12, ago=2 * DAY)
    answered(log, "a", 99, project="mnist")
    given(log, ("a", 2, "died"), ("b", 0, "survived"), ("a", 0, "survived"), ("c", 0, "died"), ("b", 1, "died"))
    assert joined(log) == [("a", 0, "v1", 10, "survived"), ("a", 2, "v1", 12, "died"), ("b", 0, "v1", 20, "survived")]
    first = next(labels.labelled(log, "titanic", SINCE, UNTIL))
    assert (first.time, first.output, first.profile) == (NOW - 2 * DAY, {"y": 10}, "sample")


def test_several_versions_may_have_answered_one_request(log: str) -> None:
    answered(log, "a", 1, 2)
    answered(log, "a", 1, 2, version="shadow")
    answered(log, "a", 3, 4, ago=DAY / 2)  # a client that uses an id again
    given(log, ("a", 1, "died"))
    assert sorted(joined(log)) == [("a", 1, "shadow", 2, "died"), ("a", 1, "v1", 2, "died"), ("a", 1, "v1", 4, "died")]


def test_requests_at_the_same_time_are_not_mixed_up(log: str) -> None:
    rows = [
        PredictionRecord(NOW - DAY, name, "titanic", "v1", "sample", json.dumps({"n": n}), "{}", 0.1)
        for n, name in enumerate(["a", "a", "b", "b", "b"])
    ]
    recording.open_store(log).write(rows)
    given(log, ("a", 1, "died"), ("b", 0, "died"), ("b", 2, "died"))
    assert [(name, index, n) for name, index, _, n, _ in joined(log)] == [("a", 1, 1), ("b", 0, 2), ("b", 2, 4)]


def test_the_latest_label_wins(log: str) -> None:
    answered(log, "a", 1, ago=50 * DAY)
    given(log, ("a", 0, "died"), ("a", 0, "survived"), time=NOW - 40 * DAY)
    assert joined(log) == [("a", 0, "v1", 1, "survived")]
    given(log, ("a", 0, "died"), time=NOW - 45 * DAY)
    assert joined(log) == [("a", 0, "v1", 1, "died")]
    assert joined(log, until=NOW - 50 * DAY) == []  # `until` is of the prediction


def test_labels_are_read_by_arrival_time(log: str) -> None:
    for n in range(3):
        given(log, (f"r{n}", 0, "died"), time=NOW - n * DAY)
    assert [one.request_id for one in labels.read(log, "titanic", NOW - DAY, NOW)] == ["r1"]
    assert len(labels.read(log, "titanic")) == 3
    assert labels.read(log, "titanic")[0] == Label("r0", 0, "died", NOW)
    assert labels.read(log, "house_prices") == []


def test_predictions_are_still_one_table_for_other_tools(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    answered(log, "a", 1)
    given(log, ("a", 0, "died"))
    assert pyarrow.dataset.dataset(log, partitioning="hive").to_table()["output"].to_pylist() == ['{"y": 1}']
    url = f"sqlite:///{tmp_path / 'log.db'}"
    given(url, ("a", 0, "died"))
    with sqlite3.connect(tmp_path / "log.db") as database:
        assert database.execute('SELECT project, request_id, "index", label FROM labels').fetchall() == [
            ("titanic", "a", 0, "died")
        ]


def test_labels_are_written_all_or_none(log: str) -> None:
    given(log, ("a", 0, "died"))
    with pytest.raises(OverflowError):
        given(log, ("b", 0, "died"), ("c", 2**80, "died"))
    assert [one.request_id for one in labels.read(log, "titanic")] == ["a"]
    assert not list(Path(log).rglob(".part-*"))


# ---------------------------------------------------------------- the command


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with prepared data of two projects, and nothing else."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "params.yaml").symlink_to(ROOT / "params.yaml")
    monkeypatch.chdir(folder)
    for name, schema in SCHEMAS.items():
        part = pd.DataFrame({schema["target"]: [0]})
        splits.write(Path("data", name), PreparedData(dict.fromkeys(splits.SPLITS, part), "x", "x", schema), "sample")
    return folder


def written(folder: Path, text: str, name: str = "labels.csv") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_label_file_is_joined_and_unknown_requests_reported(log: str, checkout: Path) -> None:
    answered(log, "a", 1, 2)
    answered(log, "b", 3, ago=labels.LOOKBACK + DAY)
    text = "request_id,index,label,time\na,1,died,2026-03-01T12:00:00+02:00\na,0,survived,\nb,0,died,\na,2,died,\n"
    message = command.label("titanic", written(checkout, text), log)
    assert message == "titanic: 2 labels stored; 2 skipped, their inputs are not in the log: b[0], a[2]"
    found = labels.read(log, "titanic")
    assert [(one.request_id, one.index, one.label) for one in found] == [("a", 1, "died"), ("a", 0, "survived")]
    assert found[0].time == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert abs(found[1].time - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_labels_are_read_as_training_reads_a_table(log: str, checkout: Path, end: str) -> None:
    """Semicolons, blanks, and an extra comma in every row, which once shifted the columns."""
    answered(log, "a", 1, 2)
    text = end.join(["label; request_id ;index;", ' survived ; "a" ;0;', "died;a;1;", ""])
    (checkout / "labels.csv").write_bytes(text.encode())
    with pytest.raises(UsageError, match="unknown column 'Unnamed: 3'"):
        command.label("titanic", str(checkout / "labels.csv"), log)
    (checkout / "labels.csv").write_bytes(text.replace(";" + end, end).encode())
    assert command.label("titanic", str(checkout / "labels.csv"), log) == "titanic: 2 labels stored"
    assert [(one.index, one.label) for one in labels.read(log, "titanic")] == [(0, "survived"), (1, "died")]


def test_parquet_files_and_numeric_labels(log: str, checkout: Path) -> None:
    answered(log, "a", 1, 2, project="house_prices")
    frame = pd.DataFrame({"request_id": ["a", "a"], "index": [0, 1], "label": [412.5, 300.0]})
    frame.to_parquet(checkout / "labels.parquet")
    assert command.label("house_prices", str(checkout / "labels.parquet"), log) == "house_prices: 2 labels stored"
    assert [float(one.label) for one in labels.read(log, "house_prices")] == [412.5, 300.0]


WRONG = {
    "no such class": (
        "request_id,label\na,died\na,drowned\n",
        "row 2: label: found 'drowned'; did you mean 'died'? allowed: died, survived",
    ),
    "a label is missing": ("request_id,label\na,\n", "row 1: label: found ''"),
    "an id is missing": ("request_id,label\n,died\n", "row 1: request_id: empty"),
    "an index that is none": ("request_id,label,index\na,died,-1\n", "row 1: index: found '-1'; expected an integer"),
    "a time that is none": (
        "request_id,label,time\na,died,soon\n",
        "row 1: time: found 'soon'; expected a time like 2026",
    ),
    "no labels": ("request_id\na\n", "no column 'label'; required: request_id, label"),
    "a column too many": ("request_id,lable\na,died\n", "unknown column 'lable'; did you mean 'label'?"),
    "no rows": ("request_id,label\n", "found no rows"),
    "an empty file": ("", "found nothing; expected a header and rows"),
    "unknown requests only": ("request_id,label\nx,died\ny,died\n", "found none of its 2 inputs in the last 90 "),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_invalid_file_is_rejected_completely(tmp_path: Path, checkout: Path, case: str) -> None:
    log = str(tmp_path / "log")
    answered(log, "a", 1)
    text, message = WRONG[case]
    with pytest.raises(UsageError) as refused:
        command.label("titanic", written(checkout, text), log)
    assert str(refused.value).startswith(str(checkout / "labels.csv")) and message in str(refused.value)
    assert labels.read(log, "titanic") == []


def test_an_invalid_number_is_rejected_with_its_row(tmp_path: Path, checkout: Path) -> None:
    for value in ("cheap", "nan", "inf"):
        with pytest.raises(UsageError, match=f"row 2: label: found '{value}'; expected a number"):
            command.label("house_prices", written(checkout, f"request_id,label\na,1.5\na,{value}\n"), str(tmp_path))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command's exit code, what it printed, and its errors."""

    def made(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.delenv("SERVING_PREDICTIONS", raising=False)
        return command.main(list(arguments)), *capsys.readouterr()

    return made


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["project=titanci", "file=x.csv", "log=."], "project: found 'titanci'; did you mean 'titanic'? allowed: "),
        (["project=titanic", "file=x.csv", "log=."], "x.csv: no such file"),
        (["project=titanic", "file=labels.csv"], "log: missing; give log=<folder or SQLAlchemy URL>"),
        (["project=titanic", "file=labels.csv", "log=nowhere"], "log: found no folder nowhere"),
        (["project=mnist", "file=labels.csv", "log=."], "card.json: not there; run `dvc repro prepare@mnist` first"),
        (["project=titanic", "file=params.yaml", "log=."], "params.yaml: "),
    ],
)
def test_errors_are_one_line_and_exit_code_2(checkout: Path, run: Run, arguments: list[str], message: str) -> None:
    written(checkout, "request_id,label\na,died\n")
    code, out, errors = run(*arguments)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("error: ") and message in errors


def test_the_command_has_help_and_a_summary(checkout: Path, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("--help")
    assert code == 0 and "python -m pipelines.label project=titanic file=labels.csv" in out
    assert run("project=titanic", "fiel=x")[0] == 2
    answered(str(tmp_path / "log"), "a", 1)
    file = written(checkout, "request_id,label\na,died\n")
    assert run("project=titanic", f"file={file}", f"log={tmp_path / 'log'}") == (0, "titanic: 1 labels stored\n", "")


def test_an_unreachable_prediction_log_is_a_temporary_failure(checkout: Path) -> None:
    file = written(checkout, "request_id,label\na,died\n")
    with pytest.raises(Unavailable, match=r"log: unreachable \(OperationalError\)"):
        command.label("titanic", file, f"sqlite:///{checkout}/missing/log.db")
    with pytest.raises(Unavailable) as refused:
        command.label("titanic", file, "nosuchdatabase://ada:secret@example.org/log")
    assert "secret" not in str(refused.value)


def test_projects_without_late_labels_take_none(checkout: Path) -> None:
    without = [name for name in PROJECTS if not isinstance(load_project(name).data, TakesLabels)]
    assert without
    for project in without:
        with pytest.raises(UsageError, match=f"project: {project} takes no labels"):
            command.label(project, "labels.csv", str(checkout))
